package sink

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"s1stream/internal/event"
	"s1stream/sink/format"
)

func fileTestSink(t *testing.T, cfg FileConfig) *File {
	t.Helper()
	s, err := NewFile(cfg, Deps{Name: "archive", Source: "emea"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func fileTestRecords(bodies ...string) []Record {
	var out []Record
	for _, b := range bodies {
		out = append(out, Record{Body: []byte(b), Event: &event.Event{Raw: []byte(b), ID: b}})
	}
	return out
}

func fileWrite(t *testing.T, s *File, bodies ...string) {
	t.Helper()
	if err := s.Write(t.Context(), fileTestRecords(bodies...)); err != nil {
		t.Fatal(err)
	}
}

func fileWant(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", filepath.Base(path), d)
	}
}

func TestFile_CutsATornLastLineOff(t *testing.T) {
	long := "{" + strings.Repeat("y", 3*fileTailStep)
	for name, tt := range map[string]struct{ before, kept string }{
		"nothing there":                 {"", ""},
		"whole lines":                   {"{1}\n{2}\n", "{1}\n{2}\n"},
		"a torn line":                   {"{1}\n{2}\n{3", "{1}\n{2}\n"},
		"a torn line alone":             {"{3", ""},
		"zeros that a crash left":       {"{1}\n\x00\x00\x00", "{1}\n"},
		"a torn line of several blocks": {"{1}\n" + long, "{1}\n"},
		"a line end at a block's edge":  {"{1}\n" + long[:fileTailStep], "{1}\n"},
		"a line that lacks its end":     {"{1}\n{\"2\":2}", "{1}\n{\"2\":2}\n"},
		"a torn line that ends in }":    {"{1}\n{\"2\":{}", "{1}\n"},
		"a torn line of CEF":            {"CEF:0|a\nCEF:0|SentinelOne|Singularity|1.0|s1.threat.cre", "CEF:0|a\n"},
		"a torn line of LEEF alone":     {"LEEF:2.0|SentinelOne|Singularity|1.0|Thr", ""},
		"a little of a line of LEEF":    {"{1}\nLEEF:1.0|Se", "{1}\n"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(tt.before), 0o600); err != nil {
				t.Fatal(err)
			}
			fileWrite(t, fileTestSink(t, FileConfig{Path: path}), "{new}")
			fileWant(t, path, tt.kept+"{new}\n")
		})
	}
}

// What the encoders write is what a torn line is known by.
func TestFile_KnowsATornLineOfEachTextFormat(t *testing.T) {
	for _, of := range [][2]string{{"cef", "0"}, {"cef", "1"}, {"leef", "1.0"}, {"leef", "2.0"}} {
		encode, err := format.New(of[0], format.Options{Version: of[1]}, "console.example.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		line, _, err := encode(nil, syslogEvent("1", 1, ""), 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, torn := range []int{4, 20, len(line) / 2, len(line)} {
			tail, start, err := fileReadTail(strings.NewReader("{1}\n"+string(line[:torn])), int64(len("{1}\n")+torn))
			if tail != fileTailTorn || start != int64(len("{1}\n")) || err != nil {
				t.Errorf("%s %s after %d bytes: tail %v from %d, %v; want torn from 4", of[0], of[1], torn, tail, start, err)
			}
		}
	}
}

