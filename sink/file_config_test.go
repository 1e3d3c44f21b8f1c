package sink

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFileConfig_NamesEveryMistake(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*FileConfig)
		want   []string
	}{
		{"a path", func(*FileConfig) {}, nil},
		{"standard output", func(c *FileConfig) { c.Path = "-" }, nil},
		{"a path per source", func(c *FileConfig) { c.Path = "/var/log/{source}/threats.jsonl" }, nil},
		{"no path", func(c *FileConfig) { c.Path = "" }, []string{"path"}},
		{"a directory", func(c *FileConfig) { c.Path = "/var/log/" }, []string{"path"}},
		{"another placeholder", func(c *FileConfig) { c.Path = "/var/log/{date}" }, []string{"path"}},
		{"negative size and no files", func(c *FileConfig) { c.MaxSize, c.Path = -1, "" }, []string{"path", "max_size"}},
		{"rotation that keeps nothing", func(c *FileConfig) { c.MaxFiles = 0 }, []string{"max_files"}},
		{"no rotation", func(c *FileConfig) { c.MaxSize, c.MaxFiles = 0, 0 }, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultFile()
			cfg.Path = "/var/log/threats.jsonl"
			tt.change(cfg)
			if d := cmp.Diff(tt.want, httpKeys(cfg.Validate())); d != "" {
				t.Errorf("keys (-want +got):\n%s", d)
			}
		})
	}
}

func TestFileProbe_LooksAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "{source}.jsonl")
	cfg := FileConfig{Path: path, MaxSize: 1000, MaxFiles: 1}
	p := cfg.Probe(t.Context(), Deps{Source: "emea"})
	if len(p.Problems) > 0 || p.Grade != Acknowledged || !strings.Contains(p.Found[0], "emea.jsonl: will be created") {
		t.Errorf("Probe: %+v", p)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("the probe made %v", names)
	}
	if p := (&FileConfig{Path: dir}).Probe(t.Context(), Deps{}); len(p.Problems) != 1 {
		t.Errorf("Probe of a directory: %+v", p)
	}
}
