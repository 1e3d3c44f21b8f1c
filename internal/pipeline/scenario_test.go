package pipeline

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
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

// A scenario is the real walk, feed, lines and checkpoints against a simulated console, sinks that fail, and
// crashes that keep only what was fsynced. One seed makes the world: what the console publishes and when it
// becomes visible, the fate of every request, what each sink answers, when the power goes. (The order in which
// goroutines run is the scheduler's, so a seed replays the world, not every step in it.) An oracle that knows
// what the console published and what each sink was handed checks the invariants at every crash and at the end.
var (
	flagSeeds = flag.Int("scenario.seeds", 300, "scenarios to run")
	flagSeed  = flag.Uint64("scenario.seed", 0, "run this one seed, and say what happens")
	flagFirst = flag.Uint64("scenario.first", 1, "first seed")
	flagPolls = flag.Int("scenario.polls", 30, "length of a scenario in poll intervals")
	flagFor   = flag.Duration("scenario.for", 0, "run seeds for so long instead of a number of them")
)

func TestScenario(t *testing.T) {
	if *flagSeed != 0 {
		w := newWorld(*flagSeed, *flagPolls)
		w.log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
		synctest.Test(t, w.run)
		w.report(t)
		return
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400)) // many small worlds, and memory to spare
	var next atomic.Uint64
	next.Store(*flagFirst)
	last, end := *flagFirst+uint64(*flagSeeds), time.Now().Add(*flagFor)
	var total tally
	var mu sync.Mutex
	t.Run("seeds", func(t *testing.T) {
		for range runtime.GOMAXPROCS(0) {
			t.Run("worker", func(t *testing.T) {
				t.Parallel()
				for !t.Failed() {
					seed := next.Add(1) - 1
					if *flagFor == 0 && seed >= last || *flagFor > 0 && time.Now().After(end) {
						return
					}
					w := newWorld(seed, *flagPolls)
					synctest.Test(t, w.run)
					w.report(t)
					mu.Lock()
					total.add(w.tally)
					mu.Unlock()
				}
			})
		}
	})
	t.Logf("%+v", total)
	if !t.Failed() && total.Seeds >= 300 {
		total.sawEverything(t)
	}
}

// tally counts what the scenarios went through. What never happens is not tested.
type tally struct {
	Seeds, Versions, Crashes, CleanStops, Repeats, Fell, Left, Refused, Dead, LateVisible, SilentRows, FromPrev, SaveErrors, ByValue int
}

func (t *tally) add(o tally) {
	for i, n := range []int{1, o.Versions, o.Crashes, o.CleanStops, o.Repeats, o.Fell, o.Left, o.Refused, o.Dead, o.LateVisible, o.SilentRows, o.FromPrev, o.SaveErrors, o.ByValue} {
		*[]*int{&t.Seeds, &t.Versions, &t.Crashes, &t.CleanStops, &t.Repeats, &t.Fell, &t.Left, &t.Refused, &t.Dead, &t.LateVisible, &t.SilentRows, &t.FromPrev, &t.SaveErrors, &t.ByValue}[i] += n
	}
}

func (t *tally) sawEverything(tt *testing.T) {
	for name, n := range map[string]int{"crash": t.Crashes, "clean stop": t.CleanStops, "repeat": t.Repeats, "line falling behind": t.Fell,
		"event left out": t.Left, "refused record": t.Refused, "dead letter": t.Dead, "late version": t.LateVisible, "row without a new updatedAt": t.SilentRows,
		"save error": t.SaveErrors, "walk that went on by value": t.ByValue} {
		if n == 0 {
			tt.Errorf("no scenario saw a %s", name)
		}
	}
}

// world is one scenario.
type world struct {
	seed  uint64
	polls int
	rng   *rand.Rand // the driver's
	log   *slog.Logger
	tally tally

	mu    sync.Mutex
	lucky *rand.Rand // requests' and sinks', under mu
	bad   []string   // what the oracle found

	settle, poll time.Duration
	skew         time.Duration // the console's clock less ours
	dateSkew     time.Duration // its Date header less its clock
	calm         bool          // faults are over
	request      [2]float64    // chance of a fault, and of a lost cursor, a request
	cursorNever  bool

	lives   int // of the process, so far
	console *console.Console
	start   time.Time
	fs      *crashfs.FS
	sinks   []*worldSink
	reg     *prometheus.Registry
}

