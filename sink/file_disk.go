package sink

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"s1stream/internal/safe"
)

const (
	fileMode     = 0o640
	fileNonblock = unix.O_NONBLOCK
	fileReadOnly = unix.EROFS
	fileNoReader = unix.ENXIO
	fileIsDir    = unix.EISDIR
	fileNotDir   = unix.ENOTDIR
)

// ready sees to it that s.f is the file that path names now, locked, ending with a whole line, and returns
// its size. A file that was renamed or removed under us (logrotate does so) is left and a new one begun.
func (s *File) ready() (int64, error) {
	if s.f != nil {
		size, same, err := s.current()
		if err == nil && same {
			return size, nil
		}
		if err := errors.Join(err, s.release()); err != nil {
			return 0, fileError("reopen", err)
		}
	}
	if err := s.takeLock(); err != nil {
		return 0, err
	}
	f, err := s.open()
	if errors.Is(err, fs.ErrNotExist) { // the directory was removed under us, and the lock in it
		if err := errors.Join(s.unlock(), s.takeLock()); err != nil {
			return 0, err
		}
		f, err = s.open()
	}
	if err != nil {
		return 0, fileError("open", err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = &DeniedError{fmt.Errorf("open %s: is no regular file any more: restart s1stream if that is meant", s.path)}
	}
	size := int64(0)
	if err == nil {
		size, err = s.mend(f, fi.Size())
	}
	if err != nil {
		return 0, errors.Join(err, f.Close())
	}
	s.f, s.fresh, s.torn = f, true, false
	return size, nil
}

// open opens the file. O_NONBLOCK: should a pipe have taken its place, that must not wait for a reader.
func (s *File) open() (*os.File, error) {
	return os.OpenFile(s.path, os.O_RDWR|os.O_APPEND|os.O_CREATE|fileNonblock, fileMode)
}

// current returns the size of s.f, and whether path still names it.
func (s *File) current() (size int64, same bool, err error) {
	open, err := s.f.Stat()
	if err != nil {
		return 0, false, err
	}
	named, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	return open.Size(), err == nil && os.SameFile(open, named), err
}

// mend sees to it that the file ends with a whole line. It cuts off the beginning of one that a crash or a full
// disk did not let us finish, and which was therefore never acknowledged, but nothing that may be another's.
func (s *File) mend(f *os.File, size int64) (int64, error) {
	tail, start, err := fileReadTail(f, size)
	if err != nil {
		return 0, fileError("read the end of "+s.path, err)
	}
	switch tail {
	case fileTailForeign:
		return 0, &DeniedError{fmt.Errorf("open %s: it does not look like ours, for it ends with %d bytes that are no beginning of a line of s1stream: move it away, correct path, or end its last line", s.path, size-start)}
	case fileTailUnended:
		if _, err := f.Write([]byte("\n")); err != nil {
			return 0, fileError("end the last line", err)
		}
		return size + 1, nil
	case fileTailTorn:
		if err := f.Truncate(start); err != nil {
			return 0, fileError("cut off a torn line", err)
		}
		s.deps.Log.Warn("cut off a torn last line", "path", s.path, "bytes", size-start)
	}
	return start, nil
}

// rotate renames the file to PATH.1 and what is there before to one number higher, up to the first gap or to
// max_files, which is overwritten. A crash on the way leaves a gap, never a file lost.
func (s *File) rotate() error {
	if err := s.release(); err != nil {
		return fileError("rotate", err)
	}
	gap := 1
	for gap < s.cfg.MaxFiles {
		if _, err := os.Lstat(s.numbered(gap)); err != nil {
			break // a gap, or a directory that the renames below will complain about
		}
		gap++
	}
	for n := gap; n > 1; n-- {
		if err := os.Rename(s.numbered(n-1), s.numbered(n)); err != nil {
			return fileError("rotate", err)
		}
	}
	if err := os.Rename(s.path, s.numbered(1)); err != nil {
		return fileError("rotate", err)
	}
	return fileSyncDir(filepath.Dir(s.path))
}

func (s *File) numbered(n int) string { return fmt.Sprintf("%s.%d", s.path, n) }

// syncDirOnce makes the name of a file durable before the first ack that rests on it: at each open, for who
// created the file may have crashed before this.
func (s *File) syncDirOnce() error {
	if !s.fresh {
		return nil
	}
	if err := fileSyncDir(filepath.Dir(s.path)); err != nil {
		return err
	}
	s.fresh = false
	return nil
}

// fileMakeDir makes a directory, and those above it, durably.
func fileMakeDir(dir string) error {
	err := os.Mkdir(dir, 0o750)
	if errors.Is(err, fs.ErrNotExist) && filepath.Dir(dir) != dir {
		if err := fileMakeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		err = os.Mkdir(dir, 0o750)
	}
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		if fi, statErr := os.Stat(dir); statErr == nil && fi.IsDir() {
			return nil // on a read-only file system even a directory that is there can't be made
		}
		return fileError("open", err)
	}
	return fileSyncDir(filepath.Dir(dir))
}

func fileSyncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the path is the operator's
	if err != nil {
		return fileError("fsync the directory", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fileError("fsync the directory", err)
	}
	return nil
}

// lockPath is a file of its own, for the data file is renamed; hidden, so that a shipper which reads PATH*
// does not read it.
func (s *File) lockPath() string {
	return filepath.Join(filepath.Dir(s.path), "."+filepath.Base(s.path)+".lock")
}

// takeLock makes this sink the one writer of its path, on this machine. flock belongs to the open file, so
// two sinks of one process exclude each other too, and it ends with the process however that ends.
func (s *File) takeLock() error {
	if s.lock != nil {
		return nil
	}
	if err := fileMakeDir(filepath.Dir(s.path)); err != nil {
		return err
	}
	l, err := os.OpenFile(s.lockPath(), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return fileError("open the lock", err)
	}
	err = unix.Flock(int(l.Fd()), unix.LOCK_EX|unix.LOCK_NB) //nolint:gosec // a descriptor fits an int
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = &DeniedError{fmt.Errorf("open %s: %s writes it already: give each its own path, as with {source}", s.path, fileHolder(l))}
	} else if err != nil {
		err = fileError("lock "+s.lockPath(), err)
	}
	if err != nil {
		return errors.Join(err, l.Close())
	}
	s.lock = l
	who := fmt.Sprintf("process %d, sink %s, source %s\n", os.Getpid(), s.deps.Name, s.deps.Source)
	if err := l.Truncate(0); err == nil {
		_, _ = l.WriteAt([]byte(who), 0) // for people; the lock holds without it, also on a full disk
	}
	return nil
}

// fileHolder reads who holds a lock.
func fileHolder(l *os.File) string {
	b := make([]byte, 200)
	n, _ := l.ReadAt(b, 0)
	if who := strings.TrimSpace(safe.Text(string(b[:n]))); who != "" {
		return who
	}
	return "another process"
}

func (s *File) unlock() error {
	if s.lock == nil {
		return nil
	}
	l := s.lock
	s.lock = nil
	return l.Close()
}
