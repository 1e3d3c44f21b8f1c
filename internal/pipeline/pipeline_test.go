package pipeline

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
	"s1stream/sink"
)

func TestPipeline_DrainsWhatItReadAndRepeatsNothingAfterACleanStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "a", "b")
		r.sinks["b"].become(takes(time.Second))
		r.start()
		r.publish(60)
		r.after(time.Second + rigPoll/2) // b has a full queue, and more is in the channel
		took, err := r.end()
		if err != nil || took > r.opt.DrainTimeout {
			t.Errorf("ended with %v after %s", err, took)
		}
		for _, name := range r.names {
			if n := r.sinks[name].timesClosed(); n != 1 {
				t.Errorf("%s closed %d times", name, n)
			}
		}
		if n := len(r.sinks["b"].tookIDs()); n < r.line.QueueEvents {
			t.Errorf("b took %d: its queue was not drained", n)
		}
		r.sinks["b"].become(nil)
		r.start()
		r.after(time.Minute)
		r.has("a", "b")
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestPipeline_GivesUpAtTheDrainDeadlineAndLosesNothing(t *testing.T) {
	for name, sickness := range map[string]func(context.Context, []sink.Record) error{"hangs": hangs, "fails": fails, "refuses a full queue": refusesAll} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newPipeRig(t, "healthy", "sick")
				r.sinks["sick"].become(sickness)
				r.line.QueueEvents = 200
				r.start()
				r.publish(300)
				r.after(10 * time.Second)
				took, err := r.end()
				if !errors.Is(err, ErrDrain) || took < r.opt.DrainTimeout || took > r.opt.DrainTimeout+time.Second {
					t.Errorf("ended with %v after %s", err, took)
				}
				if r.sinks["healthy"].timesClosed() != 1 || r.sinks["sick"].timesClosed() != 1 {
					t.Error("a sink was not closed")
				}
				r.sinks["sick"].become(nil)
				r.start()
				r.after(2 * time.Minute)
				r.has("healthy", "sick")
				if _, err := r.end(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestPipeline_EndsAtOnceOnASecondSignalAndSavesWhatIsProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "healthy", "sick")
		r.sinks["sick"].become(hangs)
		r.opt.SaveInterval = time.Hour // so that only the end saves
		r.start()
		r.publish(10)
		r.after(5 * time.Second)
		r.stop()
		r.after(time.Second)
		began := time.Now()
		r.abort()
		err := <-r.ended
		if took := time.Since(began); !errors.Is(err, ErrDrain) || took > 0 {
			t.Errorf("ended with %v after %s", err, took)
		}
		r.sinks["sick"].become(nil)
		r.start()
		r.after(time.Minute)
		r.has("healthy", "sick") // the healthy one nothing twice
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestPipeline_ReturnsThoughASinkDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "healthy", "stuck", "other")
		release := make(chan struct{})
		r.sinks["stuck"].become(func(context.Context, []sink.Record) error { <-release; return nil })
		r.start()
		r.publish(10)
		r.after(5 * time.Second)
		took, err := r.end()
		if !errors.Is(err, ErrDrain) || took > r.opt.DrainTimeout+closeGrace {
			t.Errorf("ended with %v after %s", err, took)
		}
		for name, want := range map[string]int{"healthy": 1, "stuck": 0, "other": 1} {
			if n := r.sinks[name].timesClosed(); n != want {
				t.Errorf("%s closed %d times, want %d", name, n, want)
			}
		}
		close(release)
		synctest.Wait()
		r.sinks["stuck"].become(nil)
		r.start()
		r.after(time.Minute)
		r.has("healthy", "other")
		if n := r.missing("stuck"); n > 0 {
			t.Errorf("%d lost", n)
		}
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestPipeline_StopsBeforeItsStartIsResolved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "a")
		r.cfg.Start = "now"
		r.console.SetToken("another") // 401 to every request
		r.start()
		r.after(10 * time.Minute)
		if took, err := r.end(); err != nil || took > 0 {
			t.Errorf("ended with %v after %s", err, took)
		}
	})
}

