package sink

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestFile_WritesToANamedPipe(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(fifo, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	s := fileTestSink(t, FileConfig{Path: fifo})
	if s.Grade() != BestEffort {
		t.Errorf("Grade() = %q: nothing is stored", s.Grade())
	}
	fileWrite(t, s, "1")
	got := make([]byte, 2)
	if _, err := io.ReadFull(r, got); err != nil || string(got) != "1\n" {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestFile_StandardOutputThatIsAFileIsFsynced(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	s, err := newFile(FileConfig{Path: "-"}, Deps{}, f)
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

func TestFile_AStalledPipeHoldsNeitherWriteNorClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newFile(FileConfig{Path: "-"}, Deps{}, w)
	if err != nil {
		t.Fatal(err)
	}
	big := strings.Repeat("x", 1<<20) // more than a pipe holds
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.Write(ctx, fileTestRecords(big)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write: %v, want the deadline", err)
		}
		cancel()
	}
	if err := s.Close(); err == nil {
		t.Error("Close said nothing of a write that hangs")
	}
	done := make(chan []byte)
	go func() {
		b, _ := io.ReadAll(r)
		done <- b
	}()
	fileWrite(t, s, "small")
	_ = w.Close()
	want := big + "\nsmall\n" // what hung came out whole, and nothing within it
	if got := <-done; !bytes.Equal(got, []byte(want)) {
		t.Errorf("the reader got %d bytes, want %d", len(got), len(want))
	}
	_ = r.Close()
}

func TestFile_SaysWhenNobodyReadsOrNothingFits(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer func() { _ = w.Close() }()
	s, err := newFile(FileConfig{Path: "-"}, Deps{}, w)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), fileTestRecords("1")); !errors.Is(err, unix.EPIPE) {
		t.Errorf("Write to a pipe without a reader: %v", err)
	}
	full := fileTestSink(t, FileConfig{Path: "/dev/full"})
	for range 2 {
		if err := full.Write(t.Context(), fileTestRecords("1")); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("Write to a full device: %v", err)
		}
	}
}
