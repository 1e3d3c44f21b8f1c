package source

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v4"

	"s1stream/internal/event"
	"s1stream/internal/safe"
)

const (
	askAgain    = 5                // times that a bad page is asked for again
	deniedPause = time.Minute      // between requests that the console denies
	quietTries  = 3                // failures in a row before one is said
	slowAnswer  = 30 * time.Second // after which a request without an answer is said
	growAfter   = 4                // good pages in a row before the page size is doubled again
)

// errGone ends a cursor: it was refused, or what it leads to stays bad.
var errGone = errors.New("cursor is of no use any more")

// fetched is a good page as it came.
type fetched struct {
	answer
	events []event.Event
	cursor string
}

// newBackoff returns the waits between requests that fail: half a second to a minute, with jitter, for ever.
func newBackoff() *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(500*time.Millisecond),
		backoff.WithMaxInterval(time.Minute),
		backoff.WithMaxElapsedTime(0),
	)
}

// fetch asks for the walk's next page until it has it. It fails when ctx ends, with errGone when the cursor is
// of no use, and with a *pageError when a page without a cursor stays bad.
func (w *walk) fetch(ctx context.Context) (fetched, error) {
	c := w.c
	wait := newBackoff()
	slow := 0
	for bad, failed := 0, 0; ; failed++ {
		if err := c.limit.wait(ctx, w.urgent); err != nil {
			return fetched{}, err
		}
		p, err := w.ask(ctx)
		if err == nil {
			c.asking.OK()
			c.unread.OK()
			c.grown()
			c.met.pages.Inc()
			c.met.threats.Add(float64(len(p.events)))
			return p, nil
		}
		if ctx.Err() != nil {
			return fetched{}, ctx.Err()
		}
		pause, why, said := wait.NextBackOff(), "console does not answer", false
		var denied *statusError
		var page *pageError
		switch {
		case errors.Is(err, errTooLarge):
			c.shrink("page is too large")
			failed = -1
			continue
		case errors.As(err, &page):
			why = "console's answer is no page"
			c.met.badPages.Inc()
			if bad++; bad > askAgain {
				c.asking.Fail("page stays bad", err)
				if w.cursor != "" {
					return fetched{}, fmt.Errorf("%w: %w", errGone, err)
				}
				return fetched{}, err
			}
		case errors.As(err, &denied):
			if w.cursor != "" && refusesCursor(denied.status) {
				return fetched{}, fmt.Errorf("%w: %w", errGone, err)
			}
			if denied.status == http.StatusTooManyRequests {
				why = "console throttles: is the token used elsewhere too?"
			}
			pause, said = c.denied(denied, pause)
		}
		if tooSlow(err) {
			if slow++; slow%2 == 0 {
				c.shrink("console is too slow for the page size")
			}
		}
		switch {
		case said:
		case failed+1 >= quietTries:
			c.asking.Fail(why, err)
		default:
			c.log.Debug("ask again", "err", safe.Text(err.Error()), "pause", pause.String())
		}
		if err := sleep(ctx, pause); err != nil {
			return fetched{}, err
		}
	}
}

