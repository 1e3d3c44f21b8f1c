package pipeline

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"s1stream/checkpoint"
	"s1stream/internal/ops"
	"s1stream/source"
)

// stream is one console with all its lines: the shared feed, and the feeds of the lines that are behind.
type stream struct {
	console  *source.Console
	patience time.Duration
	log      *slog.Logger
	lines    []*line
	shared   *feed
	feeds    sync.WaitGroup
	starting *ops.Condition
	met      streamMetrics

	// stop ends the walks; drain ends the handing on, at the deadline.
	stop, drain context.Context //nolint:containedctx // two lifetimes that every feed of the stream shares

	mu      sync.Mutex
	live    []*seat       // on the shared feed
	joining []*line       // caught up, waiting for the next shared walk
	joined  chan struct{} // capacity 1: a line waits to join
}

type streamMetrics struct {
	lastWalk, buffered prometheus.Gauge
	walks, walkErrors  prometheus.Counter
}

func newStream(spec SourceSpec, o Options) *stream {
	name := spec.Console.Name()
	return &stream{
		console:  spec.Console,
		patience: o.Patience,
		log:      o.Log.With("source", name),
		starting: o.Conditions.New("start of "+name, o.Log.With("source", name)),
		joined:   make(chan struct{}, 1),
		met: streamMetrics{
			lastWalk:   o.Metrics.lastWalk.WithLabelValues(name),
			buffered:   o.Metrics.buffered.WithLabelValues(name),
			walks:      o.Metrics.walks.WithLabelValues(name),
			walkErrors: o.Metrics.walkErrors.WithLabelValues(name),
		},
	}
}

// run reads the console and hands its events on until stop ends and everything read was handed on, or drain
// ends.
func (s *stream) run(stop, drain context.Context) {
	s.stop, s.drain = stop, drain
	s.shared = newFeed(s, nil)
	var fresh, ready []*line
	var newest time.Time
	for _, l := range s.lines {
		at := l.frontier()
		if at.IsZero() {
			fresh = append(fresh, l)
			continue
		}
		ready = append(ready, l)
		if at.After(newest) {
			newest = at
		}
	}
	for _, l := range ready {
		if s.near(l.frontier(), newest) {
			s.live = append(s.live, l.moveTo(s.shared))
		}
	}
	for _, l := range ready {
		if !s.near(l.frontier(), newest) {
			s.log.Info("line starts behind", "sink", l.Sink, "frontier", l.frontier().Format(time.RFC3339))
			s.catchUp(l)
		}
	}
	s.feeds.Go(func() { s.shared.hand(drain) })
	if len(fresh) > 0 {
		s.feeds.Go(func() { s.begin(fresh) })
	}
	s.readShared()
	close(s.shared.items)
	s.feeds.Wait()
}

// begin gives lines without a checkpoint their start, resolved once, and saves that before their first walk: no
// save, no walk. Lines then join, those that could be saved together.
func (s *stream) begin(lines []*line) {
	start, err := s.console.Start(s.stop)
	if err != nil {
		return // the stop came first
	}
	if time.Until(start) > time.Hour { // by our clock: the console's may be a little ahead
		s.log.Warn("start is in the future, and what changes before is not delivered", "frontier", start.Format(time.RFC3339Nano))
	}
	wait := newBackoff(time.Minute)
	for len(lines) > 0 {
		var left, begun []*line
		for _, l := range lines {
			if err = l.saveStart(start); err != nil {
				s.starting.Fail("no checkpoint can be saved, so nothing is read for this sink", err)
				left = append(left, l)
				continue
			}
			s.log.Info("line starts", "sink", l.Sink, "frontier", start.Format(time.RFC3339Nano))
			begun = append(begun, l)
		}
		s.join(begun...)
		if lines = left; len(lines) == 0 {
			break
		}
		select {
		case <-time.After(wait.NextBackOff()):
		case <-s.stop.Done():
			return
		}
	}
	s.starting.OK()
}

// join lets lines wait for the next shared walk.
func (s *stream) join(lines ...*line) {
	s.mu.Lock()
	s.joining = append(s.joining, lines...)
	s.mu.Unlock()
	s.shared.signal()
	select {
	case s.joined <- struct{}{}:
	default:
	}
}

// near reports whether two frontiers are close enough for one feed.
func (s *stream) near(a, b time.Time) bool {
	return a.Sub(b).Abs() <= s.console.Settle()+s.console.PollInterval()
}

// readShared walks for the lines that keep up, again and again.
func (s *stream) readShared() {
	for s.stop.Err() == nil {
		seats := s.admit()
		if len(seats) == 0 {
			select {
			case <-s.joined:
			case <-s.stop.Done():
			}
			continue
		}
		s.walked(s.shared, s.shared.walk(s.stop, seats))
		s.met.buffered.Set(float64(s.shared.budget.held.Load()))
		s.rest()
	}
}

