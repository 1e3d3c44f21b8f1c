package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"s1stream/checkpoint"
	"s1stream/internal/config"
	"s1stream/internal/ops"
	"s1stream/internal/pipeline"
)

func (a *app) runCommand() *cobra.Command {
	var path string
	var adopt []string
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Stream threats until told to stop",
		Long: `run reads every console and delivers to every sink of the configuration until SIGTERM, SIGINT or SIGHUP (a
closed terminal; nothing is read again on it). It then finishes what is in flight, for pipeline.drain_timeout at
most; a second signal ends it at once, after saving what is proven. The log goes to standard error.

--adopt SOURCE keeps the checkpoints of a source whose url or filter was changed on purpose, as
` + "`s1stream checkpoint adopt`" + ` does; it may be repeated. Threats that only the new filter matches, and that changed
before, are not delivered. Take it away again after that one start.`,
		Example: `  s1stream run --config /etc/s1stream/config.toml
  S1STREAM_LOG__LEVEL=debug s1stream run
  s1stream run --config config.toml --adopt prod`,
		Args: cobra.NoArgs,
		RunE: a.command(func(ctx context.Context, _ []string) error { return a.daemon(ctx, path, adopt) }),
	}
	configFlag(cmd, &path)
	cmd.Flags().StringArrayVar(&adopt, "adopt", nil, "keep the checkpoints of this `SOURCE` for its new url or filter")
	return cmd
}

// daemon is the main job: lock, build, run, and end in the reverse order.
func (a *app) daemon(ctx context.Context, path string, adopt []string) (err error) {
	cfg, err := config.Load(path, a.env)
	if err != nil {
		return err
	}
	// A file sink may write to standard output: that its reader left is that sink's trouble, not the others'.
	defer surviveClosedPipe()()
	log := newLog(a.stderr, cfg.Log)
	for _, w := range cfg.Warnings {
		log.Warn("configuration", "warning", w)
	}
	saveMemory(a.env)
	lock, err := lockDir(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	dir, err := checkpoint.Open(checkpoint.OS{}, cfg.Checkpoint.Dir)
	if err != nil {
		return err
	}
	if err := adoptSources(cfg, dir, adopt, log); err != nil {
		return err
	}

	conditions := new(ops.Conditions)
	reg := ops.NewRegistry(version, conditions)
	parts, err := newBuilder(cfg, log, reg, conditions).build(dir)
	if err != nil {
		return err
	}
	p, err := pipeline.New(pipeline.Options{
		Patience:     cfg.Pipeline.Patience,
		DrainTimeout: cfg.Pipeline.DrainTimeout,
		SaveInterval: cfg.Checkpoint.Interval,
		Log:          log,
		Metrics:      pipeline.NewMetrics(reg),
		Conditions:   conditions,
	}, parts.sources)
	if err != nil {
		parts.discard()
		return err
	}
	// Behind New, which may refuse to start, and before Run: whoever waits for /readyz finds it as soon as there is
	// anything to tell.
	server := ops.Listen(ctx, cfg.Ops.Listen, reg, conditions, log)
	log.Info("s1stream runs", "version", version, "sources", len(cfg.Sources), "sinks", len(cfg.Sinks), "ops", server.Addr())
	a.tell(ctx, log, "READY=1")
	silent := slog.New(slog.NewTextHandler(io.Discard, nil)) // a stop is no error to log
	stopping := conditions.New("s1stream", silent)
	told := make(chan struct{})
	untell := context.AfterFunc(ctx, func() {
		defer close(told)
		stopping.Fail("stops", nil)
		log.Info("s1stream stops", "drain_timeout", cfg.Pipeline.DrainTimeout.String())
		a.tell(ctx, log, "STOPPING=1")
	})
	// From here on the order is: sources, lines and checkpoints (Run), dead letters, and last the ops server, so
	// that a drain can be watched.
	err = p.Run(ctx, a.abort)
	if !untell() {
		<-told
	}
	err = errors.Join(err, parts.close())
	server.Close()
	log.Info("s1stream has stopped", "clean", err == nil)
	return err
}

// tell is notify for a run, which goes on whatever becomes of it.
func (a *app) tell(ctx context.Context, log *slog.Logger, words string) {
	if err := a.notify(ctx, words); err != nil {
		log.Warn("tell the service manager", "what", words, "err", err)
	}
}

// lockDir takes the checkpoint directory for this process.
func lockDir(cfg *config.Config) (*checkpoint.DirLock, error) {
	lock, err := checkpoint.Lock(cfg.Checkpoint.Dir)
	if errors.Is(err, fs.ErrPermission) && !strings.Contains(err.Error(), "chown") {
		return nil, fmt.Errorf("%w: set checkpoint.dir to a directory that this user may write", err)
	}
	return lock, err
}

// adoptSources keeps the checkpoints of sources for their new url or filter.
func adoptSources(cfg *config.Config, dir *checkpoint.Dir, names []string, log *slog.Logger) error {
	for _, name := range names {
		if !slices.ContainsFunc(cfg.Sources, func(s config.Source) bool { return s.Name == name }) {
			return usagef("--adopt %s: the configuration has no [source.%s]", name, name)
		}
	}
	for _, l := range linesOf(cfg) {
		if !slices.Contains(names, l.source.Name) {
			continue
		}
		err := dir.Adopt(l.source.Name, l.sink.Name, fingerprint(l.source))
		switch {
		case errors.Is(err, checkpoint.ErrNone): // a new line: its start applies
		case err != nil:
			return err
		default:
			log.Info("checkpoint adopted", "source", l.source.Name, "sink", l.sink.Name)
		}
	}
	return nil
}

// lineOf names one line of a configuration.
type lineOf struct {
	source config.Source
	sink   config.Sink
}

// linesOf lists the lines of a configuration, by source and sink.
func linesOf(cfg *config.Config) []lineOf {
	var out []lineOf
	for _, src := range cfg.Sources {
		for _, s := range cfg.Sinks {
			if takes(s, src.Name) {
				out = append(out, lineOf{src, s})
			}
		}
	}
	return out
}
