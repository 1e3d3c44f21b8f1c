package sink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
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

func TestFile_AStalledPipeHoldsNeitherWriteNorClose(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewFileOn(FileConfig{Path: "-"}, Deps{}, w)
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

// fileWriteShort writes more than a pipe holds, and lets the write fail once r has a part of it.
func fileWriteShort(t *testing.T, s *File, w *os.File, r *bufio.Reader, body string) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- s.Write(t.Context(), fileTestRecords(body)) }()
	if _, err := r.Peek(1); err != nil {
		t.Fatal(err)
	}
	if err := w.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("Write: %v, want the deadline", err)
	}
}

// fileReadLines reads n lines in a goroutine.
func fileReadLines(r *bufio.Reader, n int) <-chan []string {
	done := make(chan []string, 1)
	go func() {
		got := make([]string, n)
		for i := range got {
			got[i], _ = r.ReadString('\n') // what is missing shows in the comparison
		}
		done <- got
	}()
	return done
}

// fileReader reads a pipe, for some seconds at most.
func fileReader(t *testing.T, r *os.File) *bufio.Reader {
	t.Helper()
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return bufio.NewReader(r)
}

func TestFile_BeginsALineAnewAfterAPieceOfOneWentDownAPipe(t *testing.T) {
	big := "{" + strings.Repeat("x", 1<<20)
	check := func(t *testing.T, got []string) {
		t.Helper()
		if !strings.HasPrefix(big, strings.TrimSuffix(got[0], "\n")) || len(got[0]) < 2 {
			t.Errorf("the first line has %d bytes, want a piece of the first event alone", len(got[0]))
		}
		if d := cmp.Diff([]string{"{1}\n", "{2}\n"}, got[1:]); d != "" {
			t.Errorf("the next lines (-want +got):\n%s", d)
		}
	}
	t.Run("standard output", func(t *testing.T) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		defer func() { _ = w.Close() }()
		out := &fileStdout{f: w}
		s, err := newFile(FileConfig{Path: "-"}, Deps{}, out)
		if err != nil {
			t.Fatal(err)
		}
		other, err := newFile(FileConfig{Path: "-"}, Deps{}, out) // the line of another source
		if err != nil {
			t.Fatal(err)
		}
		lines := fileReader(t, r)
		fileWriteShort(t, s, w, lines, big)
		if err := w.SetWriteDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		done := fileReadLines(lines, 3)
		fileWrite(t, other, "{1}")
		fileWrite(t, s, "{2}")
		check(t, <-done)
	})
	t.Run("a named pipe", func(t *testing.T) {
		fifo := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := os.OpenFile(fifo, os.O_RDWR|unix.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		s := fileTestSink(t, FileConfig{Path: fifo})
		lines := fileReader(t, r)
		fileWrite(t, s, "{0}")
		<-fileReadLines(lines, 1)
		fileWriteShort(t, s, s.f, lines, big)
		done := fileReadLines(lines, 3)
		fileWrite(t, s, "{1}")
		fileWrite(t, s, "{2}")
		check(t, <-done)
	})
}

func TestFile_SaysWhenNobodyReadsOrNothingFits(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	defer func() { _ = w.Close() }()
	s, err := NewFileOn(FileConfig{Path: "-"}, Deps{}, w)
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
