package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"s1stream/internal/safe"
)

// httpProxyError is a proxy's answer to CONNECT that is not 200.
type httpProxyError struct{ status int }

func (e *httpProxyError) Error() string {
	return fmt.Sprintf("the proxy answers %d %s", e.status, http.StatusText(e.status))
}

// newTransport is the connections of one sink: `concurrency` of them at most.
func (c *HTTPConfig) newTransport(d Deps) (*http.Transport, error) {
	return httpTransport(d, c.TLS, c.Proxy, c.Concurrency)
}

// httpTransport makes at most conns connections to a host at a time. Every wait has an end of its own, so that
// what a cancelled request leaves behind ends too.
func httpTransport(d Deps, secure TLS, proxy safe.Secret, conns int) (*http.Transport, error) {
	tlsConfig, err := secure.Client()
	if err != nil {
		return nil, err
	}
	fixed, err := httpProxyURL(proxy)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy: func(r *http.Request) (*url.URL, error) {
			switch {
			case proxy == "direct" || httpLoopback(r.URL.Hostname()):
				return nil, nil //nolint:nilnil // net/http's way to say: none
			case fixed != nil:
				return fixed, nil
			}
			u, err := http.ProxyFromEnvironment(r)
			if err != nil { // which would quote the proxy's URL, password and all
				return nil, errors.New("read HTTPS_PROXY or HTTP_PROXY: is not a URL")
			}
			return u, nil
		},
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err == nil {
				d.Connected()
			}
			return conn, err
		},
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, res *http.Response) error {
			if res.StatusCode != http.StatusOK {
				return &httpProxyError{res.StatusCode}
			}
			return nil
		},
		TLSClientConfig:        tlsConfig,
		TLSHandshakeTimeout:    10 * time.Second,
		MaxConnsPerHost:        conns,
		MaxIdleConnsPerHost:    conns,
		IdleConnTimeout:        60 * time.Second, // below what load balancers commonly allow
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // answers are read for their end, not for their content
		ForceAttemptHTTP2:      true,
		// A dead HTTP/2 connection would otherwise be found again by every request until each one's timeout.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second, WriteByteTimeout: 15 * time.Second},
	}, nil
}
