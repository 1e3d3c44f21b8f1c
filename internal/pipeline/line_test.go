package pipeline

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
	"s1stream/sink"
)

func TestLine_EndsABatchByCountBytesOrTime(t *testing.T) {
	big := func(id string) *event.Event {
		e := ev(id, 1)
		e.Raw = fmt.Appendf(nil, `{"id":%q,"x":%q}`, id, strings.Repeat("x", 2000))
		return e
	}
	tests := []struct {
		name   string
		change func(*LineConfig)
		offer  []*event.Event
		want   [][]string
		after  time.Duration // when the last of them is written
	}{
		{"by count, and what is left after batch_wait", func(c *LineConfig) { c.BatchEvents = 2 },
			[]*event.Event{ev("a", 1), ev("b", 1), ev("c", 1), ev("d", 1), ev("e", 1)},
			[][]string{{"a", "b"}, {"c", "d"}, {"e"}}, 200 * time.Millisecond},
		{"by bytes", func(c *LineConfig) { c.BatchBytes = 5000 },
			[]*event.Event{big("a"), big("b"), big("c"), big("d")},
			[][]string{{"a", "b"}, {"c", "d"}}, 200 * time.Millisecond},
		{"after one that is larger than batch_bytes", func(c *LineConfig) { c.BatchBytes = 1000 },
			[]*event.Event{ev("a", 1), big("b"), ev("c", 1)},
			[][]string{{"a"}, {"b"}, {"c"}}, 200 * time.Millisecond},
		{"at once where batch_wait is 0", func(c *LineConfig) { c.BatchWait = 0 },
			[]*event.Event{ev("a", 1)}, [][]string{{"a"}}, 0},
		{"before a second version of a threat", func(*LineConfig) {},
			[]*event.Event{ev("a", 1), ev("b", 1), ev("a", 2), ev("c", 1)},
			[][]string{{"a", "b"}, {"a", "c"}}, 400 * time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withLine(t, func(s *LineSpec) { tt.change(&s.Config) }, func(r *lineRig) {
				began := time.Now()
				r.offer(tt.offer...)
				r.after(time.Minute)
				if diff := cmp.Diff(tt.want, r.sink.batches()); diff != "" {
					t.Errorf("batches (-want +got):\n%s", diff)
				}
				if at := r.sink.called()[len(tt.want)-1].at.Sub(began); at > tt.after {
					t.Errorf("the last batch was written after %s, want %s", at, tt.after)
				}
			})
		})
	}
}

func TestLine_WaitsBatchWaitFromTheFirstEvent(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		began := time.Now()
		for i := range 4 { // every 90 ms, so that waiting from the last one would not end
			r.offer(ev(fmt.Sprint(i), i))
			r.after(90 * time.Millisecond)
		}
		if got := r.sink.batches(); len(got) == 0 || len(got[0]) != 3 {
			t.Fatalf("batches %v, want the first of 3", got)
		}
		if at := r.sink.called()[0].at.Sub(began); at != 200*time.Millisecond {
			t.Errorf("written after %s", at)
		}
	})
}

