package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"s1stream/checkpoint"
	"s1stream/internal/console"
	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

// delivery is one copy of one version, as it lies in a destination.
type delivery struct {
	id      string
	version event.Version
	part    int   // the partition; 0 elsewhere
	at      int64 // where in it: its number from 1, or for a file the byte where its line ends
}

// identify takes the identity of an event from its bytes alone: a byte that is not as it was served gives
// another version. agentRealtimeInfo is left out, as it is everywhere.
func identify(host string, raw []byte) (delivery, error) {
	var d delivery
	var stamp string
	var from, to int
	s := jsonscan.Scanner{Data: raw}
	err := s.Object(func(key []byte) error {
		v, err := s.Value()
		switch string(key) {
		case "id":
			d.id, _ = jsonscan.String(v)
		case "agentRealtimeInfo":
			from, to = s.Pos-len(v), s.Pos
		case "threatInfo":
			at, _ := jsonscan.Lookup(v, "updatedAt")
			stamp, _ = jsonscan.String(at)
		}
		return err
	})
	if err = errors.Join(err, s.End()); err != nil {
		return d, fmt.Errorf("no JSON object: %w: %.200q", err, raw)
	}
	d.version = event.NewVersion(host, d.id, stamp, raw[:from], raw[to:])
	return d, nil
}

// identifyLines is identify for JSON lines. After the last one nothing may follow.
func identifyLines(host string, data []byte) ([]delivery, error) {
	var all []delivery
	read := 0
	for line := range bytes.Lines(data) {
		read += len(line)
		body, whole := bytes.CutSuffix(line, []byte("\n"))
		if !whole {
			return all, fmt.Errorf("the last line is torn: %.200q", line)
		}
		d, err := identify(host, body)
		if err != nil {
			return all, err
		}
		d.at = int64(read)
		all = append(all, d)
	}
	return all, nil
}

// truth is the console's account of what it published, in the order in which it became visible.
type truth struct {
	all  []console.Published
	rank map[event.Version]int // index into all
}

func truthOf(t *testing.T, c *console.Console) truth {
	t.Helper()
	tr := truth{all: c.Truth(), rank: map[event.Version]int{}}
	for i, p := range tr.all {
		if _, twice := tr.rank[p.Version]; twice {
			t.Fatalf("the console published version %v twice: the order of its copies would tell nothing", p.Version)
		}
		tr.rank[p.Version] = i
	}
	return tr
}

// last returns, by threat, the rank of the newest of the first n versions that became visible.
func (tr truth) last(n int) map[string]int {
	last := map[string]int{}
	for i, p := range tr.all[:n] {
		last[p.ID] = i
	}
	return last
}

// knows reports whether a line with this checkpoint is done with a version.
func (tr truth) knows(st checkpoint.State, rank int) bool {
	p := tr.all[rank]
	if p.UpdatedAt.Before(st.Frontier) {
		return true
	}
	seen, ok := st.Seen[p.ID]
	return ok && rank <= tr.rank[seen.Version]
}

// tally counts what became of the published versions at one destination.
type tally struct {
	published int // versions that were served, or are their threat's last
	delivered int // versions that lie in the destination; the others were superseded before it was their turn
	repeated  int // copies beyond the first
}

func (n tally) String() string {
	return fmt.Sprintf("published %d, delivered %d, superseded %d, lost 0, invented 0, repeated %d",
		n.published, n.delivered, n.published-n.delivered, n.repeated)
}

// compare fails the test unless a destination holds every threat's last version, nothing that was never served,
// of each threat no version first after a newer one, and each threat's newest copy last. strict: nor any copy
// after a newer version, which a destination that took everything at once must show.
func (tr truth) compare(t *testing.T, name string, copies []delivery, strict bool) tally {
	t.Helper()
	var n tally
	fail := limited(t, name)
	seen := map[event.Version]bool{}
	newest, latest := map[string]int{}, map[string]int{}
	for i, d := range copies {
		rank, ok := tr.rank[d.version]
		switch {
		case !ok || tr.all[rank].ID != d.id:
			fail("invented: copy %d of threat %s has version %v, which the console never published", i, d.id, d.version)
			continue
		case tr.all[rank].Served.IsZero():
			fail("invented: copy %d of threat %s has version %v, which the console never served", i, d.id, d.version)
		}
		if high, ok := newest[d.id]; ok && rank < high && (strict || !seen[d.version]) {
			fail("order: copy %d of threat %s is older than one before it: updated %v after %v", i, d.id,
				tr.all[rank].UpdatedAt, tr.all[high].UpdatedAt)
		}
		newest[d.id] = max(newest[d.id], rank)
		latest[d.id] = rank
		seen[d.version] = true
	}
	for i, p := range tr.all {
		switch {
		case p.Last && !seen[p.Version]:
			fail("lost: threat %s, last version %v, updated %v, number %d of %d", p.ID, p.Version, p.UpdatedAt, i, len(tr.all))
		case p.Last && latest[p.ID] != i:
			fail("order: the last copy of threat %s is not its newest version", p.ID)
		}
		if p.Last || !p.Served.IsZero() {
			n.published++
		}
	}
	n.delivered, n.repeated = len(seen), len(copies)-len(seen)
	return n
}

// limited returns t.Errorf that says a few things of each destination and then keeps quiet.
func limited(t *testing.T, name string) func(format string, args ...any) {
	said := 0
	return func(format string, args ...any) {
		t.Helper()
		if said++; said <= 8 {
			t.Errorf(name+": "+format, args...)
		} else {
			t.Fail()
		}
	}
}
