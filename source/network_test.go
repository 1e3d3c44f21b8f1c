package source

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/pki"
	"s1stream/internal/safe"
)

// authority is a CA whose file Consoles trust.
func authority(t *testing.T, name string) *pki.CA {
	t.Helper()
	ca, err := pki.New(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// serveTLS serves h with a certificate of ca for hosts, on loopback.
func serveTLS(t *testing.T, ca *pki.CA, lifetime time.Duration, h http.Handler, change func(*tls.Config), hosts ...string) *httptest.Server {
	t.Helper()
	leaf, err := ca.Leaf("console", lifetime, hosts...)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(leaf.Cert, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	if change != nil {
		change(s.TLS)
	}
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// recording notes every request's header, then answers with an empty page.
type recording struct {
	mu   sync.Mutex
	seen []string
}

func (h *recording) note(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, text)
}

func (h *recording) text() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.seen, "\n")
}

func (h *recording) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.note(r.Method + " " + r.Host + " " + r.URL.String() + " " + fmt.Sprint(r.Header))
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, page("null"))
}

func ask(t *testing.T, r *rig) (Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return r.Ask(ctx, ThreatsPath, r.Filter())
}

func TestTLS_RefusesEveryConsoleThatDoesNotProveItself(t *testing.T) {
	ours, theirs := authority(t, "ours"), authority(t, "theirs")
	for _, c := range []struct {
		name   string
		ca     *pki.CA
		life   time.Duration
		host   string
		change func(*tls.Config)
		want   string // of the error; "" for a good one
	}{
		{"good", ours, 0, "127.0.0.1", nil, ""},
		{"good with TLS 1.2", ours, 0, "127.0.0.1", func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }, ""},
		{"expired", ours, -time.Minute, "127.0.0.1", nil, "expired"},
		{"another host", ours, 0, "console.example", nil, "127.0.0.1"},
		{"an authority we do not know", theirs, 0, "127.0.0.1", nil, "unknown authority"},
		{"TLS 1.1", ours, 0, "127.0.0.1", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }, "protocol version"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &recording{}
			s := serveTLS(t, c.ca, c.life, h, c.change, c.host)
			r := newRig(t, nil, func(cfg *Config) { cfg.URL, cfg.CAFile = s.URL, ours.File() })
			a, err := ask(t, r)
			if c.want == "" {
				if err != nil || a.Status != 200 || !strings.Contains(h.text(), "ApiToken "+canary) || a.TLS == nil || a.TLS.Version < tls.VersionTLS12 {
					t.Errorf("%+v, %v", a, err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || h.text() != "" {
				t.Errorf("%v, want %q; the server saw %q", err, c.want, h.text())
			}
		})
	}
	t.Run("ca_file stands instead of the system's roots, and its absence is an error", func(t *testing.T) {
		s := serveTLS(t, ours, 0, &recording{}, nil, "127.0.0.1")
		if _, err := ask(t, newRig(t, nil, func(cfg *Config) { cfg.URL = s.URL })); err == nil {
			t.Error("a private authority is trusted without ca_file")
		}
		cfg := DefaultConfig()
		cfg.URL, cfg.CAFile = s.URL, t.TempDir()+"/none.pem"
		if _, err := transport(cfg); err == nil || !strings.Contains(err.Error(), "ca_file: ") {
			t.Errorf("a missing ca_file: %v", err)
		}
	})
	t.Run("plain HTTP where HTTPS is asked for", func(t *testing.T) {
		h := &recording{}
		s := httptest.NewServer(h)
		defer s.Close()
		if a, err := ask(t, newRig(t, nil, func(cfg *Config) { cfg.URL = strings.Replace(s.URL, "http:", "https:", 1) })); err == nil || h.text() != "" {
			t.Errorf("%v, %v; the server saw %q", a.Status, err, h.text())
		}
	})
}