func TestLine_HandsEachVersionOfAThreatInOrderWhateverFails(t *testing.T) {
	for seed := range uint64(50) {
		luck := rand.New(rand.NewPCG(seed, 7))
		withLine(t, func(s *LineSpec) { s.Config.BatchEvents, s.Config.QueueEvents = 1+luck.IntN(6), 1000 }, func(r *lineRig) {
			newest, answers := map[string]time.Time{}, rand.New(rand.NewPCG(seed, 8)) // the line's goroutine's
			r.sink.become(func(_ context.Context, records []sink.Record) error {
				for _, rec := range records {
					if at := rec.Event.UpdatedAt; at.Before(newest[rec.Event.ID]) {
						t.Errorf("seed %d: threat %s of %s came after that of %s", seed, rec.Event.ID, at, newest[rec.Event.ID])
					} else {
						newest[rec.Event.ID] = at
					}
				}
				switch answers.IntN(4) {
				case 0:
					return errTest
				case 1:
					return &sink.RefusedError{Err: errTest}
				case 2:
					return &sink.BatchError{Failed: []sink.RecordError{{Index: answers.IntN(len(records)), Err: errTest}}}
				}
				return nil
			})
			last := map[string]*event.Event{}
			for i := range 60 {
				e := ev(string(rune('a'+luck.IntN(5))), i)
				last[e.ID] = e
				r.offer(e)
				if luck.IntN(10) == 0 {
					r.after(time.Duration(luck.IntN(2000)) * time.Millisecond)
				}
			}
			r.sink.become(nil)
			r.after(5 * time.Minute)
			deadIDs := map[string]bool{}
			for _, id := range r.dead() {
				deadIDs[id] = true
			}
			for id, e := range last {
				if _, ok := r.sink.tookAt(e.Version); !ok && !deadIDs[id] {
					t.Errorf("seed %d: the last version of %s was never taken", seed, id)
				}
			}
		})
	}
}

func TestLine_MovesItsFrontierWhenAllBeforeTheMarkIsDealtWith(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		before := r.line.frontier()
		r.sink.become(fails)
		r.offer(ev("a", 1))
		r.line.sits().offerMark(ev("", 1).UpdatedAt)
		r.offer(ev("b", 2))
		r.line.sits().offerMark(ev("", 3).UpdatedAt)
		r.after(time.Minute)
		if !r.line.frontier().Equal(before) {
			t.Errorf("frontier %s before the ack", r.line.frontier())
		}
		r.sink.become(nil)
		r.after(time.Minute)
		if !r.line.frontier().Equal(ev("", 3).UpdatedAt) {
			t.Errorf("frontier %s after it", r.line.frontier())
		}
		r.line.sits().offerMark(ev("", 7).UpdatedAt) // nothing new came
		r.line.sits().offerMark(ev("", 6).UpdatedAt)
		r.after(time.Second)
		if !r.line.frontier().Equal(ev("", 7).UpdatedAt) {
			t.Errorf("frontier %s after marks alone", r.line.frontier())
		}
	})
}

func TestLine_TakesNoMarkOfASeatThatItLeft(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		block := make(chan struct{})
		r.sink.become(func(context.Context, []sink.Record) error { <-block; return nil })
		shared, before := r.line.sits().feed, r.line.frontier()
		r.offer(ev("a", 1))
		old := r.line.sits()
		r.after(time.Second) // "a" is in hand
		r.offer(ev("b", 2))
		r.line.moveTo(&feed{room: make(chan struct{}, 1)}) // "b" is thrown away
		r.line.join(shared)                                // and the line is on the same feed again
		if !old.offer(ev("c", 3)) || old.wants(ev("c", 3)) {
			t.Error("the old seat takes events")
		}
		old.offerMark(ev("", 5).UpdatedAt)
		close(block)
		r.after(time.Second)
		if got := r.line.frontier(); !got.Equal(before) {
			t.Errorf("the old walk's mark moved the frontier to %s, past b", got)
		}
		if diff := cmp.Diff([]string{"a"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLine_RepeatsWhatAFullSeenSetTookNoNoteOf(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		r.line.mu.Lock()
		for i := range maxSeen {
			e := ev("x", 5)
			r.line.ledger.seen[fmt.Sprint(i)] = seenOf(e)
		}
		r.line.mu.Unlock()
		e := ev("a", 6)
		for range 3 { // three walks meet it
			r.offer(e)
			r.after(time.Second)
		}
		if diff := cmp.Diff([]string{"a", "a", "a"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
		if n := r.metric("line_seen_full_total"); n != 3 {
			t.Errorf("counted %v", n)
		}
		r.line.sits().offerMark(ev("", 6).UpdatedAt) // the frontier makes room
		r.after(time.Second)
		for range 3 {
			r.offer(e)
			r.after(time.Second)
		}
		if n := len(r.sink.tookIDs()); n != 4 {
			t.Errorf("taken %d times", n)
		}
	})
}
