package source

import (
	"context"
	"crypto/sha256"
	"errors"
	"iter"
	"time"

	"s1stream/internal/safe"
)

const (
	settleGrain = time.Second // the grain of a Date header
	samePages   = 20          // pages alike that a walk follows: there are odd ones, but not so many
)

// Walk reads everything from a frontier to the present, oldest first, a page at a time. It asks the console
// until it gets an answer or ctx ends; an error ends the walk, and the next one starts at a frontier again.
// urgent walks go before others of the same token.
//
// How it reads without losing:
//   - a page's moment T is the console's clock when the page was asked for, never later than our own;
//   - a page whose newest threat is older than T - settle is settled: its frontier is its oldest updatedAt;
//   - the first page that is not settled fixes the walk's T; from there no page moves the frontier, and the
//     walk's end moves it to T - settle;
//   - a cursor that is refused or comes twice, and a page that stays bad, is gone round by value: from the
//     largest updatedAt of the last page, without a cursor. What comes twice is known to the lines.
func (c *Console) Walk(ctx context.Context, from time.Time, urgent bool) iter.Seq2[Page, error] {
	return func(yield func(Page, error) bool) {
		w := &walk{c: c, urgent: urgent, from: from, seen: map[trace]int{}}
		w.split.host, w.split.source = c.host, c.name
		w.buf = c.bufs.Get().(*pageBuffer)
		defer c.bufs.Put(w.buf)
		for {
			p, err := w.fetch(ctx)
			if errors.Is(err, errGone) && w.goRound() {
				c.warn("walk goes on by value", "from", formatTime(w.from), "err", safe.Text(err.Error()))
				continue
			}
			if err != nil {
				yield(Page{}, err)
				return
			}
			page, done := w.settle(p)
			if !yield(page, nil) || done {
				return
			}
			if !w.follow(p) && !w.goRound() {
				yield(Page{}, errors.New("the console leads in a circle, and gives no threat to go on from"))
				return
			}
		}
	}
}

// walk is one walk under way.
type walk struct {
	c      *Console
	urgent bool
	from   time.Time     // updatedAt__gte asked for at present
	cursor string        // "" on the first page from there
	seen   map[trace]int // cursors and pages since from, and how often
	buf    *pageBuffer
	split  splitter

	last   time.Time // largest updatedAt of the last page since from that has one; zero where none has
	stuck  bool      // going on by value from here has led back here once
	fixed  time.Time // T of the first page that was not settled
	frozen bool      // the frontier stays for the rest of the walk
}

// settle decides what frontier a page gives, and whether the walk ends with it.
func (w *walk) settle(p fetched) (page Page, done bool) {
	c := w.c
	page.Events, done = p.events, p.cursor == ""
	if !w.split.last.IsZero() {
		w.last = w.split.last
	}
	if p.moment.IsZero() {
		w.frozen = true
		c.order.Fail("console sends no Date, so no frontier moves: look for a proxy that strips it", nil)
	}
	if n := w.split.unordered; n > 0 {
		c.met.unordered.Add(float64(n))
		c.warn("console gave threats out of order; they are handed on", "threats", n)
	}
	settle := c.cfg.Settle
	if len(p.events) > 0 {
		// A threat stamped later than both clocks came while we read: the next walk takes up from there.
		if last := w.split.tail; !p.date.IsZero() && last.After(p.date.Add(settleGrain)) && last.After(p.asked) {
			done = true
		}
		switch {
		case !w.fixed.IsZero():
		case w.split.newest.Before(p.moment.Add(-settle)):
			page.Frontier = w.split.oldest
		default:
			w.fixed = p.moment
		}
	}
	if done {
		t := w.fixed
		if t.IsZero() {
			t = p.moment
		}
		page.Frontier = t.Add(-settle)
	}
	if w.frozen {
		page.Frontier = time.Time{}
	} else if done {
		c.order.OK()
	}
	return page, done
}

// trace tells a cursor or a page from others.
type trace [sha256.Size]byte

// follow takes the page's cursor. It refuses one that was followed before, and any that leads to the same pages
// again and again, new each time: the walk would go in a circle.
func (w *walk) follow(p fetched) bool {
	page := []byte("page")
	if n := len(p.events); n > 0 {
		page = append(append(page, p.events[0].Version[:]...), p.events[n-1].Version[:]...)
	}
	byCursor, byPage := sha256.Sum256([]byte("cursor"+p.cursor)), sha256.Sum256(page)
	w.seen[byCursor]++
	w.seen[byPage]++
	if w.seen[byCursor] > 1 || w.seen[byPage] > samePages {
		w.c.warn("console leads the walk in a circle", "from", formatTime(w.from))
		return false
	}
	w.cursor = p.cursor
	return true
}

// goRound makes the walk go on by value. Where a full page has one updatedAt only, value leads back to it: a
// fresh cursor is tried once; after that the walk goes on behind that moment and the frontier stays.
// It reports false where there is no threat to go on from.
func (w *walk) goRound() bool {
	if w.last.IsZero() {
		return false
	}
	switch {
	case w.last.After(w.from):
		w.from, w.stuck = w.last, false
	case !w.stuck:
		w.stuck = true
	default:
		next := w.last.Add(time.Microsecond)
		if !next.After(w.from) {
			return false // the console does not keep to updatedAt__gte: there is no way on
		}
		w.from, w.stuck, w.frozen = next, false, true
		w.c.order.Fail("console refuses its own cursor within one updatedAt, so the frontier stays: a larger page_size may help", nil)
	}
	w.c.met.byValue.Inc()
	w.cursor, w.last = "", time.Time{}
	clear(w.seen)
	return true
}