func TestRedirect_IsNeverFollowed(t *testing.T) {
	ca := authority(t, "ours")
	elsewhere := &recording{}
	second := serveTLS(t, ca, 0, elsewhere, nil, "127.0.0.1")
	clear := httptest.NewServer(elsewhere)
	defer clear.Close()
	var status atomic.Int32
	var to atomic.Value
	first := serveTLS(t, ca, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != ThreatsPath {
			elsewhere.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Location", to.Load().(string))
		w.WriteHeader(int(status.Load()))
	}), nil, "127.0.0.1")
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, target := range []string{second.URL + "/x", clear.URL + "/x", first.URL + "/login", "/login", "//" + strings.TrimPrefix(second.URL, "https://")} {
			status.Store(int32(code))
			to.Store(target)
			r := newRig(t, nil, func(cfg *Config) { cfg.URL, cfg.CAFile = first.URL, ca.File() })
			if a, err := ask(t, r); err != nil || a.Status != code {
				t.Errorf("%d to %s: %d, %v", code, target, a.Status, err)
			}
		}
	}
	if elsewhere.text() != "" {
		t.Errorf("the second server was asked: %s", elsewhere.text())
	}
}

// proxy tunnels CONNECT and notes what it is asked; status other than 200 refuses.
func proxy(t *testing.T, status int) (*recording, string) {
	t.Helper()
	h := &recording{}
	var tunnels sync.WaitGroup // of handlers: the server no longer waits for one that took its connection over
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.note(r.Method + " " + r.RequestURI + " " + fmt.Sprint(r.Header))
		if r.Method != http.MethodConnect || status != 200 {
			w.WriteHeader(status)
			return
		}
		tunnels.Add(1)
		defer tunnels.Done()
		up, err := net.Dial("tcp", r.Host)
		if err != nil {
			w.WriteHeader(502)
			return
		}
		down, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			_ = up.Close()
			return
		}
		_, _ = io.WriteString(down, "HTTP/1.1 200 Connection established\r\n\r\n")
		back := make(chan struct{})
		go func() {
			defer close(back)
			_, _ = io.Copy(down, up)
			_, _ = down.Close(), up.Close()
		}()
		_, _ = io.Copy(up, io.MultiReader(io.LimitReader(buf, int64(buf.Reader.Buffered())), down))
		_, _ = down.Close(), up.Close()
		<-back
	}))
	t.Cleanup(func() {
		s.Close()
		tunnels.Wait()
	})
	return h, s.URL
}

func TestProxy_TunnelsHTTPSAndNeverSeesTheToken(t *testing.T) {
	ca := authority(t, "ours")
	console := &recording{}
	s := serveTLS(t, ca, 0, console, nil, "127.0.0.1")
	seen, addr := proxy(t, 200)
	r := newRig(t, nil, func(cfg *Config) {
		cfg.URL, cfg.CAFile = s.URL, ca.File()
		cfg.Proxy = safe.Secret(strings.Replace(addr, "http://", "http://sindbad:proxy-secret@", 1))
	})
	a, err := ask(t, r)
	if err != nil || a.Status != 200 || !strings.Contains(console.text(), canary) {
		t.Fatalf("%d, %v, the console saw %q", a.Status, err, console.text())
	}
	r.road.(*http.Transport).CloseIdleConnections()
	if got := seen.text(); !strings.HasPrefix(got, "CONNECT "+strings.TrimPrefix(s.URL, "https://")) || strings.Contains(got, "ApiToken") || strings.Contains(got, canary) {
		t.Errorf("the proxy saw %s", got)
	}
	if strings.Contains(console.text(), "proxy-secret") || strings.Contains(console.text(), "Proxy-Authorization") {
		t.Error("the console saw the proxy's password")
	}
}

func TestProxy_IsNoWayAroundForPlainHTTP(t *testing.T) {
	console := &recording{}
	s := httptest.NewServer(console)
	defer s.Close()
	seen, addr := proxy(t, 200)
	// Validate refuses this configuration; should it ever let one through, the token still stays at home.
	r := newRig(t, nil, func(cfg *Config) { cfg.URL, cfg.Proxy = s.URL, safe.Secret(addr) })
	if a, err := ask(t, r); err != nil || a.Status != 200 || console.text() == "" || seen.text() != "" {
		t.Errorf("%d, %v; the proxy saw %q", a.Status, err, seen.text())
	}
	r.road.(*http.Transport).CloseIdleConnections()
}

