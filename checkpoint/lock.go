package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// lockName is a file of its own: a lock on a checkpoint would be void after its first rename.
const lockName = "lock"

// DirLock is a hold on a checkpoint directory. It ends with Unlock or with the process, however that ends.
type DirLock struct{ file *os.File }

// Lock takes the checkpoint directory for this process (I8), and makes it, with mode 0700, where it is missing.
// ErrLocked means that another process has it; nothing was written then.
func Lock(path string) (*DirLock, error) {
	if err := mkdirAll(OS{}, filepath.Clean(path)); err != nil {
		return nil, fmt.Errorf("lock checkpoint directory: %w", err)
	}
	file, err := openLock(filepath.Join(path, lockName))
	if err != nil {
		return nil, fmt.Errorf("lock checkpoint directory: %w", err)
	}
	for {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) //nolint:gosec // a descriptor fits
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s is in use by %s: stop that, or set another checkpoint.dir here", ErrLocked, path, holder(file))
		_ = file.Close()
		return nil, err
	}
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("lock checkpoint directory %s: %w", path, err)
	}
	// The number is for people alone, so that a full disk does not keep the program from starting.
	if file.Truncate(0) == nil {
		_, _ = file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return &DirLock{file}, nil
}

// openLock opens the lock's file, or makes it. It follows no link, for it is written to, as root too.
func openLock(name string) (*os.File, error) {
	for {
		file, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0) //nolint:gosec // the path is the operator's
		if !errors.Is(err, fs.ErrNotExist) {
			return file, withOwner(err, name)
		}
		file, err = os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // the path is the operator's
		if err == nil {
			inheritOwner(file)
		}
		if !errors.Is(err, fs.ErrExist) { // else another process made it in between
			return file, err
		}
	}
}

// Lockable reports what would keep Lock from opening an existing lock file. It takes no lock and makes nothing.
func Lockable(path string) error {
	name := filepath.Join(path, lockName)
	file, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW, 0) //nolint:gosec // the path is the operator's
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return withOwner(err, name)
	}
	return file.Close()
}

// Holder says which process holds a checkpoint directory, as in "process 12", or "" where none does. Where none
// does, it takes the lock itself for an instant: a caller has a reason to think that there is one.
func Holder(path string) string {
	file, err := os.OpenFile(filepath.Join(path, lockName), os.O_RDONLY|syscall.O_NOFOLLOW, 0) //nolint:gosec // the path is the operator's
	if err != nil {
		return ""
	}
	defer func() { _ = file.Close() }()                                                                              // ends the hold too
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); !errors.Is(err, syscall.EWOULDBLOCK) { //nolint:gosec // a descriptor fits
		return ""
	}
	return holder(file)
}

func holder(file *os.File) string {
	b := make([]byte, 16)
	n, _ := file.ReadAt(b, 0)
	pid, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
	if err != nil || pid <= 0 {
		return "another process"
	}
	return "process " + strconv.Itoa(pid)
}

// Unlock ends the hold. The file stays: to remove it would let two processes lock two files of one name.
func (l *DirLock) Unlock() error { return l.file.Close() }
