package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
)

// httpTestOAuth is a sink whose destination takes the newest token of k alone.
func httpTestOAuth(t *testing.T, k *testpeer.Tokens, took *atomic.Int64, change func(*HTTPConfig)) *HTTP {
	t.Helper()
	return httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !bearer || !k.Valid(token) {
			http.Error(w, "what is "+token, http.StatusUnauthorized)
			return
		}
		took.Add(1)
	}), func(c *HTTPConfig) {
		c.Auth = HTTPAuth{Type: "oauth2", TokenURL: k.URL, ClientID: k.ClientID, ClientSecret: safe.Secret(k.Secret), Scope: k.Scope}
		if change != nil {
			change(c)
		}
	})
}

func TestHTTP_GetsOneTokenForAllItsRequests(t *testing.T) {
	var took atomic.Int64
	k := testpeer.StartTokens(t, false)
	s := httpTestOAuth(t, k, &took, nil)
	for range 3 {
		if err := s.Write(t.Context(), httpTestRecords(20, 10)); err != nil {
			t.Fatal(err)
		}
	}
	if asked, _ := k.Asked(); asked != 1 || took.Load() != 60 {
		t.Errorf("asked for %d tokens for %d requests, want 1 for 60", asked, took.Load())
	}
}

func TestHTTP_SendsOnceMoreWithANewTokenWhereItWasRevoked(t *testing.T) {
	var took atomic.Int64
	k := testpeer.StartTokens(t, false)
	s := httpTestOAuth(t, k, &took, nil)
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
		t.Fatal(err)
	}
	k.Mint(func() (string, any) { return "revokes-the-first", 3600 })
	other := httpTestOAuth(t, k, &took, nil)
	if err := other.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
		t.Fatal(err)
	}
	k.Mint(nil)
	if err := s.Write(t.Context(), httpTestRecords(8, 10)); err != nil { // several workers find it revoked at once
		t.Fatal(err)
	}
	if asked, given := k.Asked(); asked != 3 || took.Load() != 10 {
		t.Errorf("asked %d times (%v) for %d deliveries, want 3 times for 10", asked, given, took.Load())
	}
}

func TestHTTP_IsDeniedWhereTheNewTokenIsRefusedToo(t *testing.T) {
	k := testpeer.StartTokens(t, false)
	var requests atomic.Int64
	s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		http.Error(w, "no: "+r.Header.Get("Authorization"), http.StatusUnauthorized)
	}), func(c *HTTPConfig) {
		c.Concurrency = 1
		c.Auth = HTTPAuth{Type: "oauth2", TokenURL: k.URL, ClientID: k.ClientID, ClientSecret: safe.Secret(k.Secret), Scope: k.Scope}
	})
	err := s.Write(t.Context(), httpTestRecords(5, 10))
	if httpKind(err) != "denied" || strings.Contains(err.Error(), "token-") {
		t.Errorf("Write: %v, want a denial without a token", err)
	}
	if asked, _ := k.Asked(); asked != 2 || requests.Load() != 2 {
		t.Errorf("%d tokens and %d requests, want 2 of each", asked, requests.Load())
	}
}

func TestHTTP_ClassifiesAFailureToGetATokenAndSendsNothing(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"the secret is wrong", 401, `{"error":"invalid_client"}`, "denied"},
		{"the scope is unknown", 400, `{"error":"invalid_scope"}`, "denied"},
		{"not the endpoint", 404, `<html>`, "denied"},
		{"throttled", 429, `{}`, "wait 9s"},
		{"down", 502, ``, "wait 9s"},
	} {
		var took atomic.Int64
		k := testpeer.StartTokens(t, false)
		k.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body+k.Secret)
			return true
		})
		s := httpTestOAuth(t, k, &took, nil)
		err := s.Write(t.Context(), httpTestRecords(5, 10))
		var batch *BatchError
		if httpKind(err) != tt.want || errors.As(err, &batch) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v, want %s for all of them", tt.name, err, tt.want)
		}
		if took.Load() != 0 {
			t.Errorf("%s: %d requests were sent", tt.name, took.Load())
		}
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	var took atomic.Int64
	k := testpeer.StartTokens(t, false)
	s := httpTestOAuth(t, k, &took, func(c *HTTPConfig) { c.Auth.TokenURL = gone.URL })
	if err := s.Write(t.Context(), httpTestRecords(5, 10)); httpKind(err) != "failed" || took.Load() != 0 {
		t.Errorf("nothing listens: %v", err)
	}
}

