package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"

	"s1stream/sink/format"
)

// httpGiveUp is how many requests of one Write may fail with a status before the rest is not sent: a receiver
// in trouble is not helped by five hundred more. Failures that speak for the whole receiver end it at once.
const httpGiveUp = 8

// HTTP posts events to an HTTP endpoint. An ack is a 2xx whose body was read to its end.
//
// A batch goes out as several requests side by side. Within a batch no two records are of one threat, so
// nothing is reordered that matters. Redirects are never followed: a POST would arrive as a GET, get its 200,
// and the event would be gone.
type HTTP struct {
	cfg       HTTPConfig
	deps      Deps
	maxBody   int // bytes of one request
	target    *httpTarget
	transport *http.Transport
	tokens    *httpTokens // nil unless auth.type = "oauth2"
	gzip      httpGzip
	file      httpSecretsFile
	reread    bool // the last Write was denied: secrets may have been rotated
	unread    httpUnread
}

var _ Sink = (*HTTP)(nil)

// NewHTTP reads secrets and certificates; it opens no connection.
func NewHTTP(cfg HTTPConfig, d Deps) (*HTTP, error) {
	d.ContentType = cmp.Or(d.ContentType, format.JSONType)
	file := httpSecretsFile{path: cfg.Signing.SecretsFile}
	file.changed() // from here on, so that a change while it is read is noticed
	target, err := cfg.readTarget(d.ContentType)
	if err != nil {
		return nil, err
	}
	transport, err := cfg.newTransport(d)
	if err != nil {
		return nil, err
	}
	tokens, err := cfg.newTokens(d, target)
	if err != nil {
		return nil, err
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	h := &HTTP{cfg: cfg, deps: d, maxBody: d.MaxMessageBytes, target: target, transport: transport, tokens: tokens, file: file}
	if h.maxBody <= 0 {
		h.maxBody = httpMaxBytes
	}
	return h, nil
}

// Grade implements Sink.
func (h *HTTP) Grade() Grade { return Acknowledged }

// Close implements Sink: it ends the idle connections. There are no others, for no Write is under way.
func (h *HTTP) Close() error {
	h.transport.CloseIdleConnections()
	h.tokens.close()
	return nil
}

// Write implements Sink. A request of several events that is refused is sent again in halves, so that the
// *BatchError names the guilty ones alone. Where not one record was taken and none was refused, the most
// telling of the failures is returned by itself.
func (h *HTTP) Write(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	if h.file.changed() || h.reread {
		if !h.readAgain() {
			h.file.seen = nil // what can't be read now may be in a moment, and looks the same then
		}
	}
	w := httpWrite{post: h.post, side: h.cfg.Concurrency, ctx: ctx, records: records, errs: make([]error, len(records))}
	w.run(h.split(records))
	var err error
	err, h.reread = httpOutcome(w.errs)
	return err
}

// readAgain reads the secret files again; where one can't be read, the secrets that were read last stand.
func (h *HTTP) readAgain() (ok bool) {
	target, err := h.cfg.readTarget(h.deps.ContentType)
	switch {
	case err != nil:
		h.unread.say(h.deps.Log, err)
		return false
	case !target.equal(h.target):
		h.deps.Log.Info("secrets have changed")
		h.target = target
	}
	h.unread = ""
	return true
}

// httpUnread is why secrets could not be read again, as last logged.
type httpUnread string

// say logs it once, not at every batch.
func (u *httpUnread) say(log *slog.Logger, err error) {
	if text := httpUnread(err.Error()); text != *u {
		log.Warn("can't read secrets again", "err", err)
		*u = text
	}
}

// httpWrite is one Write under way, of a sink whose requests answer for all of their records at once.
type httpWrite struct {
	post    func(ctx context.Context, records []Record) (err error, last bool) // one request
	side    int                                                                // how many side by side
	ctx     context.Context                                                    //nolint:containedctx // lives as long as the one call
	records []Record
	errs    []error // by record; each is written by the one worker that has it

	next   atomic.Int64 // the next request to send
	failed atomic.Int64 // requests that failed with a status
	halt   atomic.Pointer[error]
}

// run sends the requests, each [from, to) of the records.
func (w *httpWrite) run(requests [][2]int) {
	var workers sync.WaitGroup
	for range min(w.side, len(requests)) {
		workers.Go(func() {
			for i := w.next.Add(1) - 1; i < int64(len(requests)); i = w.next.Add(1) - 1 {
				w.send(requests[i][0], requests[i][1])
			}
		})
	}
	workers.Wait()
}

// send sends records[from:to] as one request, and in halves if that is refused.
func (w *httpWrite) send(from, to int) {
	err := w.ctx.Err()
	if p := w.halt.Load(); err == nil && p != nil {
		err = *p
	} else if err == nil {
		err = w.try(w.records[from:to])
	}
	var refused *RefusedError
	if errors.As(err, &refused) && to-from > 1 {
		half := from + (to-from)/2
		w.send(from, half)
		w.send(half, to)
		return
	}
	for i := from; i < to; i++ {
		w.errs[i] = err
	}
}

// try is one request. A panic on the way is an unknown outcome: it must not end the process from a goroutine
// that the line can't guard.
func (w *httpWrite) try(records []Record) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("send records: panic: %v", p)
		}
	}()
	err, last := w.post(w.ctx, records)
	if last || err != nil && !httpRefused(err) && w.failed.Add(1) >= httpGiveUp {
		reason := err // other workers read it
		w.halt.CompareAndSwap(nil, &reason)
	}
	return err
}

// httpOutcome sums up what became of the records of one Write, nil for taken: where not one was taken and none was
// refused, the most telling of the failures by itself. denied says that one of them was a denial.
func httpOutcome(errs []error) (err error, denied bool) { //nolint:revive // error first: denied explains it
	var batch BatchError
	var worst error
	refused := false
	for i, err := range errs {
		if err == nil {
			continue
		}
		batch.Failed = append(batch.Failed, RecordError{Index: i, Err: err})
		if httpRefused(err) {
			refused = true
		} else if worst == nil || httpRank(err) > httpRank(worst) {
			worst = err
		}
	}
	denied = worst != nil && httpRank(worst) == httpRankDenied
	switch {
	case len(batch.Failed) == 0:
		return nil, false
	case len(batch.Failed) == len(errs) && !refused:
		return worst, denied
	}
	return &batch, denied
}

const httpRankDenied = 1 << 62

// httpRank orders failures by what they tell: denied, then the longest wait asked for, then any other.
func httpRank(err error) int64 {
	var denied *DeniedError
	var wait *RetryAfterError
	switch {
	case errors.As(err, &denied):
		return httpRankDenied
	case errors.As(err, &wait):
		return 1 + int64(wait.After)
	}
	return 0
}

func httpRefused(err error) bool {
	var refused *RefusedError
	return errors.As(err, &refused)
}
