package safe

import (
	"fmt"
	"io"
	"os"
	"syscall"
)

// maxSecret is the largest secret file, in bytes. A token or a password has some hundreds.
const maxSecret = 64 << 10

// ReadFile returns a regular file of most bytes at the most. A path that leads to a device or a pipe, which might
// never end or never begin, is an error at once.
func ReadFile(file string, most int64) ([]byte, error) {
	f, err := openRegular(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was read only
	b, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > most {
		return nil, fmt.Errorf("%s: is larger than %d KiB: is it the file that was meant?", file, most>>10)
	}
	return b, nil
}

// CheckFile is ReadFile for a file that somebody else will read: it reports what ReadFile would.
func CheckFile(file string, most int64) error {
	_, err := ReadFile(file, most)
	return err
}

// openRegular opens without waiting for the other end of a pipe, and looks at what it has opened, not at what the
// path was a moment before.
func openRegular(file string) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) //nolint:gosec // the path is the operator's
	if err != nil {
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: is %s, and must be a regular file", file, kind(fi.Mode()))
	}
	if err != nil {
		_ = f.Close() // it was read only
		return nil, err
	}
	return f, nil
}

func kind(m os.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&os.ModeNamedPipe != 0:
		return "a pipe"
	case m&os.ModeDevice != 0:
		return "a device"
	}
	return "no file of bytes"
}
