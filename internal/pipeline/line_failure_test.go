package pipeline

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/checkpoint/crashfs"
	"s1stream/internal/event"
	"s1stream/sink"
	"s1stream/sink/format"
)

func TestLine_TriesAgainOnlyWhatFailed(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		r.sink.become(names(map[string]error{"b": errTest, "d": errTest}))
		r.offer(ev("a", 1), ev("b", 1), ev("c", 1), ev("d", 1))
		r.after(time.Second)
		r.ready("does not take events")
		r.sink.become(nil)
		r.after(time.Minute)
		got := r.sink.batches()
		if diff := cmp.Diff([]string{"a", "b", "c", "d"}, got[0]); diff != "" {
			t.Error(diff)
		}
		for _, again := range got[1:] {
			if diff := cmp.Diff([]string{"b", "d"}, again); diff != "" {
				t.Error(diff)
			}
		}
		if n := float64(len(got) - 1); r.metric("line_retries_total") != n || r.metric("line_repeated_total") != 2*n || r.metric("line_delivered_total") != 4 {
			t.Errorf("retries %v, repeated %v, delivered %v in %d calls", r.metric("line_retries_total"), r.metric("line_repeated_total"), r.metric("line_delivered_total"), len(got))
		}
		r.ready()
	})
}

func TestLine_WaitsAsLongAsTheDestinationSays(t *testing.T) {
	tests := []struct {
		name        string
		err         error
		least, most time.Duration // the first wait
	}{
		{"a failure: a fraction of a second", errTest, 100 * time.Millisecond, 400 * time.Millisecond},
		{"denied: a minute", &sink.DeniedError{Err: errTest}, time.Minute, time.Minute},
		{"Retry-After: that long", &sink.RetryAfterError{After: 90 * time.Second, Err: errTest}, 90 * time.Second, 90 * time.Second},
		{"Retry-After shorter than the backoff: the backoff", &sink.RetryAfterError{After: 1, Err: errTest}, 100 * time.Millisecond, 400 * time.Millisecond},
		{"denied for one record of a batch", &sink.BatchError{Failed: []sink.RecordError{{Index: 1, Err: &sink.DeniedError{Err: errTest}}}}, time.Minute, time.Minute},
		{"Retry-After for one record of a batch", &sink.BatchError{Failed: []sink.RecordError{{Index: 0, Err: &sink.RetryAfterError{After: 40 * time.Second, Err: errTest}}}}, 40 * time.Second, 40 * time.Second},
		{"two of a batch: the longer one", &sink.BatchError{Failed: []sink.RecordError{
			{Index: 0, Err: &sink.RetryAfterError{After: 0, Err: errTest}}, {Index: 1, Err: &sink.RetryAfterError{After: 50 * time.Second, Err: errTest}},
		}}, 50 * time.Second, 50 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withLine(t, nil, func(r *lineRig) {
				once := false
				r.sink.become(func(context.Context, []sink.Record) error {
					if once {
						return nil
					}
					once = true
					return tt.err
				})
				r.offer(ev("a", 1), ev("b", 1))
				r.after(5 * time.Minute)
				if len(r.sink.called()) != 2 {
					t.Fatalf("calls %v", r.sink.batches())
				}
				if d := r.sink.called()[1].at.Sub(r.sink.called()[0].at); d < tt.least || d > tt.most {
					t.Errorf("tried again after %s, want %s to %s", d, tt.least, tt.most)
				}
			})
		})
	}
}

func TestLine_BacksOffNoLongerThanRetryMaxWait(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		r.sink.become(fails)
		r.offer(ev("a", 1))
		r.after(10 * time.Minute)
		calls := r.sink.called()
		if n := len(calls); n < 30 || n > 150 {
			t.Errorf("%d calls in 10 minutes", n)
		}
		for i := 1; i < len(calls); i++ {
			if d := calls[i].at.Sub(calls[i-1].at); d > 15*time.Second { // half as much again for jitter
				t.Fatalf("waited %s", d)
			}
		}
	})
}

