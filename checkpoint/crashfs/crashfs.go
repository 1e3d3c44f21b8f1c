// Package crashfs is a file system in memory that forgets: it models the page cache, so that a test can cut the
// power between any two calls and look at what a disk may then hold.
//
//   - What was written and not fsynced may be there after a crash, or not, or in part, or as zeros.
//   - What was created, linked, renamed or removed, and not followed by an fsync of the directory, may be undone,
//     each change for itself, in any combination. A single change is never half done.
//   - After a failed fsync the kernel calls the pages clean: they are read back, but a second fsync "succeeds"
//     without writing them.
//
// This is harsher than journaling file systems are. Any call can also be made to fail.
package crashfs

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"s1stream/checkpoint"
)

// FS is the file system. Its methods may be called from several goroutines. Paths are taken from its root,
// absolute or not.
type FS struct {
	mu    sync.Mutex
	root  *node
	off   bool // the power is
	ops   int
	fault func(Op) Fault
}

var _ checkpoint.FS = (*FS)(nil)

// New returns an empty file system.
func New() *FS { return &FS{root: newDir(0o755)} }

// node is a file or a directory.
type node struct {
	perm fs.FileMode

	// A directory: what it shows, and how to get there from what is on disk.
	entries map[string]*node
	synced  map[string]*node
	pending []change

	// A file: what is read, and what is on disk. data[dirty:] awaits an fsync; lost parts were given up by one.
	data, disk []byte
	dirty      int
	lost       []span
}

// change is one change of a directory: remove takes that name away from node, add gives it one.
type change struct {
	remove, add string
	node        *node
}

type span struct{ from, to int }

func newDir(perm fs.FileMode) *node {
	return &node{perm: perm, entries: map[string]*node{}, synced: map[string]*node{}}
}

func (n *node) isDir() bool { return n.entries != nil }

func (c change) apply(entries map[string]*node) {
	if c.remove != "" && entries[c.remove] == c.node {
		delete(entries, c.remove)
	}
	if c.add != "" {
		entries[c.add] = c.node
	}
}

func (n *node) change(c change) {
	c.apply(n.entries)
	n.pending = append(n.pending, c)
}

// find returns the directory that holds name, name's last part, and what is there (nil if nothing is).
func (f *FS) find(name string) (dir *node, base string, n *node, err error) {
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return nil, "", f.root, nil
	}
	dir = f.root
	for {
		part, rest, more := strings.Cut(name, "/")
		n = dir.entries[part]
		if !more {
			return dir, part, n, nil
		}
		if n == nil {
			return nil, "", nil, syscall.ENOENT
		}
		if !n.isDir() {
			return nil, "", nil, syscall.ENOTDIR
		}
		dir, name = n, rest
	}
}

// existing is find for what must be there.
func (f *FS) existing(name string) (dir *node, base string, n *node, err error) {
	dir, base, n, err = f.find(name)
	if err == nil && n == nil {
		err = syscall.ENOENT
	}
	return dir, base, n, err
}

// Mkdir implements checkpoint.FS.
func (f *FS) Mkdir(name string, perm fs.FileMode) error {
	return f.do("mkdir", name, func() error {
		dir, base, n, err := f.find(name)
		if err == nil && n != nil {
			err = syscall.EEXIST
		}
		if err == nil {
			dir.change(change{add: base, node: newDir(perm)})
		}
		return err
	})
}

// OpenFile implements checkpoint.FS. It knows O_CREATE and O_EXCL; every write appends.
func (f *FS) OpenFile(name string, flag int, perm fs.FileMode) (checkpoint.Handle, error) {
	var n *node
	err := f.do("open", name, func() error {
		dir, base, found, err := f.find(name)
		switch {
		case err != nil:
			return err
		case found == nil && flag&os.O_CREATE == 0:
			return syscall.ENOENT
		case found == nil:
			n = &node{perm: perm}
			dir.change(change{add: base, node: n})
		case flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL:
			return syscall.EEXIST
		case found.isDir():
			return syscall.EISDIR
		default:
			n = found
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &handle{fs: f, name: name, node: n}, nil
}

// ReadFile implements checkpoint.FS.
func (f *FS) ReadFile(name string) (b []byte, err error) {
	err = f.do("read", name, func() error {
		_, _, n, err := f.existing(name)
		if err == nil && n.isDir() {
			err = syscall.EISDIR
		}
		if err == nil {
			b = slices.Clone(n.data)
		}
		return err
	})
	return b, err
}

// ReadDir implements checkpoint.FS.
func (f *FS) ReadDir(name string) (names []string, err error) {
	err = f.do("readdir", name, func() error {
		_, _, n, err := f.existing(name)
		if err == nil && !n.isDir() {
			err = syscall.ENOTDIR
		}
		if err == nil {
			names = slices.Sorted(maps.Keys(n.entries))
		}
		return err
	})
	return names, err
}

// Stat implements checkpoint.FS.
func (f *FS) Stat(name string) (fi fs.FileInfo, err error) {
	err = f.do("stat", name, func() error {
		_, _, n, err := f.existing(name)
		if err == nil {
			fi = n.info(name)
		}
		return err
	})
	return fi, err
}

// SameFile implements checkpoint.FS.
func (f *FS) SameFile(a, b fs.FileInfo) bool { return a.Sys() == b.Sys() }

// Link implements checkpoint.FS.
func (f *FS) Link(oldname, newname string) error {
	return f.do("link", newname, func() error {
		_, _, n, err := f.existing(oldname)
		if err != nil {
			return err
		}
		dir, base, there, err := f.find(newname)
		switch {
		case err != nil:
			return err
		case there != nil:
			return syscall.EEXIST
		case n.isDir():
			return syscall.EPERM
		}
		dir.change(change{add: base, node: n})
		return nil
	})
}

// Rename implements checkpoint.FS, within one directory.
func (f *FS) Rename(oldname, newname string) error {
	return f.do("rename", newname, func() error {
		from, oldBase, n, err := f.existing(oldname)
		if err != nil {
			return err
		}
		to, newBase, there, err := f.find(newname)
		switch {
		case err != nil:
			return err
		case from != to:
			return syscall.EXDEV // not modelled: it would be two changes
		case there == n:
			return nil // POSIX: both names stay
		}
		to.change(change{remove: oldBase, add: newBase, node: n})
		return nil
	})
}

// Remove implements checkpoint.FS, for files.
func (f *FS) Remove(name string) error {
	return f.do("remove", name, func() error {
		dir, base, n, err := f.existing(name)
		if err == nil && n.isDir() {
			err = syscall.EISDIR
		}
		if err == nil {
			dir.change(change{remove: base, node: n})
		}
		return err
	})
}

// SyncDir implements checkpoint.FS.
func (f *FS) SyncDir(name string) error {
	return f.do("syncdir", name, func() error {
		_, _, n, err := f.existing(name)
		if err == nil && !n.isDir() {
			err = syscall.ENOTDIR
		}
		if err == nil {
			n.synced, n.pending = maps.Clone(n.entries), nil
		}
		return err
	})
}

type info struct {
	name string
	node *node
	size int64
}

func (n *node) info(name string) fs.FileInfo {
	return info{path.Base(name), n, int64(len(n.data))}
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.node.isDir() }
func (i info) Sys() any           { return i.node }
func (i info) Mode() fs.FileMode {
	if i.IsDir() {
		return fs.ModeDir | i.node.perm
	}
	return i.node.perm
}
