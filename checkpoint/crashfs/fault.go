package crashfs

import (
	"errors"
	"io/fs"
)

// ErrPowerOff is what every call says once Crash has cut the power, or a Fault has.
var ErrPowerOff = errors.New("the power is off")

// Op is one call, before it is done.
type Op struct {
	N    int    // counts the calls, from 1
	Kind string // mkdir open read readdir stat link rename remove syncdir write readat truncate sync close
	Name string // the file; the new name of a link or rename
}

// Fault is what becomes of a call. The zero Fault lets it be.
type Fault struct {
	Err     error // is returned
	Applied bool  // the call took effect nevertheless
}

// SetFault has f asked before every call; nil ends it. f must not call the FS.
func (f *FS) SetFault(fault func(Op) Fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// FailNth makes the nth call from now fail, 1 being the next, and every call after it too if persistent.
func (f *FS) FailNth(n int, fault Fault, persistent bool) {
	at := f.Ops() + n
	f.SetFault(func(op Op) Fault {
		if op.N == at || persistent && op.N > at {
			return fault
		}
		return Fault{}
	})
}

// Ops returns how many calls were made.
func (f *FS) Ops() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.ops
}

// do runs one call under the lock, or fails it.
func (f *FS) do(kind, name string, call func() error) error {
	return f.doOr(kind, name, call, func() {})
}

// doOr is do for a call that leaves something behind where a Fault keeps it from being done.
func (f *FS) doOr(kind, name string, call func() error, failed func()) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ops++
	var fault Fault
	if f.fault != nil && !f.off {
		fault = f.fault(Op{N: f.ops, Kind: kind, Name: name})
	}
	if f.off || errors.Is(fault.Err, ErrPowerOff) {
		f.off = true
		return &fs.PathError{Op: kind, Path: name, Err: ErrPowerOff}
	}
	err := fault.Err
	if err == nil {
		err = call()
	} else if fault.Applied {
		_ = call() // its own error is hidden by the fault's
	} else {
		failed()
	}
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: kind, Path: name, Err: err}
}
