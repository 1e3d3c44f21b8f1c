package pipeline

import (
	"context"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
	"s1stream/sink"
)

// TestLine_FindsExactlyTheRefusedByHalves: whatever the poison, those are held and all others taken, in order, in
// no more calls than the halving of n records down to k takes.
func TestLine_FindsExactlyTheRefusedByHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(300) {
			luck := rand.New(rand.NewPCG(seed, 9))
			r := newLineRig(t, nil)
			n := 1 + luck.IntN(200)
			part := []float64{0, 0.01, 0.1, 0.5, 1}[luck.IntN(5)]
			var records []record
			var poison, good []string
			for i := range n {
				e := ev(fmt.Sprint(i), i)
				records = append(records, record{Record: sink.Record{Event: e, Body: e.Raw}})
				if luck.Float64() < part {
					poison = append(poison, e.ID)
				} else {
					good = append(good, e.ID)
				}
			}
			r.sink.become(refuses(poison...))
			r.line.send(context.Background(), records)
			var held []string
			for _, h := range r.line.held {
				held = append(held, h.Event.ID)
			}
			if diff := cmp.Diff(poison, held); diff != "" {
				t.Errorf("seed %d: held (-want +got):\n%s", seed, diff)
			}
			if diff := cmp.Diff(good, r.sink.tookIDs()); diff != "" {
				t.Errorf("seed %d: taken (-want +got):\n%s", seed, diff)
			}
			most := min(1+2*len(poison)*bits.Len(uint(n-1)), 2*n-1)
			if calls := len(r.sink.called()); calls > most {
				t.Errorf("seed %d: %d calls for %d of %d, want %d at most", seed, calls, len(poison), n, most)
			}
		}
	})
}

func TestLine_DeadLettersARefusedThreatOnlyAfterAnotherWasTaken(t *testing.T) {
	answers := map[string]func(context.Context, []sink.Record) error{
		"named in the answer": names(map[string]error{"bad": &sink.RefusedError{Err: errTest}}),
		"found by halves":     refuses("bad"),
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			withLine(t, nil, func(r *lineRig) {
				before := r.line.frontier()
				r.sink.become(answer)
				r.offer(ev("bad", 1))
				r.line.sits().offerMark(ev("", 2).UpdatedAt)
				r.after(10 * time.Minute)
				if len(r.dead()) > 0 || !r.line.frontier().Equal(before) {
					t.Fatalf("dead %q, frontier %s before another was taken", r.dead(), r.line.frontier())
				}
				if n := r.metric("line_held_events"); n != 1 {
					t.Errorf("held %v", n)
				}
				r.ready("destination refuses a threat")
				if n := len(r.sink.called()); n < 20 {
					t.Errorf("asked %d times in 10 minutes", n)
				}
				r.offer(ev("good", 3))
				r.after(time.Minute)
				if diff := cmp.Diff([]string{"bad"}, r.dead()); diff != "" {
					t.Error(diff)
				}
				if diff := cmp.Diff([]string{"good"}, r.sink.tookIDs()); diff != "" {
					t.Error(diff)
				}
				if !r.line.frontier().Equal(ev("", 2).UpdatedAt) {
					t.Errorf("frontier %s", r.line.frontier())
				}
				if n := r.metric("line_held_events"); n != 0 {
					t.Errorf("held %v", n)
				}
				r.ready()
			})
		})
	}
}

func TestLine_DoesNotTakeWhatCameWithTheRefusedForProof(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		r.sink.become(names(map[string]error{"bad": &sink.RefusedError{Err: errTest}}))
		r.offer(ev("good", 1), ev("bad", 1))
		r.after(time.Minute)
		if len(r.dead()) > 0 {
			t.Fatal("dead, though nothing was taken after it was refused")
		}
		r.sink.become(nil) // the operator mended the destination
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"good", "bad"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
		r.ready()
	})
}

