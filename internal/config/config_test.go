package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/sink"
	"s1stream/sink/format"
)

var update = flag.Bool("update", false, "rewrite the expected errors in testdata/config")

// Each file in testdata/config makes one mistake, every-mistake.toml many. A line "# env: NAME=value" sets a variable.
func TestLoad_NamesEachMistakeAndWhatWouldBeRight(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "testdata", "config", "*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 100 {
		t.Fatalf("only %d mistakes", len(files))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var env []string
			for line := range strings.Lines(string(data)) {
				if v, ok := strings.CutPrefix(line, "# env: "); ok {
					env = append(env, strings.TrimSpace(v))
				}
			}
			_, err = Load(file, env)
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("taken, or not a config.Error: %v", err)
			}
			if e.ExitCode() != 78 || !strings.HasPrefix(e.Error(), file+": ") {
				t.Errorf("exit %d, %v", e.ExitCode(), e)
			}
			got := strings.Join(e.Mistakes, "\n") + "\n"
			if strings.Contains(got, "hunter2") {
				t.Errorf("shows a secret: %s", got)
			}
			if one := len(e.Mistakes) == 1; one == (name == "every-mistake" || name == "nothing" || name == "kafka-cert-and-key-missing") {
				t.Errorf("%d mistakes:\n%s", len(e.Mistakes), got)
			}
			golden := strings.TrimSuffix(file, ".toml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil { //nolint:gosec // testdata
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

const minimal = `
[source.main]
url = "https://example.sentinelone.net"
token = "t"
[sink.out]
type = "file"
path = "-"
`

func parse(t *testing.T, data string, env ...string) *Config {
	t.Helper()
	c, err := Parse([]byte(data), env)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestLoad_SaysWhichFileIsMissing(t *testing.T) {
	_, err := Load(filepath.Join(t.TempDir(), "none.toml"), nil)
	var e *Error
	if !errors.As(err, &e) || !strings.Contains(e.Error(), "none.toml: no such file or directory: name another file with --config") {
		t.Errorf("got %v", err)
	}
}

func TestLoad_WarnsOfSecretsThatOthersCanRead(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	open, closed := write("open", "secret\n", 0o644), write("closed", "secret\n", 0o640)
	const format = "[source.main]\nurl = \"https://example.sentinelone.net\"\n%\n[sink.out]\ntype = \"file\"\npath = \"-\"\n"
	for _, c := range []struct {
		name, token string
		mode        os.FileMode
		want        string
	}{
		{"a token file that others can read", `token_file = "` + open + `"`, 0o644, "source.main.token_file: every user"},
		{"a token file of one's own", `token_file = "` + closed + `"`, 0o644, ""},
		{"a token in a configuration that others can read", `token = "t"`, 0o644, "source.main.token: every user"},
		{"a token in a configuration of one's own", `token = "t"`, 0o600, ""},
		{"a proxy without a password", `token_file = "` + closed + "\"\nproxy = \"http://proxy.example.com:3128\"", 0o644, ""},
		{"no proxy", `token_file = "` + closed + "\"\nproxy = \"direct\"", 0o644, ""},
		{"a proxy with a password", `token_file = "` + closed + "\"\nproxy = \"http://me:secret@proxy.example.com:3128\"", 0o644, "source.main.proxy: every user"},
		{"a collector's address", `token_file = "` + closed + "\"\n[sink.splunk]\ntype = \"splunk\"\nurl = \"https://hec.example.com:8088\"\ntoken_file = \"" + closed + `"`, 0o644, ""},
	} {
		cfg, err := Load(write("config.toml", strings.Replace(format, "%", c.token, 1), c.mode), nil)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if got := strings.Join(cfg.Warnings, "\n"); c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: warnings %q, want %q", c.name, got, c.want)
		}
	}
	secrets := strings.Replace(format, "%", `token_file = "`+closed+`"`, 1) + `[sink.hook]
type = "http"
url_file = "` + write("url", "https://siem.example.com/in", 0o640) + `"
signing.secrets = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
`
	if cfg, err := Load(write("config.toml", secrets, 0o644), nil); err != nil || len(cfg.Warnings) != 1 || !strings.HasPrefix(cfg.Warnings[0], "sink.hook.signing.secrets: every user") {
		t.Errorf("secrets in a list: %v, %+v", err, cfg)
	}
	path := write("config.toml", strings.Replace(format, "%", "", 1), 0o644)
	cfg, err := Load(path, []string{"S1STREAM_SOURCE__MAIN__TOKEN=t"})
	if err != nil || len(cfg.Warnings) > 0 {
		t.Errorf("a token from the environment: %v, %+v", err, cfg)
	}
}

func TestParse_WarnsOfWhatHardlyIsMeant(t *testing.T) {
	c := parse(t, "[ops]\nlisten = \":9464\"\n"+minimal+"[source.main.filter]\nagentIsActive = true\n")
	if len(c.Warnings) != 2 || !strings.HasPrefix(c.Warnings[0], "ops.listen: ") ||
		!strings.HasPrefix(c.Warnings[1], "source.main.filter.agentIsActive: ") {
		t.Errorf("warnings: %q", c.Warnings)
	}
	for _, listen := range []string{"", "127.0.0.1:0", "localhost:9464", "[::1]:9464"} {
		if c := parse(t, "[ops]\nlisten = \""+listen+"\"\n"+minimal); len(c.Warnings) > 0 {
			t.Errorf("listen = %q: %q", listen, c.Warnings)
		}
	}
}

func TestParse_ResolvesTheSourcesOfEachSink(t *testing.T) {
	c := parse(t, strings.ReplaceAll(minimal, "main", "b")+`
[source.a]
url = "https://other.sentinelone.net"
token = "u"
[sink.one]
type = "kafka"
brokers = ["localhost:9092"]
sources = "a"
[sink.each]
type = "file"
path = "/tmp/{source}.jsonl"
sources = ["b", "a"]
`)
	got := map[string][]string{}
	for _, s := range c.Sinks {
		got[s.Name] = s.Sources
	}
	want := map[string][]string{"out": {"a", "b"}, "one": {"a"}, "each": {"a", "b"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if c.Sources[0].Name != "a" || c.Sources[1].Name != "b" {
		t.Error("sources are not in the order of their NAMEs")
	}
}

func TestParse_TakesATypesOwnBatchesUnlessConfigured(t *testing.T) {
	c := parse(t, minimal+"batch_wait = \"1s\"\n")
	file, _ := sink.Lookup("file")
	if line := c.Sinks[0].Line; line.BatchEvents != file.Line.BatchEvents || line.BatchBytes != file.Line.BatchBytes || line.BatchWait != time.Second {
		t.Errorf("batches: %+v", line)
	}
}

func TestParse_TakesSeverityRulesInlineAndAsTables(t *testing.T) {
	want := format.SeverityConfig{Rules: []format.SeverityRule{
		{When: format.Fields{"classification": []any{"ransomware"}, "siteName": []any{"Paris", ""}}, Level: "critical"},
		{When: format.Fields{"threatInfo": map[string]any{"isFileless": []any{"true"}}}, Level: "high"},
	}}
	for name, text := range map[string]string{
		"inline": `severity.rules = [
	{ when = { classification = ["ransomware"], siteName = ["Paris", ""] }, level = "critical" },
	{ when.threatInfo.isFileless = ["true"], level = "high" },
]`,
		"as tables": `[[sink.out.severity.rules]]
when.classification = ["ransomware"]
when.siteName = ["Paris", ""]
level = "critical"
[[sink.out.severity.rules]]
level = "high"
[sink.out.severity.rules.when.threatInfo]
isFileless = ["true"]`,
	} {
		if diff := cmp.Diff(want, parse(t, minimal+text).Sinks[0].Line.Severity); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestParse_TakesEveryFormatInEverySink(t *testing.T) {
	for _, typ := range sink.Types() {
		for _, name := range format.Names() {
			needs := map[string]string{
				"kafka": `brokers = ["localhost:9092"]`, "syslog": `address = "localhost:514"`, "relp": `address = "localhost:2514"`,
				"http": "url = \"https://siem.example.com\"\nbody = \"ndjson\"", "file": `path = "/tmp/it"`,
			}[typ.Name]
			if needs == "" {
				continue // a sink that makes its own records says so in its own tests
			}
			_, err := Parse(fmt.Appendf(nil, "%s[sink.it]\ntype = %q\nformat = %q\n%s\n", minimal, typ.Name, name, needs), nil)
			if err != nil {
				t.Errorf("%s in %s: %v", name, typ.Name, err)
			}
		}
	}
}

func TestParse_TakesDollarBracesAsText(t *testing.T) {
	c := parse(t, strings.Replace(minimal, `"t"`, `"${HOME}"`, 1), "HOME=/root")
	if got := c.Sources[0].Config.Token; got != "${HOME}" {
		t.Errorf("token became %q", got.Reveal())
	}
}

func FuzzConfig(f *testing.F) {
	shipped, err := os.ReadFile(filepath.Join(root, "config.toml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(shipped, "")
	f.Add([]byte(minimal), "S1STREAM_SINK__SIEM__TYPE=kafka\nS1STREAM_SINK__SIEM__BROKERS=a:1,b:2")
	f.Add([]byte(minimal), "S1STREAM_SOURCE__MAIN__FILTER__OSTYPES=linux\nS1STREAM_SINK__OUT__SOURCES=all")
	files, err := filepath.Glob(filepath.Join(root, "testdata", "config", "*.toml"))
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, "")
	}
	f.Fuzz(func(t *testing.T, data []byte, env string) {
		c, err := Parse(data, strings.Split(env, "\n"))
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || len(e.Mistakes) == 0 || strings.Count(e.Error(), "\n") != len(e.Mistakes)-1 {
				t.Fatalf("not one mistake a line: %q", err)
			}
			return
		}
		if err := c.Validate(); err != nil {
			t.Fatalf("taken once, then refused: %v", err)
		}
	})
}
