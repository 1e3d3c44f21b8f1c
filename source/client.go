// Package source reads one SentinelOne console: it walks the threats endpoint oldest change first and yields
// pages that were read whole, with the frontier from which a later walk may start.
//
// What no change may break:
//   - nothing of a page is handed on before all of it was received, decompressed to its end and validated;
//   - a frontier moves only past pages read whole, never past the console's clock less settle;
//   - the token goes to the configured host over HTTPS (loopback may be HTTP) and nowhere else.
package source

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"s1stream/internal/ops"
	"s1stream/internal/pki"
	"s1stream/internal/retryafter"
	"s1stream/internal/safe"
)

// ThreatsPath is the endpoint that is walked.
const ThreatsPath = "/web/api/v2.1/threats"

// Deps is what a Console is built with.
type Deps struct {
	Log        *slog.Logger
	Metrics    *Metrics
	Conditions *ops.Conditions
	Limits     *Limits           // shared by all sources of a process
	Transport  http.RoundTripper // nil: the network, by the source's proxy and ca_file
}

// Console reads one management console. Its methods may be called concurrently.
type Console struct {
	name   string
	cfg    Config
	base   string // scheme://host[:port], no path
	host   string
	filter url.Values
	road   http.RoundTripper // not a Client: that follows redirects, or quotes them where they are broken
	limit  *limiter
	log    *slog.Logger
	met    sourceMetrics
	asking *ops.Condition // whether the console answers
	unread *ops.Condition // fails until the first page was read
	order  *ops.Condition // whether it keeps its order and tells its time
	size   atomic.Int32   // page size asked for at present
	good   atomic.Int32   // good pages since it changed
	bufs   sync.Pool      // of *pageBuffer
	most   int64          // bytes of a page: maxPage, or a test takes minutes

	mu     sync.Mutex
	token  safe.Secret
	warned map[string]time.Time // when each warning was last given
}

// New builds the console named name. It reads the token's file and reaches nobody.
func New(name string, cfg Config, d Deps) (*Console, error) {
	filter, _, err := ParseFilter(cfg.Filter)
	if err != nil {
		return nil, err
	}
	token, err := safe.ReadSecret(cfg.Token, cfg.TokenFile)
	if err == nil {
		err = CheckToken(token)
	}
	if err != nil {
		return nil, fmt.Errorf("token_file: %w", err)
	}
	c := &Console{
		name:   name,
		cfg:    cfg,
		base:   cfg.BaseURL(),
		host:   cfg.Host(),
		filter: filter.Values(),
		limit:  d.Limits.get(cfg.Host(), token.Reveal(), cfg.RequestsPerSecond),
		log:    d.Log.With("source", name),
		met:    d.Metrics.of(name),
		token:  token,
		warned: map[string]time.Time{},
	}
	c.asking = d.Conditions.New("source "+name, c.log)
	c.unread = d.Conditions.New("source "+name+" (start)", slog.New(slog.DiscardHandler)) // a start is nothing to log
	c.unread.Fail("nothing was read yet", nil)
	c.order = d.Conditions.New("source "+name+" (console)", c.log)
	c.size.Store(int32(cfg.PageSize)) //nolint:gosec // 1 to 1000
	c.met.pageSize.Set(float64(cfg.PageSize))
	c.bufs.New = func() any { return new(pageBuffer) }
	rt := d.Transport
	if rt == nil {
		if rt, err = transport(cfg); err != nil {
			return nil, err
		}
	}
	c.road, c.most = rt, maxPage
	return c, nil
}