func TestLine_LetsANewerVersionTakeTheRefusedOnesPlace(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		first := ev("bad", 1)
		r.sink.become(func(_ context.Context, records []sink.Record) error {
			if slices.ContainsFunc(records, func(r sink.Record) bool { return r.Event == first }) {
				return &sink.RefusedError{Err: errTest}
			}
			return nil
		})
		r.offer(first)
		r.after(time.Minute)
		r.offer(ev("bad", 2))
		r.line.sits().offerMark(ev("", 3).UpdatedAt)
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"bad"}, r.sink.tookIDs()); diff != "" || len(r.dead()) > 0 {
			t.Errorf("dead %q, taken %s", r.dead(), diff)
		}
		if n := r.metric("line_superseded_total"); n != 1 {
			t.Errorf("superseded %v", n)
		}
		if !r.line.frontier().Equal(ev("", 3).UpdatedAt) {
			t.Errorf("frontier %s", r.line.frontier())
		}
		r.ready()
	})
}

func TestLine_EmptiesNothingIntoAFileForADestinationThatRefusesEverything(t *testing.T) {
	withLine(t, func(s *LineSpec) { s.Config.BatchEvents = 50 }, func(r *lineRig) {
		before := r.line.frontier()
		r.sink.become(refusesAll)
		var offered []string
		for i := range 5000 {
			offered = append(offered, fmt.Sprint(i))
			r.offer(ev(fmt.Sprint(i), i))
		}
		r.line.sits().offerMark(ev("", 6000).UpdatedAt)
		r.after(time.Hour)
		if len(r.dead()) > 0 || !r.line.frontier().Equal(before) {
			t.Fatalf("%d dead, frontier %s", len(r.dead()), r.line.frontier())
		}
		if n := r.metric("line_held_events"); n >= minHeld+50 {
			t.Errorf("%v held", n)
		}
		if n := len(r.sink.called()); n > 1000 {
			t.Errorf("asked %d times in an hour", n)
		}
		r.ready("destination refuses a threat")
		r.sink.become(nil)
		r.after(time.Minute)
		got := r.sink.tookIDs()
		slices.Sort(got)
		slices.Sort(offered)
		if diff := cmp.Diff(offered, got); diff != "" {
			t.Errorf("taken once all is well (-want +got):\n%s", diff)
		}
		if !r.line.frontier().Equal(ev("", 6000).UpdatedAt) || len(r.dead()) > 0 {
			t.Errorf("frontier %s, dead %q", r.line.frontier(), r.dead())
		}
		r.ready()
	})
}

func TestLine_HoldsOneThatIsLargerThanItsQueue(t *testing.T) {
	withLine(t, func(s *LineSpec) { s.Config.QueueBytes = 1000 }, func(r *lineRig) {
		big := ev("big", 1)
		big.Raw = append([]byte(`{"id":"big","x":"`), append(make([]byte, 5000), `"}`...)...)
		for i := range big.Raw[17:5017] {
			big.Raw[17+i] = 'x'
		}
		r.sink.become(refuses("big"))
		r.offer(big)
		r.after(time.Second)
		if r.line.sits().offer(ev("a", 1)) == false {
			t.Fatal("one poison threat stops the line")
		}
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"a"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"big"}, r.dead()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLine_LeavesWhatIsRefusedToTheNextStart(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		r.sink.become(refuses("bad"))
		r.offer(ev("bad", 1))
		r.line.sits().offerMark(ev("", 2).UpdatedAt)
		r.after(time.Minute)
		before := r.line.frontier()
		r.line.close()
		if err := <-r.ended; err != nil {
			t.Errorf("ended with %v", err)
		}
		r.ended <- nil
		if !r.line.frontier().Equal(before) || r.line.ledger.known(&event.Event{ID: "x", UpdatedAt: ev("", 1).UpdatedAt}) {
			t.Error("the next start does not read it again")
		}
	})
}
