package console

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// API is the path that every endpoint begins with.
const API = "/web/api/v2.1"

const (
	typeJSON  = "application/json"
	typeHTML  = "text/html; charset=utf-8"
	typePlain = "text/plain; charset=utf-8"
)

// answer is what a request gets, before faults of the wire and compression.
type answer struct {
	status      int
	contentType string
	body        []byte
	location    string
	page        *page // of threats; nil for anything else
	live        uint64
	cursor      string // the request's, where the page is to hand it back
}

// ServeHTTP implements http.Handler. To drop a connection it panics with http.ErrAbortHandler, which a server
// and Transport both understand.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	read := c.reads.Add(1)
	f := c.fate(r)
	sleep(r.Context(), f.Delay)
	if f.Kind == Drop {
		panic(http.ErrAbortHandler)
	}
	a := c.answer(r, &f)
	a.live = read
	sleep(r.Context(), f.Hold) // from here on the page is old, but its Date will be young

	h := w.Header()
	h["Date"] = nil // keeps a server from adding its own
	if !f.NoDate {
		h.Set("Date", time.Now().Add(f.DateSkew).UTC().Format(http.TimeFormat))
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", a.contentType)
	h.Set("X-Rqid", fmt.Sprintf("%08x-%016x", uint32(c.seed), read)) //nolint:gosec // an id, not a number
	if a.location != "" {
		h.Set("Location", a.location)
	}
	if f.RetryAfter != "" && (a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable) {
		h.Set("Retry-After", f.RetryAfter)
	}
	body, free := c.encode(&a, &f, !f.NoGzip && acceptsGzip(r))
	defer free()
	if body.gzip {
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Vary", "Accept-Encoding")
	c.write(w, r, &a, &f, body.bytes)
}

// write sends the answer, or as much of it as the fault lets through, and notes in the ledger what was served.
func (c *Console) write(w http.ResponseWriter, r *http.Request, a *answer, f *Fault, body []byte) {
	w.WriteHeader(a.status)
	switch f.Kind {
	case Truncate:
		_, _ = w.Write(f.cut(body))
		return
	case Reset:
		_, _ = w.Write(f.cut(body))
		_ = http.NewResponseController(w).Flush() // or the part stays in the server's buffer
		panic(http.ErrAbortHandler)
	}
	_, err := w.Write(body)
	if err == nil && a.page != nil && f.Kind != BadJSON && r.Context().Err() == nil {
		c.Store.served(a.page.rows)
	}
}

// answer routes the request. The fault comes before the token, as a balancer comes before the console.
func (c *Console) answer(r *http.Request, f *Fault) answer {
	if a, ok := faulty(f.Kind); ok {
		return a
	}
	path, ok := strings.CutPrefix(r.URL.Path, API)
	if !ok || path != "/threats" && path != "/system/status" && path != "/system/info" {
		return answer{status: http.StatusNotFound, contentType: typePlain, body: []byte("404 page not found\n")}
	}
	if r.Method != http.MethodGet {
		return (&apiError{status: http.StatusMethodNotAllowed, code: 4050010, title: "Method not allowed"}).answer()
	}
	if path == "/system/status" { // the one endpoint without a token: it proves that the console is reachable
		return ok200(`{"data":{"health":"ok"}}`)
	}
	if f.Kind == Unauthorized || !c.authorized(r) {
		return (&apiError{status: http.StatusUnauthorized, code: 4010010, title: "Authentication Failed"}).answer()
	}
	if f.Kind == Forbidden {
		return (&apiError{status: http.StatusForbidden, code: 4030010, title: "Insufficient permissions"}).answer()
	}
	if path == "/system/info" {
		return ok200(`{"data":{"build":"42","latestAgentVersion":"25.1.4.434","patch":"0","release":"Simulated","version":"S-25.1.4#42"}}`)
	}
	return c.threats(r, f)
}

func (c *Console) threats(r *http.Request, f *Fault) answer {
	q, bad := parseQuery(r.URL.Query())
	if bad == nil && f.Kind == CursorExpired && q.after != nil {
		bad = invalid("Invalid cursor value received")
	}
	if bad != nil {
		return bad.answer()
	}
	a := answer{status: http.StatusOK, contentType: typeJSON, page: c.Store.search(q)}
	// The page itself is right; a client that follows its cursor gets it for ever.
	if f.Kind == CursorRepeated && a.page.next != nil {
		a.cursor = q.cursor
	}
	return a
}

// acceptsGzip reports whether the request lists gzip, and not with a weight of zero.
func acceptsGzip(r *http.Request) bool {
	for item := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, weight, _ := strings.Cut(item, ";")
		if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			q := strings.TrimSpace(weight)
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}

// sleep waits, or drops the connection once the client has gone.
func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		panic(http.ErrAbortHandler)
	}
}
