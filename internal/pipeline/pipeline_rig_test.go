package pipeline

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
	"s1stream/internal/console"
	"s1stream/internal/ops"
	"s1stream/sink/format"
	"s1stream/source"
)

// pipeRig is a whole pipeline on a console in process, with sinks that a test scripts. It lives in a bubble.
type pipeRig struct {
	t       *testing.T
	console *console.Console
	fs      *crashfs.FS
	cfg     source.Config
	opt     Options
	line    LineConfig
	sinks   map[string]*fakeSink
	names   []string

	// Of the run under way.
	reg   *prometheus.Registry
	cond  *ops.Conditions
	pipe  *Pipeline
	stop  context.CancelFunc
	abort context.CancelFunc
	ended chan error
}

const rigPoll = time.Second

func newPipeRig(t *testing.T, sinks ...string) *pipeRig {
	t.Helper()
	r := &pipeRig{
		t: t, console: console.New(console.Config{Host: "console.example", Tiny: true, Ledger: true}), fs: crashfs.New(),
		cfg: source.DefaultConfig(), line: DefaultLineConfig(), sinks: map[string]*fakeSink{}, names: sinks,
		opt: Options{Patience: 20 * time.Second, DrainTimeout: 20 * time.Second, SaveInterval: time.Second, Log: quietLog},
	}
	r.cfg.URL, r.cfg.Token, r.cfg.Start = "https://console.example", "token", "all"
	r.cfg.PollInterval, r.cfg.Settle, r.cfg.RequestsPerSecond, r.cfg.Buffer = rigPoll, 30*time.Second, 10, 10
	r.line.QueueEvents, r.line.BatchEvents, r.line.BatchWait, r.line.RetryMaxWait = 10, 5, 0, 5*time.Second
	for _, name := range sinks {
		r.sinks[name] = &fakeSink{}
	}
	return r
}

// start begins a life of the process, from what is on disk.
func (r *pipeRig) start() {
	r.t.Helper()
	r.reg, r.cond = prometheus.NewRegistry(), &ops.Conditions{}
	c, err := source.New("main", r.cfg, source.Deps{
		Log: quietLog, Metrics: source.NewMetrics(r.reg), Conditions: r.cond, Limits: &source.Limits{}, Transport: r.console.Transport(),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	dir, err := checkpoint.Open(r.fs, "/state")
	if err != nil {
		r.t.Fatal(err)
	}
	spec := SourceSpec{Console: c}
	for _, name := range r.names {
		spec.Lines = append(spec.Lines, LineSpec{
			Sink: name, Config: r.line, Out: r.sinks[name], Encode: format.JSON, Checkpoint: dir.Line("main", name),
			Fingerprint: checkpoint.Fingerprint{Console: c.Host()}, DeadLetters: NewDeadLetters(r.fs, "/state/"+name+".dead.jsonl"),
		})
	}
	r.opt.Metrics, r.opt.Conditions = NewMetrics(r.reg), r.cond
	if r.pipe, err = New(r.opt, []SourceSpec{spec}); err != nil {
		r.t.Fatal(err)
	}
	var ctx, abort context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	abort, r.abort = context.WithCancel(context.Background())
	r.ended = make(chan error, 1)
	go func() {
		defer close(r.ended)
		r.ended <- r.pipe.Run(ctx, abort)
	}()
	r.t.Cleanup(func() { // in a bubble, and also after a Fatal
		r.stop()
		r.abort()
		<-r.ended
	})
}

// end stops the run and returns how long that took, and what the run says.
func (r *pipeRig) end() (time.Duration, error) {
	began := time.Now()
	r.stop()
	err := <-r.ended
	r.abort()
	return time.Since(began), err
}

func (r *pipeRig) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// publish makes n new threats that are visible at once.
func (r *pipeRig) publish(n int) {
	for range n {
		now := time.Now()
		r.console.Store.Publish(console.Threat{
			ID: r.console.Store.NewID(now), Created: console.StampOf(now), Updated: console.StampOf(now),
		}, time.Time{})
	}
}

// flow publishes n threats a second for so long.
func (r *pipeRig) flow(n int, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); {
		r.publish(n)
		r.after(time.Second)
	}
}

func (r *pipeRig) metric(name, sinkName string) float64 { return metric(r.t, r.reg, name, sinkName) }

// missing counts the last versions that a sink has not taken.
func (r *pipeRig) missing(name string) (n int) {
	for _, p := range r.console.Truth() {
		if _, ok := r.sinks[name].tookAt(p.Version); p.Last && !ok {
			n++
		}
	}
	return n
}

// has fails the test unless every sink has every threat's last version, none twice.
func (r *pipeRig) has(sinks ...string) {
	r.t.Helper()
	for _, name := range sinks {
		if n := r.missing(name); n > 0 {
			r.t.Errorf("sink %s: %d versions missing", name, n)
		}
		s := r.sinks[name]
		s.mu.Lock()
		if taken, distinct := len(s.taken), len(s.at); taken != distinct {
			r.t.Errorf("sink %s: %d taken, %d distinct", name, taken, distinct)
		}
		s.mu.Unlock()
	}
}

// delays returns how long each of a sink's events took from its updatedAt to the ack, of those stamped since then.
func (r *pipeRig) delays(name string, since time.Time) (out []time.Duration) {
	s := r.sinks[name]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.taken {
		if !e.UpdatedAt.Before(since) {
			out = append(out, s.at[e.Version].Sub(e.UpdatedAt))
		}
	}
	return out
}