// transport is the road to the console: TLS 1.2 or later, and by the proxy unless it is http://.
func transport(cfg Config) (http.RoundTripper, error) {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 15 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   15 * time.Second,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // package source asks for gzip itself, to read it to its end
		MaxIdleConnsPerHost:   2,
		IdleConnTimeout:       90 * time.Second,
		ResponseHeaderTimeout: cfg.Timeout,
		ReadBufferSize:        64 << 10,
		// A network that drops everything leaves a connection of HTTP/2 open, and used again, for as long as TCP
		// tries: a quarter of an hour after the network is back.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
	if cfg.CAFile != "" {
		pool, err := pki.Pool(cfg.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		t.TLSClientConfig.RootCAs = pool
	}
	proxy, err := safe.ReadSecret(cfg.Proxy, cfg.ProxyFile)
	if err != nil {
		return nil, fmt.Errorf("proxy_file: %w", err)
	}
	switch proxy {
	case "":
		t.Proxy = http.ProxyFromEnvironment
	case "direct":
	default:
		u, err := url.Parse(proxy.Reveal())
		if err != nil || u.Host == "" {
			return nil, errors.New("proxy: must be a URL such as http://proxy.example:3128, or \"direct\"")
		}
		t.Proxy = http.ProxyURL(u)
	}
	if by := t.Proxy; by != nil {
		t.Proxy = func(r *http.Request) (*url.URL, error) {
			if r.URL.Scheme == "http" {
				return nil, nil //nolint:nilnil // what net/http wants for "no proxy"
			}
			return by(r)
		}
	}
	return t, nil
}

// Name returns the source's NAME.
func (c *Console) Name() string { return c.name }

// Host returns the console's host[:port], lower case.
func (c *Console) Host() string { return c.host }

// Settle returns how long after its updatedAt a change may still become visible.
func (c *Console) Settle() time.Duration { return c.cfg.Settle }

// PollInterval returns the pause between two walks.
func (c *Console) PollInterval() time.Duration { return c.cfg.PollInterval }

// Buffer returns how many events the channel of one feed holds.
func (c *Console) Buffer() int { return c.cfg.Buffer }

// answer is what came of one request that was answered.
type answer struct {
	status int
	header http.Header
	asked  time.Time // our clock when the request was sent
	date   time.Time // the Date header; zero where there is none
	moment time.Time // the page's moment T; zero without a Date
}

// statusError is an answer that is no page.
type statusError struct {
	answer
	code   int // the API's own code, 0 where it gave none
	detail string
	id     string // the vendor's request id, fit to be shown
}

func (e *statusError) Error() string {
	s := fmt.Sprintf("the console answered %d", e.status)
	if e.detail != "" {
		s += " (" + e.detail + ")"
	}
	if e.id != "" {
		s += ", request id " + e.id
	}
	return s
}

// open sends one request and returns its response, whatever its status. The caller ends the body.
func (c *Console) open(ctx context.Context, path string, q url.Values) (*http.Response, answer, error) {
	u := c.base + path
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, http.NoBody)
	if err != nil {
		return nil, answer{}, safe.URLError(err)
	}
	req.Header.Set("Authorization", "ApiToken "+c.secret())
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("User-Agent", "s1stream")
	a := answer{asked: time.Now()}
	resp, err := c.road.RoundTrip(req)
	if err != nil {
		c.met.status("error").Inc()
		return nil, a, safe.URLError(err)
	}
	took := time.Since(a.asked)
	c.met.answered(resp.StatusCode)
	a.status, a.header = resp.StatusCode, resp.Header
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		a.date = date.UTC()
		a.moment = a.date.Add(-took)
		if a.asked.Before(a.moment) {
			a.moment = a.asked
		}
		a.moment = a.moment.UTC().Truncate(time.Microsecond)
		c.met.skew.Set(a.date.Sub(a.asked).Truncate(time.Second).Seconds())
	}
	return resp, a, nil
}

// explain reads the body of an answer that is no page, to say what the console said.
func (c *Console) explain(resp *http.Response, a answer) error {
	e := &statusError{answer: a, id: c.shown(a.header.Get("X-Rqid"))}
	buf := c.bufs.Get().(*pageBuffer)
	defer c.bufs.Put(buf)
	body, err := buf.read(resp, maxErrorBody)
	if err != nil {
		return e
	}
	var said struct {
		Errors []struct {
			Code          int
			Title, Detail string
		}
	}
	if json.Unmarshal(body, &said) == nil && len(said.Errors) > 0 {
		e.code = said.Errors[0].Code
		e.detail = safe.Snippet([]byte(said.Errors[0].Title+": "+said.Errors[0].Detail), 256)
		if c.quotes(body) {
			e.detail = withheld
		}
	}
	return e
}

// withheld stands where the console's own words would show the token.
const withheld = "its text quotes the token and is withheld"

// secret returns the token in force.
func (c *Console) secret() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.token.Reveal()
}

// shown makes a header's value fit to be shown: short, clean, and without the token, should it echo that.
func (c *Console) shown(value string) string {
	return safe.Snippet([]byte(strings.ReplaceAll(value, c.secret(), "***")), 64)
}

// quotes reports whether a body echoes the token, as a debugging proxy's error page may.
func (c *Console) quotes(body []byte) bool { return bytes.Contains(body, []byte(c.secret())) }

// rereadToken takes up a token file that was rotated and reports whether it holds another token than before. It
// keeps the old token where the file can't be read.
func (c *Console) rereadToken() bool {
	if c.cfg.TokenFile == "" {
		return false
	}
	token, err := safe.ReadSecret("", c.cfg.TokenFile)
	if err == nil {
		err = CheckToken(token)
	}
	if err != nil {
		c.log.Warn("read the token file again", "err", err)
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == c.token {
		return false
	}
	c.token = token
	c.log.Info("took up a new token")
	return true
}

// warn gives a warning that comes again with every walk, once an hour.
func (c *Console) warn(msg string, args ...any) {
	c.mu.Lock()
	level := slog.LevelDebug
	if last, again := c.warned[msg]; !again || time.Since(last) >= time.Hour {
		level = slog.LevelWarn
		c.warned[msg] = time.Now()
	}
	c.mu.Unlock()
	c.log.Log(context.Background(), level, msg, args...)
}

// retryAfter is the wait that the console asked for, 0 where it asked for none.
func (e *statusError) retryAfter() time.Duration {
	d, _ := retryafter.Parse(e.header.Get("Retry-After"), e.header.Get("Date"), time.Now())
	return d
}
