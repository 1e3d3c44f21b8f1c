package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/checkpoint"
	"s1stream/internal/event"
	"s1stream/sink"
)

// odd takes the versions of odd seconds.
func odd(s *LineSpec) { s.Takes = func(e *event.Event) bool { return e.UpdatedAt.Second()%2 == 1 } }

func TestLine_CountsWhatItsChoiceLeavesOutAsDealtWith(t *testing.T) {
	withLine(t, odd, func(r *lineRig) {
		r.offer(ev("a", 1), ev("b", 2), ev("c", 3), ev("d", 4))
		r.line.sits().offerMark(ev("", 4).UpdatedAt)
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"a", "c"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
		if got := r.line.frontier(); !got.Equal(ev("", 4).UpdatedAt) {
			t.Errorf("frontier %s", got)
		}
		r.offer(ev("b", 2), ev("d", 4)) // the next walk meets them again
		r.after(time.Minute)
		if n := r.metric("line_left_out_total"); n != 2 {
			t.Errorf("%v are counted, want 2", n)
		}
		if n := r.metric("line_delivered_total"); n != 2 {
			t.Errorf("%v are delivered, want 2", n)
		}
	})
}

func TestLine_MovesOnWhereEverythingIsLeftOut(t *testing.T) {
	withLine(t, func(s *LineSpec) { s.Takes = func(*event.Event) bool { return false } }, func(r *lineRig) {
		r.sink.become(fails)
		r.offer(ev("a", 1), ev("b", 2))
		r.line.sits().offerMark(ev("", 2).UpdatedAt)
		r.after(time.Second)
		if got := r.line.frontier(); !got.Equal(ev("", 2).UpdatedAt) || len(r.sink.called()) != 0 {
			t.Errorf("frontier %s, %d writes", got, len(r.sink.called()))
		}
		if err := r.line.save(); err != nil {
			t.Fatal(err)
		}
		dir, err := checkpoint.Open(r.fs, "/state")
		if err != nil {
			t.Fatal(err)
		}
		st, err := dir.Line("main", "siem").Load()
		if err != nil || !st.Frontier.Equal(ev("", 2).UpdatedAt) || st.Seen["b"].Version != ev("b", 2).Version {
			t.Errorf("saved %+v, %v", st, err)
		}
	})
}

// What is left out needs no room, so that a sink that is down and hardly wants anything is not left behind for it.
func TestLine_TakesNoRoomForWhatIsLeftOut(t *testing.T) {
	withLine(t, func(s *LineSpec) { odd(s); s.Config.QueueEvents, s.Config.BatchEvents = 1, 1 }, func(r *lineRig) {
		r.sink.become(fails)
		r.offer(ev("a", 1))
		r.after(time.Second) // "a" is in hand
		r.offer(ev("b", 3))  // and the queue is full
		for i := range 20 {
			r.offer(ev(fmt.Sprint(i), 2))
		}
		if r.line.sits().offer(ev("c", 5)) {
			t.Error("the queue has room")
		}
		if n := r.metric("line_queue_events"); n != 1 {
			t.Errorf("%v events wait", n)
		}
		before := r.line.frontier()
		r.line.sits().offerMark(ev("", 3).UpdatedAt)
		r.after(time.Minute)
		if got := r.line.frontier(); !got.Equal(before) {
			t.Errorf("the frontier moved to %s, past what is not delivered", got)
		}
		r.sink.become(nil)
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"a", "b"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
		if got := r.line.frontier(); !got.Equal(ev("", 3).UpdatedAt) {
			t.Errorf("frontier %s", got)
		}
	})
}

