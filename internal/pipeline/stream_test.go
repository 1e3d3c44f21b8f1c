package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/checkpoint/crashfs"
	"s1stream/internal/console"
	"s1stream/sink"
)

// hangs does not answer before its call is given up.
func hangs(ctx context.Context, _ []sink.Record) error {
	<-ctx.Done()
	return ctx.Err()
}

// takes is how long a destination takes for a call.
func takes(d time.Duration) func(context.Context, []sink.Record) error {
	return func(ctx context.Context, _ []sink.Record) error {
		select {
		case <-time.After(d):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func TestStream_LetsASickLineCostAHealthyOneItsPatienceOnce(t *testing.T) {
	sicknesses := map[string]func(context.Context, []sink.Record) error{
		"hangs, then times out": func(ctx context.Context, _ []sink.Record) error {
			return errors.Join(takes(90*time.Second)(ctx, nil), errTest)
		},
		"fails":                  fails,
		"refuses everything":     refusesAll,
		"takes five in 8 s":      takes(8 * time.Second), // always full, and makes room again and again
		"denies":                 func(context.Context, []sink.Record) error { return &sink.DeniedError{Err: errTest} },
		"hangs, and some panics": func(ctx context.Context, _ []sink.Record) error { <-time.After(7 * time.Second); panic("x") },
	}
	for name, sickness := range sicknesses {
		for sick := 1; sick <= 2; sick++ {
			t.Run(fmt.Sprintf("%s, %d of them", name, sick), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newPipeRig(t, "healthy", "sick1", "sick2")
					r.start()
					r.flow(3, 30*time.Second)
					r.has("healthy", "sick1", "sick2")
					began := time.Now()
					r.sinks["sick1"].become(sickness)
					if sick == 2 {
						r.sinks["sick2"].become(sickness)
					}
					r.flow(3, 3*time.Minute)
					if n := r.metric("line_fell_behind_total", "sick1"); n < 1 {
						t.Fatal("the sick line never fell behind")
					}
					if n := r.metric("line_behind", "healthy"); n != 0 {
						t.Error("the healthy line fell behind")
					}
					// What was published while the feed was blocked waited at most that long; all else a poll or two.
					// Several walks may share the blocked time.
					cost := time.Duration(sick) * r.opt.Patience
					late := 0
					for _, d := range r.delays("healthy", began) {
						if d > cost+3*rigPoll {
							t.Fatalf("a healthy line's event took %s, want %s at most", d, cost+3*rigPoll)
						}
						if d > 3*rigPoll {
							late++
						}
					}
					if most := 3 * int((cost+15*time.Second)/time.Second); late > most {
						t.Errorf("%d events were late, want %d at most: once", late, most)
					}
					r.sinks["sick1"].become(nil)
					r.sinks["sick2"].become(nil)
					r.flow(3, 2*time.Minute)
					r.after(10 * time.Second)
					for _, name := range r.names {
						if r.missing(name) > 0 || r.metric("line_behind", name) != 0 {
							t.Errorf("sink %s: %d missing, behind %v", name, r.missing(name), r.metric("line_behind", name))
						}
					}
					if reasons := r.cond.Reasons(); len(reasons) > 0 {
						t.Errorf("not ready: %q", reasons)
					}
					if _, err := r.end(); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

func TestStream_LeavesNobodyBehindWhereNoOtherHasRoom(t *testing.T) {
	for _, sinks := range [][]string{{"a"}, {"a", "b"}} {
		synctest.Test(t, func(t *testing.T) {
			r := newPipeRig(t, sinks...)
			for _, s := range r.sinks {
				s.become(hangs)
			}
			r.start()
			r.flow(5, 5*time.Minute)
			for _, name := range sinks {
				if n := r.metric("line_fell_behind_total", name); n != 0 {
					t.Errorf("of %q, %s fell behind %v times", sinks, name, n)
				}
				if n := r.metric("line_queue_events", name); n > float64(r.line.QueueEvents) {
					t.Errorf("%v events in the queue", n)
				}
				r.sinks[name].become(nil)
			}
			// What hangs is given up with the process alone; the next one reads it again.
			if _, err := r.end(); err == nil {
				t.Error("drained into a sink that hangs")
			}
			r.start()
			r.after(time.Minute)
			for _, name := range sinks {
				if n := r.missing(name); n > 0 {
					t.Errorf("%s: %d missing", name, n)
				}
			}
			if _, err := r.end(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestStream_StartsALineThatIsFarBackOnAFeedOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "live", "old")
		r.start()
		r.flow(2, 20*time.Second)
		r.sinks["old"].become(hangs)
		r.flow(1, 3*time.Minute)
		if _, err := r.end(); err == nil {
			t.Error("drained into a sink that hangs")
		}
		r.sinks["old"].become(takes(2 * time.Second))
		began := time.Now()
		r.start()
		r.after(time.Second)
		if r.metric("line_behind", "old") != 1 || r.metric("line_behind", "live") != 0 {
			t.Errorf("behind: old %v, live %v", r.metric("line_behind", "old"), r.metric("line_behind", "live"))
		}
		r.flow(2, 3*time.Minute)
		if most := slices.Max(r.delays("live", began)); most > 3*rigPoll {
			t.Errorf("catching up cost the live line %s", most)
		}
		r.after(time.Minute)
		if r.metric("line_behind", "old") != 0 || r.metric("line_fell_behind_total", "old") != 0 {
			t.Error("did not join")
		}
		if r.missing("old")+r.missing("live") > 0 {
			t.Errorf("missing: old %d, live %d", r.missing("old"), r.missing("live"))
		}
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestStream_ReadsNothingForALineWhoseStartIsNotSaved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "a", "b")
		r.fs.SetFault(func(op crashfs.Op) crashfs.Fault {
			if strings.HasSuffix(op.Name, "main.b.ckpt.tmp") {
				return crashfs.Fault{Err: syscall.ENOSPC}
			}
			return crashfs.Fault{}
		})
		r.publish(20)
		r.cfg.Start = "now"
		r.start()
		r.after(time.Second)
		r.flow(1, time.Minute)
		if n := len(r.sinks["b"].batches()); n > 0 {
			t.Fatalf("b was handed %d batches", n)
		}
		if n := len(r.sinks["a"].tookIDs()); n < 58 {
			t.Errorf("a took %d of 60: it waits for b", n)
		}
		if reasons := r.cond.Reasons(); len(reasons) != 1 || !strings.Contains(reasons[0], "no checkpoint can be saved") {
			t.Errorf("not ready because of %q", reasons)
		}
		r.fs.SetFault(nil)
		r.after(2 * time.Minute)
		if diff := cmp.Diff(r.sinks["a"].tookIDs(), r.sinks["b"].tookIDs()); diff != "" {
			t.Errorf("from the start that was resolved once, a and b took (-a +b):\n%s", diff)
		}
		if reasons := r.cond.Reasons(); len(reasons) > 0 {
			t.Errorf("not ready because of %q", reasons)
		}
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestStream_HandsAStubToTheDeadLettersOfEveryLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "a", "b")
		r.start()
		r.after(2 * time.Second)
		stub := ev("giant", 1)
		stub.UpdatedAt = time.Now().Add(-r.cfg.Settle)
		stub.Stub = "the threat is larger than 64 MiB"
		for _, l := range r.pipe.lines {
			l.sits().offer(stub)
		}
		r.publish(3)
		r.after(5 * time.Second)
		r.has("a", "b")
		for _, name := range r.names {
			if diff := cmp.Diff([]string{"giant"}, deadLetterIDs(t, r.fs, "/state/"+name+".dead.jsonl")); diff != "" {
				t.Errorf("%s: %s", name, diff)
			}
		}
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}

func TestStream_EndsAWalkThatNobodyIsLeftFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "sick", "late")
		r.sinks["sick"].become(hangs)
		r.fs.SetFault(func(op crashfs.Op) crashfs.Fault { // "late" has no start at first
			if strings.HasSuffix(op.Name, "main.late.ckpt.tmp") {
				return crashfs.Fault{Err: syscall.ENOSPC}
			}
			return crashfs.Fault{}
		})
		r.publish(5000)
		r.cfg.PageSize = 10 // at 10 requests a second a walk takes 50 s
		r.start()
		r.after(5 * time.Second)
		r.fs.SetFault(nil)
		r.after(r.opt.Patience + 15*time.Second)
		if n := r.metric("line_behind", "sick"); n != 1 {
			t.Fatal("the sick line is not behind, though another waits to join")
		}
		if n := len(r.sinks["late"].tookIDs()); n == 0 {
			t.Error("a line waits for the end of a walk that nobody is left for")
		}
		r.sinks["sick"].become(nil)
		r.stop()
		r.abort()
	})
}

// What is pending on a line that falls behind is thrown away, the latest versions alone are read again and fit into
// its queue, and its frontier is still near; yet it must not come back as stuck as it went, to cost the others its
// patience again.
func TestStream_KeepsALineAwayThatIsStillStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newPipeRig(t, "healthy", "stuck")
		r.opt.Patience = 4 * time.Second
		r.start()
		r.publish(5)
		ids := r.console.Store.IDs()
		update := func(d time.Duration) {
			for end := time.Now().Add(d); time.Now().Before(end); {
				r.console.Store.Bulk(ids, time.Now(), time.Time{}, func(t *console.Threat) { t.Ticket++ })
				r.after(time.Second)
			}
		}
		update(40 * time.Second)
		began := time.Now()
		r.sinks["stuck"].become(takes(50 * time.Second))
		update(45 * time.Second)
		if n := r.metric("line_fell_behind_total", "stuck"); n != 1 || r.metric("line_behind", "stuck") != 1 {
			t.Fatalf("fell behind %v times, behind: %v", n, r.metric("line_behind", "stuck"))
		}
		late := 0 // versions that are overwritten while the feed is blocked are never read
		for _, d := range r.delays("healthy", began) {
			if d > r.opt.Patience+3*rigPoll {
				t.Fatalf("an event took %s", d)
			}
			if d > 2*rigPoll {
				late++
			}
		}
		if late > 2*len(ids) {
			t.Errorf("%d events were late, want those of one time that it was blocked", late)
		}
		r.sinks["stuck"].become(nil)
		r.after(2 * time.Minute)
		if r.missing("healthy")+r.missing("stuck") > 0 || r.metric("line_behind", "stuck") != 0 {
			t.Error("did not catch up")
		}
		if _, err := r.end(); err != nil {
			t.Error(err)
		}
	})
}
