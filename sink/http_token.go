package sink

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"s1stream/internal/safe"
	"s1stream/sink/oauth2"
)

// httpTokens is where a sink's access tokens come from, by connections of its own, so that a request for a token never
// waits for those that carry events. nil gives none.
type httpTokens struct {
	client    *oauth2.Client
	transport *http.Transport
}

// newTokens returns nil unless auth.type = "oauth2". The token endpoint is reached by the sink's own proxy and tls keys;
// tls.server_name is the name of the destination's certificate, and holds for the endpoint only where it is the same host.
func (c *HTTPConfig) newTokens(d Deps, target *httpTarget) (*httpTokens, error) {
	if c.Auth.Type != "oauth2" {
		return nil, nil //nolint:nilnil // whose methods are fine with it
	}
	secure := c.TLS
	to, err := url.Parse(target.url)
	if err != nil {
		return nil, errors.New("url: is not a URL")
	}
	if from, err := url.Parse(c.Auth.TokenURL); err != nil || !strings.EqualFold(from.Hostname(), to.Hostname()) {
		secure.ServerName = ""
	}
	d.Metrics = nil // which counts connections to the destination
	transport, err := httpTransport(d, secure, c.Proxy, 1)
	if err != nil {
		return nil, err
	}
	client, err := c.Auth.oauth().client(transport, d.Log)
	if err != nil {
		return nil, err
	}
	return &httpTokens{client: client, transport: transport}, nil
}

// get returns a token, "" where none is wanted. Its errors are classified as Write's are.
func (t *httpTokens) get(ctx context.Context) (string, error) {
	if t == nil {
		return "", nil
	}
	return oauthToken(ctx, t.client)
}

func (t *httpTokens) close() {
	if t != nil {
		t.transport.CloseIdleConnections()
	}
}

// tokenFailure says that nothing was sent for want of a token. parent and ctx are those of failure.
func (t *httpTarget) tokenFailure(parent, ctx context.Context, timeout time.Duration, err error) error {
	switch {
	case parent.Err() != nil:
		return fmt.Errorf("send to %s: %w", t.origin, parent.Err())
	case ctx.Err() != nil:
		return fmt.Errorf("send to %s: no token within %v (timeout)", t.origin, timeout)
	}
	return err
}

// httpToken notes in a probe whether a token is given.
func (p *Probe) httpToken(ctx context.Context, c *HTTPConfig, tokens *httpTokens) {
	if tokens == nil {
		return
	}
	defer tokens.close()
	if _, err := tokens.get(ctx); err != nil {
		remedy, operator := httpRemedyFor(err)
		var denied *DeniedError
		if errors.As(err, &denied) && !operator { // else it is the certificate
			remedy = "check the auth keys: token_url, client_id, client_secret, scope"
		}
		*p = p.httpProblem(err, remedy)
		return
	}
	left := time.Until(tokens.client.Ends()).Round(time.Second)
	p.Found = append(p.Found, fmt.Sprintf("got a token from %s, good for %v", safe.Origin(c.Auth.TokenURL), left))
}
