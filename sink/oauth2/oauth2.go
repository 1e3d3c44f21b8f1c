// Package oauth2 gets access tokens by the client credentials grant (RFC 6749, section 4.4), keeps them, and renews them
// before they end.
package oauth2

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"s1stream/internal/safe"
)

const (
	renewAt = 0.8               // of a token's life
	unsaid  = 300 * time.Second // life of a token whose answer has no expires_in, which RFC 6749 lets it leave out
	longest = 24 * time.Hour    // whatever the answer says
	again   = 30 * time.Second  // between tries to renew a token that still holds
	timeout = 15 * time.Second  // of one request
)

// Config says whom to ask, and as whom.
type Config struct {
	URL      string                      // the token endpoint
	ClientID string                      // as registered there
	Secret   func() (safe.Secret, error) // read again for each request, so that it can be rotated
	Scope    string                      // "" asks for the default
	Log      *slog.Logger                // told of renewals that fail while the old token holds; nil: nobody is
}

// Client holds one token. It may be used by several goroutines at once; one of them asks, the others wait, unless the
// token that is held is still good.
type Client struct {
	cfg       Config
	transport http.RoundTripper
	now       func() time.Time
	asking    chan struct{} // holds one element while nobody asks

	inBody bool // the endpoint takes the credentials in the body, not in the header; guarded by asking

	mu    sync.Mutex
	token string
	renew time.Time // from here on it is renewed
	ends  time.Time // from here on it is not used

	failed *Error // of the last request, nil where it gave a token; guarded by asking
	since  time.Time
	warned bool // a renewal has failed, and that was said; guarded by asking
}

// New opens no connection.
func New(cfg Config, transport http.RoundTripper) *Client {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{cfg: cfg, transport: transport, now: time.Now, asking: make(chan struct{}, 1)}
	c.asking <- struct{}{}
	return c
}

// Error says that no token was got.
type Error struct {
	Denied     bool          // an operator must act: credentials, scope, address
	RetryAfter time.Duration // what the endpoint asked to wait, 0 for nothing
	Err        error         // holds neither secret nor token
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Token returns an access token that holds, asking for one where need be. While the last one still holds, it
// is returned even if the endpoint can't be reached, and early enough that half of ctx's time is left to use it. The
// error is an *Error or that of ctx.
func (c *Client) Token(ctx context.Context) (string, error) {
	old, fresh := c.held()
	if fresh {
		return old, nil
	}
	began := c.now()
	select {
	case <-c.asking:
	default:
		if old != "" {
			return old, nil // another goroutine renews it, which may take a while
		}
		select {
		case <-c.asking:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	defer func() { c.asking <- struct{}{} }()
	if old, fresh = c.held(); fresh { // another goroutine may have asked meanwhile
		return old, nil
	}
	if c.failed != nil && !c.since.Before(began) {
		return "", c.failed // it failed while this one waited: an endpoint that locks accounts is not asked by each
	}
	token, life, err := c.renewal(ctx, old != "")
	c.failed, c.since = nil, c.now()
	if failed := (*Error)(nil); errors.As(err, &failed) {
		c.failed = failed
	}
	if err == nil {
		c.keep(token, life)
		return token, nil
	}
	// Not the token that was held before asking: it may have been rejected or ended meanwhile.
	if old = c.postpone(); old == "" {
		return "", err
	}
	return old, nil
}

// keep takes a new token.
func (c *Client) keep(token string, life time.Duration) {
	c.mu.Lock()
	c.token, c.ends = token, c.since.Add(life)
	c.renew = c.since.Add(time.Duration(renewAt * float64(life)))
	c.mu.Unlock()
	if c.warned {
		c.warned = false
		c.cfg.Log.Info("token renewed")
	}
}

// postpone returns the token that still holds, "" for none, after it could not be renewed: that is tried again in a while.
// Nobody else hears of the failure, so it is said, once until a token is given.
func (c *Client) postpone() string {
	wait := again
	if c.failed != nil {
		wait = max(wait, c.failed.RetryAfter)
	}
	c.mu.Lock()
	token, ends := c.token, c.ends
	if token == "" || !c.since.Before(ends) {
		c.mu.Unlock()
		return ""
	}
	c.renew = c.since.Add(wait)
	c.mu.Unlock()
	if c.failed != nil && !c.warned {
		c.warned = true
		c.cfg.Log.Warn("token can't be renewed; the one there is holds for now", "until", ends.UTC().Format(time.RFC3339), "err", c.failed)
	}
	return token
}

// renewal asks for a token; where another one still holds, for half of the time that ctx has left.
func (c *Client) renewal(ctx context.Context, holds bool) (token string, life time.Duration, err error) {
	ends, bounded := ctx.Deadline()
	if !holds || !bounded {
		return c.ask(ctx)
	}
	half, cancel := context.WithTimeout(ctx, time.Until(ends)/2)
	defer cancel()
	token, life, err = c.ask(half)
	if failed := (*Error)(nil); err != nil && ctx.Err() == nil && !errors.As(err, &failed) {
		err = &Error{Err: err} // not that of ctx
	}
	return token, life, err
}

// held returns the token, "" for none, and whether it is to be used without asking.
func (c *Client) held() (token string, fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.token == "" || !now.Before(c.ends) {
		return "", false
	}
	return c.token, now.Before(c.renew)
}

// Reject says that a token was not accepted: the next Token asks for another, unless there is one already.
func (c *Client) Reject(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == token {
		c.token = ""
	}
}

// Ends returns when the token that is held ends; zero where there is none.
func (c *Client) Ends() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.token == "" {
		return time.Time{}
	}
	return c.ends
}

// ask gets a token. Where the endpoint calls the client unknown, the credentials are sent once more in the other of the
// two ways of RFC 6749, section 2.3.1: every endpoint must take the header, and some take the body alone.
func (c *Client) ask(ctx context.Context) (token string, life time.Duration, err error) {
	secret, err := c.cfg.Secret()
	if err != nil {
		return "", 0, &Error{Denied: true, Err: err}
	}
	token, life, err = c.post(ctx, secret, c.inBody)
	if errors.Is(err, errClient) {
		var second error
		token, life, second = c.post(ctx, secret, !c.inBody)
		if second == nil {
			c.inBody = !c.inBody
		}
		// Else the first says as much, of the way that is more common; or more, where the second was stopped on its way.
		if !errors.Is(second, errClient) && !errors.Is(second, errElse) {
			err = second
		}
	}
	if err != nil && ctx.Err() != nil {
		return "", 0, fmt.Errorf("ask %s for a token: %w", safe.Origin(c.cfg.URL), ctx.Err())
	}
	return token, life, err
}
