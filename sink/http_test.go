package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/safe"
)

// httpTestSink is a sink on a server of the test.
func httpTestSink(t *testing.T, h http.Handler, change func(*HTTPConfig)) *HTTP {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := DefaultHTTP()
	cfg.URL = safe.Secret(srv.URL + "/in")
	if change != nil {
		change(cfg)
	}
	s, err := NewHTTP(*cfg, Deps{Name: "siem", Source: "emea"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func httpTestRecords(n, size int) []Record {
	var out []Record
	for i := range n {
		id := fmt.Sprintf("id-%d", i)
		raw := fmt.Appendf(nil, `{"id":%q,"pad":%q}`, id, strings.Repeat("x", size))
		out = append(out, Record{Body: raw, Event: &event.Event{Raw: raw, ID: id, Version: event.NewVersion("h", id, "u", raw)}})
	}
	return out
}

// httpKind is an outcome in a word.
func httpKind(err error) string {
	var batch *BatchError
	var refused *RefusedError
	var denied *DeniedError
	var wait *RetryAfterError
	if errors.As(err, &batch) {
		err = batch.Failed[0].Err
	}
	switch {
	case err == nil:
		return "taken"
	case errors.As(err, &refused):
		return "refused"
	case errors.As(err, &denied):
		return "denied"
	case errors.As(err, &wait):
		return "wait " + wait.After.String()
	}
	return "failed"
}

func TestHTTP_JudgesEveryStatus(t *testing.T) {
	special := map[int]string{
		400: "refused", 413: "refused", 415: "refused", 422: "refused",
		408: "failed", 409: "failed", 421: "failed", 423: "failed", 425: "failed", 429: "failed",
	}
	var status atomic.Int64
	s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(status.Load()))
	}), nil)
	records := httpTestRecords(1, 10)
	for code := 200; code <= 599; code++ {
		want, ok := special[code]
		switch {
		case ok:
		case code <= 299:
			want = "taken"
		case code <= 499:
			want = "denied" // every 3xx and every other 4xx
		default:
			want = "failed"
		}
		status.Store(int64(code))
		if err := s.Write(t.Context(), records); httpKind(err) != want {
			t.Errorf("%d: %s (%v), want %s", code, httpKind(err), err, want)
		}
	}
}

func TestHTTP_ReadsRetryAfter(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		status      int
		want        string
	}{
		{"seconds", "30", 429, "wait 30s"},
		{"a date, by the answer's own Date", "Tue, 06 Jan 2026 10:00:20 GMT", 503, "wait 20s"},
		{"garbage is ignored", "soon", 503, "failed"},
		{"a day is cut to a quarter of an hour", "86400", 500, "wait 15m0s"},
		{"a refusal stays one", "30", 413, "refused"},
		{"a denial stays one", "30", 403, "denied"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Date", "Tue, 06 Jan 2026 10:00:00 GMT")
				w.Header().Set("Retry-After", tt.value)
				w.WriteHeader(tt.status)
			}), nil)
			if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != tt.want {
				t.Errorf("%s (%v), want %s", httpKind(err), err, tt.want)
			}
		})
	}
}

func TestHTTP_FollowsNoRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		var followed atomic.Bool
		s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/in" {
				followed.Store(true)
				return
			}
			w.Header().Set("Location", "https://login.example.com/secret-path?secret=1")
			if status == 302 {
				w.Header().Set("Location", "/login")
			}
			w.WriteHeader(status)
		}), nil)
		err := s.Write(t.Context(), httpTestRecords(1, 10))
		if httpKind(err) != "denied" || followed.Load() || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: %v, followed %v; want a denial that shows no path", status, err, followed.Load())
		}
		if status == 301 && !strings.Contains(err.Error(), "https://login.example.com") {
			t.Errorf("the error does not say where it leads: %v", err)
		}
	}
}

func TestHTTP_AcksOnlyWhenTheWholeAnswerIsRead(t *testing.T) {
	release := make(chan struct{})
	for name, h := range map[string]http.HandlerFunc{
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "ten bytes.")
		},
		"never ends": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "{")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-release:
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httpTestSink(t, h, func(c *HTTPConfig) { c.Timeout = 200 * time.Millisecond })
			if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != "failed" {
				t.Errorf("Write: %v, want an unknown outcome", err)
			}
		})
	}
	close(release)
	s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 3<<20))
	}), nil)
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
		t.Errorf("an answer of 3 MiB: %v", err)
	}
}

