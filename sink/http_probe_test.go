package sink

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
)

// httpTestTLS is a server with the certificates' server side, asking for a client certificate if wanted.
func httpTestTLS(t *testing.T, certs testpeer.Certs, client bool, h http.Handler) *httptest.Server {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certs.Server.Cert, certs.Server.Key)
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(h)
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if client {
		srv.TLS.ClientAuth, srv.TLS.ClientCAs = tls.RequireAndVerifyClientCert, certs.Authority.Pool()
	}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv
}

func TestHTTPProbe_ConnectsWithoutARequest(t *testing.T) {
	certs := testpeer.NewCerts(t)
	var requests atomic.Int64
	h := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })
	plain := httptest.NewServer(h)
	t.Cleanup(plain.Close)
	secure, mutual := httpTestTLS(t, certs, false, h), httpTestTLS(t, certs, true, h)
	gone := httptest.NewServer(h)
	gone.Close()
	for _, tt := range []struct {
		name   string
		url    string
		tls    TLS
		found  string // in the first line found
		remedy string // of the one problem; "" for none
	}{
		{"clear text", plain.URL, TLS{}, "in clear text", ""},
		{"TLS", secure.URL, TLS{CAFile: certs.CA}, "TLS 1.3, certificate valid until 20", ""},
		{"mutual TLS", mutual.URL, TLS{CAFile: certs.CA, CertFile: certs.Client.Cert, KeyFile: certs.Client.Key}, "TLS 1.3", ""},
		{"no client certificate", mutual.URL, TLS{CAFile: certs.CA}, "", "tls.cert_file"},
		{"another authority's client certificate", mutual.URL, TLS{CAFile: certs.CA, CertFile: certs.Rogue.Cert, KeyFile: certs.Rogue.Key}, "", "tls.cert_file"},
		{"unknown authority", secure.URL, TLS{}, "", "set tls.ca_file"},
		{"another name", secure.URL, TLS{CAFile: certs.CA, ServerName: "siem.example.com"}, "", "tls.server_name"},
		{"TLS to a port without", strings.Replace(plain.URL, "http:", "https:", 1), TLS{}, "", "the port speaks no TLS"},
		{"nothing listens", gone.URL, TLS{}, "", "nothing listens there"},
		{"a file is missing", secure.URL, TLS{CAFile: "none.pem"}, "", "correct the configuration"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
			cfg := DefaultHTTP()
			cfg.URL, cfg.TLS = safe.Secret(tt.url+"/CANARY"), tt.tls
			p := cfg.Probe(t.Context(), Deps{})
			if tt.remedy == "" && (len(p.Problems) > 0 || !strings.Contains(p.Found[0], tt.found)) {
				t.Errorf("Probe: %+v, want to find %q", p, tt.found)
			}
			if tt.remedy != "" && (len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Remedy, tt.remedy)) {
				t.Errorf("Probe: %+v, want one problem and %q", p, tt.remedy)
			}
			if p.Grade != Acknowledged || p.Connections != cfg.Concurrency {
				t.Errorf("Probe: grade %q and %d connections", p.Grade, p.Connections)
			}
			for _, x := range p.Problems {
				if strings.Contains(x.What, "CANARY") {
					t.Errorf("a problem shows the path: %s", x.What)
				}
			}
			// What a probe calls a fault of the configuration is a denial for Write, too.
			if s, err := cfg.New(Deps{}); err == nil {
				err := s.Write(t.Context(), httpTestRecords(1, 10))
				want := map[bool]string{true: "taken", false: "denied"}[tt.remedy == ""]
				if tt.name == "nothing listens" {
					want = "failed"
				}
				if httpKind(err) != want {
					t.Errorf("Write: %s (%v), want %s", httpKind(err), err, want)
				}
				if tt.remedy == "" && requests.Swap(0) != 1 {
					t.Error("the probe sent a request")
				}
				_ = s.Close()
			}
		})
	}
}

