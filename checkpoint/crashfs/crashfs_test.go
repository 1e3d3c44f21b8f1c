package crashfs_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// outcomes collects what path holds after many power cuts: its content, or "gone".
func outcomes(fsys *crashfs.FS, path string) map[string]bool {
	seen := map[string]bool{}
	for seed := range uint64(400) {
		b, err := fsys.Crash(rand.New(rand.NewPCG(seed, 0))).ReadFile(path)
		if err != nil {
			b = []byte("gone")
		}
		seen[string(b)] = true
	}
	return seen
}

func create(t *testing.T, fsys *crashfs.FS, name, content string) checkpoint.Handle {
	t.Helper()
	h, err := fsys.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	must(t, err)
	_, err = io.WriteString(h, content)
	must(t, err)
	return h
}

func TestCrash_TearsWhatWasNotSynced(t *testing.T) {
	fsys := crashfs.New()
	create(t, fsys, "f", "abcd")
	must(t, fsys.SyncDir("/"))
	want := map[string]bool{"": true, "abcd": true, "a": true, "ab": true, "abc": true,
		"a\x00\x00\x00": true, "ab\x00\x00": true, "abc\x00": true, "\x00\x00\x00\x00": true}
	if diff := cmp.Diff(want, outcomes(fsys, "f")); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestCrash_ReordersSectors(t *testing.T) {
	fsys := crashfs.New()
	create(t, fsys, "f", strings.Repeat("a", 1024))
	must(t, fsys.SyncDir("/"))
	if hole := strings.Repeat("\x00", 512) + strings.Repeat("a", 512); !outcomes(fsys, "f")[hole] {
		t.Error("the second sector never arrived without the first")
	}
}

func TestCrash_KeepsWhatWasSynced(t *testing.T) {
	for name, tt := range map[string]struct {
		then func(checkpoint.Handle) error
		want map[string]bool
	}{
		"at once":                     {func(checkpoint.Handle) error { return nil }, map[string]bool{"abcd": true}},
		"before an unsynced Truncate": {func(h checkpoint.Handle) error { return h.Truncate(2) }, map[string]bool{"abcd": true, "ab": true}},
	} {
		fsys := crashfs.New()
		h := create(t, fsys, "f", "abcd")
		must(t, h.Sync())
		must(t, fsys.SyncDir("/"))
		must(t, tt.then(h))
		if diff := cmp.Diff(tt.want, outcomes(fsys, "f")); diff != "" {
			t.Errorf("%s: outcomes (-want +got):\n%s", name, diff)
		}
	}
}

func TestCrash_UndoesNamesThatWereNotSynced(t *testing.T) {
	for synced, tests := range map[bool]map[string]map[string]bool{
		false: {"main": {"old": true, "new": true}, "prev": {"old": true, "gone": true}, "tmp": {"new": true, "gone": true}},
		true:  {"main": {"new": true}, "prev": {"old": true}, "tmp": {"gone": true}},
	} {
		fsys := crashfs.New()
		must(t, create(t, fsys, "main", "old").Sync())
		must(t, fsys.SyncDir("/"))
		must(t, create(t, fsys, "tmp", "new").Sync())
		must(t, fsys.Link("main", "prev"))
		must(t, fsys.Rename("tmp", "main"))
		if synced {
			must(t, fsys.SyncDir("/"))
		}
		for path, want := range tests {
			if diff := cmp.Diff(want, outcomes(fsys, path)); diff != "" {
				t.Errorf("%s, synced %t (-want +got):\n%s", path, synced, diff)
			}
		}
	}
}

func TestSync_GivesPagesUpWhenItFails(t *testing.T) {
	fsys := crashfs.New()
	h := create(t, fsys, "f", "one")
	must(t, h.Sync())
	must(t, fsys.SyncDir("/"))
	_, err := io.WriteString(h, "two")
	must(t, err)
	fsys.FailNth(1, crashfs.Fault{Err: syscall.EIO}, false)
	if err := h.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Sync: %v", err)
	}
	must(t, h.Sync()) // the kernel says that all is well
	if b, err := fsys.ReadFile("f"); err != nil || string(b) != "onetwo" {
		t.Errorf("reads back %q, %v", b, err)
	}
	if got := outcomes(fsys, "f"); !cmp.Equal(got, map[string]bool{"one\x00\x00\x00": true}) {
		t.Errorf("on disk: %v", got)
	}
}

