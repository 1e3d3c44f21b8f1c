package console

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"
)

// aged gives a threat a past that fits its age: most old ones are mitigated and resolved. Nothing of it is
// later than now.
func aged(t *Threat, now Stamp) {
	l := luck(t.ID)
	t.Updated = t.Created
	step := func(within time.Duration) bool {
		at := t.Updated + Stamp(l.next()%uint64(within.Microseconds())) //nolint:gosec // positive
		if at > now {
			return false
		}
		t.Updated = at
		return true
	}
	for range l.below(4) {
		if !step(2 * time.Second) {
			return
		}
		t.AddRow(t.Updated.Time())
		t.Mitigation = Mitigated
	}
	if l.below(3) > 0 && step(20*time.Hour) {
		t.Incident = InProgress
	}
	if t.Incident == InProgress && l.below(4) > 0 && step(20*time.Hour) {
		judge(t, l.below(4))
	}
}

// judge is an analyst's last word.
func judge(t *Threat, luck int) {
	t.Incident, t.Verdict = Resolved, TruePositive
	if luck == 0 {
		t.Verdict, t.Mitigation = FalsePositive, MarkedAsBenign
	}
}

// LateRow is how much later than a threat's updatedAt a mitigation row comes that does not move it.
const LateRow = 3 * time.Second

// Living makes new threats and changes old ones, so many a second on average, until ctx ends. It runs in the
// caller's goroutine and changes the store about ten times a second. Faults.Late delays what it does: a version
// becomes visible at most LateRow + Late after the updatedAt it carries, so a settle above that loses nothing.
func (c *Console) Living(ctx context.Context, newPerSecond, updatesPerSecond float64) {
	const beat = 100 * time.Millisecond
	r := rand.New(rand.NewPCG(c.seed, 0x11f)) //nolint:gosec // a simulation that can be run again
	tick := time.NewTicker(beat)
	defer tick.Stop()
	last := time.Now()
	var births, changes float64
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := time.Now()
		// A process that was suspended does not stamp what it makes now with the time it slept through.
		spent := min(now.Sub(last), time.Second)
		births += newPerSecond * spent.Seconds()
		changes += updatesPerSecond * spent.Seconds()
		// Each happens at a moment of its own within the beat that is over.
		for ; births >= 1 && ctx.Err() == nil; births-- {
			c.born(r, now.Add(-time.Duration(r.Int64N(int64(spent)+1))))
		}
		for ; changes >= 1 && ctx.Err() == nil; changes-- {
			changes -= float64(c.change(r, now)) - 1
		}
		last = now
	}
}

// late is when a change stamped at becomes visible.
func (c *Console) late(r *rand.Rand, at time.Time) time.Time {
	c.mu.Lock()
	limit := c.fault.Late
	c.mu.Unlock()
	if limit <= 0 {
		return at
	}
	return at.Add(time.Duration(r.Int64N(int64(limit))))
}

func (c *Console) born(r *rand.Rand, at time.Time) {
	t := Threat{ID: c.Store.NewID(at), Created: StampOf(at), Updated: StampOf(at)}
	if r.IntN(2) == 0 {
		t.AddRow(at.Add(80 * time.Millisecond))
	}
	c.Store.Publish(t, c.late(r, at))
}

// change makes one change, or one to many threats at once, and returns how many versions came of it, at least 1.
func (c *Console) change(r *rand.Rand, now time.Time) int {
	ids := c.Store.some(r, 1)
	if len(ids) == 0 {
		return 1
	}
	visible := c.late(r, now)
	switch dice := r.IntN(100); {
	case dice < 2:
		return max(1, c.Store.Bulk(c.Store.some(r, 5+r.IntN(20)), now, visible, func(t *Threat) { judge(t, r.IntN(4)) }))
	case dice < 15: // a row that does not move updatedAt, where one is still to be expected
		id := c.Store.recent(r)
		stamp := now
		if t, ok := c.Store.Latest(id); ok && now.Sub(t.Updated.Time()) < LateRow {
			stamp = time.Time{}
		}
		c.Store.Update(id, stamp, visible, func(t *Threat) { t.AddRow(now) })
	case dice < 60: // updatedAt is some milliseconds earlier than the row that moves it
		c.Store.Update(ids[0], now, visible, func(t *Threat) {
			t.AddRow(now.Add(time.Duration(2+r.IntN(6)) * time.Millisecond))
			t.Mitigation = Mitigated
		})
	case dice < 80:
		c.Store.Update(ids[0], now, visible, func(t *Threat) { t.Incident, t.Verdict = InProgress, Suspicious })
	case dice < 95:
		c.Store.Update(ids[0], now, visible, func(t *Threat) { judge(t, r.IntN(4)) })
	default:
		c.Store.Update(ids[0], now, visible, func(t *Threat) { t.Ticket++ })
	}
	return 1
}

// some picks up to n ids, half of them among the threats that changed last.
func (s *Store) some(r *rand.Rand, n int) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ids []uint64
	for range min(n, len(s.byUpdated)) {
		from := 0
		if r.IntN(2) == 0 {
			from = max(0, len(s.byUpdated)-200)
		}
		ids = append(ids, s.byUpdated[from+r.IntN(len(s.byUpdated)-from)].ID)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// recent picks one of the three threats that changed last; there must be one.
func (s *Store) recent(r *rand.Rand) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byUpdated[len(s.byUpdated)-1-r.IntN(min(3, len(s.byUpdated)))].ID
}
