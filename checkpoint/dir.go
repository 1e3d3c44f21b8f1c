package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// A checkpoint of source prod and sink siem is prod.siem.ckpt. NAMEs have no dots, so that this is unambiguous.
const (
	suffixMain     = ".ckpt"
	suffixPrev     = ".ckpt.prev"
	suffixTemp     = ".ckpt.tmp"
	suffixPrevTemp = ".ckpt.prev.tmp"
)

// Dir is a directory of checkpoints.
type Dir struct {
	fsys     FS
	path     string
	viewOnly bool
}

// Open makes path, with mode 0700, where it is missing, and removes what an interrupted Save left there. The
// caller holds the Lock.
func Open(fsys FS, path string) (*Dir, error) {
	d := &Dir{fsys: fsys, path: filepath.Clean(path)}
	if err := mkdirAll(fsys, d.path); err != nil {
		return nil, fmt.Errorf("open checkpoint directory: %w", err)
	}
	names, err := fsys.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint directory: %w", err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, suffixTemp) || strings.HasSuffix(name, suffixPrevTemp) {
			// On a disk that is read-only just now, Save meets it again and says so.
			_ = fsys.Remove(filepath.Join(d.path, name))
		}
	}
	return d, nil
}

// View opens path for reading alone: it makes, removes and saves nothing, and needs no Lock.
func View(fsys FS, path string) (*Dir, error) {
	if _, err := fsys.Stat(path); err != nil {
		return nil, fmt.Errorf("open checkpoint directory: %w", err)
	}
	return &Dir{fsys: fsys, path: filepath.Clean(path), viewOnly: true}, nil
}

// mkdirAll syncs each parent too: a directory lost in a power cut takes every checkpoint in it along, and a line
// without one starts anew.
func mkdirAll(fsys FS, path string) error {
	if _, err := fsys.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err // what is there and no directory is told by ReadDir
	}
	parent := filepath.Dir(path)
	if parent == path {
		return fmt.Errorf("%s: %w", path, fs.ErrNotExist)
	}
	if err := mkdirAll(fsys, parent); err != nil {
		return err
	}
	if err := fsys.Mkdir(path, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return fsys.SyncDir(parent)
}

// Line returns the checkpoint of one line, which need not exist. There should be one File a line.
func (d *Dir) Line(source, sink string) *File {
	return &File{dir: d, source: source, sink: sink}
}

func (f *File) path(suffix string) string {
	return filepath.Join(f.dir.path, f.source+"."+f.sink+suffix)
}

// checkNames keeps a name from a command line inside the directory.
func (f *File) checkNames() error {
	if !isName(f.source) || !isName(f.sink) {
		return fmt.Errorf("%q and %q: a source and a sink are named by a-z, 0-9 and -, 31 characters at the most", f.source, f.sink)
	}
	return nil
}

// isName is the configuration's [a-z0-9][a-z0-9-]{0,30}.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != "" && len(s) <= 31
}

// Entry is what is known of one checkpoint.
type Entry struct {
	Source, Sink string
	Fingerprint  Fingerprint
	Generation   uint64 // counts the saves
	Saved        time.Time
	Frontier     time.Time
	Seen         int   // threats in the seen-set
	Size         int64 // bytes
	FromPrev     error // why .prev counts instead; nil where it does not
	Err          error // why neither can be used (see File.Load); nil where one can
}

// List returns every checkpoint, good and bad, by source and sink.
func (d *Dir) List() ([]Entry, error) {
	names, err := d.fsys.ReadDir(d.path)
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var list []Entry
	had := map[string]bool{}
	for _, name := range names {
		line, ok := strings.CutSuffix(name, suffixMain)
		if !ok {
			line, ok = strings.CutSuffix(name, suffixPrev)
		}
		source, sink, dot := strings.Cut(line, ".")
		if !ok || !dot || !isName(source) || !isName(sink) || had[line] {
			continue
		}
		had[line] = true
		f := d.Line(source, sink)
		e := Entry{Source: source, Sink: sink}
		var c stored
		if c, e.Err = f.load(); e.Err == nil {
			e.FromPrev = f.fromPrev
			e.Fingerprint, e.Generation, e.Saved = c.Fingerprint, c.generation, c.saved
			e.Frontier, e.Seen, e.Size = c.Frontier, len(c.Seen), int64(c.size)
		}
		list = append(list, e)
	}
	return list, nil
}

// Reset makes the line read again from a moment, whatever its checkpoint is: missing, corrupt, foreign or newer.
// It is the one way for a frontier to move back. The caller holds the Lock, and has asked.
func (d *Dir) Reset(source, sink string, from time.Time, fp Fingerprint) error {
	f := d.Line(source, sink)
	if err := f.checkNames(); err != nil {
		return err
	}
	_, _ = f.load() // for the generation, and to know whether the main file is whole; Reset goes over any error
	return f.writeBoth(State{Fingerprint: fp, Frontier: from})
}

// Adopt keeps a line's frontier and seen-set for another console or filter. ErrNone: there is nothing to adopt.
// The caller holds the Lock, and has asked.
func (d *Dir) Adopt(source, sink string, fp Fingerprint) error {
	f := d.Line(source, sink)
	c, err := f.load()
	if err != nil {
		return err
	}
	if c.Fingerprint == fp && f.fromPrev == nil {
		return nil
	}
	c.Fingerprint = fp
	return f.writeBoth(c.State)
}

// writeBoth saves twice, so that .prev holds the operator's decision too: to fall back on what was before it
// would undo it.
func (f *File) writeBoth(st State) error {
	if err := f.write(st); err != nil {
		return err
	}
	return f.write(st)
}
