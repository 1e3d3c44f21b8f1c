package pipeline

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"s1stream/checkpoint"
	"s1stream/internal/console"
	"s1stream/internal/event"
	"s1stream/internal/ops"
	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
	"s1stream/sink"
	"s1stream/sink/format"
	"s1stream/source"
)

// receiver is an HTTP endpoint of a moment's health. It notes when each version arrived first.
type receiver struct {
	srv *httptest.Server

	mu      sync.Mutex
	dead    bool
	slow    time.Duration
	arrived map[string]time.Time
	count   int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{arrived: map[string]time.Time{}}
	r.srv = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.srv.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	r.mu.Lock()
	dead, slow := r.dead, r.slow
	r.mu.Unlock()
	if dead {
		panic(http.ErrAbortHandler) // the connection ends without an answer
	}
	select {
	case <-time.After(slow):
	case <-req.Context().Done():
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if v := req.Header.Get("Idempotency-Key"); r.arrived[v].IsZero() {
		r.arrived[v] = time.Now()
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) become(dead bool, slow time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead, r.slow = dead, slow
}

func (r *receiver) at(v event.Version) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.arrived[v.String()]
}

// TestIsolation_AHealthySinkIsUnaffectedByADeadAndASlowOne runs the pipeline over real HTTP, from a living console to
// three receivers. For a while one is dead and one slow; the healthy one's events then take no longer than before,
// once the others have had their patience, and memory stays flat. Afterwards all have everything.
func TestIsolation_AHealthySinkIsUnaffectedByADeadAndASlowOne(t *testing.T) {
	testpeer.Long(t, "takes 15 s")
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, others) }) // runs last, once the receivers are closed

	c := console.New(console.Config{Token: "token", Ledger: true, Seed: 7})
	srv, err := c.Serve(t.Context(), "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	}()
	living, die := context.WithCancel(t.Context())
	defer die()
	var life sync.WaitGroup
	life.Go(func() { c.Living(living, 30, 60) })

	receivers := map[string]*receiver{}
	for _, name := range []string{"healthy", "dead", "slow"} {
		receivers[name] = newReceiver(t)
	}
	const patience = time.Second
	run := startIsolation(t, srv.URL, patience, receivers)

	wait := func(d time.Duration) (from, to time.Time) {
		from = time.Now()
		select {
		case <-time.After(d):
		case <-t.Context().Done():
		}
		return from, time.Now()
	}
	wait(time.Second)
	from, to := wait(3 * time.Second)
	before, flat := freshness(t, c, receivers["healthy"], from, to), heap()

	receivers["dead"].become(true, 0)
	receivers["slow"].become(false, 150*time.Millisecond) // 27 events a second, a third of what comes
	wait(2*patience + 2*time.Second)                      // queues fill, and both lines are charged
	limit, after, most := 3*before+750*time.Millisecond, time.Duration(0), uint64(0)
	for range 3 { // a machine that pauses makes one of three slow; a sick sink that is waited for makes all of them
		from, to = wait(4 * time.Second)
		most = max(most, heap())
		if after = freshness(t, c, receivers["healthy"], from, to); after <= limit {
			break
		}
	}
	for name, fell := range map[string]bool{"healthy": false, "dead": true, "slow": true} {
		if n := metric(t, run.reg, "line_fell_behind_total", name); (n > 0) != fell {
			t.Errorf("%s fell behind %v times", name, n)
		}
	}
	t.Logf("eight of ten events arrived within %s before, %s beside a dead and a slow sink; heap %d KiB before, %d KiB then",
		before, after, flat>>10, most>>10)
	if after > limit {
		t.Errorf("the healthy sink's events took %s, want %s at most", after, limit)
	}
	if most > flat+24<<20 {
		t.Errorf("heap grew from %d to %d KiB", flat>>10, most>>10)
	}

	receivers["dead"].become(false, 0)
	receivers["slow"].become(false, 0)
	die()
	life.Wait()
	missing := func() (n int) {
		for _, p := range c.Truth() {
			for _, r := range receivers {
				if p.Last && r.at(p.Version).IsZero() {
					n++
				}
			}
		}
		return n
	}
	for deadline := time.Now().Add(20 * time.Second); missing() > 0 && time.Now().Before(deadline); {
		wait(50 * time.Millisecond)
	}
	if n := missing(); n > 0 {
		t.Errorf("%d versions are missing", n)
	}
	run.stop()
	if err := <-run.ended; err != nil {
		t.Errorf("drain: %v", err)
	}
	published := map[string]bool{}
	for _, p := range c.Truth() {
		published[p.Version.String()] = true
	}
	for name, r := range receivers {
		for v := range r.arrived {
			if !published[v] {
				t.Errorf("%s got version %s, which the console never had", name, v)
			}
		}
	}
	if h := receivers["healthy"]; h.count != len(h.arrived) {
		t.Errorf("the healthy sink got %d events, %d distinct", h.count, len(h.arrived))
	}
}

