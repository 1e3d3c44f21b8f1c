package config

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"s1stream/internal/pipeline"
	"s1stream/sink"
	"s1stream/source"
)

const root = "../.."

func TestShippedFile_LoadsAsItStandsWithoutAWarning(t *testing.T) {
	c, err := Load(filepath.Join(root, "config.toml"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) > 0 {
		t.Errorf("warnings: %q", c.Warnings)
	}
	if len(c.Sources) != 1 || c.Sources[0].Config.BaseURL() != "http://127.0.0.1:9440" || c.Sources[0].Config.Token != "simulated-token" {
		t.Errorf("does not fit the simulator's defaults: %+v", c.Sources)
	}
	if len(c.Sinks) != 1 || c.Sinks[0].Config.(*sink.FileConfig).Path != "-" {
		t.Errorf("does not write to standard output: %+v", c.Sinks)
	}
}

// uncommented returns the tables of config.toml with every line that is a commented-out key or table switched on.
func uncommented(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "config.toml"))
	if err != nil {
		t.Fatal(err)
	}
	data = regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAll(data, []byte("$1"))
	tables, err := newReport().layers(data, nil)
	if err != nil {
		t.Fatalf("with its examples switched on: %v", err)
	}
	return tables
}

func TestShippedFile_ExamplesAreKnownKeysOfTheRightType(t *testing.T) {
	tables := uncommented(t)
	r, c := newReport(), defaults(nil)
	r.decodeSections(c, tables)
	for _, s := range r.decodeSources(tables["source"]) {
		if _, _, err := source.ParseFilter(s.Config.Filter); err != nil {
			t.Error(err)
		}
	}
	for _, s := range r.decodeSinks(tables["sink"]) {
		if err := s.Line.Validate(); err != nil {
			t.Error(err)
		}
	}
	for _, m := range r.mistakes {
		t.Error(m)
	}
}

func TestShippedFile_HasEveryKey(t *testing.T) {
	tables := uncommented(t)
	for _, section := range sections[:4] {
		wantKeys(t, section, lookupTable(tables, section), sectionOf(new(Config), section))
	}
	wantKeys(t, "source.simulated", lookupTable(tables, "source", "simulated"), new(source.Config))
	// Each format's options are shown at a sink that uses it.
	options := make(map[string]any)
	for name := range lookupTable(tables, "sink") {
		maps.Copy(options, lookupTable(tables, "sink", name, "format_options"))
	}
	lookupTable(tables, "sink", "stdout")["format_options"] = options
	wantKeys(t, "sink.stdout", lookupTable(tables, "sink", "stdout"), new(pipeline.LineConfig), new(sinkHead))
	for _, typ := range sink.Types() {
		found := false
		for name := range lookupTable(tables, "sink") {
			if table := lookupTable(tables, "sink", name); table["type"] == typ.Name {
				found = true
				wantKeys(t, "sink."+name, table, typ.Default())
			}
		}
		if !found {
			t.Errorf("has no sink of type %q", typ.Name)
		}
	}
}

func wantKeys(t *testing.T, prefix string, table map[string]any, structs ...any) {
	t.Helper()
	for key, field := range fields(structs...) {
		value, ok := table[key]
		if !ok {
			t.Errorf("%s.%s is not documented", prefix, key)
		} else if isTable(field.Type()) {
			wantKeys(t, prefix+"."+key, value.(map[string]any), field.Addr().Interface())
		}
	}
}

func TestShippedFile_ShowsTheDefaults(t *testing.T) {
	tables := uncommented(t)
	file, _ := sink.Lookup("file")
	line, src, c := lineDefaults(file), source.DefaultConfig(), defaults(nil)
	line.Sources = []string{allSources} // what none means
	wantDefaults(t, "source.simulated", lookupTable(tables, "source", "simulated"), &src)
	wantDefaults(t, "sink.stdout", lookupTable(tables, "sink", "stdout"), &line)
	for _, section := range []string{"log", "ops", "pipeline"} {
		wantDefaults(t, section, lookupTable(tables, section), sectionOf(c, section))
	}
	for _, typ := range sink.Types() {
		for name := range lookupTable(tables, "sink") {
			if table := lookupTable(tables, "sink", name); table["type"] == typ.Name {
				wantDefaults(t, "sink."+name, table, typ.Default())
			}
		}
	}
}