func TestPipeline_DeliversWhileTheDiskIsFullAndRecoversWithoutARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "a")
		r.start()
		r.flow(2, time.Minute)
		r.fs.SetFault(func(crashfs.Op) crashfs.Fault { return crashfs.Fault{Err: syscall.ENOSPC} })
		r.flow(2, 3*time.Minute)
		r.after(3 * time.Second)
		r.has("a")
		if reasons := r.cond.Reasons(); len(reasons) != 1 || !strings.Contains(reasons[0], "checkpoint can't be saved") {
			t.Errorf("not ready because of %q", reasons)
		}
		if n := r.metric("checkpoint_errors_total", "a"); n < 100 {
			t.Errorf("%v errors counted", n)
		}
		r.fs.SetFault(nil)
		stands := r.saved("a")
		r.after(5 * time.Second)
		if reasons := r.cond.Reasons(); len(reasons) > 0 {
			t.Errorf("not ready because of %q", reasons)
		}
		if now := r.saved("a"); now.Sub(stands) < 2*time.Minute || time.Since(now) > r.cfg.Settle+5*rigPoll {
			t.Errorf("frontier %s on disk after %s", now, stands)
		}
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

// saved is the frontier on disk.
func (r *pipeRig) saved(name string) time.Time {
	r.t.Helper()
	dir, err := checkpoint.View(r.fs, "/state")
	if err != nil {
		r.t.Fatal(err)
	}
	st, err := dir.Line("main", name).Load()
	if err != nil {
		r.t.Fatal(err)
	}
	return st.Frontier
}

// A batch waits for the indexer's acks as a whole, so what a sink of type splunk carries is its batch over the time that
// takes: the queue must have filled up again meanwhile, and the batch must not end before its events do.
func TestPipeline_TheDefaultsOfSplunkCarryAThousandThreatsASecondThroughAcksOfTenSeconds(t *testing.T) {
	typ, ok := sink.Lookup("splunk")
	if !ok {
		t.Fatal("no such type")
	}
	const (
		size    = 5000             // bytes of a threat, as a console's are
		ack     = 10 * time.Second // until everything that was sent is indexed
		rest    = 4 * time.Second  // to send a batch, and to hear of its last ack: measured in docs/benchmarks.md
		threats = 40_000
	)
	if n := typ.Line.BatchEvents * size; n > int(typ.Line.BatchBytes) || n > int(typ.Line.QueueBytes) {
		t.Errorf("batch_events of %d bytes are %d, more than batch_bytes or queue_bytes", size, n)
	}
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "siem")
		r.cfg.PollInterval, r.cfg.Settle, r.cfg.RequestsPerSecond, r.cfg.Buffer = 5*time.Second, 2*time.Minute, 5, 1000 // the defaults
		r.line.BatchEvents, r.line.BatchBytes, r.line.BatchWait = typ.Line.BatchEvents, typ.Line.BatchBytes, typ.Line.BatchWait
		r.line.QueueEvents, r.line.QueueBytes = typ.Line.QueueEvents, typ.Line.QueueBytes
		r.sinks["siem"].become(takes(ack + rest))
		r.console.Store.Fill(threats, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
		r.start()
		r.after(2 * time.Minute)
		r.has("siem")
		calls := r.sinks["siem"].called()
		last := len(calls) - 1
		if last < 3 {
			t.Fatalf("%d batches, of which the first is what was read within batch_wait, and the last what was left", last+1)
		}
		carried := 0
		for _, c := range calls[1:last] {
			carried += len(c.ids)
		}
		rate := float64(carried) / calls[last].at.Sub(calls[1].at).Seconds()
		t.Logf("%.0f threats a second, in batches of %d", rate, len(calls[1].ids))
		if rate < 1000 {
			t.Errorf("%.0f threats a second, want 1000", rate)
		}
	})
}
