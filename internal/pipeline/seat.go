package pipeline

import (
	"runtime/debug"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/safe"
)

// seat is a line's place on a feed, from when it sits down until it moves. Walks are for seats: a line that left
// and came back has a new one, so it takes neither events nor marks of a walk that began while it was away.
type seat struct {
	line *line
	feed *feed
}

// sits returns the line's seat, nil before it has one.
func (l *line) sits() *seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat
}

// taken reports whether the line still has this seat.
func (s *seat) taken() bool { return s.line.sits() == s }

// wants reports whether the line still has this seat and does not know ev.
func (s *seat) wants(ev *event.Event) bool {
	l := s.line
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.seat == s && !l.ledger.known(ev)
}

// offer queues ev unless it is known, or the line leaves it out: then it is dealt with at once, and needs no room. An
// older version of its threat that still waits goes on. It reports false where the queue has no room.
func (s *seat) offer(ev *event.Event) bool {
	l := s.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seat != s || l.ledger.known(ev) {
		return true
	}
	if !l.takes(ev) {
		l.met.left.Inc()
		if !l.ledger.left(ev) {
			l.met.unseen.Inc()
		}
		return true
	}
	if l.queue.full(ev.Size()) {
		return false
	}
	enough := l.enough()
	l.queue.push(ev)
	l.ledger.queued(ev)
	l.gauge()
	if l.queue.events == 1 || !enough && l.enough() {
		l.wake() // between the first event and a full batch there is nothing to look at
	}
	return true
}

// takes asks the line's choice. A stub is taken whatever is chosen, for nobody can tell what it stands for: it goes to
// the dead letters; and so is what makes the choice panic, for that loses nothing.
func (l *line) takes(ev *event.Event) (taken bool) {
	if l.Takes == nil || ev.Stub != "" {
		return true
	}
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("choice of events panicked", "id", safe.Text(ev.ID), "stack", string(debug.Stack()))
			taken = true
		}
	}()
	return l.Takes(ev)
}

// offerMark queues a page's frontier behind its events.
func (s *seat) offerMark(frontier time.Time) {
	l := s.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seat == s {
		l.queue.pushMark(mark{frontier: frontier, seat: s})
		l.wake()
	}
}

// roomFor reports whether the queue has room for an event of this size.
func (l *line) roomFor(size int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.queue.full(size)
}

// charge adds time that the line blocked the shared feed, and returns all since it last had nothing pending.
func (l *line) charge(d time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.charged += d
	return l.charged
}

// forgive clears the charge of a line that has nothing pending. The caller holds the lock.
func (l *line) forgive() {
	if len(l.ledger.pending) == 0 {
		l.charged = 0
	}
}

// moveTo gives the line a seat on another feed. Its queue and its marks are thrown away, and what is pending
// there; what is in hand stays pending. It goes on from its frontier. Its charge stays while anything is pending.
func (l *line) moveTo(f *feed) *seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seat, l.moved = &seat{line: l, feed: f}, time.Now()
	l.queue.drop()
	l.ledger.forget()
	l.forgive()
	l.gauge()
	return l.seat
}

// join gives a line that has caught up a seat on the shared feed. Its queue stays; its old marks count no more.
func (l *line) join(f *feed) *seat {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seat, l.moved = &seat{line: l, feed: f}, time.Now()
	return l.seat
}
