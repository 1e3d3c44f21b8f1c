package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"time"

	"s1stream/sink/format"
)

var errHTTPProbed = errors.New("probed")

// httpLinger is how long a fresh TLS connection is watched: in TLS 1.3 a server refuses a client certificate
// only after the handshake has succeeded on our side.
const httpLinger = time.Second

// Probe implements Config. It connects as Write would, proxy and TLS included, and hangs up before the first
// byte of a request. With OAuth2 it gets a token.
func (c *HTTPConfig) Probe(ctx context.Context, d Deps) Probe {
	p := Probe{Grade: Acknowledged, Connections: c.Concurrency}
	target, err := c.readTarget(format.JSONType)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	d.Metrics = nil // a probe is no connection of a line
	transport, err := c.newTransport(d)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	defer transport.CloseIdleConnections()
	tokens, err := c.newTokens(d, target)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()

	p.httpToken(ctx, c, tokens)
	if p.httpReach(ctx, transport, target) {
		p.Found = append(p.Found, "credentials and path are first checked by the first event")
	}
	if c.Gzip && c.Signing.on() {
		p.Warnings = append(p.Warnings, Problem{
			What:   "requests are signed before they are compressed, as Standard Webhooks signs the payload itself",
			Remedy: "see that the receiver decompresses before it verifies, or leave gzip away",
		})
	}
	return p
}

// httpReach notes whether a connection can be made, and what kind of one. It leaves the transport good for nothing else.
func (p *Probe) httpReach(ctx context.Context, transport *http.Transport, target *httpTarget) bool {
	state, err := httpConnect(ctx, transport, target.url)
	if err != nil {
		remedy, _ := httpRemedyFor(err)
		*p = p.httpProblem(fmt.Errorf("connect to %s: %w", target.origin, target.scrubError(err)), remedy)
		return false
	}
	if state == nil {
		p.Found = append(p.Found, "connected to "+target.origin+" in clear text: whoever is on the way can read the threats")
	} else {
		p.Found = append(p.Found, fmt.Sprintf("connected to %s: %s, certificate valid until %s", target.origin,
			tls.VersionName(state.Version), state.PeerCertificates[0].NotAfter.UTC().Format("2006-01-02")))
	}
	return true
}

func (p Probe) httpProblem(err error, remedy string) Probe {
	p.Problems = append(p.Problems, Problem{What: err.Error(), Remedy: remedy})
	return p
}

// httpConnect has the transport make a connection for a request and seals it before the request is written.
// It returns the TLS state, nil for clear text.
func httpConnect(ctx context.Context, transport *http.Transport, to string) (*tls.ConnectionState, error) {
	transport.ForceAttemptHTTP2 = false
	transport.HTTP2 = nil
	var mu sync.Mutex
	var conns []*httpProbeConn
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		pc := &httpProbeConn{Conn: conn, closed: make(chan struct{})}
		mu.Lock()
		conns = append(conns, pc)
		mu.Unlock()
		return pc, nil
	}
	var state *tls.ConnectionState
	stood := true // nobody but us closed the connection
	linger := httpLinger
	if end, ok := ctx.Deadline(); ok {
		linger = min(linger, time.Until(end)/2)
	}
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		mu.Lock()
		defer mu.Unlock()
		for _, pc := range conns {
			pc.sealed.Store(true)
		}
		if tc, ok := info.Conn.(*tls.Conn); ok {
			s := tc.ConnectionState()
			state = &s
			select {
			case <-conns[len(conns)-1].closed:
				stood = false
			case <-time.After(linger):
			case <-ctx.Done():
			}
		}
	}})
	req, err := http.NewRequestWithContext(ctx, http.MethodOptions, to, nil)
	if err != nil {
		return nil, err
	}
	res, err := transport.RoundTrip(req)
	if err == nil {
		_ = res.Body.Close()
		return nil, errors.New("the server answers before it was asked")
	}
	// Once the seal stops the request the transport closes the connection, and its reader may be the first to say so.
	ours := errors.Is(err, errHTTPProbed) || errors.Is(err, net.ErrClosed)
	switch {
	case ours && stood:
		return state, nil
	case ours:
		return nil, errors.New("the server hung up right after the handshake")
	}
	return nil, err
}

// httpProbeConn is a connection that writes nothing once it is sealed.
type httpProbeConn struct {
	net.Conn
	sealed atomic.Bool
	once   sync.Once
	closed chan struct{}
}

func (c *httpProbeConn) Write(b []byte) (int, error) {
	if c.sealed.Load() {
		return 0, errHTTPProbed
	}
	return c.Conn.Write(b)
}

func (c *httpProbeConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
