package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"s1stream/sink/format"
)

const (
	filePiece     = 256 << 10       // bytes of one write
	fileKeep      = 8 << 20         // a larger buffer is not kept for the next batch
	fileCloseWait = 2 * time.Second // for a write that hangs, as on a pipe that nobody reads
)

// File writes JSON lines to a file or to standard output.
//
// In a regular file, standard output included, an ack means fsynced. A batch is a few writes and one fsync; if any
// fails, the file is cut back to where the batch began, so that no torn line stays. On a pipe, a terminal or a
// device an ack means that the kernel has it. Where a piece of a line stays after all, the next write begins with
// a line end: the piece becomes a line of its own.
//
// Writes to files know no context. Each therefore has a goroutine that Write waits for, and if ctx ends first,
// the next Write waits for it before anything else: the goroutine alone touches what is below busy.
type File struct {
	cfg    FileConfig
	deps   Deps
	path   string      // resolved; "-" for standard output
	stdout *fileStdout // what "-" stands for
	stream bool        // a pipe, a terminal or a device: no fsync, no rotation, no lock
	fsync  func(*os.File) error

	busy chan error // gets the result of the write under way; nil if there is none

	records []Record // of the write under way

	buf   []byte
	f     *os.File // nil while not open
	lock  *os.File
	fresh bool // the name of f is not known to be on disk
	torn  bool // what path names ends within a line
}

var _ Sink = (*File)(nil)

// NewFile opens nothing: a disk that is missing is the first Write's error, and may be back by the second.
func NewFile(cfg FileConfig, d Deps) (*File, error) { return newFile(cfg, d, fileStandard) }

func newFile(cfg FileConfig, d Deps, stdout *fileStdout) (*File, error) {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	s := &File{cfg: cfg, deps: d, path: cfg.resolve(d), stdout: stdout, fsync: (*os.File).Sync}
	if s.path == "-" {
		fi, err := stdout.f.Stat()
		if err != nil {
			return nil, fmt.Errorf("path: standard output is closed: %w", err)
		}
		s.stream = !fi.Mode().IsRegular()
	} else {
		s.stream = fileIsStream(s.path)
	}
	return s, nil
}

// Grade implements Sink.
func (s *File) Grade() Grade {
	if s.stream {
		return BestEffort
	}
	return Acknowledged
}

// Write implements Sink. It takes all of a batch or none of it. A missing directory, a lack of permission, a lock
// that another holds, a file that is not ours and a standard output that is closed are *DeniedError.
func (s *File) Write(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	if err := s.wait(ctx); err != nil {
		return err
	}
	s.records = records
	done := make(chan error, 1)
	s.busy = done
	go func() { done <- s.guarded() }()
	select {
	case err := <-done:
		s.busy = nil
		return err
	case <-ctx.Done():
		return fmt.Errorf("write %s: %w", s.name(), ctx.Err())
	}
}

// wait waits for a write that an earlier ctx did not wait for. Its result comes too late to count.
func (s *File) wait(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("write %s: %w", s.name(), err)
	}
	if s.busy == nil {
		return nil
	}
	select {
	case <-s.busy:
		s.busy = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("write %s: an earlier write still hangs: %w", s.name(), ctx.Err())
	}
}

// Close implements Sink. A write that hangs is waited for briefly; it ends with the process.
func (s *File) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), fileCloseWait)
	defer cancel()
	if err := s.wait(ctx); err != nil {
		return err
	}
	return errors.Join(s.release(), s.unlock())
}

// guarded is the write, with a panic as an unknown outcome: the line can't guard another goroutine.
func (s *File) guarded() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("write %s: panic: %v", s.name(), p)
		}
	}()
	switch {
	case s.path == "-":
		return s.writeStdout()
	case s.stream:
		return s.writeStream()
	}
	return s.writeFile()
}

