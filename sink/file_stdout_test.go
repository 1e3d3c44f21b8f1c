package sink

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fileTestStdout is a sink on a standard output that was redirected to path, and what it logs.
func fileTestStdout(t *testing.T, path string, flags int) (*File, *bytes.Buffer) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	var log bytes.Buffer
	s, err := NewFileOn(FileConfig{Path: "-"}, Deps{Log: slog.New(slog.NewTextHandler(&log, nil))}, f)
	if err != nil {
		t.Fatal(err)
	}
	return s, &log
}

var fileRedirects = map[string]int{">": os.O_CREATE | os.O_TRUNC, ">>": os.O_CREATE | os.O_APPEND}

func TestFile_StandardOutputThatIsAFileIsFsynced(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s, err := NewFileOn(FileConfig{Path: "-"}, Deps{}, f)
	if err != nil {
		t.Fatal(err)
	}
	syncs := 0
	s.fsync = func(f *os.File) error { syncs++; return f.Sync() }
	fileWrite(t, s, "1\r\n2")
	fileWant(t, f.Name(), "1  2\n")
	if s.Grade() != Acknowledged || syncs != 1 {
		t.Errorf("grade %q and %d fsyncs, want acknowledged and 1", s.Grade(), syncs)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if _, err := f.WriteString("still open"); err != nil {
		t.Errorf("Close closed standard output: %v", err)
	}
}

func TestFile_StandardOutputKeepsNoTornLineWhenADiskIsFull(t *testing.T) {
	if fileAlone(t) {
		return
	}
	for redirect, flags := range fileRedirects {
		t.Run(redirect, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			s, _ := fileTestStdout(t, path, flags)
			fileWrite(t, s, "{1}")
			if err := fileWriteLimited(t, s, 10, "{2}", "{33333333333333}"); !errors.Is(err, unix.EFBIG) {
				t.Fatalf("Write: %v, want the limit", err)
			}
			fileWant(t, path, "{1}\n")
			// As standard error does in `2>&1`: no hole may be left.
			if _, err := s.stdout.f.WriteString("log\n"); err != nil {
				t.Fatal(err)
			}
			fileWrite(t, s, "{2}", "{33333333333333}")
			fileWant(t, path, "{1}\nlog\n{2}\n{33333333333333}\n")
		})
	}
}

func TestFile_StandardOutputIsCutBackAfterAFailedFsyncUnlessAnotherWroteToo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	s, _ := fileTestStdout(t, path, fileRedirects[">"])
	fileWrite(t, s, "{1}")
	fsync, also := s.fsync, ""
	s.fsync = func(f *os.File) error {
		_, err := f.WriteString(also)
		return errors.Join(unix.EIO, err)
	}
	if err := s.Write(t.Context(), fileTestRecords("{2}")); !errors.Is(err, unix.EIO) {
		t.Errorf("Write: %v, want the fsync's error", err)
	}
	fileWant(t, path, "{1}\n")
	also = "log\n"
	if err := s.Write(t.Context(), fileTestRecords("{2}")); !errors.Is(err, unix.EIO) {
		t.Errorf("Write: %v, want the fsync's error", err)
	}
	s.fsync = fsync
	fileWrite(t, s, "{2}")
	fileWant(t, path, "{1}\n{2}\nlog\n{2}\n")
}

func TestFile_StandardOutputDoesNotContinueATornLine(t *testing.T) {
	for name, tt := range map[string]struct{ before, kept string }{
		"whole lines":             {"{1}\n", "{1}\n"},
		"a torn line":             {"{1}\n{2", "{1}\n"},
		"zeros":                   {"{1}\n\x00\x00", "{1}\n"},
		"a line without end":      {"{1}\n{\"2\":2}", "{1}\n{\"2\":2}\n"},
		"a line that is not ours": {"precious", "precious\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "out")
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			s, _ := fileTestStdout(t, path, os.O_APPEND)
			fileWrite(t, s, "{new}")
			fileWrite(t, s, "{newer}")
			fileWant(t, path, tt.kept+"{new}\n{newer}\n")
		})
	}
}

func TestFile_StandardOutputIsNotCutWhileAnotherProcessWritesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	first, _ := fileTestStdout(t, path, fileRedirects[">>"])
	fileWrite(t, first, "{1}")
	if _, err := first.stdout.f.WriteString("{2"); err != nil { // just being written
		t.Fatal(err)
	}
	second, _ := fileTestStdout(t, path, fileRedirects[">>"])
	fileWrite(t, second, "{new}")
	fileWant(t, path, "{1}\n{2\n{new}\n")
}

func TestFile_StandardOutputThatIsDevNullIsWarnedOfOnce(t *testing.T) {
	s, log := fileTestStdout(t, os.DevNull, 0)
	fileWrite(t, s, "{1}")
	fileWrite(t, s, "{2}")
	if n := strings.Count(log.String(), "every event is discarded"); n != 1 || s.Grade() != BestEffort {
		t.Errorf("%d warnings and grade %q, want 1 and best-effort: %s", n, s.Grade(), log)
	}
	path := fileTestSink(t, FileConfig{Path: os.DevNull}) // asked for by name
	fileWrite(t, path, "{1}")
}

const fileChild = "S1STREAM_TEST_FILE_CHILD"

// This runs the test's own program once more, for what becomes of a closed descriptor is Go's doing at the start.
func TestFile_StandardOutputThatIsClosedIsDenied(t *testing.T) {
	if os.Getenv(fileChild) != "" {
		s := fileTestSink(t, FileConfig{Path: "-"})
		for range 2 {
			err := s.Write(t.Context(), fileTestRecords("{1}"))
			var denied *DeniedError
			if !errors.As(err, &denied) {
				println("not denied")
				continue
			}
			println("denied:", err.Error())
		}
		return
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `exec "$0" -test.run '^'"$1"'$' >&-`, os.Args[0], t.Name())
	cmd.Env = append(os.Environ(), fileChild+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	if got := stderr.String(); strings.Count(got, "denied: write standard output: it is closed") != 2 {
		t.Errorf("the writes: %q, want two denials", got)
	}
}
