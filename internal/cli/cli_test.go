package cli

import (
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/spf13/cobra"
)

func TestMain_EndsWith64AndAHintWhenTheCommandLineIsWrong(t *testing.T) {
	s := configure(t, "http://127.0.0.1:1", "", "")
	for name, args := range map[string][]string{
		"no command":                      {},
		"unknown command":                 {"strem"},
		"unknown flag":                    {"run", "--confg", "x"},
		"argument of a command of none":   {"run", "now"},
		"group without a command":         {"checkpoint"},
		"unknown command of a group":      {"checkpoint", "drop"},
		"required flag missing":           {"checkpoint", "reset", "--config", s.file},
		"flags that exclude each other":   {"threats", "--url", "https://a.example", "--config", s.file},
		"unknown source":                  {"run", "--config", s.file, "--adopt", "prdo"},
		"unknown line":                    {"checkpoint", "show", "--config", s.file, "prod", "sime"},
		"unknown parameter":               {"threats", "--config", s.file, "--param", "limt=1"},
		"parameter of another type":       {"threats", "--config", s.file, "--param", "limit=many"},
		"token file that is missing":      {"threats", "--url", "https://console.example", "--token-file", s.file + ".none"},
		"url of another scheme":           {"threats", "--url", "http://console.example", "--token-file", s.file},
		"unknown fault":                   {"demo", "--faults", "429-strom=1s/2s"},
		"negative rate":                   {"simulate", "--new", "-1"},
		"endless births":                  {"simulate", "--new", "Inf"},
		"births that are no number":       {"simulate", "--new", "NaN"},
		"endless changes":                 {"simulate", "--update", "+Inf"},
		"more changes than anybody has":   {"simulate", "--update", "10001"},
		"endless births in a demo":        {"demo", "--for", "1s", "--new", "Inf"},
		"changes that are no number":      {"demo", "--for", "1s", "--update", "NaN"},
		"help for no command":             {"help", "frob"},
		"help for no command of a group":  {"help", "checkpoint", "frob"},
		"completion for no shell":         {"completion", "foo"},
		"completion without a shell":      {"completion"},
		"token file that never ends":      {"threats", "--url", "https://console.example", "--token-file", "/dev/zero"},
		"simulated token that never ends": {"simulate", "--token-file", "/dev/zero"},
		"no moment":                       {"checkpoint", "reset", "--config", s.file, "--yes", "--from", "yesterday"},
		"moment to come":                  {"checkpoint", "reset", "--config", s.file, "--yes", "--from", "2999-01-01T00:00:00Z"},
		"nobody to ask and no yes":        {"checkpoint", "reset", "--config", s.file, "--from", "all"},
		"nobody to ask about adopting":    {"checkpoint", "adopt", "--config", s.file},
		"a sink named twice, differing":   {"checkpoint", "show", "--config", s.file, "--sink", "siem", "prod", "other"},
		"all and skip at the same time":   {"threats", "--config", s.file, "--all", "--param", "skip=1"},
		"token file beside a config":      {"threats", "--config", s.file, "--token-file", s.file},
		"one parameter given two values":  {"threats", "--config", s.file, "--param", "limit=1", "--param", "limit=2"},
	} {
		t.Run(name, func(t *testing.T) {
			p := call(t, nil, args...)
			p.wantCode(t, exitUsage)
			contains(t, p.err.String(), "s1stream: ", "--help")
			if p.out.String() != "" {
				t.Errorf("standard output is for results, has %q", p.out)
			}
		})
	}
}

func TestMain_EndsWith78AndEveryMistakeWhenTheConfigurationIsWrong(t *testing.T) {
	s := configure(t, "http://console.example", "nonsense = true", "queue_evnts = 1")
	for _, command := range []string{"run", "check", "threats"} {
		p := call(t, nil, command, "--config", s.file)
		p.wantCode(t, 78)
		contains(t, p.err.String(), "source.prod.url", "source.prod.filter.nonsense", "sink.siem.queue_evnts")
	}
}

func TestHelp_ShowsExamplesForEveryCommand(t *testing.T) {
	a, _ := discardOutput()
	var visit func(c *cobra.Command)
	seen := 0
	visit = func(c *cobra.Command) {
		if c.Name() == "help" || c.Name() == "completion" { // cobra's own
			return
		}
		seen++
		if c.Short == "" || !strings.Contains(c.Example, "  "+strings.Fields(c.CommandPath())[0]+" ") {
			t.Errorf("%s: has no description or no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(a.root())
	if seen < 10 {
		t.Errorf("saw %d commands only", seen)
	}
	p := call(t, nil, "checkpoint", "reset", "--help")
	p.wantCode(t, 0)
	contains(t, p.out.String(), "Examples:", "--from", "RFC 3339")
}

func TestHelp_ForACommandIsThatCommandsOwn(t *testing.T) {
	for _, args := range [][]string{{"help", "checkpoint", "reset"}, {"help", "run"}, {"help"}, {"help", "completion", "bash"}} {
		p := call(t, nil, args...)
		p.wantCode(t, 0)
		contains(t, p.out.String(), strings.Join(append([]string{"s1stream"}, args[1:]...), " "))
	}
}

func TestStopSignals_LeaveAloneWhatNohupIgnores(t *testing.T) {
	has := func() bool { return slices.Contains(stopSignals(), os.Signal(syscall.SIGHUP)) }
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	if !has() {
		t.Error("a closed terminal would end the process without a drain")
	}
	signal.Ignore(syscall.SIGHUP)
	if has() {
		t.Error("nohup has no effect")
	}
	signal.Notify(hup, syscall.SIGHUP)
	signal.Stop(hup)
}

// A remedy is pasted into a shell as it stands: it has to be about the same checkpoints.
func TestWithConfig_NamesTheConfigurationInUse(t *testing.T) {
	for path, want := range map[string]string{
		"/etc/s1stream/config.toml": "s1stream checkpoint reset --config /etc/s1stream/config.toml --from TIME sim f",
		"":                          "s1stream checkpoint reset --config '' --from TIME sim f",
		"it's mine.toml":            `s1stream checkpoint reset --config 'it'\''s mine.toml' --from TIME sim f`,
	} {
		if got := withConfig("s1stream checkpoint reset --from TIME sim f", path); got != want {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestCompletion_OffersCommandsAndParameters(t *testing.T) {
	p := call(t, nil, "completion", "bash")
	p.wantCode(t, 0)
	contains(t, p.out.String(), "__start_s1stream")
	p = call(t, nil, "__complete", "threats", "--param", "incidentStatuses=")
	contains(t, p.out.String(), "incidentStatuses=unresolved")
}

func TestVersion_NamesVersionGoAndPlatform(t *testing.T) {
	for _, command := range []string{"version", "--version"} {
		p := call(t, nil, command)
		p.wantCode(t, 0)
		if want := "s1stream dev " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"; p.out.String() != want {
			t.Errorf("%s prints %q, want %q", command, p.out, want)
		}
	}
}
