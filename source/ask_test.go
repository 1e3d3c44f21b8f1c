package source

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"s1stream/internal/ops"
)

func askConsole(t *testing.T, h http.HandlerFunc) *Console {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	cfg := DefaultConfig()
	cfg.URL, cfg.Token, cfg.Timeout, cfg.RequestsPerSecond = s.URL, "canary-token", 300*time.Millisecond, 10
	cfg.Filter = map[string]any{"resolved": false}
	c, err := New("prod", cfg, Deps{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Metrics: NewMetrics(prometheus.NewRegistry()),
		Conditions: new(ops.Conditions), Limits: new(Limits),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAsk_ReturnsAnyAnswerAfterOneAttempt(t *testing.T) {
	var n atomic.Int32
	c := askConsole(t, func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		if r.URL.Path != InfoPath || r.URL.RawQuery != "a=1%2C2" || r.Header.Get("Authorization") != "ApiToken canary-token" {
			t.Errorf("asked for %s with %q", r.URL, r.Header.Get("Authorization"))
		}
		w.Header().Set("X-Echo", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "no canary-token here")
	})
	before := time.Now()
	a, err := c.Ask(context.Background(), InfoPath, url.Values{"a": {"1,2"}})
	if err != nil {
		t.Fatal(err)
	}
	if n.Load() != 1 || a.Status != 503 || a.Reason != "Service Unavailable" || a.Date.IsZero() || a.Asked.Before(before) || a.TLS != nil {
		t.Errorf("after %d requests %+v", n.Load(), a)
	}
	if string(a.Body) != "no *** here" || a.Header.Get("X-Echo") != "ApiToken ***" {
		t.Errorf("the token is shown: %q, %q", a.Body, a.Header)
	}
}

func TestAsk_FailsWithoutTheURLWhenNobodyAnswersInTime(t *testing.T) {
	c := askConsole(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	_, err := c.Ask(context.Background(), ThreatsPath, url.Values{"query": {"canary-query"}})
	if err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("error %v", err)
	}
}

func TestConsoleFilter_IsACopy(t *testing.T) {
	c := askConsole(t, func(http.ResponseWriter, *http.Request) {})
	q := c.Filter()
	if q.Encode() != "resolved=false" {
		t.Errorf("filter %s", q.Encode())
	}
	q.Set("resolved", "true")
	if c.Filter().Get("resolved") != "false" {
		t.Error("the console's own filter was changed")
	}
}

func TestStartAt_ResolvesAgainstTheCallersClock(t *testing.T) {
	now := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"now": now, "-24h": now.Add(-24 * time.Hour), "all": time.Unix(0, 0).UTC(), "2026-01-01T01:00:00+01:00": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
	} {
		if got, err := StartAt(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v, want %v", text, got, err, want)
		}
	}
	if _, err := StartAt("yesterday", now); err == nil {
		t.Error("takes \"yesterday\"")
	}
}
