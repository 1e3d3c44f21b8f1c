package checkpoint

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// FS is the part of a file system that checkpoints and dead letters are written with. It is small so that
// every call can be made to fail, and every crash between two calls be tried: see package crashfs.
type FS interface {
	// Mkdir makes one directory; its parent must exist.
	Mkdir(name string, perm fs.FileMode) error
	// OpenFile opens as os.OpenFile does. A file opened for writing is appended to.
	OpenFile(name string, flag int, perm fs.FileMode) (Handle, error)
	ReadFile(name string) ([]byte, error)
	// ReadDir returns the sorted names in a directory.
	ReadDir(name string) ([]string, error)
	Stat(name string) (fs.FileInfo, error)
	// SameFile reports whether two results of Stat on this FS are of one file.
	SameFile(a, b fs.FileInfo) bool
	// Link makes newname a second name of oldname; newname must not exist.
	Link(oldname, newname string) error
	// Rename replaces newname atomically. Where both are names of one file it does nothing (POSIX rename).
	Rename(oldname, newname string) error
	Remove(name string) error
	// SyncDir makes what was created, linked, renamed and removed in a directory survive a power cut.
	SyncDir(name string) error
}

// Handle is an open file.
type Handle interface {
	io.Writer
	io.ReaderAt
	Stat() (fs.FileInfo, error)
	Truncate(size int64) error
	// Sync makes what was written survive a power cut. After an error the kernel may call lost pages clean,
	// so that a second Sync would succeed for nothing: the descriptor is then good for Close alone.
	Sync() error
	Close() error
}

// OS is the file system of the machine.
type OS struct{}

var _ FS = OS{}

// Mkdir implements FS.
func (OS) Mkdir(name string, perm fs.FileMode) error { return os.Mkdir(name, perm) }

// OpenFile implements FS. What root makes with O_EXCL gets the owner of its directory: see inheritOwner.
func (OS) OpenFile(name string, flag int, perm fs.FileMode) (Handle, error) {
	f, err := os.OpenFile(name, flag, perm) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err // not f: a nil *os.File is not a nil Handle
	}
	if flag&os.O_CREATE != 0 && flag&os.O_EXCL != 0 {
		inheritOwner(f)
	}
	return f, nil
}

// ReadFile implements FS.
func (OS) ReadFile(name string) ([]byte, error) {
	return os.ReadFile(name) //nolint:gosec // the path is the operator's
}

// ReadDir implements FS.
func (OS) ReadDir(name string) ([]string, error) {
	list, err := os.ReadDir(name)
	names := make([]string, len(list))
	for i, e := range list {
		names[i] = e.Name()
	}
	return names, err
}

// Stat implements FS.
func (OS) Stat(name string) (fs.FileInfo, error) { return os.Stat(name) }

// SameFile implements FS.
func (OS) SameFile(a, b fs.FileInfo) bool { return os.SameFile(a, b) }

// Link implements FS.
func (OS) Link(oldname, newname string) error { return os.Link(oldname, newname) }

// Rename implements FS.
func (OS) Rename(oldname, newname string) error { return os.Rename(oldname, newname) }

// Remove implements FS.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir implements FS. A file system that can't sync a directory (some network and FUSE ones say EINVAL) has
// no more to give; it is not an error.
func (OS) SyncDir(name string) error {
	d, err := os.Open(name) //nolint:gosec // the path is the operator's
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, errors.ErrUnsupported) {
		err = nil
	}
	return errors.Join(err, d.Close())
}
