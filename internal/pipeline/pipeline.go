// Package pipeline carries events from consoles to sinks: feeds, lines, retries, dead letters, the drain.
// It owns every goroutine.
//
// The one idea: the console is the log. Nothing is buffered for a sink that is down; its line is left behind
// and reads the console again from its own frontier when it is back. Catching up and restarting are the same.
//
// What no change may break:
//   - a line's frontier never passes a version that a validated page held and that is not acknowledged by its
//     sink, in its dead letters on disk, or superseded by a newer version of the same threat;
//   - a save starts after the acks that justify it;
//   - a timeout, a cancelled write, an unknown answer is not an ack;
//   - for one threat, a line never hands its sink an older version after a newer one;
//   - channel, queues and batches are bounded in events and in bytes.
package pipeline

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/ops"
	"s1stream/source"
)

// ErrDrain says that the drain's deadline passed before everything in flight was delivered. It is read again
// after the next start.
var ErrDrain = errors.New("drain deadline passed with events undelivered; they are read again after the next start")

const (
	summaryEvery = 10 * time.Minute
	closeGrace   = 5 * time.Second // for sinks that do not return when told to
)

// Options hold for all lines.
type Options struct {
	Patience     time.Duration // how long a full queue may hold up others
	DrainTimeout time.Duration // how long a stop may take
	SaveInterval time.Duration // at most one checkpoint save a line in this time
	Log          *slog.Logger
	Metrics      *Metrics
	Conditions   *ops.Conditions
}

// SourceSpec is one console with the sinks that it feeds.
type SourceSpec struct {
	Console *source.Console
	Lines   []LineSpec
}

// Pipeline runs consoles and lines. Use New.
type Pipeline struct {
	o       Options
	streams []*stream
	lines   []*line
}

// New loads each line's checkpoint. It fails where one is corrupt, newer, or belongs to another console or
// filter: an operator decides about those.
func New(o Options, sources []SourceSpec) (*Pipeline, error) {
	p := &Pipeline{o: o}
	var mistakes []error
	for _, spec := range sources {
		s := newStream(spec, o)
		for _, ls := range spec.Lines {
			st, err := ls.Checkpoint.Load()
			if errors.Is(err, checkpoint.ErrNone) {
				st, err = checkpoint.State{}, nil
			} else if err == nil {
				err = ls.Checkpoint.Check(st, ls.Fingerprint)
			}
			if err != nil {
				mistakes = append(mistakes, err)
				continue
			}
			if why := ls.Checkpoint.FromPrev(); why != nil {
				o.Log.Warn("checkpoint is damaged; went back to the one before, so some events repeat",
					"sink", ls.Sink, "source", spec.Console.Name(), "err", why)
			}
			s.lines = append(s.lines, newLine(ls, spec.Console.Name(), st, o))
		}
		if len(s.lines) > 0 {
			p.streams = append(p.streams, s)
			p.lines = append(p.lines, s.lines...)
		}
	}
	return p, errors.Join(mistakes...)
}

