package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"s1stream/checkpoint"
	"s1stream/internal/config"
	"s1stream/internal/console"
	"s1stream/internal/event"
	"s1stream/internal/ops"
	"s1stream/internal/pipeline"
	"s1stream/internal/safe"
	"s1stream/source"
)

// What goes wrong unless --faults says otherwise: within half a minute two storms and an outage, each short
// enough to be watched.
const demoFaults = "429-storm=3s/14s,outage=3s/28s,retry-after=seconds"

const (
	demoSource, demoSink = "demo", "stdout"
	demoPast             = 7 * 24 * time.Hour
	demoPoll             = 500 * time.Millisecond
	// demoPatience is how long the stream is given to finish. A few seconds do after the faults of the
	// default; after a refused token the source asks again once a minute.
	demoPatience = 75 * time.Second
)

// demoOptions is the command line of demo.
type demoOptions struct {
	length          time.Duration
	threats         int
	births, changes float64
	faults          string
	seed            uint64
	json            bool

	// Tests shorten patience, and lose events to see that they are missed: the sink claims to have written
	// what lose returns true for.
	patience time.Duration
	lose     func(*event.Event) bool
}

func (a *app) demoCommand() *cobra.Command {
	o := demoOptions{patience: demoPatience}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Watch s1stream at work, with nothing but this program",
		Long: `demo starts a simulated console with a set of threats that lives, and streams them to standard output through
the real HTTP client, pipeline and checkpoint, while the console throttles (a 429 storm) and fails (an outage)
on the way. On a terminal each version of a threat is one short line; otherwise it is a line of JSON.

On Ctrl-C, or after --for, there are no new threats and no faults any more; the stream finishes, and what was
delivered is counted against what the console has published. The exit code is 1 if anything was lost. A second
Ctrl-C does not wait for the rest.

` + console.FaultSyntax,
		Example: `  s1stream demo
  s1stream demo --for 30s >threats.jsonl
  s1stream demo --for 1m --new 50 --update 100 --faults 429=0.1,reset=0.1,cursor-expire=0.2
  s1stream demo --faults none`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.DurationVar(&o.length, "for", 0, "stop after so long; 0 goes on until Ctrl-C")
	f.IntVar(&o.threats, "threats", 200, "threats to begin with")
	f.Float64Var(&o.births, "new", 5, "new threats a second")
	f.Float64Var(&o.changes, "update", 15, "changes of threats a second")
	f.StringVar(&o.faults, "faults", demoFaults, "what goes wrong, see above; \"none\" for nothing")
	f.Uint64Var(&o.seed, "seed", 1, "makes threats and faults come out the same again")
	f.BoolVar(&o.json, "json", false, "print JSON on a terminal too")
	cmd.RunE = a.command(func(ctx context.Context, _ []string) error { return a.demo(ctx, o) })
	return cmd
}

