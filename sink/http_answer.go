package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"s1stream/internal/retryafter"
	"s1stream/internal/safe"
)

const (
	httpQuoteRead = 4 << 10 // how much of a failure's body is read
	httpQuote     = 200     // and shown, in bytes
)

// post sends one request and judges its answer. last says that what failed would fail for every request. With OAuth2, an
// answer 401 may mean that the token was revoked before its time: then it is sent once more, with a new one.
func (h *HTTP) post(parent context.Context, records []Record) (err error, last bool) { //nolint:revive // error first: last explains it
	ctx, cancel := context.WithTimeout(parent, h.cfg.Timeout)
	defer cancel()
	token, err := h.tokens.get(ctx)
	if err != nil {
		return h.target.tokenFailure(parent, ctx, h.cfg.Timeout, err), true
	}
	res, err, last := h.roundTrip(parent, ctx, records, token)
	if err == nil && res.StatusCode == http.StatusUnauthorized && h.tokens != nil {
		_ = res.Body.Close()
		h.tokens.client.Reject(token)
		if token, err = h.tokens.get(ctx); err != nil {
			return h.target.tokenFailure(parent, ctx, h.cfg.Timeout, err), true
		}
		res, err, last = h.roundTrip(parent, ctx, records, token)
	}
	if err != nil {
		return err, last
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode >= 200 && res.StatusCode <= 299 {
		// Taken only once the whole answer is here. However long it is, the timeout bounds it.
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return h.target.hiding(token).failure(parent, ctx, h.cfg.Timeout, fmt.Errorf("answer %d breaks off: %w", res.StatusCode, err)), true
		}
		return nil, false
	}
	return h.target.hiding(token).judge(res)
}

// roundTrip is one request and the beginning of its answer.
func (h *HTTP) roundTrip(parent, ctx context.Context, records []Record, token string) (res *http.Response, err error, last bool) { //nolint:revive // as post
	req, err := h.newRequest(ctx, records, token)
	if err != nil {
		return nil, err, false
	}
	// The transport, not a Client: a Client reads Location, and quotes it in errors.
	if res, err = h.transport.RoundTrip(req); err != nil {
		return nil, h.target.hiding(token).failure(parent, ctx, h.cfg.Timeout, err), true
	}
	return res, nil, false
}

// failure describes a round trip without a whole answer: the outcome is unknown. parent is Write's own ctx, ctx
// the one that timeout has ended, if any.
func (t *httpTarget) failure(parent, ctx context.Context, timeout time.Duration, err error) error {
	remedy, operator := httpRemedyFor(err)
	switch {
	case parent.Err() != nil:
		return fmt.Errorf("send to %s: %w", t.origin, parent.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("send to %s: no whole answer within %v (timeout)", t.origin, timeout)
	case operator:
		return &DeniedError{fmt.Errorf("send to %s: %w: %s", t.origin, t.scrubError(err), remedy)}
	}
	return fmt.Errorf("send to %s: %w", t.origin, t.scrubError(err))
}

// httpVerdict is what a status says about the request's records.
type httpVerdict int

const (
	httpFailed  httpVerdict = iota // failed now: try again
	httpTaken                      // by the destination
	httpRefuse                     // malformed or too large: the records' fault
	httpDenied                     // the destination's or the configuration's fault: an operator must act
	httpTooMuch                    // failed now, and so would every other request: throttled or down
)

// httpClass reads a status. What RFC 9110 lets a server say about the content of a request is the records'
// fault; every other 4xx is about the request around it, which is the same for every record.
func httpClass(status int) httpVerdict {
	switch {
	case status >= 200 && status <= 299:
		return httpTaken
	case status == 400, status == 413, status == 415, status == 422: // RFC 9110, 15.5.1, .14, .16, .21
		return httpRefuse
	case status == 408, // the server gave up waiting
		status == 409, // draft-ietf-httpapi-idempotency-key-header, 2.7: a request with this key is still under way
		status == 421, // RFC 9110, 15.5.20: try another connection
		status == 423, // RFC 4918, 11.3: locked
		status == 425: // RFC 8470, 5.2: too early
		return httpFailed
	case status == 429, status == 503:
		return httpTooMuch
	case status >= 500:
		return httpFailed
	}
	return httpDenied // 401, 403, 404, 405, 407, 410, every 3xx, and what nobody expects
}

// judge makes an error of an answer that is not 2xx. Of a body that says why, the beginning is quoted.
func (t *httpTarget) judge(res *http.Response) (err error, last bool) { //nolint:revive // as post
	text := fmt.Sprintf("%s answers %d %s", t.origin, res.StatusCode, http.StatusText(res.StatusCode))
	class := httpClass(res.StatusCode)
	if class == httpDenied {
		// Not quoted: what answers here is often a page about the URL or the credentials that it was sent.
		return &DeniedError{errors.New(text + ": " + httpRemedy(res))}, true
	}
	body, _ := io.ReadAll(io.LimitReader(res.Body, httpQuoteRead+1)) // the status has decided already
	if quote := safe.Snippet([]byte(t.scrub(body)), httpQuote); quote != "" {
		text += ": " + quote
	}
	err = errors.New(text)
	if class == httpRefuse {
		return &RefusedError{err}, false
	}
	if after, ok := retryafter.Parse(res.Header.Get("Retry-After"), res.Header.Get("Date"), time.Now()); ok {
		return &RetryAfterError{After: after, Err: err}, true
	}
	return err, class == httpTooMuch
}
