package docs

import (
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The count of what a receiver's file has goes through the rotated and packed ones too: what it left out would look lost.
func TestReceivers_CountWhatWasRotated(t *testing.T) {
	dir := t.TempDir()
	line := func(id string) string {
		return `<134>1 2026-11-02T00:00:00Z h sentinelone - - [s1@32473 id="` + id + `" version="` + strings.Repeat("0a", 16) + "\"] {}\n"
	}
	packed, err := os.Create(filepath.Join(dir, "threats.log.2.gz"))
	if err != nil {
		t.Fatal(err)
	}
	w := gzip.NewWriter(packed)
	if _, err := w.Write([]byte(line("1") + line("2"))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := packed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"threats.log.1": line("2") + line("3"), "threats.log": line("4")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, siem := range []string{"rsyslog", "syslog-ng"} {
		page, err := os.ReadFile(filepath.Join("..", "deploy", "siem", siem, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		count := ""
		for l := range strings.Lines(string(page)) {
			if strings.Contains(l, "/var/log/s1stream/threats.log*") {
				count = strings.ReplaceAll(l, "/var/log/s1stream", dir)
			}
		}
		out, err := exec.CommandContext(t.Context(), "sh", "-c", count).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "4" {
			t.Errorf("%s counts %q of 4 threats: %v", siem, out, err)
		}
	}
}
