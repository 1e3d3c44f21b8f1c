package sink

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileStdout is standard output and what is known of it. The lines of one process share it, so a batch has it alone
// until it is whole: a line that cuts its own failed batch off must not cut another's good one.
type fileStdout struct {
	f *os.File

	mu     sync.Mutex
	looked bool // look has been done
	torn   bool // it ends within a line
	alone  bool // no other process writes it, as far as can be known; only then is it ever cut
}

// fileStandard is a global because os.Stdout is one.
var fileStandard = &fileStdout{f: os.Stdout}

func (s *File) writeStdout() error {
	o := s.stdout
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.look(s.deps.Log); err != nil {
		return err
	}
	if s.stream {
		if _, err := s.writeTo(o.f, &o.torn); err != nil {
			return fmt.Errorf("write %s: %w", s.name(), err)
		}
		return nil
	}
	// To the end, wherever it was: without O_APPEND (`>`, not `>>`) it may lie elsewhere, behind the end even if
	// somebody has emptied the file.
	start, err := o.f.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("find the end of %s: %w", s.name(), err)
	}
	torn := o.torn
	wrote, err := s.writeTo(o.f, &o.torn)
	if err != nil {
		err = fmt.Errorf("write %s: %w", s.name(), err)
	} else if err = s.fsync(o.f); err != nil {
		err = fmt.Errorf("fsync %s: %w", s.name(), err)
	}
	if err == nil {
		return nil
	}
	if o.undo(start, wrote) {
		o.torn = torn
	}
	return err
}

// undo cuts a batch off that did not become durable, and reports whether it did. Where it can't, torn tells the next
// batch to leave the piece a line of its own. Nor does it where more was added than the batch, as by a log in the
// same file: that is not ours to cut.
func (o *fileStdout) undo(start, wrote int64) bool {
	fi, err := o.f.Stat()
	return err == nil && o.alone && fi.Size() == start+wrote && o.cut(start) == nil
}

// cut ends the file at size and goes there: whoever else writes through the same open file without O_APPEND, as
// standard error in `> file 2>&1`, would otherwise leave a hole.
func (o *fileStdout) cut(size int64) error {
	if err := o.f.Truncate(size); err != nil {
		return err
	}
	_, err := o.f.Seek(size, io.SeekStart)
	return err
}

// look is done once, before the first batch: what it finds in a file may be what an earlier process left.
func (o *fileStdout) look(log *slog.Logger) error {
	if o.looked {
		return nil
	}
	fi, err := o.f.Stat()
	if err != nil {
		return fmt.Errorf("look at standard output: %w", err)
	}
	switch {
	case fi.Mode().IsRegular():
		o.mend(fi, log)
	case fileIsNull(fi):
		// Go opens /dev/null for a standard output that is closed, and does so for reading and writing, where a
		// shell opens it for writing alone (runtime/fds_unix.go).
		flags, err := unix.FcntlInt(o.f.Fd(), unix.F_GETFL, 0)
		if err == nil && flags&unix.O_ACCMODE == unix.O_RDWR {
			return &DeniedError{errors.New("write standard output: it is closed: start s1stream with one, or set path to a file; to discard every event, set path to \"/dev/null\"")}
		}
		log.Warn("standard output is /dev/null: every event is discarded")
	}
	o.looked = true
	return nil
}

// mend sees to it that the first line does not continue a torn one. Unlike a path, a file that is not ours is no
// mistake here, and so it only gets its line end.
func (o *fileStdout) mend(fi fs.FileInfo, log *slog.Logger) {
	// Not to keep others out, which a redirect does not promise, but to know whether a last line may be one that
	// another s1stream is just writing. It ends with the last descriptor of this open file.
	o.alone = unix.Flock(int(o.f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil //nolint:gosec // a descriptor fits an int
	if fi.Size() == 0 {
		return
	}
	tail, start, err := o.tail(fi)
	switch {
	case err == nil && tail == fileTailWhole:
	case err == nil && tail == fileTailTorn && o.alone && o.cut(start) == nil:
		log.Warn("cut off a torn last line", "path", "-", "bytes", fi.Size()-start)
	default: // where it can't be read either: an empty line is better than two lines in one
		o.torn = true
	}
}

// tail reads the end of the file. Standard output is rarely open for reading, so it is opened again.
func (o *fileStdout) tail(fi fs.FileInfo) (tail fileTail, start int64, err error) {
	r, err := os.Open(fmt.Sprintf("/dev/fd/%d", o.f.Fd()))
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = r.Close() }()
	if again, err := r.Stat(); err != nil || !os.SameFile(fi, again) {
		return 0, 0, errors.Join(err, fs.ErrInvalid)
	}
	return fileReadTail(r, fi.Size())
}

// fileIsNull compares devices, not files: a container has a /dev/null of its own beside the one it was given.
func fileIsNull(fi fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	if err != nil || fi.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	a, ok := fi.Sys().(*syscall.Stat_t)
	b, okToo := null.Sys().(*syscall.Stat_t)
	return ok && okToo && a.Rdev == b.Rdev
}
