package cli

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/term"

	"s1stream/internal/safe"
)

// terminal returns the terminal that stream, a reader or a writer, is; nil where it is none.
func terminal(stream any) *os.File {
	if f, ok := stream.(*os.File); ok && term.IsTerminal(int(f.Fd())) { //nolint:gosec // a descriptor fits
		return f
	}
	return nil
}

// getenv looks a variable up in the environment that the command was given.
func (a *app) getenv(name string) string {
	for _, variable := range a.env {
		if v, ok := strings.CutPrefix(variable, name+"="); ok {
			return v
		}
	}
	return ""
}

// cleanWriter cleans what is written line by line, for answers of a server that go to a terminal.
type cleanWriter struct {
	w    io.Writer
	line []byte
}

// Write implements io.Writer. What follows the last line end waits for the next call, or for Close.
func (c *cleanWriter) Write(p []byte) (int, error) {
	for i, b := range p {
		if b != '\n' {
			c.line = append(c.line, b)
			continue
		}
		if _, err := io.WriteString(c.w, safe.Text(string(c.line))+"\n"); err != nil {
			return i, err
		}
		c.line = c.line[:0]
	}
	return len(p), nil
}

// Close writes an unfinished line.
func (c *cleanWriter) Close() error {
	if len(c.line) == 0 {
		return nil
	}
	_, err := c.Write([]byte("\n"))
	return err
}

// lockedWriter lets several goroutines write whole lines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// surviveClosedPipe makes a write to a closed standard output an error, where Go would end the process. The
// caller calls the result when it is done.
func surviveClosedPipe() (restore func()) {
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	return func() { signal.Stop(ignored) }
}