func TestHTTP_SendsConcurrencyRequestsSideBySide(t *testing.T) {
	// Each request is answered only when four are there: with a receiver that takes 100 ms, that is 40 a second.
	const side = 4
	var mu sync.Mutex
	waiting, most := 0, 0
	gate := make(chan struct{})
	s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		waiting++
		most = max(most, waiting)
		mine := gate
		if waiting == side {
			waiting, gate = 0, make(chan struct{})
			close(mine)
		}
		mu.Unlock()
		select {
		case <-mine:
		case <-r.Context().Done():
			w.WriteHeader(http.StatusInternalServerError)
		}
	}), func(c *HTTPConfig) { c.Timeout = 5 * time.Second })
	if err := s.Write(t.Context(), httpTestRecords(10*side, 10)); err != nil {
		t.Fatal(err)
	}
	if most != side {
		t.Errorf("%d requests side by side, want %d", most, side)
	}
}

func TestHTTP_StopsSendingToAReceiverInTrouble(t *testing.T) {
	for _, tt := range []struct{ status, most int }{{503, 4}, {429, 4}, {401, 4}, {302, 4}, {500, httpGiveUp + 3}, {422, 100}} {
		var requests atomic.Int64
		s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			requests.Add(1)
			w.WriteHeader(tt.status)
		}), nil)
		err := s.Write(t.Context(), httpTestRecords(100, 10))
		if err == nil || int(requests.Load()) > tt.most {
			t.Errorf("%d: %d requests (%v), want at most %d", tt.status, requests.Load(), err, tt.most)
		}
	}
}

func TestHTTP_NamesTheRecordsThatFailedAndTakesTheOthers(t *testing.T) {
	s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		switch {
		case bytes.Contains(b, []byte(`"id-3"`)):
			w.WriteHeader(http.StatusInternalServerError)
		case bytes.Contains(b, []byte(`"id-7"`)):
			http.Error(w, "no \x1b[31mcolours\u202e", http.StatusBadRequest)
		}
	}), nil)
	err := s.Write(t.Context(), httpTestRecords(10, 10))
	var batch *BatchError
	if !errors.As(err, &batch) || len(batch.Failed) != 2 {
		t.Fatalf("Write: %v, want a BatchError of two", err)
	}
	if f := batch.Failed[0]; f.Index != 3 || httpKind(f.Err) != "failed" {
		t.Errorf("first: record %d %s, want 3 failed", f.Index, httpKind(f.Err))
	}
	if f := batch.Failed[1]; f.Index != 7 || httpKind(f.Err) != "refused" || strings.ContainsAny(f.Err.Error(), "\x1b\u202e") {
		t.Errorf("second: record %d %s %q, want 7 refused, in safe text", f.Index, httpKind(f.Err), f.Err)
	}
}

func TestHTTP_ReadsRotatedSecretsAfterADenial(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := httpTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer new" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}), func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "bearer", TokenFile: file} })
	records := httpTestRecords(1, 10)
	for range 2 {
		if err := s.Write(t.Context(), records); httpKind(err) != "denied" {
			t.Fatalf("Write with the old token: %v", err)
		}
	}
	if err := os.Remove(file); err != nil { // a rotation under way
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), records); httpKind(err) != "denied" {
		t.Fatalf("Write without a token file: %v", err)
	}
	if err := os.WriteFile(file, []byte("new\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), records); err != nil {
		t.Errorf("Write with the new token: %v", err)
	}
}

func TestHTTP_APanicIsAnUnknownOutcome(t *testing.T) {
	s := httpTestSink(t, http.NotFoundHandler(), nil)
	if err := s.Write(t.Context(), []Record{{Body: []byte("{}")}}); httpKind(err) != "failed" {
		t.Errorf("Write of a record without an event: %v", err)
	}
}

func TestHTTP_DeliversAfterTheServerClosedAnIdleConnection(t *testing.T) {
	closed := make(chan struct{}, 10)
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.IdleTimeout = time.Millisecond
	srv.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateClosed {
			closed <- struct{}{}
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	cfg := DefaultHTTP()
	cfg.URL = safe.Secret(srv.URL)
	s, err := NewHTTP(*cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := s.Write(ctx, httpTestRecords(1, 10))
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		<-closed
	}
}
