package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"s1stream/internal/config"
)

func (a *app) checkpointCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "checkpoint",
		Short: "Look at checkpoints, or decide about them",
		Long: `A checkpoint is how far one sink has got with one source: a frontier, before which everything was dealt with,
and the threats seen since. show prints them. reset makes sinks read again from a moment; adopt keeps the
frontier where the source's url or filter was changed on purpose.

reset and adopt need the lock of the checkpoint directory, so stop s1stream first. Run them as the user that
s1stream runs as, or as root: its files then belong to the directory's owner. What a third one writes, s1stream
may not be able to read.`,
		Example: `  s1stream checkpoint show --config config.toml
  s1stream checkpoint reset --config config.toml --from -24h prod siem
  s1stream checkpoint adopt --config config.toml prod`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("checkpoint %s: name one of show, reset and adopt", strings.Join(args, " "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.stderr)
			_ = cmd.Help()
			return usagef("name one of show, reset and adopt")
		},
	}
	cmd.AddCommand(a.checkpointShowCommand(), a.checkpointResetCommand(), a.checkpointAdoptCommand())
	return cmd
}

// selection says which lines a command is about: those of a source, of a sink, one, or all.
type selection struct {
	config, source, sink string
}

// flags adds what selects lines. SOURCE and SINK may stand behind the command as well.
func (s *selection) flags(cmd *cobra.Command) {
	configFlag(cmd, &s.config)
	cmd.Flags().StringVar(&s.source, "source", "", "this source's checkpoints alone; the same as `SOURCE`")
	cmd.Flags().StringVar(&s.sink, "sink", "", "this sink's checkpoints alone; the same as `SINK`")
	cmd.Args = cobra.MaximumNArgs(2)
}

// lines loads the configuration and returns the lines that are meant.
func (s *selection) lines(a *app, args []string) (*config.Config, []lineOf, error) {
	for i, flag := range []struct {
		name  string
		value *string
	}{{"source", &s.source}, {"sink", &s.sink}} {
		if len(args) <= i {
			break
		}
		if *flag.value != "" && *flag.value != args[i] {
			return nil, nil, usagef("--%s %s and %s: name one", flag.name, *flag.value, args[i])
		}
		*flag.value = args[i]
	}
	cfg, err := config.LoadOffline(s.config, a.env) // stopped by systemd, the service has no secrets
	if err != nil {
		return nil, nil, err
	}
	var out []lineOf
	for _, l := range linesOf(cfg) {
		if (s.source == "" || s.source == l.source.Name) && (s.sink == "" || s.sink == l.sink.Name) {
			out = append(out, l)
		}
	}
	if len(out) == 0 {
		wanted := ""
		if s.source != "" {
			wanted = fmt.Sprintf(" from source %q", s.source)
		}
		if s.sink != "" {
			wanted += fmt.Sprintf(" to sink %q", s.sink)
		}
		return nil, nil, usagef("the configuration has no line%s; it has %s", wanted, names(linesOf(cfg)))
	}
	return cfg, out, nil
}

// names lists lines as they are written behind a command.
func names(lines []lineOf) string {
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, l.source.Name+" "+l.sink.Name)
	}
	return strings.Join(out, ", ")
}

// Each command is about the configured lines: a checkpoint of a line that is configured no more does no harm, and
// is taken up again if the line comes back.
func (a *app) checkpointShowCommand() *cobra.Command {
	var s selection
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show [SOURCE [SINK]]",
		Short: "Print every checkpoint",
		Long: `show prints the configuration's lines, a row each: the frontier, the threats in the seen-set, when it was
saved, and whether a run would take it. It needs no lock, and changes nothing.`,
		Example: `  s1stream checkpoint show --config config.toml
  s1stream checkpoint show --config config.toml --json prod`,
	}
	s.flags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, for programs")
	cmd.RunE = a.command(func(_ context.Context, args []string) error {
		cfg, lines, err := s.lines(a, args)
		if err != nil {
			return err
		}
		return a.showCheckpoints(cfg, s.config, lines, asJSON)
	})
	return cmd
}

func (a *app) checkpointResetCommand() *cobra.Command {
	var s selection
	var from string
	var yes bool
	cmd := &cobra.Command{
		Use:   "reset --from TIME [SOURCE [SINK]]",
		Short: "Make sinks read again from a moment",
		Long: `reset replaces checkpoints, whatever is in them: at its next start s1stream reads from --from on, and sends
every threat that changed since. Without SOURCE and SINK it is about every line.

--from is RFC 3339, or "-24h", so long ago; "now", which skips what has not been delivered; or "all". Those
three go by this machine's clock at the time of the reset, for no console is asked.`,
		Example: `  s1stream checkpoint reset --config config.toml --from 2026-01-31T08:00:00Z prod siem
  s1stream checkpoint reset --config config.toml --from -24h --sink siem --yes`,
	}
	s.flags(cmd)
	cmd.Flags().StringVar(&from, "from", "", "`TIME` to read from: RFC 3339, now, all or -24h")
	_ = cmd.MarkFlagRequired("from")
	yesFlag(cmd, &yes)
	cmd.RunE = a.command(func(ctx context.Context, args []string) error {
		return a.changeCheckpoints(ctx, &s, args, yes, reset(from))
	})
	return cmd
}

func (a *app) checkpointAdoptCommand() *cobra.Command {
	var s selection
	var yes bool
	cmd := &cobra.Command{
		Use:   "adopt [SOURCE [SINK]]",
		Short: "Keep checkpoints for a changed url or filter",
		Long: `adopt keeps frontier and seen-set where a source's url or filter was changed on purpose. Threats that only the
new filter matches, and that changed before the frontier, are not delivered: where they are wanted, use reset.
Without SOURCE and SINK it is about every line.`,
		Example: `  s1stream checkpoint adopt --config config.toml prod
  s1stream checkpoint adopt --config config.toml --yes prod siem`,
	}
	s.flags(cmd)
	yesFlag(cmd, &yes)
	cmd.RunE = a.command(func(ctx context.Context, args []string) error {
		return a.changeCheckpoints(ctx, &s, args, yes, adopt())
	})
	return cmd
}

// yesFlag adds --yes, for scripts and containers.
func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVarP(yes, "yes", "y", false, "do not ask")
}
