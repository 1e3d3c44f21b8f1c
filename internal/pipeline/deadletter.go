package pipeline

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"s1stream/checkpoint"
	"s1stream/internal/event"
	"s1stream/internal/safe"
)

// DeadLetters is one sink's file of events that its destination will never take, a JSON line each. The lines of
// one sink share it. Nothing is opened before the first dead letter.
type DeadLetters struct {
	fsys checkpoint.FS
	path string

	mu     sync.Mutex
	file   checkpoint.Handle // nil: to be opened
	info   fs.FileInfo       // which file that is
	size   int64             // bytes of it that are known to be whole
	synced bool              // the directory was, since file was opened
	failed fs.FileInfo       // the file whose last append failed: to be cut back to size; nil where none did
}

// NewDeadLetters returns the dead letters kept in path, whose directory must exist by the first Append.
func NewDeadLetters(fsys checkpoint.FS, path string) *DeadLetters {
	return &DeadLetters{fsys: fsys, path: filepath.Clean(path)}
}

// deadLetterPrefix begins every line: what else is in the file is left alone.
const deadLetterPrefix = `{"time":`

// deadLetterLine is what is said of an event, by the order of the keys in the file.
type deadLetterLine struct {
	Time      time.Time     `json:"time"`
	Sink      string        `json:"sink"`
	Source    string        `json:"source"`
	ID        string        `json:"id"`
	Version   event.Version `json:"version"`
	UpdatedAt string        `json:"updatedAt"`
	Reason    string        `json:"reason"`
	Attempts  int           `json:"attempts"`
}

// Append writes one dead letter. When it returns nil the letter survives a power cut, and the event counts as
// dealt with; after an error it does not, and the caller tries again: each try has a descriptor of its own, so
// that no failed fsync is repeated. A try whose outcome was unknown can leave the same letter twice.
func (d *DeadLetters) Append(ev *event.Event, sinkName, reason string, attempts int, now time.Time) error {
	line, err := deadLetterEncode(ev, sinkName, reason, attempts, now)
	if err != nil {
		return fmt.Errorf("write dead letter: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.append(line); err != nil {
		d.drop()
		return fmt.Errorf("write dead letter: %w", err)
	}
	return nil
}

// Close closes the file. A later Append opens it again.
func (d *DeadLetters) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file == nil {
		return nil
	}
	err := d.file.Close()
	d.file = nil
	return err
}

func (d *DeadLetters) append(line []byte) error {
	if d.file != nil && !d.inPlace() {
		_ = d.file.Close() // all in it is synced
		d.file = nil
	}
	if d.file == nil {
		if err := d.open(); err != nil {
			return err
		}
	}
	n, err := d.file.Write(line)
	if err == nil && n < len(line) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = d.file.Sync()
	}
	if err == nil && !d.synced {
		// Also for a file that was there: who made it may have died before its name was on disk.
		err = d.fsys.SyncDir(filepath.Dir(d.path))
	}
	if err != nil {
		return err
	}
	d.synced = true
	d.size += int64(len(line))
	return nil
}

// inPlace reports whether the open file still has its name: an operator may have moved or removed it.
func (d *DeadLetters) inPlace() bool {
	named, err := d.fsys.Stat(d.path)
	return err == nil && d.fsys.SameFile(d.info, named)
}

// drop gives up the descriptor after a failure, and remembers how far its file was whole.
func (d *DeadLetters) drop() {
	if d.file == nil {
		return
	}
	_ = d.file.Close() // its error adds nothing to the one that led here
	d.file, d.failed = nil, d.info
}

// open opens the file and cuts off what a failed or interrupted append left at its end.
func (d *DeadLetters) open() error {
	file, err := d.fsys.OpenFile(d.path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err == nil {
		d.size, err = d.repair(file, info)
	}
	if err != nil {
		_ = file.Close()
		return err
	}
	d.file, d.info, d.synced, d.failed = file, info, false, nil
	return nil
}

// repair returns the size of what is whole, and cuts off the rest, durably: else a new letter could be glued to
// an old piece of one by a power cut. After an error it returns d.size as it was.
func (d *DeadLetters) repair(file checkpoint.Handle, info fs.FileInfo) (int64, error) {
	whole := info.Size()
	if d.failed != nil && d.fsys.SameFile(d.failed, info) {
		// The failed letter may look whole, in memory: after a failed fsync its pages may never reach the disk.
		whole = min(whole, d.size)
	}
	whole, err := deadLetterWhole(file, whole)
	if err != nil {
		return d.size, fmt.Errorf("%s: %w", d.path, err)
	}
	if whole == info.Size() {
		return whole, nil
	}
	if err := file.Truncate(whole); err != nil {
		return d.size, err
	}
	if err := file.Sync(); err != nil {
		return d.size, err
	}
	return whole, nil
}

// deadLetterWhole returns how much of the first size bytes ends with a whole line. A last line without its line
// feed is torn; one with it is, if it is not JSON. Only what may be a letter of ours counts as torn: nothing
// else is ever cut off.
func deadLetterWhole(r io.ReaderAt, size int64) (int64, error) {
	end, err := deadLetterLineStart(r, size)
	if err != nil || size == 0 {
		return 0, err
	}
	start := end
	if end == size {
		if start, err = deadLetterLineStart(r, size-1); err != nil {
			return 0, err
		}
	}
	line := make([]byte, size-start)
	if _, err := r.ReadAt(line, start); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	head := line[:min(len(line), len(deadLetterPrefix))]
	ours := strings.HasPrefix(deadLetterPrefix, string(head)) || bytes.IndexByte(line, 0) >= 0
	switch {
	case ours && (end < size || !json.Valid(line)):
		return start, nil
	case end < size:
		return 0, errors.New("does not end like a file of dead letters: give dead_letter a path of its own")
	}
	return size, nil
}

// deadLetterLineStart returns where the line begins that byte end-1 is in or, if that is a line feed, end itself.
func deadLetterLineStart(r io.ReaderAt, end int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end > 0 {
		part := buf[:min(int64(len(buf)), end)]
		if _, err := r.ReadAt(part, end-int64(len(part))); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return end - int64(len(part)) + int64(i) + 1, nil
		}
		end -= int64(len(part))
	}
	return 0, nil
}

// deadLetterEncode makes the line. The threat's own JSON is in it byte for byte, but for line breaks between its
// tokens, which become spaces; what is not valid JSON in valid UTF-8 is put as base64.
func deadLetterEncode(ev *event.Event, sinkName, reason string, attempts int, now time.Time) ([]byte, error) {
	var buf bytes.Buffer
	buf.Grow(len(ev.Raw) + 512)
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(deadLetterLine{
		Time: now.UTC(), Sink: sinkName, Source: ev.Source, ID: ev.ID, Version: ev.Version,
		UpdatedAt: ev.UpdatedAt.UTC().Format("2006-01-02T15:04:05.000000Z"),
		Reason:    safe.Text(reason), Attempts: attempts,
	})
	if err != nil {
		return nil, err
	}
	line := bytes.TrimSuffix(buf.Bytes(), []byte("}\n"))
	if utf8.Valid(ev.Raw) && json.Valid(ev.Raw) {
		line = append(line, `,"event":`...)
		from := len(line)
		line = append(line, ev.Raw...)
		for i, c := range line[from:] { // in valid JSON a raw line break is never inside a string
			if c == '\n' || c == '\r' {
				line[from+i] = ' '
			}
		}
	} else {
		line = append(line, `,"event_base64":"`...)
		line = base64.StdEncoding.AppendEncode(line, ev.Raw)
		line = append(line, '"')
	}
	return append(line, "}\n"...), nil
}
