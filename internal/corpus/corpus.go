package corpus

import (
	_ "embed" // for threat.json
	"encoding/hex"
	"fmt"
	"iter"
	"slices"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

// Size is how many threats a corpus is run with in CI. It holds every change of every value once, and
// hundreds of random mixtures.
const Size = 5000

// Case is one threat and what is odd about it.
type Case struct {
	Name  string // "0017 threatInfo.md5: invalid UTF-8"
	Event event.Event
}

//go:embed threat.json
var threatJSON []byte

// Threats yields the first n cases of the corpus of that seed. The first is a whole, ordinary threat. What
// follows is shuffled by the seed, so that a small n is a fair sample.
func Threats(seed uint64, n int) iter.Seq[Case] {
	return func(yield func(Case) bool) {
		root := parse(threatJSON)
		if !yield(Case{"0000 ordinary", Event(root.append(nil, ""))}) {
			return
		}
		plan := systematic(root)
		l := luck(seed)
		for i := len(plan); i < max(n, Size); i++ {
			plan = append(plan, job{place: -1})
		}
		for i := len(plan) - 1; i > 0; i-- {
			j := l.below(i + 1)
			plan[i], plan[j] = plan[j], plan[i]
		}
		for i := 1; i < n; i++ {
			own := luck(seed ^ uint64(i)*0x2545f4914f6cdd1d) //nolint:gosec // i is not negative
			name, raw := plan[i-1].make(root, &own)
			if !yield(Case{fmt.Sprintf("%04d %s", i, name), Event(raw)}) {
				return
			}
		}
	}
}

// job is one change of one place, by their numbers; place -1 is a random mixture.
type job struct{ place, change int }

// systematic plans every change of every value that it fits; of the hostile texts, each value gets every third.
func systematic(root *node) (plan []job) {
	for p, place := range root.places("") {
		for c, change := range changes {
			if change.fits(place.value()) && (!change.hostile || (p+c)%3 == 0) {
				plan = append(plan, job{p, c})
			}
		}
	}
	return plan
}

func (j job) make(root *node, l *luck) (name string, raw []byte) {
	n := root.clone()
	if j.place >= 0 {
		p := n.places("")[j.place]
		changes[j.change].do(p, l)
		return p.path + ": " + changes[j.change].name, n.append(nil, "")
	}
	return mix(n, l)
}

// mix does what a console never does at once: words of its enumerations at random, then up to forty changes
// anywhere, members in another order, twice, or of names unknown, and white space between tokens.
func mix(n *node, l *luck) (name string, raw []byte) {
	for _, p := range n.places("") { // in order, so that the same seed draws the same
		if list := words[p.path]; list != nil && l.below(2) == 0 {
			p.setLit(list[l.below(len(list))])
		}
	}
	count := [...]int{0, 1, 2, 5, 12, 40}[l.below(6)]
	for range count {
		all := n.places("")
		p, c := all[l.below(len(all))], changes[l.below(len(changes))]
		if c.name == "huge" && l.below(8) > 0 || p.path == "id" && c.name == "absent" {
			continue
		}
		if c.fits(p.value()) {
			c.do(p, l)
		}
	}
	name = fmt.Sprintf("a mixture of %d changes", count)
	between := ""
	switch l.below(8) {
	case 0:
		name += ", pretty"
		between = [...]string{" ", "\n\t", "\r\n "}[l.below(3)]
	case 1:
		name += ", shuffled"
		n.shuffle(l)
	case 2:
		name += ", a member twice"
		if len(n.kids) > 0 {
			k := l.below(len(n.kids))
			n.keys, n.kids = append([]string{n.keys[k]}, n.keys...), append([]*node{{lit: "null"}}, n.kids...)
		}
	case 3:
		name += ", names unknown"
		n.keys = append(n.keys, `x\"y|=]`, "\xffz")
		n.kids = append(n.kids, &node{lit: hostile[l.below(len(hostile))].lit}, n.clone())
	case 4:
		name += ", every text hostile"
		h := hostile[l.below(len(hostile))]
		for _, p := range n.places("") {
			if isText(p.value()) {
				p.setLit(h.lit)
			}
		}
	}
	return name, n.append(nil, between)
}

func (n *node) shuffle(l *luck) {
	for i := len(n.kids) - 1; i > 0 && !n.list; i-- {
		j := l.below(i + 1)
		n.keys[i], n.keys[j] = n.keys[j], n.keys[i]
		n.kids[i], n.kids[j] = n.kids[j], n.kids[i]
	}
	for _, kid := range n.kids {
		kid.shuffle(l)
	}
}

// moment stands in for an updatedAt that is missing, as the page's moment does in the source.
var moment = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// Event makes an event of a threat's JSON as the source does.
func Event(raw []byte) event.Event {
	ev := event.Event{Raw: slices.Clip(raw), Source: "corpus", UpdatedAt: moment}
	id, _ := jsonscan.Lookup(raw, "id")
	switch text, ok := jsonscan.String(id); {
	case ok && text != "" && len(text) <= 64:
		ev.ID = text
	case len(id) > 0 && len(id) <= 64 && (id[0] == '-' || id[0] >= '0' && id[0] <= '9'):
		ev.ID = string(id)
	default:
		v := event.NewVersion("", "", "", raw)
		ev.ID = "body-" + hex.EncodeToString(v[:])
	}
	updated, at := stamp(raw, "updatedAt")
	if !at.IsZero() {
		ev.UpdatedAt = at
	}
	_, ev.CreatedAt = stamp(raw, "createdAt")
	ev.Version = event.NewVersion("console.example", ev.ID, updated, raw)
	return ev
}

func stamp(raw []byte, key string) (text string, at time.Time) {
	value, _ := jsonscan.Lookup(raw, "threatInfo", key)
	text, _ = jsonscan.String(value)
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		at = t.UTC().Truncate(time.Microsecond)
	}
	return text, at
}

// luck is splitmix64: random numbers that are a pure function of a seed, in every release of Go.
type luck uint64

func (l *luck) next() uint64 {
	*l += 0x9e3779b97f4a7c15
	z := uint64(*l)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (l *luck) below(n int) int { return int(l.next() % uint64(n)) } //nolint:gosec // n is small and positive