// wantDefaults compares every default that is not "unset" with what the file shows.
func wantDefaults(t *testing.T, prefix string, table map[string]any, structs ...any) {
	t.Helper()
	for key, field := range fields(structs...) {
		if field.IsZero() || isTable(field.Type()) {
			continue
		}
		shown := reflect.New(field.Type()).Elem()
		if err := decodeValue(key, table[key], shown); err != nil {
			t.Errorf("%s.%s: %v", prefix, key, err)
		} else if !reflect.DeepEqual(shown.Interface(), field.Interface()) {
			t.Errorf("%s.%s is shown as %v, the default is %v", prefix, key, shown, field)
		}
	}
}

var tomlBlock = regexp.MustCompile("(?ms)^[ \t]*```toml[^\n]*\n(.*?)^[ \t]*```")

// Every block of TOML that a reader may copy is loaded; one that shows a part is completed.
func TestDocs_EveryConfigurationLoads(t *testing.T) {
	readme := filepath.Join(root, "README.md")
	pages, blocks := []string{readme}, map[string]int{}
	for _, dir := range []string{"docs", "deploy"} {
		if err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".md" {
				pages = append(pages, path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for i, block := range tomlBlock.FindAllStringSubmatch(string(text), -1) {
			blocks[page]++
			t.Run(fmt.Sprintf("%s block %d", strings.TrimPrefix(page, root+"/"), i+1), func(t *testing.T) {
				if _, err := Parse([]byte(complete(block[1])), nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
	if blocks[readme] == 0 {
		t.Error("README.md has no configuration in ```toml")
	}
}

// complete adds the source or the sink that a part leaves out.
func complete(block string) string {
	if !strings.Contains(block, "[source.") {
		block += "\n[source.main]\nurl = \"https://example.sentinelone.net\"\ntoken_file = \"token\"\n"
	}
	if !strings.Contains(block, "[sink.") {
		block += "\n[sink.stdout]\ntype = \"file\"\npath = \"-\"\n"
	}
	return block
}

func TestDefaults_AreThoseThatEveryoneReliesOn(t *testing.T) {
	c, err := Parse([]byte(complete("")), []string{"STATE_DIRECTORY=/var/lib/one:/var/lib/two"})
	if err != nil {
		t.Fatal(err)
	}
	s, line := c.Sources[0].Config, c.Sinks[0].Line
	for _, d := range []struct {
		key       string
		got, want any
	}{
		{"log.level", c.Log.Level, "info"},
		{"log.format", c.Log.Format, "text"},
		{"ops.listen", c.Ops.Listen, "127.0.0.1:9464"},
		{"checkpoint.dir", c.Checkpoint.Dir, "/var/lib/one"},
		{"checkpoint.interval", c.Checkpoint.Interval, 5 * time.Second},
		{"pipeline.patience", c.Pipeline.Patience, time.Minute},
		{"pipeline.drain_timeout", c.Pipeline.DrainTimeout, 20 * time.Second},
		{"start", s.Start, "-24h"},
		{"poll_interval", s.PollInterval, 5 * time.Second},
		{"settle", s.Settle, 2 * time.Minute},
		{"page_size", s.PageSize, 1000},
		{"requests_per_second", s.RequestsPerSecond, 5.0},
		{"timeout", s.Timeout, time.Minute},
		{"buffer", s.Buffer, 1000},
		{"format", line.Format, "json"},
		{"sources", c.Sinks[0].Sources[0], "main"},
		{"queue_events", line.QueueEvents, 10000},
		{"queue_bytes", line.QueueBytes.String(), "32MiB"},
		{"retry_max_wait", line.RetryMaxWait, time.Minute},
		{"dead_letter", line.DeadLetter, "/var/lib/one/stdout.dead.jsonl"},
	} {
		if d.got != d.want {
			t.Errorf("%s = %v, want %v", d.key, d.got, d.want)
		}
	}
	kafka := lineDefaults(sink.Types()[0])
	if kafka.BatchEvents != 500 || kafka.BatchBytes.String() != "900KB" || kafka.BatchWait != 200*time.Millisecond {
		t.Errorf("batches of kafka are %+v", kafka)
	}
	if c, err := Parse([]byte(complete("")), nil); err != nil || c.Checkpoint.Dir != "/var/lib/s1stream" {
		t.Errorf("without $STATE_DIRECTORY: %+v, %v", c, err)
	}
}

func TestDeploy_EveryConfigurationLoads(t *testing.T) {
	files, err := filepath.Glob("../../deploy/*/config.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configuration in deploy: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(data, nil); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