func TestLine_DeadLettersWhatCannotBeEncodedAndGoesOn(t *testing.T) {
	tests := []struct {
		name   string
		encode sink.Encode
		stub   string
		reason string
	}{
		{"an error of the encoder", func(dst []byte, e *event.Event, most int) ([]byte, bool, error) {
			if e.ID == "bad" {
				return nil, false, errors.New("larger than 10 bytes")
			}
			return format.JSON(dst, e, most)
		}, "", "encode: larger than 10 bytes"},
		{"a panic of the encoder", func(dst []byte, e *event.Event, most int) ([]byte, bool, error) {
			if e.ID == "bad" {
				panic("index out of range")
			}
			return format.JSON(dst, e, most)
		}, "", "encoder panicked: index out of range"},
		{"a stub", format.JSON, "the threat is larger than 64 MiB", "the threat is larger than 64 MiB"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			withLine(t, func(s *LineSpec) { s.Encode = tt.encode }, func(r *lineRig) {
				bad := ev("bad", 1)
				bad.Stub = tt.stub
				r.offer(ev("a", 1), bad, ev("b", 1))
				r.line.sits().offerMark(ev("", 9).UpdatedAt)
				r.after(time.Second)
				if diff := cmp.Diff([]string{"a", "b"}, r.sink.tookIDs()); diff != "" {
					t.Error(diff)
				}
				b, err := r.fs.ReadFile("/state/siem.dead.jsonl")
				if err != nil || !strings.Contains(string(b), tt.reason) {
					t.Errorf("dead letters %q, %v; want the reason %q", b, err, tt.reason)
				}
				if n := r.metric("line_dead_letters_total"); n != 1 {
					t.Errorf("counted %v", n)
				}
				if got := r.line.frontier(); !got.Equal(ev("", 9).UpdatedAt) {
					t.Errorf("frontier %s", got)
				}
				r.ready()
			})
		})
	}
}

func TestLine_TriesAgainAfterAPanicInWrite(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		n := 0
		r.sink.become(func(context.Context, []sink.Record) error {
			if n++; n < 3 {
				panic("nil map")
			}
			return nil
		})
		r.offer(ev("a", 1))
		r.after(time.Millisecond * 250)
		r.ready("sink panicked: nil map")
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"a"}, r.sink.tookIDs()); diff != "" || n != 3 {
			t.Errorf("%d calls, %s", n, diff)
		}
		if len(r.dead()) > 0 {
			t.Error("the panic of a sink became a dead letter")
		}
		r.ready()
	})
}

func TestLine_WaitsWhileItsDeadLettersCannotBeWritten(t *testing.T) {
	withLine(t, nil, func(r *lineRig) {
		r.fs.SetFault(func(op crashfs.Op) crashfs.Fault {
			if strings.HasSuffix(op.Name, "dead.jsonl") && (op.Kind == "write" || op.Kind == "sync") {
				return crashfs.Fault{Err: syscall.ENOSPC}
			}
			return crashfs.Fault{}
		})
		bad := ev("bad", 1)
		bad.Stub = "too large"
		r.offer(bad, ev("a", 1))
		r.line.sits().offerMark(ev("", 9).UpdatedAt)
		before := r.line.frontier()
		r.after(10 * time.Minute)
		if got := r.sink.tookIDs(); len(got) > 0 || !r.line.frontier().Equal(before) {
			t.Errorf("went on with %q to %s", got, r.line.frontier())
		}
		r.ready("dead-letter file can't be written")
		r.fs.SetFault(nil)
		r.after(time.Minute)
		if diff := cmp.Diff([]string{"a"}, r.sink.tookIDs()); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff([]string{"bad"}, r.dead()); diff != "" {
			t.Error(diff)
		}
		r.ready()
	})
}

func TestLine_TakesAnAnswerAboutARecordThatItDidNotSendForNoAck(t *testing.T) {
	for _, index := range []int{-1, 2, 1 << 40} {
		withLine(t, nil, func(r *lineRig) {
			n := 0
			r.sink.become(func(context.Context, []sink.Record) error {
				if n++; n == 1 {
					return &sink.BatchError{Failed: []sink.RecordError{{Index: index, Err: errTest}}}
				}
				return nil
			})
			r.offer(ev("a", 1), ev("b", 1))
			r.after(time.Minute)
			if diff := cmp.Diff([][]string{{"a", "b"}, {"a", "b"}}, r.sink.batches()); diff != "" {
				t.Errorf("index %d (-want +got):\n%s", index, diff)
			}
		})
	}
}