func TestFile_LeavesALastLineAloneThatIsNoneOfOurs(t *testing.T) {
	for name, before := range map[string]string{
		"text":              "precious data no newline",
		"text after a line": "{\"ours\":1}\nprecious",
		"a JSON document":   "{\n  \"precious\": 1\n}",
		"zeros, then data":  "{1}\n\x00\x00precious",
		"several blocks":    strings.Repeat("y", 2*fileTailStep) + "{1}",
		"CEF of another":    "{1}\nCEF:0|Precious|Product|1.0|",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "f")
			if err := os.WriteFile(path, []byte(before), 0o600); err != nil {
				t.Fatal(err)
			}
			s := fileTestSink(t, FileConfig{Path: path})
			err := s.Write(t.Context(), fileTestRecords("{}"))
			var denied *DeniedError
			if !errors.As(err, &denied) || !strings.Contains(err.Error(), "move it away") {
				t.Errorf("Write: %v, want a DeniedError that says what to do", err)
			}
			fileWant(t, path, before)
			if p := s.cfg.Probe(t.Context(), Deps{}); len(p.Problems) != 1 {
				t.Errorf("Probe: %+v, want a problem", p)
			}
			if err := os.WriteFile(path, []byte(before+"\n"), 0o600); err != nil { // the operator ends it
				t.Fatal(err)
			}
			fileWrite(t, s, "{}")
			fileWant(t, path, before+"\n{}\n")
		})
	}
}

func TestFile_LeavesAFileAloneThatIsNoneOfOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	const size = fileTailMax + 3*fileTailStep
	if err := os.Truncate(path, size); err != nil { // a hole: it takes no room
		t.Fatal(err)
	}
	err := fileTestSink(t, FileConfig{Path: path}).Write(t.Context(), fileTestRecords("{}"))
	var denied *DeniedError
	if !errors.As(err, &denied) {
		t.Errorf("Write: %v, want a DeniedError", err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Size() != size {
		t.Errorf("the file has changed: %v, %v", fi.Size(), err)
	}
}

func TestFile_BeginsAnewWhenItsFileIsRenamedOrRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "dir", "f")
	s := fileTestSink(t, FileConfig{Path: path})
	fileWrite(t, s, "0")
	if err := os.RemoveAll(filepath.Dir(path)); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, s, "1")
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, s, "2")
	fileWant(t, path+".old", "1\n")
	fileWant(t, path, "2\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, s, "3")
	fileWant(t, path, "3\n")
	if err := os.Truncate(path, 0); err != nil { // logrotate's copytruncate
		t.Fatal(err)
	}
	fileWrite(t, s, "4")
	fileWant(t, path, "4\n")
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm()&^0o640 != 0 {
		t.Errorf("mode %v, %v; want 0640 at most", fi.Mode(), err)
	}
}

func TestFile_RotatesBySizeAndKeepsSoMany(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	s := fileTestSink(t, FileConfig{Path: path, MaxSize: 10, MaxFiles: 2})
	fileWrite(t, s, "1234", "5678") // as large as allowed
	fileWant(t, path, "1234\n5678\n")
	fileWrite(t, s, "a")
	fileWrite(t, s, "b")
	fileWant(t, path, "a\nb\n")
	fileWant(t, path+".1", "1234\n5678\n")
	fileWrite(t, s, "larger than a whole file")
	fileWrite(t, s, "c")
	fileWant(t, path, "c\n")
	fileWant(t, path+".1", "larger than a whole file\n")
	fileWant(t, path+".2", "a\nb\n")
	if names, _ := filepath.Glob(path + "*"); len(names) != 3 {
		t.Errorf("files: %v, want three", names)
	}
	// A crash between two renames leaves a gap. It is filled, and nothing is deleted for it.
	if err := os.Rename(path+".1", path+".9"); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, s, "123456789")
	fileWant(t, path+".1", "c\n")
	fileWant(t, path+".2", "a\nb\n")
}

func TestFile_HasOneWriter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	first := fileTestSink(t, FileConfig{Path: path})
	fileWrite(t, first, "1")
	second, err := NewFile(FileConfig{Path: path}, Deps{Name: "other", Source: "apac"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = second.Close() }()
	err = second.Write(t.Context(), fileTestRecords("2"))
	var denied *DeniedError
	if want := fmt.Sprintf("process %d, sink archive, source emea", os.Getpid()); !errors.As(err, &denied) || !strings.Contains(err.Error(), want) {
		t.Errorf("Write beside another writer: %v, want a denial that names %q", err, want)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, second, "2")
	fileWant(t, path, "1\n2\n")
}