func TestProxy_FailuresShowNoPassword(t *testing.T) {
	ca := authority(t, "ours")
	s := serveTLS(t, ca, 0, &recording{}, nil, "127.0.0.1")
	for _, status := range []int{407, 502} {
		_, addr := proxy(t, status)
		gone := httptest.NewServer(http.NotFoundHandler())
		gone.Close()
		for _, by := range []string{addr, gone.URL, "socks5" + strings.TrimPrefix(gone.URL, "http")} {
			r := newRig(t, nil, func(cfg *Config) {
				cfg.URL, cfg.CAFile = s.URL, ca.File()
				cfg.Proxy = safe.Secret(strings.Replace(by, "://", "://sindbad:proxy-secret@", 1))
			})
			if _, err := ask(t, r); err == nil || strings.Contains(err.Error(), "proxy-secret") || strings.Contains(err.Error(), canary) {
				t.Errorf("%d by %s: %v", status, safe.Origin(by), err)
			}
		}
	}
	cfg := DefaultConfig()
	cfg.URL, cfg.Token, cfg.Proxy = s.URL, canary, "sindbad:proxy-secret\x7f@"
	if _, err := transport(cfg); err == nil || strings.Contains(err.Error(), "proxy-secret") {
		t.Errorf("a proxy that is no URL: %v", err)
	}
}

func TestHTTP2_GoesOnAfterAConnectionThatGoesAway(t *testing.T) {
	ca := authority(t, "ours")
	var requests atomic.Int32
	var conns sync.Map // of remote addresses
	s := serveTLS(t, ca, 0, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1); r.ProtoMajor != 2 {
			t.Errorf("asked by %s", r.Proto)
		}
		conns.Store(r.RemoteAddr, true)
		w.Header().Set("Connection", "close") // with HTTP/2 this is GOAWAY
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, page("null"))
	}), nil, "127.0.0.1")
	r := newRig(t, nil, func(cfg *Config) { cfg.URL, cfg.CAFile, cfg.RequestsPerSecond = s.URL, ca.File(), 10 })
	for range 4 {
		if pages, err := r.read(t.Context(), ago(time.Hour)); err != nil || len(pages) != 1 {
			t.Fatalf("%v, %v", pages, err)
		}
	}
	r.road.(*http.Transport).CloseIdleConnections()
	n := 0
	conns.Range(func(any, any) bool { n++; return true })
	if requests.Load() != 4 || n < 2 {
		t.Errorf("%d requests on %d connections: nothing went away", requests.Load(), n)
	}
}

// A console, or a proxy before it, may echo the request in whatever it says.
func TestToken_IsShownNowhereWhenTheAnswerEchoesIt(t *testing.T) {
	echo := "rejected header Authorization: ApiToken " + canary
	errs := `{"errors":[{"code":4000010,"detail":"` + echo + `","title":"` + strings.Repeat("x", 220) + canary + `"}]}`
	for name, res := range map[string]func() *reply{
		"error body":       func() *reply { return respond(400, errs) },
		"denied":           func() *reply { return respond(401, errs) },
		"server error":     func() *reply { return respond(500, errs) },
		"errors in a 200":  func() *reply { return respond(200, errs[:len(errs)-1]+`,"data":[],"pagination":{}}`) },
		"text for a page":  func() *reply { return respond(200, echo) },
		"request id":       func() *reply { return respond(500, "", "X-Rqid", echo) },
		"content type":     func() *reply { return respond(200, "", "Content-Type", "text/"+canary) },
		"content encoding": func() *reply { return respond(200, "", "Content-Encoding", canary) },
		"location":         func() *reply { return respond(302, "", "Location", "https://elsewhere.example/?"+canary) },
		"broken location":  func() *reply { return respond(302, "", "Location", "https://elsewhere.example:x/%zz"+canary) },
		"retry-after":      func() *reply { return respond(429, echo, "Retry-After", canary) },
		"date":             func() *reply { return respond(200, page("null"), "Date", canary) },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, script(res)) // which looks through the log when the test ends
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			_, err := r.read(ctx, ago(time.Hour))
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("%s: %v", name, err)
			}
			a, err := r.Ask(ctx, ThreatsPath, nil)
			if text := fmt.Sprintf("%s %v %v", a.Body, a.Header, err); strings.Contains(text, canary) {
				t.Errorf("%s: Ask shows %s", name, text)
			}
			for part := range 8 { // nor may a cut through a snippet leave most of it
				if at := part * 4; strings.Contains(r.log.String(), canary[at:at+20]) {
					t.Errorf("%s: a part of the token is in the log:\n%s", name, r.log)
					break
				}
			}
		})
	}
}
