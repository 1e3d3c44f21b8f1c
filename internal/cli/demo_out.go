package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"

	"s1stream/internal/event"
	"s1stream/sink"
	"s1stream/sink/format"
)

// demoOut is the demo's sink: standard output, with a note of every version that was written. It is its own
// sink.Config, so that the demo is built as a run is.
type demoOut struct {
	w    io.Writer
	form func(sink.Record) []byte // one line
	lose func(*event.Event) bool  // nil outside tests
	gone chan struct{}            // closed when nobody reads standard output any more
	once sync.Once
	busy chan outcome // a write that an earlier ctx did not wait for; the line's goroutine alone touches it

	mu    sync.Mutex
	acked map[event.Version]int // how often each version was written
}

// outcome is what became of one write.
type outcome struct{ err error }

var (
	_ sink.Sink   = (*demoOut)(nil)
	_ sink.Config = (*demoOut)(nil)
)

func newDemoOut(w io.Writer, form func(sink.Record) []byte, lose func(*event.Event) bool) *demoOut {
	return &demoOut{w: w, form: form, lose: lose, gone: make(chan struct{}), acked: map[event.Version]int{}}
}

// Write implements sink.Sink. A pipe that nobody reads may hold a write up for ever; so it has a goroutine,
// and the next Write waits for it.
func (o *demoOut) Write(ctx context.Context, records []sink.Record) error {
	if o.busy != nil {
		select {
		case <-o.busy: // too late to count
			o.busy = nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	var buf []byte
	var written []event.Version
	for _, r := range records {
		if o.lose == nil || !o.lose(r.Event) {
			buf = append(buf, o.form(r)...)
			written = append(written, r.Event.Version)
		}
	}
	done := make(chan outcome, 1)
	o.busy = done
	go func() { // waited for here, or by the next Write; one that hangs ends with the process
		_, err := o.w.Write(buf)
		done <- outcome{err}
	}()
	select {
	case ended := <-done:
		o.busy = nil
		err := ended.err
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed) {
			o.once.Do(func() { close(o.gone) })
		}
		if err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, v := range written {
		o.acked[v]++
	}
	return nil
}

// isGone reports whether nobody reads standard output any more.
func (o *demoOut) isGone() bool {
	select {
	case <-o.gone:
		return true
	default:
		return false
	}
}

// has reports whether a version was written.
func (o *demoOut) has(v event.Version) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.acked[v] > 0
}

// Grade implements sink.Sink.
func (o *demoOut) Grade() sink.Grade { return sink.BestEffort }

// Close implements sink.Sink. Standard output stays open.
func (o *demoOut) Close() error { return nil }

// Validate implements sink.Config.
func (o *demoOut) Validate() error { return nil }

// MaxBytes implements sink.Config.
func (o *demoOut) MaxBytes(int) int { return 0 }

// New implements sink.Config.
func (o *demoOut) New(sink.Deps) (sink.Sink, error) { return o, nil }

// Probe implements sink.Config.
func (o *demoOut) Probe(context.Context, sink.Deps) sink.Probe {
	return sink.Probe{Grade: o.Grade()}
}

// Secrets implements sink.Config.
func (o *demoOut) Secrets() []string { return nil }

// jsonLine is a threat's own JSON on a line.
func jsonLine(r sink.Record) []byte {
	one := format.OneLine(r.Body)
	return append(one[:len(one):len(one)], '\n')
}
