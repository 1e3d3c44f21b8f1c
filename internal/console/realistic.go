package console

import (
	"encoding/hex"
	"strconv"
	"unicode/utf8"
)

// realistic writes threats of some 5 KB as the console does: compact, keys in order, every block there. Its key
// order and value shapes are those of recorded answers of the API.
type realistic struct{ seed uint64 }

func newRealistic(seed uint64) realistic { return realistic{seed} }

// nature is what stays the same through all versions of a threat, drawn from the seed and its id.
type nature struct {
	*tenant
	*platform
	*sample
	user, class, confidence string
	engine, second          *engine
	luck                    luck // for what needs no name
	sha1                    [20]byte
	host                    int
}

// luck is splitmix64: random numbers that are a pure function of the seed.
type luck uint64

func (l *luck) next() uint64 {
	*l += 0x9e3779b97f4a7c15
	z := uint64(*l)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func (l *luck) below(n int) int { return int(l.next() % uint64(n)) } //nolint:gosec // n is a small constant

// fill writes random bytes.
func (l *luck) fill(b []byte) {
	for i := range b {
		b[i] = byte(l.next() >> 56) //nolint:gosec // eight bits are left
	}
}

func (g realistic) nature(t *Threat) nature {
	l := luck(g.seed ^ t.ID*0x2545f4914f6cdd1d)
	n := nature{tenant: &tenants[l.below(len(tenants))], platform: &platforms[l.below(len(platforms))],
		sample: &samples[l.below(len(samples))], user: users[l.below(len(users))],
		class: classifications[l.below(len(classifications))], confidence: "malicious",
		engine: &engines[l.below(len(engines))], second: &engines[l.below(len(engines))], host: l.below(400)}
	if l.below(4) == 0 {
		n.confidence = "suspicious"
	}
	l.fill(n.sha1[:])
	n.luck = l
	return n
}

func (n *nature) computer() string {
	return n.domain[:3] + "-" + n.platform.host + "-" + strconv.Itoa(1000 + n.host)[1:]
}

func (g realistic) facts(t *Threat) facts {
	n := g.nature(t)
	return facts{confidence: n.confidence, classification: n.class, accountID: n.accountID, siteID: n.siteID,
		groupID: n.groupID, computer: n.computer(), sha1: hex.EncodeToString(n.sha1[:])}
}

// buffer appends JSON members; each ends with a comma, and close turns the last one into a bracket.
type buffer []byte

func (b *buffer) raw(s string) { *b = append(*b, s...) }

func (b *buffer) close(bracket string) {
	if last := len(*b) - 1; (*b)[last] == ',' {
		*b = (*b)[:last]
	}
	b.raw(bracket)
	b.raw(",")
}

func (b *buffer) key(k string) { *b = append(append(append(*b, '"'), k...), '"', ':') }

func (b *buffer) str(k string, parts ...string) {
	b.key(k)
	*b = append(*b, '"')
	for _, p := range parts {
		*b = appendEscaped(*b, p)
	}
	*b = append(*b, '"', ',')
}

// or is a string, or null where it is empty.
func (b *buffer) or(k, s string) {
	if s == "" {
		b.lit(k, "null")
	} else {
		b.str(k, s)
	}
}

func (b *buffer) lit(k, literal string) {
	b.key(k)
	*b = append(append(*b, literal...), ',')
}

func (b *buffer) bool(k string, v bool) { b.lit(k, strconv.FormatBool(v)) }

func (b *buffer) num(k string, v uint64) {
	b.key(k)
	*b = append(strconv.AppendUint(*b, v, 10), ',')
}

// id is a number of 19 digits, as a string.
func (b *buffer) id(k string, v uint64) {
	b.key(k)
	*b = append(strconv.AppendUint(append(*b, '"'), v, 10), '"', ',')
}

func (b *buffer) at(k string, s Stamp) {
	b.key(k)
	*b = append(s.append(append(*b, '"')), '"', ',')
}

func (b *buffer) hex(k string, v []byte) {
	b.key(k)
	*b = append(hex.AppendEncode(append(*b, '"'), v), '"', ',')
}

const hexDigits = "0123456789abcdef"

// appendEscaped writes s as the inside of a JSON string. Control characters are escaped, and everything else
// stays as it is, for the API does not escape what it need not.
func appendEscaped(b []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); i++ {
		ch := s[i]
		if ch >= 0x20 && ch != '"' && ch != '\\' && ch < utf8.RuneSelf || ch >= utf8.RuneSelf {
			continue
		}
		b = append(b, s[start:i]...)
		start = i + 1
		switch ch {
		case '"', '\\':
			b = append(b, '\\', ch)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[ch>>4], hexDigits[ch&15])
		}
	}
	return append(b, s[start:]...)
}
