package sink

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Probe implements Config. It looks and changes nothing; the lock may be held by the run beside it.
func (c *FileConfig) Probe(_ context.Context, d Deps) Probe {
	s, err := newFile(*c, d, fileStandard)
	if err != nil {
		return Probe{Grade: BestEffort, Problems: []Problem{{err.Error(), "do not close standard output, or set path to a file"}}}
	}
	p := Probe{Grade: s.Grade()}
	problem := func(what string, remedy string) Probe {
		p.Problems = append(p.Problems, Problem{What: what, Remedy: remedy})
		return p
	}
	if s.path == "-" {
		p.Found = append(p.Found, "writes to standard output")
		return p
	}
	fi, err := os.Stat(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Found = append(p.Found, s.path+": will be created")
	case err != nil:
		return problem(err.Error(), "give s1stream's user the right to reach it")
	case fi.IsDir():
		return problem(s.path+" is a directory", "let path name a file")
	case unix.Access(s.path, unix.W_OK) != nil:
		return problem(s.path+" can't be written", "give s1stream's user the right to write it")
	case s.stream:
		p.Found = append(p.Found, s.path+": is no regular file: an ack means written, not stored")
		return p
	default:
		p.Found = append(p.Found, fmt.Sprintf("%s: %d bytes", s.path, fi.Size()))
		if fileEndsForeign(s.path, fi.Size()) {
			return problem(s.path+" ends with what is no beginning of a line of s1stream", "move it away, correct path, or end its last line")
		}
	}
	dir := fileExistingDir(s.path)
	if unix.Access(dir, unix.W_OK|unix.X_OK) != nil {
		return problem(dir+" can't be written", "give s1stream's user the right to create files there: the lock and rotated files need it")
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err == nil {
		free := st.Bavail * uint64(st.Bsize) //nolint:gosec,unconvert // block sizes are positive; types differ by system
		p.Found = append(p.Found, fmt.Sprintf("%s: %d MiB free", dir, free>>20))
		if free < 1<<20 {
			return problem(dir+" has no space left", "free some: nothing is lost, the line waits")
		}
	}
	return p
}

// fileEndsForeign reports whether Write would refuse the file for its last line. One that can't be read is another
// problem.
func fileEndsForeign(path string, size int64) bool {
	f, err := os.Open(path) //nolint:gosec // the path is the operator's
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	tail, _, err := fileReadTail(f, size)
	return err == nil && tail == fileTailForeign
}

// fileExistingDir is the nearest directory above path that exists: the first Write makes the others.
func fileExistingDir(path string) string {
	dir := filepath.Dir(path)
	for {
		if fi, err := os.Stat(dir); err == nil && fi.IsDir() || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