func TestHTTP_AskingForATokenEndsWithWriteOrTheTimeout(t *testing.T) {
	var took atomic.Int64
	k := testpeer.StartTokens(t, false)
	asked := make(chan struct{}, 10)
	k.Answer(func(_ http.ResponseWriter, r *http.Request) bool {
		_ = r.ParseForm() // net/http sees the client go once the body is read
		asked <- struct{}{}
		<-r.Context().Done()
		return true
	})
	s := httpTestOAuth(t, k, &took, nil)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-asked; cancel() }()
	if err := s.Write(ctx, httpTestRecords(5, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	s = httpTestOAuth(t, k, &took, func(c *HTTPConfig) { c.Timeout = 100 * time.Millisecond })
	if err := s.Write(t.Context(), httpTestRecords(5, 10)); httpKind(err) != "failed" || !strings.Contains(err.Error(), "(timeout)") {
		t.Errorf("after the timeout: %v", err)
	}
}

// A refusal quotes what the server says, and a server may say what it was sent.
func TestHTTP_HidesTheTokenThatTheServerEchoes(t *testing.T) {
	k := testpeer.StartTokens(t, false)
	k.Mint(func() (string, any) { return "CANARYTOKEN", 3600 })
	for _, status := range []int{422, 500} {
		s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, fmt.Sprintf("can't take this: %v", r.Header), status)
		}), func(c *HTTPConfig) {
			c.Auth = HTTPAuth{Type: "oauth2", TokenURL: k.URL, ClientID: k.ClientID, ClientSecret: safe.Secret(k.Secret), Scope: k.Scope}
		})
		err := s.Write(t.Context(), httpTestRecords(1, 10))
		if err == nil || strings.Contains(err.Error(), "CANARY") || !strings.Contains(err.Error(), "Bearer ***") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

func TestHTTP_ReadsTheClientsSecretAgainForEachToken(t *testing.T) {
	var took atomic.Int64
	k := testpeer.StartTokens(t, false)
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("old secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httpTestOAuth(t, k, &took, func(c *HTTPConfig) { c.Auth.ClientSecret, c.Auth.ClientSecretFile = "", file })
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != "denied" {
		t.Fatalf("with the old secret: %v", err)
	}
	if err := os.WriteFile(file, []byte(k.Secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
		t.Errorf("with the new one: %v", err)
	}
}

// One authority for both; tls.server_name names the destination, not the endpoint on another host.
func TestHTTP_ReachesTheTokenEndpointByItsOwnTLSKeysAndProxy(t *testing.T) {
	certs := testpeer.NewCerts(t)
	k := testpeer.StartTokens(t, false)
	endpoint := httpTestTLS(t, certs, true, k)
	destination := httpTestTLS(t, certs, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !k.Valid(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	proxy, asked := httpTestProxy(t, 200, destination.Listener.Addr().String())
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := DefaultHTTP()
	cfg.URL, cfg.Proxy = "https://siem.invalid/in", safe.Secret(proxy.URL)
	cfg.TLS = TLS{CAFile: certs.CA, CertFile: certs.Client.Cert, KeyFile: certs.Client.Key, ServerName: "localhost"}
	cfg.Auth = HTTPAuth{Type: "oauth2", TokenURL: endpoint.URL + "/oauth2/token", ClientID: k.ClientID, ClientSecret: safe.Secret(k.Secret), Scope: k.Scope}
	s, err := cfg.New(Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
		t.Fatal(err)
	}
	// Loopback goes by no proxy; an endpoint elsewhere does.
	cfg.Auth.TokenURL = "https://login.invalid/oauth2/token"
	s2, err := cfg.New(Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s2.Close() }()
	err = s2.Write(t.Context(), httpTestRecords(1, 10))
	if got, _ := asked.Load().(string); !strings.HasPrefix(got, "CONNECT login.invalid:443") {
		t.Errorf("the proxy was asked %q", got)
	}
	// What answers there has a certificate for localhost: server_name must not make that good.
	if httpKind(err) != "denied" || !strings.Contains(err.Error(), "login.invalid") {
		t.Errorf("Write: %v, want the certificate refused", err)
	}
}

func TestHTTPProbe_GetsAToken(t *testing.T) {
	k := testpeer.StartTokens(t, false)
	var requests atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	t.Cleanup(srv.Close)
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	cfg := DefaultHTTP()
	cfg.URL = safe.Secret(srv.URL)
	cfg.Auth = HTTPAuth{Type: "oauth2", TokenURL: k.URL, ClientID: k.ClientID, ClientSecret: safe.Secret(k.Secret), Scope: k.Scope}
	p := cfg.Probe(t.Context(), Deps{})
	if len(p.Problems) != 0 || len(p.Found) < 2 || !strings.HasPrefix(p.Found[0], "got a token from http://127.0.0.1") || !strings.HasSuffix(p.Found[0], "good for 1h0m0s") {
		t.Errorf("Probe: %+v", p)
	}
	cfg.Auth.ClientSecret = "another secret"
	p = cfg.Probe(t.Context(), Deps{})
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Remedy, "client_secret") || strings.Contains(p.Problems[0].What, "another secret") || !strings.Contains(p.Found[0], "connected") {
		t.Errorf("Probe: %+v", p)
	}
	if requests.Load() != 0 {
		t.Error("the probe sent a request to the destination")
	}
}

func TestHTTPProbe_WarnsOfSignaturesBeforeGzip(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(srv.Close)
	for _, zip := range []bool{false, true} {
		cfg := DefaultHTTP()
		cfg.URL, cfg.Gzip, cfg.Signing.Secrets = safe.Secret(srv.URL), zip, []safe.Secret{httpTestSecret}
		if p := cfg.Probe(t.Context(), Deps{}); len(p.Warnings) != map[bool]int{false: 0, true: 1}[zip] {
			t.Errorf("gzip %v: warnings %v", zip, p.Warnings)
		}
	}
}
