// Package cli is the command line: one file a command. A command loads the configuration, has build.go make
// consoles and lines of it, and lets packages source, pipeline and sink do the work.
//
// Results go to standard output, everything else to standard error. Text that came from a console or a
// destination is cleaned before it reaches a terminal, and nothing shows a secret.
package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"s1stream/internal/safe"
)

// app is one call of the program.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string

	// abort ends at the second signal. The first one ends the context that commands are given.
	abort context.Context //nolint:containedctx // a lifetime of the process, as the other one is
	// begun says that a command has begun its work: what fails before that is a wrong command line.
	begun bool
}

// Main runs one command and returns the process's exit code: 0 clean, 1 failed, 64 usage, 65 checkpoint, 73
// locked, 75 drain deadline passed, 78 configuration.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, stopSignals()...)
	defer signal.Stop(signals)
	// Once two have come, a third one ends the process the hard way.
	return run(args, stdin, stdout, stderr, env, signals, func() { signal.Stop(signals) })
}

// stopSignals are those that ask for a stop. SIGHUP is one where it would end the process: a closed terminal and
// a service manager that knows no better drain like everybody. Under nohup it stays ignored.
func stopSignals() []os.Signal {
	stop := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		stop = append(stop, syscall.SIGHUP)
	}
	return stop
}

// run is Main with the signals of the caller. heard is called when the second one has come.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string, signals <-chan os.Signal, heard func()) int {
	stop, cancelStop := context.WithCancel(context.Background())
	abort, cancelAbort := context.WithCancel(context.Background())
	defer cancelAbort()
	watched := make(chan struct{})
	go func() { // waited for below
		defer close(watched)
		if watch(signals, abort.Done(), cancelStop, cancelAbort) {
			heard()
		}
	}()
	defer func() {
		cancelStop()
		cancelAbort()
		<-watched
	}()

	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, env: env, abort: abort}
	root := a.root()
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(stop)
	if err == nil {
		return exitClean
	}
	code := a.exitCode(err)
	text := err.Error()
	if f := cmd.Flags().Lookup("config"); f != nil {
		text = withConfig(text, f.Value.String())
	}
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(safe.Text(line)); line != "" {
			a.sayf("s1stream: %s\n", line)
		}
	}
	if code == exitUsage {
		a.sayf("s1stream: `s1stream help` and `s1stream COMMAND --help` show what is possible\n")
	}
	return code
}

// signalEcho is how long a second signal counts as the first one: timeout(1) sends its signal to the program and
// to its process group, which the program is a member of.
const signalEcho = 500 * time.Millisecond

// watch calls first and then second when a signal comes; it reports whether both did before end.
func watch(signals <-chan os.Signal, end <-chan struct{}, first, second context.CancelFunc) bool {
	select {
	case <-signals:
		first()
	case <-end:
		return false
	}
	for at := time.Now(); ; {
		select {
		case <-signals:
			if time.Since(at) >= signalEcho {
				second()
				return true
			}
		case <-end:
			return false
		}
	}
}

// root is the tree of commands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "s1stream",
		Short: "Stream SentinelOne threats to SIEMs",
		Long: `s1stream reads the threats of SentinelOne consoles and streams every threat, and every later change of
one, to Kafka, syslog, RELP, Splunk, Elastic, OpenSearch, Microsoft Sentinel, HTTP and files: at least once,
with a checkpoint for each destination.

SIGTERM, SIGINT and SIGHUP end a command in order, a second one at once.

Exit codes: 0 clean, 1 failed, 64 usage, 65 checkpoint corrupt, foreign or newer, 73 checkpoint directory
locked by another process, 75 drain deadline passed, 78 configuration.`,
		Example: `  s1stream demo --for 30s
  s1stream check --config /etc/s1stream/config.toml
  s1stream run --config /etc/s1stream/config.toml`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.SetOut(a.stderr)
			_ = cmd.Help()
			return usagef("name a command")
		},
	}
	root.SetVersionTemplate(versionText())
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.AddCommand(a.demoCommand(), a.runCommand(), a.checkCommand(), a.threatsCommand(), a.simulateCommand(),
		a.checkpointCommand(), a.versionCommand())
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		switch cmd.Name() {
		case "help":
			cmd.Args = knownTopic
		case "completion":
			cmd.Args = cobra.ArbitraryArgs
			cmd.RunE = func(cmd *cobra.Command, args []string) error {
				cmd.SetOut(a.stderr)
				_ = cmd.Help()
				return usagef("%s: name a shell: bash, fish, powershell or zsh", strings.TrimSpace("completion "+strings.Join(args, " ")))
			}
		}
	}
	return root
}

// knownTopic has `help` fail for what is no command, where cobra prints the help of another one.
func knownTopic(cmd *cobra.Command, args []string) error {
	if _, rest, err := cmd.Root().Find(args); err != nil || len(rest) > 0 {
		return usagef("help %s: there is no such command", strings.Join(args, " "))
	}
	return nil
}

// command is what cobra calls for a command that does something.
func (a *app) command(do func(ctx context.Context, args []string) error) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, args []string) error {
		a.begun = true
		return do(cmd.Context(), args)
	}
}

// configFlag adds --config.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", "config.toml", `configuration file; "" reads the environment alone`)
	_ = cmd.MarkFlagFilename("config", "toml")
}

// withConfig completes the commands that a text of package checkpoint advises, which knows no configuration: typed
// as they stand they have to be about the same checkpoints.
func withConfig(text, path string) string {
	flag := " --config " + shellWord(path)
	for _, command := range []string{"s1stream checkpoint adopt", "s1stream checkpoint reset"} {
		text = strings.ReplaceAll(text, command+" ", command+flag+" ")
	}
	return text
}

// shellWord quotes a word for a POSIX shell where it has to be.
func shellWord(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./+,:@%=", r)
	}
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// sayf writes to standard error. Nobody can be told if that fails.
func (a *app) sayf(format string, args ...any) { _, _ = fmt.Fprintf(a.stderr, format, args...) }
