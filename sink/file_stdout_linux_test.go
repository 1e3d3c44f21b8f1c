package sink

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// The seal keeps the file from being cut, as the attribute of an append-only log does.
func TestFile_StandardOutputThatCannotBeCutGetsALineEndFirst(t *testing.T) {
	if fileAlone(t) {
		return
	}
	fd, err := unix.MemfdCreate("out", unix.MFD_ALLOW_SEALING|unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "out")
	defer func() { _ = f.Close() }()
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		t.Fatal(err)
	}
	want := func(want string) {
		t.Helper()
		got := make([]byte, 1000)
		n, _ := f.ReadAt(got, 0)
		if string(got[:n]) != want {
			t.Errorf("the file has %q, want %q", got[:n], want)
		}
	}
	s, err := NewFileOn(FileConfig{Path: "-"}, Deps{}, f)
	if err != nil {
		t.Fatal(err)
	}
	fileWrite(t, s, "{1}")
	for range 2 { // the second finds no room at all
		if err := fileWriteLimited(t, s, 10, "{2}", "{33333333333333}"); !errors.Is(err, unix.EFBIG) {
			t.Fatalf("Write: %v, want the limit", err)
		}
		want("{1}\n{2}\n{3")
	}
	fileWrite(t, s, "{2}", "{33333333333333}")
	want("{1}\n{2}\n{3\n{2}\n{33333333333333}\n")

	again, err := NewFileOn(FileConfig{Path: "-"}, Deps{}, f) // as the next process
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("{4"); err != nil {
		t.Fatal(err)
	}
	fileWrite(t, again, "{5}")
	want("{1}\n{2}\n{3\n{2}\n{33333333333333}\n{4\n{5}\n")
}