func TestCrash_KillsTheOldFileSystem(t *testing.T) {
	fsys := crashfs.New()
	h := create(t, fsys, "f", "a")
	disk := fsys.Crash(rand.New(rand.NewPCG(1, 1)))
	if _, err := io.WriteString(h, "b"); !errors.Is(err, crashfs.ErrPowerOff) {
		t.Errorf("wrote after the power cut: %v", err)
	}
	if err := fsys.Remove("f"); !errors.Is(err, crashfs.ErrPowerOff) {
		t.Errorf("removed after the power cut: %v", err)
	}
	create(t, disk, "g", "a")
}

func TestWrite_IsShortWhenItFails(t *testing.T) {
	fsys := crashfs.New()
	h := create(t, fsys, "f", "")
	fsys.FailNth(1, crashfs.Fault{Err: syscall.ENOSPC}, true)
	if n, err := io.WriteString(h, "abcd"); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("wrote %d, %v", n, err)
	}
	fsys.SetFault(nil)
	must(t, h.Close())
	if n, err := io.WriteString(h, "abcd"); n != 0 || !errors.Is(err, fs.ErrClosed) {
		t.Errorf("wrote %d to a closed file, %v", n, err)
	}
	if b, err := fsys.ReadFile("f"); err != nil || string(b) != "ab" {
		t.Errorf("holds %q, %v", b, err)
	}
}

// TestFS_AnswersAsTheRealOneDoes gives both the same calls by chance and compares every answer.
func TestFS_AnswersAsTheRealOneDoes(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		var model, system checkpoint.FS = crashfs.New(), checkpoint.OS{}
		root := t.TempDir()
		must(t, model.Mkdir("/d", 0o700))
		must(t, system.Mkdir(filepath.Join(root, "d"), 0o700))
		names := []string{"a", "b", "c", "d/a", "d/b", "d", "x/y", "a/b"}
		for step := range 120 {
			op, x, y, n := r.IntN(9), names[r.IntN(len(names))], names[r.IntN(len(names))], r.IntN(9)
			isDir := func(name string) bool {
				fi, err := os.Stat(filepath.Join(root, name))
				return err == nil && fi.IsDir()
			}
			if op == 3 && (filepath.Dir(x) != filepath.Dir(y) || isDir(x) || isDir(y)) || op == 5 && isDir(x) {
				continue // what the model leaves out: directories that move or go
			}
			want := call(system, root, op, x, y, n)
			got := call(model, "", op, x, y, n)
			if want != got {
				t.Fatalf("seed %d step %d: operation %d on %s and %s: the model says %s, the system %s", seed, step, op, x, y, got, want)
			}
		}
	}
}

// call does one thing and says in text what came of it.
func call(fsys checkpoint.FS, root string, op int, x, y string, n int) string {
	x, y = filepath.Join(root, "/", x), filepath.Join(root, "/", y)
	var err error
	out := ""
	switch op {
	case 0:
		var b []byte
		b, err = fsys.ReadFile(x)
		out = string(b)
	case 1, 2:
		flag := os.O_RDWR | os.O_CREATE | os.O_APPEND
		if op == 2 {
			flag |= os.O_EXCL
		}
		var h checkpoint.Handle
		if h, err = fsys.OpenFile(x, flag, 0o600); err != nil {
			break
		}
		written, werr := io.WriteString(h, strings.Repeat("z", n))
		fi, serr := h.Stat()
		terr := h.Truncate(fi.Size() / 2)
		b := make([]byte, n)
		read, rerr := h.ReadAt(b, 1)
		named, nerr := fsys.Stat(x)
		out = fmt.Sprint(written, werr, fi.Size(), serr, terr, read, rerr, nerr, fsys.SameFile(fi, named), h.Sync(), h.Close())
	case 3:
		err = fsys.Rename(x, y)
	case 4:
		err = fsys.Link(x, y)
	case 5:
		err = fsys.Remove(x)
	case 6:
		err = fsys.Mkdir(x, 0o700)
	case 7:
		var fi fs.FileInfo
		if fi, err = fsys.Stat(x); err == nil && !fi.IsDir() {
			out = fmt.Sprint(fi.Name(), fi.Size(), fi.Mode())
		}
	default:
		var names []string
		if names, err = fsys.ReadDir(filepath.Dir(x)); err == nil {
			out = fmt.Sprint(names, fsys.SyncDir(filepath.Dir(x)))
		}
	}
	var errno syscall.Errno
	if err != nil && !errors.As(err, &errno) {
		return out + " unexpected: " + err.Error()
	}
	return fmt.Sprint(out, " ", errno)
}
