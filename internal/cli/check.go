package cli

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"s1stream/internal/config"
	"s1stream/internal/ops"
	"s1stream/internal/safe"
	"s1stream/sink"
)

const (
	probeTime   = 15 * time.Second // for one console, and for one line
	probesAtOne = 8                // side by side
)

func (a *app) checkCommand() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Try a configuration without sending an event",
		Long: `check reads the configuration, looks at the checkpoint directory and the ops address, asks every console
(network, TLS, token, permission, clock) and reaches every sink without sending it an event. Each finding is a
line: ok, warn or FAIL, and below a FAIL what to do about it. A sink's first line says what its acknowledgement
proves ("acknowledged": the destination has answered that it has the event; "best-effort": the bytes have left
this machine) and how many connections a line opens.

It takes no lock, so it may run beside ` + "`s1stream run`" + `. Run it as the user that s1stream runs as, or it can't tell
what that user may do. The exit code is 0 only if nothing failed.`,
		Example: `  s1stream check --config /etc/s1stream/config.toml`,
		Args:    cobra.NoArgs,
		RunE:    a.command(func(ctx context.Context, _ []string) error { return a.check(ctx, path) }),
	}
	configFlag(cmd, &path)
	return cmd
}

// finding is one line of the report.
type finding struct {
	level  string // ok, warn or FAIL
	what   string
	remedy string
}

// ok, warn and fail make findings.
func ok(format string, args ...any) finding {
	return finding{level: "ok", what: fmt.Sprintf(format, args...)}
}

func warn(remedy, format string, args ...any) finding {
	return finding{"warn", fmt.Sprintf(format, args...), remedy}
}

func fail(remedy, format string, args ...any) finding {
	return finding{"FAIL", fmt.Sprintf(format, args...), remedy}
}

// probe is one thing to be looked at; subject names it, as in "source prod".
type probe struct {
	subject string
	look    func(ctx context.Context) []finding
	found   []finding
}

// check looks at everything side by side, and prints in the order of the configuration.
func (a *app) check(ctx context.Context, path string) error {
	cfg, err := config.Load(path, a.env)
	if err != nil {
		return err
	}
	silent := slog.New(slog.NewTextHandler(io.Discard, nil)) // findings say it
	b := newBuilder(cfg, silent, prometheus.NewRegistry(), new(ops.Conditions))
	probes := []*probe{{subject: "config", found: configFindings(cfg)}}
	probes = append(probes, &probe{subject: "checkpoints", found: checkpointFindings(cfg, path)},
		&probe{subject: "ops", look: func(ctx context.Context) []finding { return opsFindings(ctx, cfg) }})
	for _, s := range cfg.Sources {
		probes = append(probes, &probe{subject: "source " + s.Name, look: func(ctx context.Context) []finding { return b.checkConsole(ctx, s) }})
	}
	for _, l := range linesOf(cfg) {
		probes = append(probes, &probe{subject: "sink " + l.sink.Name + " for " + l.source.Name, look: func(ctx context.Context) []finding {
			d := b.deps(l.sink, l.source.Name, l.source.Config.Host())
			return append(checkSink(ctx, l.sink, d), checkRoom(l.sink, d)...)
		}})
	}
	var group errgroup.Group
	group.SetLimit(probesAtOne)
	for _, p := range probes {
		if p.look != nil {
			group.Go(func() error {
				p.run(ctx)
				return nil
			})
		}
	}
	_ = group.Wait() // findings, not errors
	return a.report(probes)
}

// run looks, for probeTime at most. A panic is a finding like any other.
func (p *probe) run(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	defer func() {
		if r := recover(); r != nil {
			p.found = append(p.found, fail("report this as a bug", "the check panicked: %v", r))
		}
	}()
	p.found = p.look(ctx)
}

// report prints the findings, and fails where one did.
func (a *app) report(probes []*probe) error {
	failed, all := 0, 0
	var out strings.Builder
	for _, p := range probes {
		for _, f := range p.found {
			all++
			fmt.Fprintf(&out, "%-4s  %s: %s\n", f.level, p.subject, safe.Text(f.what))
			if f.level != "ok" && f.remedy != "" {
				fmt.Fprintf(&out, "      -> %s\n", safe.Text(f.remedy))
			}
			if f.level == "FAIL" {
				failed++
			}
		}
	}
	if _, err := io.WriteString(a.stdout, out.String()); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, all)
	}
	return nil
}

// configFindings repeats the warnings of a configuration that is valid.
func configFindings(cfg *config.Config) []finding {
	out := []finding{ok("%s, %s", plural(len(cfg.Sources), "source"), plural(len(cfg.Sinks), "sink"))}
	for _, w := range cfg.Warnings {
		out = append(out, warn("", "%s", w))
	}
	return out
}

func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// checkSink reaches a destination as a line of it would.
func checkSink(ctx context.Context, s config.Sink, d sink.Deps) []finding {
	p := s.Config.Probe(ctx, d)
	// The grade comes first, for it is what an operator chooses a sink by, whether or not it is reached now.
	about := fmt.Sprintf("%s, %s, %s", s.Type, p.Grade, plural(p.Connections, "connection"))
	out := []finding{{level: "ok", what: about}}
	if len(p.Problems) > 0 {
		out[0].level = "FAIL"
		out[0].remedy = "mend what is named below"
	}
	for _, f := range p.Found {
		out = append(out, ok("%s", f))
	}
	for _, w := range p.Warnings {
		out = append(out, warn(w.Remedy, "%s", w.What))
	}
	for _, problem := range p.Problems {
		out = append(out, fail(problem.Remedy, "%s", problem.What))
	}
	return out
}