func TestHTTPProbe_EndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // takes the connection and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	cfg := DefaultHTTP()
	cfg.URL = safe.Secret("https://" + l.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	p := cfg.Probe(ctx, Deps{})
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Remedy, "firewalls") {
		t.Errorf("Probe: %+v", p)
	}
}

// A proxy that is down is not to be looked for at the destination.
func TestHTTPProbe_TellsAProxyThatIsDown(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	cfg := DefaultHTTP()
	cfg.URL, cfg.Proxy = "https://siem.invalid/in", safe.Secret(gone.URL)
	p := cfg.Probe(t.Context(), Deps{})
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Remedy, "check proxy") {
		t.Errorf("Probe: %+v", p)
	}
}

// httpTestProxy answers CONNECT and plain requests by itself: no name is ever looked up.
func httpTestProxy(t *testing.T, status int, backend string) (proxy *httptest.Server, asked *atomic.Value) {
	t.Helper()
	asked = &atomic.Value{}
	proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.Host + " " + r.Header.Get("Proxy-Authorization"))
		if status != http.StatusOK || r.Method != http.MethodConnect {
			w.WriteHeader(status)
			return
		}
		to, err := net.Dial("tcp", backend)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = to.Close() }()
		from, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = from.Close() }()
		_, _ = io.WriteString(from, "HTTP/1.1 200 OK\r\n\r\n")
		back := make(chan struct{})
		go func() {
			defer close(back)
			_, _ = io.Copy(from, to)
		}()
		_, _ = bufio.NewReader(buf).WriteTo(to)
		_ = to.Close()
		<-back
	}))
	t.Cleanup(proxy.Close)
	return proxy, asked
}

func TestHTTP_GoesThroughAProxy(t *testing.T) {
	certs := testpeer.NewCerts(t)
	var got atomic.Int64
	backend := httpTestTLS(t, certs, false, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { got.Add(1) }))
	for _, tt := range []struct {
		name   string
		url    string
		status int
		want   string
		asked  string
	}{
		{"TLS", "https://siem.invalid/in", 200, "taken", "CONNECT siem.invalid:443 Basic dTpQQ0FOQVJZ"},
		{"clear text", "http://siem.invalid/in", 200, "taken", "POST siem.invalid Basic dTpQQ0FOQVJZ"},
		{"credentials wanted", "https://siem.invalid/in", 407, "denied", "CONNECT siem.invalid:443 Basic dTpQQ0FOQVJZ"},
		{"credentials wanted, clear text", "http://siem.invalid/in", 407, "denied", "POST siem.invalid Basic dTpQQ0FOQVJZ"},
		{"in trouble", "https://siem.invalid/in", 502, "failed", "CONNECT siem.invalid:443 Basic dTpQQ0FOQVJZ"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			proxy, asked := httpTestProxy(t, tt.status, backend.Listener.Addr().String())
			cfg := DefaultHTTP()
			cfg.URL = safe.Secret(tt.url)
			cfg.TLS = TLS{CAFile: certs.CA, ServerName: "localhost"}
			cfg.Proxy = safe.Secret("http://u:PCANARY@" + proxy.Listener.Addr().String())
			s, err := cfg.New(Deps{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			err = s.Write(t.Context(), httpTestRecords(1, 10))
			if httpKind(err) != tt.want || err != nil && strings.Contains(err.Error(), "CANARY") {
				t.Errorf("Write: %v, want %s", err, tt.want)
			}
			if asked.Load() != tt.asked {
				t.Errorf("the proxy was asked %q, want %q", asked.Load(), tt.asked)
			}
		})
	}
	if got.Load() != 1 {
		t.Errorf("%d requests came through the tunnel, want 1", got.Load())
	}
}

func TestHTTP_LoopbackGoesByNoProxy(t *testing.T) {
	proxy, asked := httpTestProxy(t, 200, "")
	s := httpTestSink(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(c *HTTPConfig) {
		c.Proxy = safe.Secret(proxy.URL)
	})
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil || asked.Load() != nil {
		t.Errorf("Write: %v, the proxy was asked %v", err, asked.Load())
	}
}