func newWorld(seed uint64, polls int) *world {
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a seed is meant to be repeated
	w := &world{
		seed: seed, polls: polls, rng: r,
		lucky:  rand.New(rand.NewPCG(seed, 2)), //nolint:gosec // likewise
		log:    slog.New(slog.NewTextHandler(io.Discard, &slog.HandlerOptions{Level: slog.LevelError + 1})),
		poll:   5 * time.Second,
		settle: time.Duration(5+r.IntN(40)) * time.Second,
		fs:     crashfs.New(),
	}
	w.request = [2]float64{[]float64{0, 0.05, 0.3}[r.IntN(3)], []float64{0, 0.1, 0.5}[r.IntN(3)]}
	w.cursorNever = r.IntN(12) == 0
	// One clock may be wrong, not two in the same direction: T is the earlier of both.
	switch r.IntN(4) {
	case 0:
		w.skew = time.Duration(r.IntN(7200)-3600) * time.Second
	case 1:
		w.dateSkew = time.Duration(r.IntN(7200)-3600) * time.Second
	}
	for i := range 1 + r.IntN(3) {
		w.sinks = append(w.sinks, newWorldSink(w, i, r))
	}
	return w
}

func (w *world) found(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bad = append(w.bad, fmt.Sprintf(format, args...))
}

func (w *world) report(t *testing.T) {
	for i, b := range w.bad {
		if i == 10 {
			t.Errorf("… %d more", len(w.bad)-i)
			break
		}
		t.Error(b)
	}
	if len(w.bad) > 0 {
		t.Errorf("seed %d: replay with -scenario.seed %d -scenario.polls %d", w.seed, w.seed, w.polls)
	}
}

// run lives through the scenario: lives of the process, each ended by a stop or a crash, while the driver makes
// threats; then calm, and the verdict.
func (w *world) run(t *testing.T) {
	w.console = console.New(console.Config{Host: "console.example", Tiny: true, Ledger: true, Seed: w.seed})
	w.console.SetHook(w.fate)
	w.start = time.Now().Add(w.skew).UTC().Truncate(time.Microsecond)
	w.publishSome(5)
	driver := make(chan struct{})
	go func() {
		defer close(driver)
		w.drive()
	}()
	end := time.Now().Add(time.Duration(w.polls) * w.poll)
	for time.Now().Before(end) {
		w.live(time.Duration(1+w.rng.IntN(w.polls))*w.poll, w.rng.IntN(3) > 0)
	}
	<-driver
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	// Faults gone, the lag goes to the poll interval without a restart (I9): what is late becomes visible, a
	// backoff or a denied minute runs out, then everything is read.
	w.live(w.settle+150*time.Second, false)
	w.verdict()
	w.tally.Versions = len(w.console.Truth())
}

// live is one life of the process.
func (w *world) live(length time.Duration, crash bool) {
	ctx, stop := context.WithCancel(context.Background())
	abort, kill := context.WithCancel(context.Background())
	defer stop()
	defer kill()
	p := w.build()
	if p == nil {
		time.Sleep(w.poll)
		return
	}
	if !w.calm && w.rng.IntN(6) == 0 { // the disk fails at the start, and with it the first save
		w.fs.FailNth(1+w.rng.IntN(20), crashfs.Fault{Err: syscall.ENOSPC}, w.rng.IntN(2) == 0)
	}
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, abort) }()
	for left := length; left > 0; left -= w.poll {
		time.Sleep(w.poll)
		if !w.calm && w.rng.IntN(15) == 0 {
			w.fs.FailNth(1+w.rng.IntN(10), crashfs.Fault{Err: []error{syscall.EIO, syscall.ENOSPC}[w.rng.IntN(2)]}, w.rng.IntN(3) == 0)
		} else {
			w.fs.SetFault(nil)
		}
	}
	if crash {
		time.Sleep(time.Duration(w.rng.Int64N(int64(w.poll))))
		w.tally.Crashes++
		for _, s := range w.sinks {
			s.power(false)
		}
		w.fs = w.fs.Crash(w.rng)
		kill()
		<-done
		w.atRest(true)
		return
	}
	w.fs.SetFault(nil)
	stop()
	err := <-done
	w.tally.CleanStops++
	w.atRest(err != nil)
	if err != nil && w.calm {
		w.found("stop in calm weather: %v", err)
	}
}

