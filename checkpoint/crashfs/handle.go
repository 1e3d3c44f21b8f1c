package crashfs

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// handle is an open file.
type handle struct {
	fs     *FS
	name   string
	node   *node
	closed bool
}

// do is FS.do for an open file.
func (h *handle) do(kind string, call func() error) error {
	return h.doOr(kind, call, func() {})
}

func (h *handle) doOr(kind string, call func() error, failed func()) error {
	return h.fs.doOr(kind, h.name, func() error {
		if h.closed {
			return fs.ErrClosed
		}
		return call()
	}, failed)
}

// Write appends. Where it is made to fail, half of p is written, as on a disk that fills up.
func (h *handle) Write(p []byte) (written int, err error) {
	write := func(n int) {
		h.node.data = append(h.node.data, p[:n]...)
		written = n
	}
	err = h.doOr("write", func() error {
		write(len(p))
		return nil
	}, func() { write(len(p) / 2) })
	return written, err
}

// ReadAt implements io.ReaderAt.
func (h *handle) ReadAt(p []byte, from int64) (n int, err error) {
	err = h.do("readat", func() error {
		if from < int64(len(h.node.data)) {
			n = copy(p, h.node.data[from:])
		}
		return nil
	})
	if err == nil && n < len(p) {
		err = io.EOF
	}
	return n, err
}

// Stat implements checkpoint.Handle.
func (h *handle) Stat() (fi fs.FileInfo, err error) {
	err = h.do("stat", func() error {
		fi = h.node.info(h.name)
		return nil
	})
	return fi, err
}

// Truncate shortens.
func (h *handle) Truncate(size int64) error {
	return h.do("truncate", func() error {
		n := h.node
		if size < 0 || size > int64(len(n.data)) {
			return syscall.EINVAL
		}
		n.data = n.data[:size:size]
		n.dirty = min(n.dirty, int(size))
		for i := range n.lost {
			n.lost[i].to = min(n.lost[i].to, int(size))
		}
		return nil
	})
}

// Sync makes the file's bytes survive. Where it is made to fail, they are given up.
func (h *handle) Sync() error {
	n := h.node
	return h.doOr("sync", func() error {
		n.disk, n.dirty = n.surviving(), len(n.data)
		return nil
	}, func() {
		n.lost = append(n.lost, span{n.dirty, len(n.data)})
		n.dirty = len(n.data)
	})
}

// Close implements io.Closer. It syncs nothing, and the descriptor is gone also when it fails.
func (h *handle) Close() error {
	shut := func() { h.closed = true }
	return h.doOr("close", func() error {
		shut()
		return nil
	}, shut)
}

// surviving is what an fsync of everything would leave on disk: data, less what an earlier one gave up.
func (n *node) surviving() []byte {
	if len(n.lost) == 0 {
		kept := min(n.dirty, len(n.disk))
		return append(slices.Clip(n.disk[:kept]), n.data[kept:]...)
	}
	b := slices.Clone(n.data)
	for _, s := range n.lost {
		for i := s.from; i < s.to; i++ {
			b[i] = 0
			if i < len(n.disk) {
				b[i] = n.disk[i]
			}
		}
	}
	return b
}
