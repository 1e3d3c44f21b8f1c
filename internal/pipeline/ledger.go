package pipeline

import (
	"maps"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/event"
)

// maxSeen bounds the seen-set, in threats. A bulk action can stamp a million threats in one second.
const maxSeen = 200_000

// maxOdd bounds what is remembered of threats out of order.
const maxOdd = 10_000

// ledger is what a line knows: its frontier, what it has dealt with at or after the frontier, and what is
// pending. Its line's lock guards it.
type ledger struct {
	frontier time.Time
	seen     map[string]checkpoint.Seen
	pending  map[string]pending
	odd      map[string]event.Version // out of order and older than the frontier: in memory alone
	dirty    bool                     // differs from what was saved
}

// pending is what a line has of one threat.
type pending struct {
	newest checkpoint.Seen
	inHand bool            // whether a version of it has left the queue and is not dealt with
	hand   checkpoint.Seen // that version
	over   checkpoint.Seen // the version that was left out since and has overtaken them; zero: none
}

func newLedger(s checkpoint.State) ledger {
	seen := s.Seen
	if seen == nil {
		seen = map[string]checkpoint.Seen{}
	}
	return ledger{frontier: s.Frontier, seen: seen, pending: map[string]pending{}, odd: map[string]event.Version{}}
}

func seenOf(ev *event.Event) checkpoint.Seen {
	return checkpoint.Seen{UpdatedAt: ev.UpdatedAt, Version: ev.Version}
}

// known reports whether the line need not be handed ev: it is older than the frontier, or the line's newest
// version of that threat, or older than that one.
func (l *ledger) known(ev *event.Event) bool {
	if ev.UpdatedAt.Before(l.frontier) && (!ev.Unordered || l.odd[ev.ID] == ev.Version) {
		return true
	}
	p, isPending := l.pending[ev.ID]
	have, ok := p.newest, isPending
	switch {
	case isPending && (p.over != checkpoint.Seen{}):
		have = p.over
	case !isPending:
		have, ok = l.seen[ev.ID]
	}
	if !ok {
		return false
	}
	if have.Version != ev.Version {
		return ev.UpdatedAt.Before(have.UpdatedAt)
	}
	// A threat without an updatedAt is stamped anew with every read; its entry goes along with the frontier.
	if ev.UpdatedAt.After(have.UpdatedAt) && !isPending {
		have.UpdatedAt = ev.UpdatedAt
		l.seen[ev.ID] = have
	}
	return true
}

// queued notes that ev is in the queue.
func (l *ledger) queued(ev *event.Event) {
	p := l.pending[ev.ID]
	p.newest, p.over = seenOf(ev), checkpoint.Seen{}
	l.pending[ev.ID] = p
}

// left notes that ev was left out: it is dealt with, and what is pending of its threat no more the newest. It reports
// what dealt does.
func (l *ledger) left(ev *event.Event) bool {
	p, isPending := l.pending[ev.ID]
	if !isPending {
		return l.dealt(ev)
	}
	p.over = checkpoint.Seen{}
	l.pending[ev.ID] = p
	noted := l.dealt(ev)
	p.over = seenOf(ev)
	l.pending[ev.ID] = p
	return noted
}

// taken notes that ev has left the queue.
func (l *ledger) taken(ev *event.Event) {
	p := l.pending[ev.ID]
	p.inHand, p.hand = true, seenOf(ev)
	l.pending[ev.ID] = p
}

// dealt notes that ev was acknowledged or dead-lettered. It reports false where the seen-set is full and took
// no note: the version may come again, which is a repeat, never a loss.
func (l *ledger) dealt(ev *event.Event) bool {
	now := seenOf(ev)
	if p, ok := l.pending[ev.ID]; ok {
		if p.inHand && p.hand == now {
			p.inHand = false
		}
		if !p.inHand && p.newest == now {
			delete(l.pending, ev.ID)
		} else {
			l.pending[ev.ID] = p
		}
		if (p.over != checkpoint.Seen{}) {
			return true // the newer one is noted, even where both have the same moment
		}
	}
	have, ok := l.seen[ev.ID]
	switch {
	case ok && now.UpdatedAt.Before(have.UpdatedAt):
		return true
	case !ok && ev.UpdatedAt.Before(l.frontier):
		// Out of order: the frontier stands for it. While the console goes on giving it, it is no news.
		if len(l.odd) >= maxOdd {
			clear(l.odd)
		}
		l.odd[ev.ID] = ev.Version
		return true
	case !ok && len(l.seen) >= maxSeen:
		return false
	}
	l.seen[ev.ID] = now
	l.dirty = true
	return true
}

// forget drops what is queued; what is in hand stays pending.
func (l *ledger) forget() {
	for id, p := range l.pending {
		if !p.inHand {
			delete(l.pending, id)
			continue
		}
		p.newest = p.hand
		l.pending[id] = p
	}
}

// advance moves the frontier, never back, and drops what the frontier now stands for. It reports whether the
// frontier moved.
func (l *ledger) advance(to time.Time) bool {
	if !to.After(l.frontier) {
		return false
	}
	l.frontier, l.dirty = to, true
	for id, s := range l.seen {
		if s.UpdatedAt.Before(to) {
			delete(l.seen, id)
		}
	}
	return true
}

// state is a copy to be saved.
func (l *ledger) state(fp checkpoint.Fingerprint) checkpoint.State {
	return checkpoint.State{Fingerprint: fp, Frontier: l.frontier, Seen: maps.Clone(l.seen)}
}