// walked keeps account of a walk's end.
func (s *stream) walked(f *feed, err error) {
	switch {
	case err == nil && f.own == nil:
		s.met.walks.Inc()
		s.met.lastWalk.SetToCurrentTime()
	case err == nil:
		s.met.walks.Inc()
	case !errors.Is(err, context.Canceled) && !errors.Is(err, errLeft):
		s.met.walkErrors.Inc()
		s.log.Debug("walk ended early", "err", err)
	}
}

// rest is the pause between two walks.
func (s *stream) rest() {
	t := time.NewTimer(s.console.PollInterval())
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.stop.Done():
	}
}

// admit takes in the lines that wait to join and still are near, and returns who the next shared walk is for.
func (s *stream) admit() []*seat {
	s.mu.Lock()
	defer s.mu.Unlock()
	joining := s.joining
	s.joining = nil
	for _, l := range joining {
		if len(s.live) > 0 && !s.near(l.frontier(), s.frontier()) {
			s.catchUp(l)
			continue
		}
		s.live = append(s.live, l.join(s.shared))
		l.met.behind.Set(0)
		s.log.Info("line is live", "sink", l.Sink)
	}
	s.shed()
	return slices.Clone(s.live)
}

// standsStill is for how many times patience a line's frontier may stand still behind another's.
const standsStill = 10

// shed lets lines fall behind whose frontier stands still though their queue has room: every shared walk would
// have to begin there, further and further back. The caller holds the lock.
func (s *stream) shed() {
	var newest time.Time
	for _, on := range s.live {
		if at := on.line.frontier(); at.After(newest) {
			newest = at
		}
	}
	for _, on := range slices.Clone(s.live) {
		if !s.near(on.line.frontier(), newest) && on.line.still() > standsStill*s.patience {
			s.leave(on)
		}
	}
}

// frontier is the shared feed's: the oldest of its lines'. The caller holds the lock, and there is a line.
func (s *stream) frontier() time.Time {
	oldest := s.live[0].line.frontier()
	for _, other := range s.live[1:] {
		if at := other.line.frontier(); at.Before(oldest) {
			oldest = at
		}
	}
	return oldest
}

// waiting reports whether a line waits to join: it counts as one that keeps up.
func (s *stream) waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.joining) > 0
}

// fallBehind takes a line off the shared feed. It reports false during a stop, when nothing is read any more.
func (s *stream) fallBehind(from *seat) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop.Err() != nil {
		return false
	}
	s.leave(from)
	return true
}

// leave moves a line from the shared feed to one of its own. The caller holds the lock.
func (s *stream) leave(from *seat) {
	s.live = slices.DeleteFunc(s.live, func(other *seat) bool { return other == from })
	l := from.line
	l.met.fell.Inc()
	s.log.Warn("line falls behind; it goes on by itself from its frontier", "sink", l.Sink, "frontier", l.frontier().Format(time.RFC3339))
	s.catchUp(l)
}

// catchUp gives a line a feed of its own, until it is near the shared one.
func (s *stream) catchUp(l *line) {
	f := newFeed(s, l)
	on := l.moveTo(f)
	l.met.behind.Set(1)
	s.feeds.Go(func() { f.hand(s.drain) })
	s.feeds.Go(func() { s.readOwn(on) })
}

// readOwn walks for one line until it is near the shared feed. It then lets the line join, once all that it
// read was handed on. It asks the console for nothing while the sink still has work from the walk before.
func (s *stream) readOwn(on *seat) {
	f, caughtUp := on.feed, false
	for s.stop.Err() == nil {
		err := f.walk(s.stop, []*seat{on})
		s.walked(f, err)
		for err == nil && f.own.busy() && s.stop.Err() == nil {
			s.rest()
		}
		if caughtUp = err == nil && s.mayJoin(f.own); caughtUp {
			break
		}
		s.rest()
	}
	close(f.items)
	if !caughtUp {
		return
	}
	<-f.ended
	s.join(f.own)
}

// mayJoin reports whether the line is near the shared feed.
func (s *stream) mayJoin(l *line) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.live) == 0 || s.near(l.frontier(), s.frontier())
}

// saveStart saves a resolved start, and takes it as the frontier once it is on disk.
func (l *line) saveStart(start time.Time) error {
	if err := l.Checkpoint.Save(checkpoint.State{Fingerprint: l.Fingerprint, Frontier: start}); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ledger.frontier = start
	l.met.frontier.Set(seconds(start))
	return nil
}
