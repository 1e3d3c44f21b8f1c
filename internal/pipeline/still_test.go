package pipeline

import (
	"testing"
	"testing/synctest"
	"time"
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
