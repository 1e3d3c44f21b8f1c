package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
	"s1stream/internal/event"
	"s1stream/internal/ops"
	"s1stream/sink"
	"s1stream/sink/format"
)

var (
	errTest  = errors.New("connection refused")
	quietLog = slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1}))
)

// fakeSink is a destination that a test scripts. It keeps what it was handed, and what it took.
type fakeSink struct {
	answer func(ctx context.Context, records []sink.Record) error // nil: it takes everything

	mu     sync.Mutex
	calls  []call
	taken  []*event.Event
	at     map[event.Version]time.Time // when each version was taken first
	closed int
}

type call struct {
	at  time.Time
	ids []string
}

func (s *fakeSink) Write(ctx context.Context, records []sink.Record) error {
	c := call{at: time.Now()}
	for _, r := range records {
		c.ids = append(c.ids, r.Event.ID)
	}
	s.mu.Lock()
	s.calls = append(s.calls, c)
	answer := s.answer
	s.mu.Unlock()
	var err error
	if answer != nil {
		err = answer(ctx, records)
	}
	var batch *sink.BatchError
	if err != nil && !errors.As(err, &batch) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range records {
		if batch != nil && slices.ContainsFunc(batch.Failed, func(f sink.RecordError) bool { return f.Index == i }) {
			continue
		}
		s.taken = append(s.taken, r.Event)
		if _, again := s.at[r.Event.Version]; !again {
			if s.at == nil {
				s.at = map[event.Version]time.Time{}
			}
			s.at[r.Event.Version] = time.Now()
		}
	}
	return err
}

func (s *fakeSink) Grade() sink.Grade { return sink.Acknowledged }

func (s *fakeSink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

// become changes how the destination answers.
func (s *fakeSink) become(answer func(context.Context, []sink.Record) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

func (s *fakeSink) batches() (out [][]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.calls {
		out = append(out, c.ids)
	}
	return out
}

func (s *fakeSink) called() []call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

func (s *fakeSink) tookIDs() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ev := range s.taken {
		out = append(out, ev.ID)
	}
	return out
}

func (s *fakeSink) tookAt(v event.Version) (time.Time, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, ok := s.at[v]
	return at, ok
}

func (s *fakeSink) timesClosed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Ways to answer.

func fails(context.Context, []sink.Record) error { return errTest }

func refusesAll(context.Context, []sink.Record) error { return &sink.RefusedError{Err: errTest} }

// refuses calls a whole call malformed that holds one of these threats.
func refuses(ids ...string) func(context.Context, []sink.Record) error {
	return func(_ context.Context, records []sink.Record) error {
		for _, r := range records {
			if slices.Contains(ids, r.Event.ID) {
				return &sink.RefusedError{Err: errTest}
			}
		}
		return nil
	}
}

// names answers for each record by its threat's id; absent: taken.
func names(failed map[string]error) func(context.Context, []sink.Record) error {
	return func(_ context.Context, records []sink.Record) error {
		var b sink.BatchError
		for i, r := range records {
			if err := failed[r.Event.ID]; err != nil {
				b.Failed = append(b.Failed, sink.RecordError{Index: i, Err: err})
			}
		}
		if len(b.Failed) == 0 {
			return nil
		}
		return &b
	}
}

// ev is version n of a threat.
func ev(id string, n int) *event.Event {
	raw := fmt.Appendf(nil, `{"id":%q,"n":%d}`, id, n)
	at := time.Date(2026, 3, 1, 12, 0, n, 0, time.UTC)
	return &event.Event{Raw: raw, ID: id, UpdatedAt: at, CreatedAt: at, Source: "main", Version: event.NewVersion("h", id, at.String(), raw)}
}

// lineRig is one line without a console: a test hands it events.
type lineRig struct {
	t     *testing.T
	line  *line
	sink  *fakeSink
	fs    *crashfs.FS
	reg   *prometheus.Registry
	cond  *ops.Conditions
	ended chan error
	kill  context.CancelFunc
}

// withLine runs a test of one line in a bubble. change adjusts the line before it runs.
func withLine(t *testing.T, change func(*LineSpec), test func(r *lineRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newLineRig(t, change)
		ctx, kill := context.WithCancel(context.Background())
		r.kill = kill
		go func() { r.ended <- r.line.run(ctx, nil) }()
		test(r)
		kill()
		<-r.ended
	})
}

func newLineRig(t *testing.T, change func(*LineSpec)) *lineRig {
	t.Helper()
	r := &lineRig{t: t, sink: &fakeSink{}, fs: crashfs.New(), reg: prometheus.NewRegistry(), cond: &ops.Conditions{}, ended: make(chan error, 1)}
	dir, err := checkpoint.Open(r.fs, "/state")
	if err != nil {
		t.Fatal(err)
	}
	spec := LineSpec{
		Sink: "siem", Config: DefaultLineConfig(), Out: r.sink, Encode: format.JSON,
		Checkpoint: dir.Line("main", "siem"), DeadLetters: NewDeadLetters(r.fs, "/state/siem.dead.jsonl"),
	}
	spec.Config.RetryMaxWait = 10 * time.Second
	if change != nil {
		change(&spec)
	}
	o := Options{Log: quietLog, Metrics: NewMetrics(r.reg), Conditions: r.cond}
	r.line = newLine(spec, "main", checkpoint.State{Frontier: ev("", 0).UpdatedAt}, o)
	r.line.moveTo(&feed{room: make(chan struct{}, 1)})
	return r
}

// offer hands the line events as its feed does.
func (r *lineRig) offer(events ...*event.Event) {
	r.t.Helper()
	for _, e := range events {
		if !r.line.sits().offer(e) {
			r.t.Fatalf("no room for %s", e.ID)
		}
	}
}

// after lets time pass and everything come to rest.
func (r *lineRig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *lineRig) metric(name string) float64 { return metric(r.t, r.reg, name, "siem") }

func (r *lineRig) dead() []string { return deadLetterIDs(r.t, r.fs, "/state/siem.dead.jsonl") }

// ready fails the test unless the reasons for not being ready are those that hold these texts; none: ready.
func (r *lineRig) ready(texts ...string) {
	r.t.Helper()
	got := r.cond.Reasons()
	ok := len(got) == len(texts)
	for i, text := range texts {
		ok = ok && strings.Contains(got[i], text)
	}
	if !ok {
		r.t.Errorf("not ready because of %q, want %q", got, texts)
	}
}

// metric sums what a sink's metric of that name has, of all sources; "" for every sink.
func metric(t *testing.T, reg *prometheus.Registry, name, sinkName string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range families {
		if f.GetName() != "s1stream_"+name {
			continue
		}
		for _, m := range f.GetMetric() {
			match := sinkName == ""
			for _, l := range m.GetLabel() {
				match = match || l.GetName() == "sink" && l.GetValue() == sinkName
			}
			if match {
				found = true
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	if !found {
		t.Fatalf("no metric %s of %q", name, sinkName)
	}
	return sum
}