// build makes the process anew, from what is on disk.
func (w *world) build() *Pipeline {
	w.countMetrics()
	w.reg = prometheus.NewRegistry()
	conditions := &ops.Conditions{}
	cfg := source.DefaultConfig()
	cfg.URL, cfg.Token = "https://console.example", "token"
	cfg.Start = w.start.Format(time.RFC3339Nano)
	cfg.PollInterval, cfg.Settle = w.poll, w.settle
	cfg.PageSize, cfg.Buffer = 1+w.rng.IntN(8), 1+w.rng.IntN(4)
	cfg.RequestsPerSecond, cfg.Timeout = 50, 20*time.Second
	c, err := source.New("main", cfg, source.Deps{
		Log: w.log, Metrics: source.NewMetrics(w.reg), Conditions: conditions, Limits: &source.Limits{}, Transport: w.console.Transport(),
	})
	if err != nil {
		w.found("build: %v", err)
		return nil
	}
	dir, err := checkpoint.Open(w.fs, "/state")
	if err != nil {
		w.found("open: %v", err)
		return nil
	}
	spec := SourceSpec{Console: c}
	w.lives++
	for _, s := range w.sinks {
		if s.added > w.lives && !w.calm {
			continue // not configured yet
		}
		s.power(true)
		lc := DefaultLineConfig()
		lc.QueueEvents, lc.BatchEvents = s.queue, s.batch
		lc.BatchWait, lc.RetryMaxWait = 100*time.Millisecond, 10*time.Second
		spec.Lines = append(spec.Lines, LineSpec{
			Sink: s.name, Config: lc, Out: s.life(), Encode: format.JSON, Takes: s.takes,
			Checkpoint:  dir.Line("main", s.name),
			Fingerprint: checkpoint.Fingerprint{Console: c.Host()},
			DeadLetters: NewDeadLetters(w.fs, "/state/"+s.name+".dead.jsonl"),
		})
	}
	p, err := New(Options{
		Patience: 20 * time.Second, DrainTimeout: 20 * time.Second, SaveInterval: w.poll,
		Log: w.log, Metrics: NewMetrics(w.reg), Conditions: conditions,
	}, []SourceSpec{spec})
	if err != nil {
		w.found("load: %v", err)
		return nil
	}
	for _, l := range p.lines {
		if l.Checkpoint.FromPrev() != nil {
			w.tally.FromPrev++
		}
	}
	return p
}

// countMetrics takes what the ending life counted.
func (w *world) countMetrics() {
	if w.reg == nil {
		return
	}
	families, err := w.reg.Gather()
	if err != nil {
		w.found("gather: %v", err)
	}
	for _, f := range families {
		sum := 0
		for _, m := range f.GetMetric() {
			sum += int(m.GetCounter().GetValue())
		}
		switch f.GetName() {
		case "s1stream_line_fell_behind_total":
			w.tally.Fell += sum
		case "s1stream_line_left_out_total":
			w.tally.Left += sum
		case "s1stream_line_refused_total":
			w.tally.Refused += sum
		case "s1stream_line_dead_letters_total":
			w.tally.Dead += sum
		case "s1stream_checkpoint_errors_total":
			w.tally.SaveErrors += sum
		case "s1stream_source_cursor_restarts_total":
			w.tally.ByValue += sum
		}
	}
}

var errWorld = errors.New("simulated failure")