// refusesCursor reports whether a status may be about the cursor: refused, expired, or too long for an address.
func refusesCursor(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusNotFound, http.StatusGone, http.StatusRequestURITooLong, http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// tooSlow reports whether an answer was under way, or on a gateway's other side, when time ran out. A console
// that can't be reached is no reason to ask for less.
func tooSlow(err error) bool {
	var denied *statusError
	if errors.As(err, &denied) {
		return denied.status == http.StatusGatewayTimeout
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op != "read" {
		return false
	}
	return errors.Is(err, context.DeadlineExceeded)
}

// denied says how long to wait after an answer that is no page: as long as the console asks, and a minute
// where only an operator can help. That it says at once; said reports so.
func (c *Console) denied(e *statusError, pause time.Duration) (wait time.Duration, said bool) {
	pause = max(pause, e.retryAfter())
	switch {
	case e.status == http.StatusTooManyRequests:
		c.met.throttled.Inc()
		c.limit.hold(time.Now().Add(pause))
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden:
		if c.rereadToken() {
			return pause, false
		}
		c.asking.Fail("console denies the token: renew it, or give its user Threats.view", e)
		return max(deniedPause, e.retryAfter()), true
	case e.status < 500 && e.status != http.StatusRequestTimeout, e.status == http.StatusNotImplemented:
		c.asking.Fail("console refuses the request: check url and filter", e)
		return max(pause, deniedPause), true
	}
	return pause, false
}

// ask sends one request for the walk's next page.
func (w *walk) ask(parent context.Context) (fetched, error) {
	c := w.c
	ctx, cancel := context.WithTimeout(parent, c.cfg.Timeout)
	defer cancel()
	defer time.AfterFunc(slowAnswer, func() { c.asking.Fail("console is slow to answer", nil) }).Stop()
	size := int(c.size.Load())
	resp, a, err := c.open(ctx, ThreatsPath, w.query(size))
	if err != nil {
		return fetched{}, err
	}
	if resp.StatusCode != http.StatusOK {
		return fetched{}, c.explain(resp, a)
	}
	if !isJSON(resp.Header) {
		_ = resp.Body.Close()
		return fetched{}, &pageError{fmt.Errorf("Content-Type is %q, not JSON: a login page or a proxy's?", c.shown(resp.Header.Get("Content-Type")))}
	}
	at := a.moment
	if at.IsZero() {
		at = a.asked.UTC().Truncate(time.Microsecond) // for items without an updatedAt; no frontier moves by it
	}
	p := fetched{answer: a}
	body, err := w.buf.read(resp, c.most)
	if errors.Is(err, errTooLarge) && size == 1 {
		p.events, p.cursor, err = w.giant(parent, at)
		return p, err
	}
	if err != nil {
		return fetched{}, err
	}
	if p.events, p.cursor, err = w.split.split(body, at); err != nil {
		if c.quotes(body) {
			err = errors.New(withheld)
		}
		return fetched{}, &pageError{err}
	}
	return p, nil
}

// query is the request for the next page: all filters and the order go with every one, for the cursor holds
// none of them.
func (w *walk) query(size int) url.Values {
	q := maps.Clone(w.c.filter)
	if q == nil {
		q = url.Values{}
	}
	q.Set("sortBy", "updatedAt")
	q.Set("sortOrder", "asc")
	q.Set("limit", strconv.Itoa(size))
	q.Set("skipCount", "true")
	q.Set("updatedAt__gte", formatTime(w.from))
	if w.cursor != "" {
		q.Set("cursor", w.cursor)
	}
	return q
}

// shrink halves the page size, down to one threat.
func (c *Console) shrink(why string) {
	if c.size.Load() == 1 {
		return
	}
	size := max(c.size.Load()/2, 1)
	c.size.Store(size)
	c.good.Store(0)
	c.met.pageSize.Set(float64(size))
	c.warn("page size halved", "why", why, "page_size", size)
}

// grown counts a good page and doubles the page size again after a few.
func (c *Console) grown() {
	size, most := c.size.Load(), int32(c.cfg.PageSize) //nolint:gosec // 1 to 1000
	if size >= most || c.good.Add(1) < growAfter {
		return
	}
	size = min(2*size, most)
	c.size.Store(size)
	c.good.Store(0)
	c.met.pageSize.Set(float64(size))
}

// Now returns the console's clock, by the Date of an answer that needs the token and the permission to read
// threats. It asks until it has one or ctx ends.
func (c *Console) Now(ctx context.Context) (time.Time, error) {
	w := &walk{c: c, urgent: true, from: time.Now().Add(-time.Minute)}
	w.split.host, w.split.source = c.host, c.name
	w.buf = c.bufs.Get().(*pageBuffer)
	defer c.bufs.Put(w.buf)
	for {
		p, err := w.fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return time.Time{}, ctx.Err()
		case err == nil && !p.moment.IsZero():
			return p.moment, nil
		case err == nil:
			c.order.Fail("console sends no Date, so start can't be resolved: give it as RFC 3339", nil)
		}
		if err := sleep(ctx, c.cfg.PollInterval); err != nil {
			return time.Time{}, err
		}
	}
}
