package console

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func client(t *testing.T, caFile string) *http.Client {
	t.Helper()
	tr := &http.Transport{}
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			t.Fatal(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(pem)
		tr.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

func fetch(t *testing.T, cl *http.Client, url string) (reply, []byte, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "ApiToken "+token)
	res, err := cl.Do(r)
	if err != nil {
		return reply{}, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return reply{res.StatusCode, res.Status, res.Header}, b, err
}

func TestServe_SpeaksHTTPSAndEndsWithItsContext(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	c := New(Config{Token: token, Tiny: true, Ledger: true})
	c.Store.Fill(20, day, day.Add(time.Hour))
	s, err := c.Serve(ctx, "127.0.0.1:0", dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.TrimPrefix(s.URL, "https://"); c.Host() != want || !strings.HasPrefix(want, "127.0.0.1:") {
		t.Errorf("URL %s, host %s", s.URL, c.Host())
	}
	cl := client(t, s.CAFile)
	if res, b, err := fetch(t, cl, s.URL+API+"/threats"); err != nil || res.StatusCode != 200 || !strings.HasPrefix(string(b), `{"data":[`) {
		t.Errorf("%v %s", err, b)
	}
	if n := len(c.Truth()); n != 20 || c.Truth()[0].Served.IsZero() {
		t.Error("the ledger does not know what was served")
	}
	cl.CloseIdleConnections()
	cancel()
	<-s.Done()
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	cert, _, err := certificate(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"localhost", "127.0.0.1", "::1", "simulator"} {
		if err := cert.Leaf.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	if again, _ := os.ReadFile(s.CAFile); string(again) != string(ca) {
		t.Error("a second start made another authority, which clients do not trust")
	}
	if err := os.WriteFile(filepath.Join(dir, "console.key"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := certificate(dir); err != nil {
		t.Errorf("a bad key is not replaced: %v", err)
	}
}

func TestServe_BreaksConnectionsAndOmitsDateOnTheWire(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := New(Config{Token: token, Tiny: true})
	c.Store.Fill(200, day, day.Add(time.Hour))
	s, err := c.Serve(t.Context(), "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	cl := client(t, "")
	defer func() {
		cl.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	url := s.URL + API + "/threats?limit=200"
	for _, k := range []Kind{Drop, Reset} {
		c.SetHook(func(*http.Request) Fault { return Fault{Kind: k} })
		if _, _, err := fetch(t, cl, url); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v: %v", k, err)
		}
	}
	c.SetHook(func(*http.Request) Fault { return Fault{NoDate: true} })
	if res, _, err := fetch(t, cl, url); err != nil || len(res.Header["Date"]) != 0 {
		t.Errorf("Date %v, %v", res.Header["Date"], err)
	}
	c.SetHook(func(*http.Request) Fault { return Fault{Kind: Truncate} })
	cl.Transport.(*http.Transport).DisableCompression = true
	if _, b, err := fetch(t, cl, url); err != nil || !strings.HasPrefix(string(b), `{"data":[`) || strings.HasSuffix(string(b), "}}") {
		t.Errorf("truncated: %v, %d bytes", err, len(b))
	}
}

func TestServe_SaysThatItCannotListen(t *testing.T) {
	if _, err := New(Config{}).Serve(t.Context(), "256.0.0.1:1", ""); err == nil {
		t.Error("no error")
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{}).Serve(t.Context(), "127.0.0.1:0", file); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("%v", err)
	}
}

// BenchmarkPage serves pages of 1,000 realistic threats of 200,000, compressed, in process.
func BenchmarkPage(b *testing.B) {
	for _, cache := range []int64{0, 1 << 30} {
		b.Run(fmt.Sprintf("cache=%dMiB", cache>>20), func(b *testing.B) {
			c := New(Config{Seed: 1, CacheBytes: cache})
			c.Store.Fill(200_000, day, day.Add(24*time.Hour))
			q := values("limit", "1000", "sortBy", "updatedAt", "skipCount", "true").Encode()
			for b.Loop() {
				get(b, c, "/threats?"+q, "Accept-Encoding", "gzip")
			}
		})
	}
}

// BenchmarkTiny serves the page that a scenario test polls: 50 tiny threats, in process.
func BenchmarkTiny(b *testing.B) {
	c := New(Config{Tiny: true, Ledger: true})
	c.Store.Fill(50, day, day.Add(time.Hour))
	q := values("limit", "1000", "sortBy", "updatedAt", "skipCount", "true").Encode()
	for b.Loop() {
		get(b, c, "/threats?"+q)
	}
}

func BenchmarkFill(b *testing.B) {
	for b.Loop() {
		New(Config{}).Store.Fill(1_000_000, day, day.Add(24*time.Hour))
	}
}