// fileAlone runs the test once more in a process of its own, whose limits bind nobody else, and reports whether
// that was done: in that process it does nothing.
func fileAlone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(fileChild) != "" {
		return false
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.v", "-test.run", "^"+t.Name()+"$") //nolint:gosec // this very test
	cmd.Env = append(os.Environ(), fileChild+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a process of its own: %v\n%s", err, out)
	}
	return true
}

// fileWriteLimited writes while no file may become larger than limit bytes: the kernel stops a write there in the
// middle of a line, as a full disk does. The limit is the whole process's: see fileAlone.
func fileWriteLimited(t *testing.T, s *File, limit uint64, bodies ...string) error {
	t.Helper()
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	err := s.Write(t.Context(), fileTestRecords(bodies...))
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &was); err != nil {
		t.Fatal(err)
	}
	return err
}

func TestFile_LeavesNoTornLineWhenADiskIsFull(t *testing.T) {
	if fileAlone(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "f")
	s := fileTestSink(t, FileConfig{Path: path})
	fileWrite(t, s, "1")
	err := fileWriteLimited(t, s, 10, "22", "3333333333333333")
	var denied *DeniedError
	if !errors.Is(err, unix.EFBIG) || errors.As(err, &denied) {
		t.Errorf("Write: %v, want a failure that may pass", err)
	}
	fileWant(t, path, "1\n")
	fileWrite(t, s, "22", "3333333333333333")
	fileWant(t, path, "1\n22\n3333333333333333\n")
}

func TestFile_DoesNotTrustADescriptorWhoseFsyncFailed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	s := fileTestSink(t, FileConfig{Path: path})
	var synced []*os.File
	fail := false
	s.fsync = func(f *os.File) error {
		synced = append(synced, f)
		if fail {
			return unix.EIO
		}
		return f.Sync()
	}
	fileWrite(t, s, "1", "2", "3")
	if len(synced) != 1 {
		t.Errorf("%d fsyncs for a batch, want 1", len(synced))
	}
	fail = true
	if err := s.Write(t.Context(), fileTestRecords("4")); !errors.Is(err, unix.EIO) {
		t.Errorf("Write: %v, want the fsync's error", err)
	}
	fileWant(t, path, "1\n2\n3\n")
	fail = false
	fileWrite(t, s, "4")
	fileWant(t, path, "1\n2\n3\n4\n")
	if synced[2] == synced[1] {
		t.Error("the descriptor whose fsync failed was used again")
	}
}

// A directory that can't be fsynced keeps the ack back. Tried again and again, the batch must not pile up in the file.
func TestFile_KeepsNoBatchWhoseNameIsNotOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	path := filepath.Join(dir, "f")
	s := fileTestSink(t, FileConfig{Path: path})
	s.fsync = func(f *os.File) error {
		return errors.Join(f.Sync(), os.Rename(dir, dir+".away"))
	}
	for range 3 {
		if err := s.Write(t.Context(), fileTestRecords("{1}", "{2}")); err == nil {
			t.Fatal("acknowledged while the directory can't be fsynced")
		}
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
	}
	s.fsync = (*os.File).Sync
	fileWrite(t, s, "{1}", "{2}")
	fileWant(t, path, "{1}\n{2}\n")
}

func TestFile_IsDeniedWhatAnOperatorMustMend(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "plain"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a directory":                    dir,
		"below a file":                   filepath.Join(dir, "plain", "f"),
		"a pipe that nobody has":         fifo,
		"a directory that can't be made": filepath.Join("/proc", "s1stream", "f"),
	} {
		t.Run(name, func(t *testing.T) {
			s := fileTestSink(t, FileConfig{Path: path})
			err := s.Write(t.Context(), fileTestRecords("1"))
			var denied *DeniedError
			if !errors.As(err, &denied) {
				t.Errorf("Write: %v, want a DeniedError", err)
			}
		})
	}
}