// isolation is the pipeline under test.
type isolation struct {
	reg   *prometheus.Registry
	stop  context.CancelFunc
	ended chan error
}

func startIsolation(t *testing.T, url string, patience time.Duration, receivers map[string]*receiver) isolation {
	t.Helper()
	run := isolation{reg: prometheus.NewRegistry(), ended: make(chan error, 1)}
	conditions := &ops.Conditions{}
	cfg := source.DefaultConfig()
	cfg.URL, cfg.Token, cfg.Start = url, "token", "all"
	cfg.PollInterval, cfg.Settle = 200*time.Millisecond, console.LateRow+time.Second
	cfg.RequestsPerSecond, cfg.PageSize = 10, 100
	src, err := source.New("main", cfg, source.Deps{
		Log: quietLog, Metrics: source.NewMetrics(run.reg), Conditions: conditions, Limits: &source.Limits{},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir, err := checkpoint.Open(checkpoint.OS{}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	spec := SourceSpec{Console: src}
	for name, r := range receivers {
		hc := sink.DefaultHTTP()
		hc.URL, hc.Timeout = safe.Secret(r.srv.URL), 5*time.Second
		out, err := hc.New(sink.Deps{Name: name, Source: "main", Host: src.Host(), Log: quietLog})
		if err != nil {
			t.Fatal(err)
		}
		lc := DefaultLineConfig()
		lc.QueueEvents, lc.BatchEvents, lc.BatchWait, lc.RetryMaxWait = 100, 20, 20*time.Millisecond, time.Second
		spec.Lines = append(spec.Lines, LineSpec{
			Sink: name, Config: lc, Out: out, Encode: format.JSON, Checkpoint: dir.Line("main", name),
			Fingerprint: checkpoint.Fingerprint{Console: src.Host()},
			DeadLetters: NewDeadLetters(checkpoint.OS{}, filepath.Join(t.TempDir(), "dead.jsonl")),
		})
	}
	p, err := New(Options{
		Patience: patience, DrainTimeout: 20 * time.Second, SaveInterval: time.Second, Log: quietLog,
		Metrics: NewMetrics(run.reg), Conditions: conditions,
	}, []SourceSpec{spec})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	run.stop = stop
	go func() { run.ended <- p.Run(ctx, context.WithoutCancel(ctx)) }() // waited for by the test
	return run
}

// freshness is how long eight of ten of the versions stamped from one moment to another took to arrive: rows that
// come up to three seconds after their updatedAt are among the rest. A version that was overwritten before any read
// is none of the pipeline's doing.
func freshness(t *testing.T, c *console.Console, r *receiver, from, to time.Time) time.Duration {
	t.Helper()
	var took []time.Duration
	for _, p := range c.Truth() {
		at := r.at(p.Version)
		if p.UpdatedAt.Before(from) || !p.UpdatedAt.Before(to.Add(-time.Second)) || at.IsZero() && !p.Last {
			continue
		}
		if at.IsZero() {
			at = time.Now() // at least so long
		}
		took = append(took, at.Sub(p.UpdatedAt))
	}
	if len(took) < 30 {
		t.Fatalf("%d versions from %s to %s", len(took), from, to)
	}
	slices.Sort(took)
	return took[len(took)*8/10]
}

// heap is what is in use once the garbage is gone.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