// batchSize is what the batch takes in the file.
func (s *File) batchSize() int64 {
	size := int64(0)
	for _, r := range s.records {
		size += int64(len(r.Body)) + 1
	}
	return size
}

// writeTo writes the batch as lines, a piece at a time: what was just copied is still in the processor's cache when
// the kernel copies it again. It returns how many bytes f has taken, and keeps torn, which says of f that it ends
// within a line: a line end comes first then.
func (s *File) writeTo(f *os.File, torn *bool) (wrote int64, err error) {
	s.buf = s.buf[:0]
	if cap(s.buf) > fileKeep {
		s.buf = nil
	}
	if *torn {
		s.buf = append(s.buf, '\n')
	}
	for i, r := range s.records {
		start := len(s.buf)
		s.buf = append(s.buf, r.Body...)
		format.Flatten(s.buf[start:])
		s.buf = append(s.buf, '\n')
		if len(s.buf) < filePiece && i < len(s.records)-1 {
			continue
		}
		n, err := f.Write(s.buf)
		wrote += int64(n)
		if n > 0 {
			*torn = s.buf[n-1] != '\n'
		}
		if err != nil {
			return wrote, err
		}
		s.buf = s.buf[:0]
	}
	return wrote, nil
}

func (s *File) writeStream() error {
	if s.f == nil {
		// Without O_NONBLOCK the open of a pipe would wait until somebody reads it.
		f, err := os.OpenFile(s.path, os.O_WRONLY|os.O_APPEND|fileNonblock, 0)
		if err != nil {
			return fileError("open", err)
		}
		s.f = f
	}
	if _, err := s.writeTo(s.f, &s.torn); err != nil {
		return errors.Join(fileError("write", err), s.release())
	}
	return nil
}

// writeFile appends the batch and makes it durable, or leaves the file as it was.
func (s *File) writeFile() error {
	size, err := s.ready()
	if err != nil {
		return err
	}
	if s.cfg.MaxSize > 0 && size > 0 && size+s.batchSize() > int64(s.cfg.MaxSize) {
		if err := s.rotate(); err != nil {
			return err
		}
		if size, err = s.ready(); err != nil {
			return err
		}
	}
	if _, err := s.writeTo(s.f, &s.torn); err != nil {
		return s.undo(size, fileError("write", err))
	}
	if err := s.fsync(s.f); err != nil {
		// Whether the pages are on disk can't be asked again of this descriptor: it may answer yes wrongly.
		return s.undo(size, fileError("fsync", err))
	}
	if err := s.syncDirOnce(); err != nil {
		return s.undo(size, err)
	}
	return nil
}

// undo cuts a batch off that did not become durable, and closes the file; the next Write opens it anew.
func (s *File) undo(size int64, cause error) error {
	if err := s.f.Truncate(size); err != nil {
		cause = errors.Join(cause, fileError("cut back", err)) // the next open mends at least the torn line
	}
	return errors.Join(cause, s.release())
}

func (s *File) release() error {
	if s.f == nil {
		return nil
	}
	f := s.f
	s.f = nil
	return f.Close()
}

func (s *File) name() string {
	if s.path == "-" {
		return "standard output"
	}
	return s.path
}

// fileError says what could not be done. What an operator must change is a *DeniedError.
func fileError(verb string, err error) error {
	remedy := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		remedy = ": give s1stream's user the right to write there"
	case errors.Is(err, fs.ErrNotExist):
		remedy = ": create the directory"
	case errors.Is(err, fileReadOnly):
		remedy = ": the file system is read-only"
	case errors.Is(err, fileNoReader):
		remedy = ": nobody reads the pipe"
	case errors.Is(err, fileIsDir), errors.Is(err, fileNotDir):
		remedy = ": path must name a file in a directory"
	default:
		return fmt.Errorf("%s: %w", verb, err)
	}
	return &DeniedError{fmt.Errorf("%s: %w%s", verb, err, remedy)}
}
