package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/checkpoint"
	"s1stream/sink"
)

// A dead sink on a quiet console never fills its queue, so it is never charged. Its frontier must not drag every
// shared walk further and further back all the same, nor may it ask the console for what it can't deliver.
func TestStream_LetsALineGoWhoseFrontierStandsStillThoughItsQueueHasRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "healthy", "dead")
		r.line.QueueEvents = 1000
		r.start()
		r.flow(1, 10*time.Second)
		r.has("healthy", "dead")
		r.sinks["dead"].become(fails)
		for range 10 { // far fewer than the queue holds
			r.publish(1)
			r.after(30 * time.Second)
		}
		if n := r.metric("line_behind", "dead"); n != 1 {
			t.Fatalf("line_behind of the dead sink is %v after 5 m, with a patience of 20 s", n)
		}
		before := r.metric("source_read_total", "")
		r.publish(1)
		r.after(5 * time.Minute)
		// The shared walk reads what is not settled, 30 s; one threat, then, for some 30 polls.
		if read := r.metric("source_read_total", "") - before; read > 60 {
			t.Errorf("%v threats were read in 5 m that had one new: the dead sink's line reads what it can't deliver", read)
		}
		r.sinks["dead"].become(nil)
		r.after(time.Minute)
		r.has("healthy", "dead")
		if n := r.metric("line_behind", "dead"); n != 0 {
			t.Error("the line did not join again")
		}
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// A sink that was denied and mended again gets a try before the drain's deadline, not after the minute's pause.
func TestPipeline_TriesADeniedSinkAgainDuringTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "a")
		r.sinks["a"].become(func(context.Context, []sink.Record) error { return &sink.DeniedError{Err: errTest} })
		r.publish(3)
		r.start()
		r.after(10 * time.Second)
		r.sinks["a"].become(nil)
		took, err := r.end()
		if err != nil || took > 3*time.Second {
			t.Errorf("the drain took %s: %v", took, err)
		}
		r.has("a")
	})
}

// A console that gives a threat out of order, older than the frontier, gives it at every poll: it is news once.
func TestLedger_KnowsAnUnorderedThreatThatItHasDealtWith(t *testing.T) {
	l := newLedger(checkpoint.State{Frontier: time.Unix(100, 0)})
	old := ev("1", 1)
	old.UpdatedAt, old.Unordered = time.Unix(50, 0), true
	if l.known(old) {
		t.Fatal("known before it was dealt with")
	}
	l.queued(old)
	l.taken(old)
	l.dealt(old)
	if !l.known(old) {
		t.Error("handed on again")
	}
	other := *old
	other.Version[0]++
	if l.known(&other) {
		t.Error("a new version of it is swallowed")
	}
}
