//go:build !race

package format

import (
	"testing"

	"s1stream/internal/event"
)

// The race detector empties pools at random, so that allocations say nothing under it.

// Each benchmark stands beside the obvious way to the same record, in one run.

func BenchmarkCEF(b *testing.B) {
	encode, err := NewCEF(CEFOptions{})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkPairs(b, encode, obviousCEFLine)
}

func BenchmarkLEEF(b *testing.B) {
	encode, err := NewLEEF(LEEFOptions{})
	if err != nil {
		b.Fatal(err)
	}
	benchmarkPairs(b, encode, obviousLEEFLine)
}

func BenchmarkParse(b *testing.B) {
	ev := ordinary(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(ev.Raw)))
	for b.Loop() {
		t, err := Parse(ev)
		if err != nil {
			b.Fatal(err)
		}
		t.Release()
	}
}

func TestPairs_CostFiveAllocationsAThreatAtMost(t *testing.T) {
	cef, leef := newCEF(t, CEFOptions{}), newLEEF(t, LEEFOptions{})
	for _, c := range []struct {
		name    string
		encode  func([]byte, *event.Event, int) ([]byte, bool, error)
		obvious func(*event.Event) []byte
	}{{"cef", cef, obviousCEFLine}, {"leef", leef, obviousLEEFLine}} {
		for _, ev := range append(samples(t), ordinary(t)) {
			ours := leastAllocations(func() {
				if _, _, err := c.encode(nil, ev, 0); err != nil {
					t.Fatal(err)
				}
			})
			theirs := testing.AllocsPerRun(20, func() { c.obvious(ev) })
			// Time on a shared machine proves nothing in a test: BenchmarkCEF and BenchmarkLEEF show it.
			if ours > 5 || ours*4 > theirs {
				t.Errorf("%s: %.0f allocations for %s, %.0f the obvious way", c.name, ours, ev.ID, theirs)
			}
		}
	}
}
