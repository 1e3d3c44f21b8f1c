package safe

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// What never ends or never begins would hang a start; what is huge would take the memory.
func TestReadFile_RefusesWhatIsNoRegularFileAtOnce(t *testing.T) {
	dir := t.TempDir()
	pipe, large, full := filepath.Join(dir, "pipe"), filepath.Join(dir, "large"), filepath.Join(dir, "full")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for file, size := range map[string]int{large: maxSecret + 1, full: maxSecret} {
		if err := os.WriteFile(file, bytes.Repeat([]byte("x"), size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{
		"/dev/zero": "is a device",
		pipe:        "is a pipe",
		dir:         "is a directory",
		large:       "is larger than 64 KiB",
	} {
		if s, err := ReadSecret("", file); err == nil || !strings.Contains(err.Error(), want) || s != "" {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
	for text, want := range map[string]string{" \n\n": "is empty", "one\x00\n": "must be text"} {
		if err := os.WriteFile(large, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := ReadSecrets(large); err == nil || !strings.Contains(err.Error(), want) || s != nil {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if s, err := ReadSecret("", full); err != nil || len(s.Reveal()) != maxSecret {
		t.Errorf("a file of the largest size: %d bytes, %v", len(s.Reveal()), err)
	}
}