// Run reads and delivers until ctx ends; it then drains for DrainTimeout at most. abort ends it at once, after
// saving what is proven. It returns nil when all that was read is delivered and saved, ErrDrain when not.
func (p *Pipeline) Run(ctx, abort context.Context) error {
	drain, end := context.WithCancel(abort)
	defer end()
	defer context.AfterFunc(ctx, func() {
		t := time.NewTimer(p.o.DrainTimeout)
		defer t.Stop()
		select {
		case <-t.C:
			end()
		case <-drain.Done():
		}
	})()

	var streams, savers sync.WaitGroup
	for _, s := range p.streams {
		stop, cancel := context.WithCancel(ctx)
		defer context.AfterFunc(drain, cancel)()
		streams.Go(func() {
			defer cancel()
			s.run(stop, drain)
		})
	}
	ended := make([]chan error, len(p.lines))
	for i, l := range p.lines {
		ended[i] = make(chan error, 1)
		go func() { ended[i] <- l.run(drain, ctx.Done()) }() // waited for below, unless its sink is stuck and the process ends
	}
	saving, stopSaving := context.WithCancel(context.WithoutCancel(ctx))
	savers.Go(func() { p.save(saving) })
	savers.Go(func() { p.summarize(saving) })

	streams.Wait()
	for _, l := range p.lines {
		l.close()
	}
	results := waitFor(ended, drain)
	stopSaving()
	saved := make(chan error, 1)
	go func() { // waited for just below, unless the disk hangs and the process ends
		savers.Wait()
		var unsaved []error
		for _, l := range p.lines {
			unsaved = append(unsaved, l.save())
		}
		saved <- errors.Join(unsaved...)
	}()
	unsaved := waitFor([]chan error{saved}, drain)[0]
	if errors.Is(unsaved, errStuck) {
		unsaved = errors.New("save checkpoints: the disk does not answer; what is not saved comes again")
	}
	var undrained error
	for i, l := range p.lines {
		switch err := results[i]; {
		case errors.Is(err, errStuck):
			undrained = fmt.Errorf("%w (sink %s did not return from a write)", ErrDrain, l.Sink)
			continue // in Write, so it must not be closed
		case err != nil && undrained == nil:
			undrained = ErrDrain
		}
		if err := l.Out.Close(); err != nil {
			l.log.Warn("close sink", "err", err)
		}
	}
	if undrained != nil {
		return undrained
	}
	return unsaved
}

var errStuck = errors.New("does not end")

// waitFor returns how each ended: errStuck where it did not, closeGrace after the deadline.
func waitFor(ended []chan error, drain context.Context) []error {
	late := make(chan struct{})
	defer context.AfterFunc(drain, func() { time.AfterFunc(closeGrace, func() { close(late) }) })()
	results := make([]error, len(ended))
	for i, result := range ended {
		select {
		case results[i] = <-result:
			continue
		case <-late:
		}
		select {
		case results[i] = <-result:
		default:
			results[i] = errStuck
		}
	}
	return results
}

// save saves every changed checkpoint, once an interval, until ctx ends.
func (p *Pipeline) save(ctx context.Context) {
	t := time.NewTicker(p.o.SaveInterval)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			for _, l := range p.lines {
				_ = l.save() // said and counted there; the old checkpoint stands
			}
		case <-ctx.Done():
			return
		}
	}
}

// save stores the line's frontier and seen-set if they changed.
func (l *line) save() error {
	l.mu.Lock()
	if !l.ledger.dirty || l.ledger.frontier.IsZero() {
		l.mu.Unlock()
		return nil
	}
	st := l.ledger.state(l.Fingerprint)
	l.ledger.dirty = false
	l.mu.Unlock()
	if err := l.Checkpoint.Save(st); err != nil {
		l.mu.Lock()
		l.ledger.dirty = true
		l.mu.Unlock()
		l.met.saveErrors.Inc()
		l.saving.Fail("checkpoint can't be saved; delivery goes on, the old one stands", err)
		return err
	}
	l.met.saves.Inc()
	l.met.saved.SetToCurrentTime()
	l.saving.OK()
	return nil
}

// summarize says every ten minutes what each line did.
func (p *Pipeline) summarize(ctx context.Context) {
	t := time.NewTicker(summaryEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			for _, l := range p.lines {
				l.summary()
			}
		case <-ctx.Done():
			return
		}
	}
}

func (l *line) summary() {
	now, lag := [3]int64{l.delivered.Load(), l.retried.Load(), l.dead.Load()}, "not started"
	if at := l.frontier(); !at.IsZero() {
		lag = time.Since(at).Round(time.Second).String()
	}
	l.log.Info("line", "delivered", now[0]-l.reported[0], "retries", now[1]-l.reported[1], "dead_letters", now[2]-l.reported[2],
		"lag", lag)
	l.reported = now
}
