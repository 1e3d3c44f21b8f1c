package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// StatusPath and InfoPath are the endpoints that tell whether a console is reached, and whether it takes the
// token. Only the second one needs the token.
const (
	StatusPath = "/web/api/v2.1/system/status"
	InfoPath   = "/web/api/v2.1/system/info"
)

// Answer is what the console said to Ask, whatever its status.
type Answer struct {
	Status int
	Reason string // of the status line, as in "OK"
	Header http.Header
	Body   []byte        // decompressed, read to its end; the caller's own
	Date   time.Time     // the Date header, to the second; zero where there is none
	Asked  time.Time     // our clock when the request was sent
	Took   time.Duration // from then to the answer's header
	TLS    *tls.ConnectionState
}

// Ask sends one request, once, when the token's rate allows it, and returns the answer, whatever its status.
// The body is 64 MiB at the most. Where an answer quotes the token, that is replaced: an Answer may be shown.
func (c *Console) Ask(ctx context.Context, path string, q url.Values) (Answer, error) {
	if err := c.limit.wait(ctx, false); err != nil {
		return Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	resp, a, err := c.open(ctx, path, q)
	if err != nil {
		return Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	took := time.Since(a.asked)
	buf := c.bufs.Get().(*pageBuffer)
	defer c.bufs.Put(buf)
	body, err := buf.read(resp, maxPage)
	if err != nil {
		return Answer{}, err
	}
	out := Answer{
		Status: resp.StatusCode,
		Reason: strings.TrimSpace(strings.TrimPrefix(resp.Status, resp.Status[:min(3, len(resp.Status))])),
		Header: resp.Header.Clone(),
		Body:   bytes.Clone(body),
		Date:   a.date,
		Asked:  a.asked,
		Took:   took,
		TLS:    resp.TLS,
	}
	c.forgetToken(&out)
	return out, nil
}

// forgetToken takes the token out of an answer that quotes it, as a debugging proxy or a test server may.
func (c *Console) forgetToken(a *Answer) {
	c.mu.Lock()
	token := c.token.Reveal()
	c.mu.Unlock()
	if token == "" {
		return
	}
	const hidden = "***"
	a.Body = bytes.ReplaceAll(a.Body, []byte(token), []byte(hidden))
	a.Reason = strings.ReplaceAll(a.Reason, token, hidden)
	for _, values := range a.Header {
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], token, hidden)
		}
	}
}

// Filter returns the source's filter as query parameters. The caller owns the map.
func (c *Console) Filter() url.Values {
	q := url.Values{}
	for name, values := range c.filter {
		q[name] = append([]string(nil), values...)
	}
	return q
}
