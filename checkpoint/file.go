package checkpoint

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"
)

// File is one line's checkpoint. Its methods may be called from several goroutines; they wait for each other.
type File struct {
	dir          *Dir
	source, sink string

	mu       sync.Mutex
	loaded   bool
	fromPrev error
	mainGood bool // the file under the main name is whole, so it may become .prev
	gen      uint64
	// last is what may be on disk: nil until there is one. A failed Save counts from its rename on.
	last *lastSaved
}

type lastSaved struct {
	fingerprint Fingerprint
	frontier    time.Time
}

// Load returns what was saved last, or the one before where that is damaged or missing: FromPrev then says why.
// ErrNone means that there is neither. ErrCorrupt and ErrNewer need an operator; their text says what to do.
// Any other error is the file system's: nothing is known about the checkpoint.
func (f *File) Load() (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, err := f.load()
	return c.State, err
}

// FromPrev returns why the last Load took .prev, or nil where it did not.
func (f *File) FromPrev() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fromPrev
}

// Check returns a *ForeignError if st belongs to another console or filter than want.
func (f *File) Check(st State, want Fingerprint) error {
	if st.Fingerprint == want {
		return nil
	}
	return &ForeignError{Source: f.source, Sink: f.sink, Have: st.Fingerprint, Want: want}
}

func (f *File) load() (stored, error) {
	f.loaded, f.fromPrev, f.mainGood, f.last = false, nil, false, nil
	if err := f.checkNames(); err != nil {
		return stored{}, err
	}
	c, mainErr := f.read(f.path(suffixMain))
	f.gen = max(f.gen, c.generation)
	switch {
	case mainErr == nil:
		f.mainGood = true
	case errors.Is(mainErr, ErrNewer):
		return stored{}, f.newer(mainErr)
	case !damaged(mainErr):
		return stored{}, mainErr
	default:
		var prevErr error
		c, prevErr = f.read(f.path(suffixPrev))
		f.gen = max(f.gen, c.generation)
		switch {
		case prevErr == nil:
			f.fromPrev = mainErr
		case errors.Is(prevErr, ErrNewer):
			return stored{}, f.newer(prevErr)
		case !damaged(prevErr):
			return stored{}, prevErr
		case errors.Is(mainErr, fs.ErrNotExist) && errors.Is(prevErr, fs.ErrNotExist):
			f.loaded = true
			return stored{}, fmt.Errorf("%w for source %s, sink %s", ErrNone, f.source, f.sink)
		default:
			return stored{}, fmt.Errorf("%w: %w; %w: run %q to read again from TIME",
				ErrCorrupt, mainErr, prevErr, resetCommand(f.source, f.sink))
		}
	}
	f.loaded = true
	f.last = &lastSaved{c.Fingerprint, c.Frontier}
	return c, nil
}

func (f *File) newer(err error) error {
	return fmt.Errorf("%w: run that version again, or %q to read again from TIME", err, resetCommand(f.source, f.sink))
}

func (f *File) read(name string) (stored, error) {
	b, err := f.dir.fsys.ReadFile(name)
	if err != nil {
		return stored{}, withOwner(err, name) // names the file itself
	}
	c, err := decode(b)
	if err != nil {
		if !errors.Is(err, ErrNewer) {
			err = &damagedError{err}
		}
		err = fmt.Errorf("%s: %w", name, err)
	}
	return c, err
}

type damagedError struct{ error }

// damaged tells a file that can't be believed from a file system that can't be read just now: only the former
// is a reason to go back to .prev. EIO counts as damage; a bad sector gives it for ever.
func damaged(err error) bool {
	var d *damagedError
	return errors.As(err, &d) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EIO)
}

// Save stores st, durably when it returns nil. After an error the checkpoint is st or the one before, and the
// next Save starts afresh, with a descriptor of its own: nothing needs a restart. st.Seen is read until Save
// returns. A frontier older than the one saved last is an error, and so is another fingerprint.
func (f *File) Save(st State) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.loaded {
		if _, err := f.load(); err != nil && !errors.Is(err, ErrNone) {
			return f.saveError(err)
		}
	}
	if f.last != nil {
		if f.last.fingerprint != st.Fingerprint {
			return f.saveError(&ForeignError{Source: f.source, Sink: f.sink, Have: f.last.fingerprint, Want: st.Fingerprint})
		}
		if st.Frontier.UnixMicro() < f.last.frontier.UnixMicro() {
			return f.saveError(fmt.Errorf("frontier would move back from %s to %s",
				f.last.frontier.Format(time.RFC3339Nano), st.Frontier.UTC().Format(time.RFC3339Nano)))
		}
	}
	return f.write(st)
}

// write is Save without its questions.
func (f *File) write(st State) error {
	if f.dir.viewOnly {
		return f.saveError(errors.New("the directory was opened for reading"))
	}
	f.gen++ // also when this fails: an error does not say that no file got it
	b, err := encode(stored{State: st, generation: f.gen, saved: time.Now()})
	if err == nil {
		err = f.replace(b, &lastSaved{st.Fingerprint, st.Frontier})
	}
	if err != nil {
		return f.saveError(err)
	}
	return nil
}

func (f *File) saveError(err error) error {
	return fmt.Errorf("save checkpoint of source %s, sink %s: %w", f.source, f.sink, err)
}

// replace puts b under the main name, so that a crash between any two calls, with any of them undone, leaves
// one whole file under one of the two names: every file that ever gets a name was fsynced before.
func (f *File) replace(b []byte, next *lastSaved) error {
	fsys, tmp, main := f.dir.fsys, f.path(suffixTemp), f.path(suffixMain)
	err := f.writeTemp(tmp, b)
	if err == nil && f.mainGood {
		err = f.keepPrev() // a damaged main must not take the place of a good .prev
	}
	if err == nil {
		f.last = next // even if rename fails: an I/O error does not say that nothing happened
		err = fsys.Rename(tmp, main)
	}
	if err != nil {
		_ = fsys.Remove(tmp) // best effort; the next Save and Open try again
		return err
	}
	// A whole file is under the main name from here on, durable or not: as .prev it would be as good.
	f.mainGood = true
	return fsys.SyncDir(f.dir.path)
}

func (f *File) writeTemp(name string, b []byte) error {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	h, err := f.dir.fsys.OpenFile(name, flags, 0o600)
	if errors.Is(err, fs.ErrExist) { // left by a Save whose clean-up failed
		if err = f.dir.fsys.Remove(name); err == nil {
			h, err = f.dir.fsys.OpenFile(name, flags, 0o600)
		}
	}
	if err != nil {
		return err
	}
	n, err := h.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = h.Sync()
	}
	if cerr := h.Close(); err == nil {
		err = cerr
	}
	return err
}

// keepPrev makes .prev a second name of the current file. It goes by a link and a rename, so that there is a
// main and a .prev at every moment; on a file system without links the main file is renamed instead.
func (f *File) keepPrev() error {
	fsys, main, tmp, prev := f.dir.fsys, f.path(suffixMain), f.path(suffixPrevTemp), f.path(suffixPrev)
	err := fsys.Link(main, tmp)
	if errors.Is(err, fs.ErrExist) { // rename leaves it where .prev was this file already
		if err = fsys.Remove(tmp); err == nil {
			err = fsys.Link(main, tmp)
		}
	}
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EMLINK) {
		f.mainGood = false // there is none until the new one has its name
		return fsys.Rename(main, prev)
	}
	if err != nil {
		return err
	}
	return fsys.Rename(tmp, prev)
}