// demo is everything at once: a console, a stream, faults, a stop, and the count.
func (a *app) demo(ctx context.Context, o demoOptions) error {
	faults, err := console.ParseFaults(o.faults)
	if err != nil {
		return usagef("--faults: %w", err)
	}
	if o.length < 0 || o.threats < 0 {
		return usagef("--for and --threats must not be negative")
	}
	if err := checkRates(o.births, o.changes); err != nil {
		return err
	}
	defer surviveClosedPipe()()
	stderr := &lockedWriter{w: a.stderr}
	d := &demo{
		o:      o,
		faults: faults,
		stderr: stderr,
		log:    demoLog(stderr),
		out:    newDemoOut(a.stdout, a.demoForm(o.json), o.lose),
	}
	dir, err := os.MkdirTemp("", "s1stream-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	d.dir = dir
	if err := d.start(ctx); err != nil {
		return err
	}
	defer func() { _ = d.server.Close() }()

	p, err := d.pipeline()
	if err != nil {
		return err
	}
	// Detached: at the first Ctrl-C the console stops living, and the stream goes on until it has caught up.
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	defer stopReading()
	hurry, cancelHurry := context.WithCancel(a.abort)
	defer cancelHurry()
	ran := make(chan error, 1)
	go func() { ran <- p.Run(reading, hurry) }()

	d.live(ctx)
	if !d.out.isGone() {
		d.say("stopping: no new threats and no more faults; waiting for what is on its way")
	}
	if d.settle(hurry) {
		d.say("draining")
	}
	// Cut short by those who watch, the stream owes them nothing but a checkpoint that says so.
	cutShort := d.out.isGone() || a.abort.Err() != nil
	if cutShort {
		cancelHurry()
	}
	stopReading()
	err = <-ran
	if errors.Is(err, pipeline.ErrDrain) {
		err = nil // the count says what that means
	}
	return errors.Join(d.conclude(cutShort), err)
}

// demo is one demonstration under way.
type demo struct {
	o       demoOptions
	faults  console.Faults
	stderr  *lockedWriter
	log     *slog.Logger
	out     *demoOut
	dir     string // of the checkpoint; gone at the end
	console *console.Console
	server  *console.Server
}

// start makes the console and has it listen.
func (d *demo) start(ctx context.Context) error {
	d.console = console.New(console.Config{Token: "demo-token", Seed: d.o.seed, Ledger: true})
	now := time.Now()
	d.console.Store.Fill(d.o.threats, now.Add(-demoPast), now)
	var err error
	if d.server, err = d.console.Serve(context.WithoutCancel(ctx), "127.0.0.1:0", ""); err != nil {
		return fmt.Errorf("start the simulated console: %w", err)
	}
	d.say("simulated console with %d threats at %s; %g new ones and %g changes a second", d.o.threats, d.server.URL, d.o.births, d.o.changes)
	d.say("faults: %s", safe.Text(d.o.faults))
	if d.o.length > 0 {
		d.say("streaming for %s; Ctrl-C ends it earlier", d.o.length)
	} else {
		d.say("streaming; Ctrl-C ends it")
	}
	return nil
}

// pipeline builds the stream as `run` does, from a configuration of its own.
func (d *demo) pipeline() (*pipeline.Pipeline, error) {
	src := source.DefaultConfig()
	src.URL, src.Token = d.server.URL, "demo-token"
	// Not "now", which takes the clock from a page of threats that it then throws away: what that page served, and
	// what was overwritten before the first walk, would count as published and never be delivered.
	src.Start = "all"
	src.PollInterval = demoPoll
	src.PageSize = 100 // small, so that cursors are followed
	src.RequestsPerSecond = 10
	src.Timeout = 10*time.Second + d.faults.Slow
	// A change becomes visible so late, and a busy machine is later. It delays nothing: see design, "settle".
	src.Settle = console.LateRow + d.faults.Late + 5*time.Second
	line := pipeline.DefaultLineConfig()
	line.BatchEvents, line.BatchWait = 10, 100*time.Millisecond // a batch fits into a pipe: what `head` took was delivered
	line.RetryMaxWait = time.Second
	line.DeadLetter = d.dir + "/dead.jsonl"
	cfg := &config.Config{
		Sources: []config.Source{{Name: demoSource, Config: src}},
		Sinks:   []config.Sink{{Name: demoSink, Type: "demo", Sources: []string{demoSource}, Line: line, Config: d.out}},
	}
	dir, err := d.checkpoints()
	if err != nil {
		return nil, err
	}
	conditions := new(ops.Conditions)
	reg := ops.NewRegistry(version, conditions)
	parts, err := newBuilder(cfg, d.log, reg, conditions).build(dir)
	if err != nil {
		return nil, err
	}
	return pipeline.New(pipeline.Options{
		Patience:     time.Minute,
		DrainTimeout: 5 * time.Second,
		SaveInterval: time.Second,
		Log:          d.log,
		Metrics:      pipeline.NewMetrics(reg),
		Conditions:   conditions,
	}, parts.sources)
}

// checkpoints opens the demo's directory. It needs no lock: its name is nobody else's.
func (d *demo) checkpoints() (*checkpoint.Dir, error) { return checkpoint.Open(checkpoint.OS{}, d.dir) }

// live lets the console live until ctx ends, --for is over, or nobody reads standard output any more. Faults
// end with it.
func (d *demo) live(ctx context.Context) {
	alive, end := context.WithCancel(ctx)
	if d.o.length > 0 {
		alive, end = context.WithTimeout(ctx, d.o.length)
	}
	defer end()
	d.console.SetFaults(d.faults)
	var busy sync.WaitGroup
	busy.Go(func() { d.console.Living(alive, d.o.births, d.o.changes) })
	busy.Go(func() { d.announce(alive, time.Now()) })
	select {
	case <-alive.Done():
	case <-d.out.gone:
		end()
	}
	busy.Wait()
	d.console.SetFaults(console.Faults{})
}

// announce says when a storm or an outage begins and ends.
func (d *demo) announce(ctx context.Context, began time.Time) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	on := map[string]bool{}
	tell := func(now []string) {
		is := map[string]bool{}
		for _, name := range now {
			if is[name] = true; !on[name] {
				d.say("%s begins", name)
			}
		}
		for name := range on {
			if !is[name] {
				d.say("%s ends", name)
			}
		}
		on = is
	}
	for {
		select {
		case <-tick.C:
			tell(d.faults.On(time.Since(began)))
		case <-ctx.Done():
			tell(nil)
			return
		}
	}
}

// say tells what happens.
func (d *demo) say(format string, args ...any) { d.print("demo: "+format+"\n", args...) }

// print writes to standard error. Nobody can be told if that fails.
func (d *demo) print(format string, args ...any) { _, _ = fmt.Fprintf(d.stderr, format, args...) }

// demoLog is the log of the parts, without the time: what happens happens before one's eyes.
func demoLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey && len(groups) == 0 {
			return slog.Attr{}
		}
		return clean(groups, a)
	}}))
}

// grouped writes a number with a comma between thousands.
func grouped(n int) string {
	s := fmt.Sprint(n)
	var b strings.Builder
	for i, digit := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}