func TestLine_DeliversAnOlderVersionThatANewerOneWhichIsLeftOutOvertook(t *testing.T) {
	withLine(t, odd, func(r *lineRig) {
		block := make(chan struct{})
		r.sink.become(func(context.Context, []sink.Record) error { <-block; return nil })
		r.offer(ev("x", 1))
		r.after(time.Second) // it is in hand
		r.offer(ev("a", 1))
		for range 3 { // three walks meet them while "a" waits
			r.offer(ev("a", 2), ev("a", 1))
		}
		r.offer(ev("a", 3))
		close(block)
		r.line.sits().offerMark(ev("", 3).UpdatedAt)
		r.after(time.Minute)
		r.offer(ev("a", 1), ev("a", 2), ev("a", 3))
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"x", "a", "a"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
		if n := r.metric("line_left_out_total"); n != 1 {
			t.Errorf("%v are counted, want 1", n)
		}
		r.line.mu.Lock()
		defer r.line.mu.Unlock()
		if len(r.line.ledger.pending) != 0 {
			t.Errorf("pending: %v", r.line.ledger.pending)
		}
	})
}

// A mitigation row can come without a new updatedAt: two versions then have one moment.
func TestLedger_KeepsAVersionThatWasLeftOutBeforeOneOfTheSameMoment(t *testing.T) {
	l := newLedger(checkpoint.State{})
	first, second := ev("a", 1), ev("a", 1)
	second.Version[0]++
	l.queued(first)
	l.left(second)
	l.taken(first)
	for _, when := range []string{"before", "after"} {
		if !l.known(second) || l.seen["a"] != seenOf(second) {
			t.Errorf("%s the first one is dealt with, the second is not known: %v", when, l.seen)
		}
		l.dealt(first)
	}
	if len(l.pending) != 0 {
		t.Errorf("pending: %v", l.pending)
	}
}

func TestLine_TakesWhatItsChoiceCanNotTell(t *testing.T) {
	for name, choice := range map[string]func(*event.Event) bool{
		"a panic": func(*event.Event) bool { panic("choice") },
		"a stub":  func(*event.Event) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			withLine(t, func(s *LineSpec) { s.Takes = choice }, func(r *lineRig) {
				e := ev("a", 1)
				if name == "a stub" {
					e.Stub = "too large"
				}
				r.offer(e)
				r.after(time.Minute)
				if got := len(r.sink.tookIDs()) + len(r.dead()); got != 1 || r.metric("line_left_out_total") != 0 {
					t.Errorf("%d were taken or dead-lettered", got)
				}
			})
		})
	}
}

func TestLine_GivesItsSinkWhatIsLeftOfAnEventAndKeepsDeadLettersWhole(t *testing.T) {
	bare := []byte(`{"id":"bare"}`)
	withLine(t, func(s *LineSpec) {
		s.Strip = func(e *event.Event) *event.Event {
			less := *e
			less.Raw = bare
			return &less
		}
		whole := s.Encode
		s.Encode = func(dst []byte, e *event.Event, most int) ([]byte, bool, error) {
			if e.ID == "dead" {
				return nil, false, errTest
			}
			return whole(dst, e, most)
		}
	}, func(r *lineRig) {
		var bodies []string
		r.sink.become(func(_ context.Context, records []sink.Record) error {
			var batch sink.BatchError
			for i, rec := range records {
				if rec.Event.ID == "poison" {
					batch.Failed = append(batch.Failed, sink.RecordError{Index: i, Err: &sink.RefusedError{Err: errTest}})
					continue
				}
				bodies = append(bodies, string(rec.Body)+" "+string(rec.Event.Raw))
			}
			if len(batch.Failed) > 0 {
				return &batch
			}
			return nil
		})
		r.offer(ev("a", 1), ev("dead", 2), ev("poison", 3))
		r.after(time.Minute)
		r.offer(ev("b", 4))
		r.after(time.Minute)
		if diff := cmp.Diff([]string{`{"id":"bare"} {"id":"bare"}`, `{"id":"bare"} {"id":"bare"}`}, bodies); diff != "" {
			t.Error(diff)
		}
		letters, err := r.fs.ReadFile("/state/siem.dead.jsonl")
		for _, whole := range []string{`{"id":"dead","n":2}`, `{"id":"poison","n":3}`} {
			if err != nil || !bytes.Contains(letters, []byte(whole)) {
				t.Errorf("dead letters are %s, %v: want %s whole", letters, err, whole)
			}
		}
	})
}
