package pipeline

import (
	"math/rand/v2"
	"net/http"
	"time"

	"s1stream/internal/console"
)

// fate decides about one request.
func (w *world) fate(*http.Request) console.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := console.Fault{DateSkew: w.skew + w.dateSkew, NoGzip: w.lucky.IntN(16) > 0}
	if w.calm {
		return f
	}
	if w.lucky.IntN(2) == 0 {
		f.Delay = time.Duration(w.lucky.IntN(600)) * time.Millisecond
		f.Hold = time.Duration(w.lucky.IntN(600)) * time.Millisecond
	}
	if w.lucky.Float64() < w.request[0] {
		kinds := []console.Kind{console.Throttle, console.ServerError, console.Unavailable, console.Drop, console.Reset, console.Truncate,
			console.LoginPage, console.BadJSON, console.ErrorsOK, console.NullData}
		f.Kind = kinds[w.lucky.IntN(len(kinds))]
		f.RetryAfter = []string{"", "3", "soon"}[w.lucky.IntN(3)]
		f.NoDate = w.lucky.IntN(4) == 0
		f.Keep = w.lucky.Float64()
	} else if w.cursorNever || w.lucky.Float64() < w.request[1] {
		f.Kind = []console.Kind{console.CursorExpired, console.CursorRepeated}[w.lucky.IntN(2)]
	}
	return f
}

// drive makes threats and changes them until the faults end.
func (w *world) drive() {
	r := rand.New(rand.NewPCG(w.seed, 3)) //nolint:gosec // a seed is meant to be repeated
	end := time.Now().Add(time.Duration(w.polls) * w.poll)
	for time.Now().Before(end) {
		time.Sleep(time.Duration(r.Int64N(int64(w.poll))))
		w.act(r)
	}
}

// stamp is the console's clock, often cut so that stamps are equal.
func (w *world) stamp(r *rand.Rand) time.Time {
	at := time.Now().Add(w.skew).UTC()
	return at.Truncate([]time.Duration{time.Microsecond, time.Second}[r.IntN(2)])
}

// visible is when a version stamped at becomes visible: at once, or as late as settle allows.
func (w *world) visible(r *rand.Rand, at time.Time) time.Time {
	if r.IntN(3) > 0 {
		return time.Time{}
	}
	w.tally.LateVisible++
	return at.Add(-w.skew).Add(time.Duration(r.Int64N(int64(w.settle))))
}

func (w *world) publishSome(n int) {
	r := rand.New(rand.NewPCG(w.seed, 4)) //nolint:gosec // a seed is meant to be repeated
	for range n {
		w.publish(r)
	}
}

func (w *world) publish(r *rand.Rand) {
	at := w.stamp(r)
	if at.Before(w.start) {
		at = w.start
	}
	w.console.Store.Publish(console.Threat{
		ID: w.console.Store.NewID(at), Created: console.StampOf(at), Updated: console.StampOf(at),
	}, w.visible(r, at))
}

func (w *world) act(r *rand.Rand) {
	store := w.console.Store
	ids := store.IDs()
	pick := func() uint64 { return ids[r.IntN(len(ids))] }
	change := func(t *console.Threat) { t.Ticket++ }
	switch n := r.IntN(10); {
	case n < 4 || len(ids) == 0:
		for range 1 + r.IntN(4) {
			w.publish(r)
		}
	case n < 7:
		at := w.stamp(r)
		store.Update(pick(), at, w.visible(r, at), change)
	case n < 8: // a mitigation row that comes without a new updatedAt, while that is not settled yet
		id := pick()
		t, _ := store.Latest(id)
		if age := time.Now().Add(w.skew).Sub(t.Updated.Time()); age < w.settle-time.Second {
			w.tally.SilentRows++
			store.Update(id, time.Time{}, time.Time{}, func(t *console.Threat) { t.AddRow(time.Now()) })
		}
	default: // a bulk action gives many threats one stamp
		at := w.stamp(r)
		store.Bulk(ids[:1+r.IntN(min(len(ids), 20))], at, w.visible(r, at), change)
	}
}
