package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"s1stream/internal/ops"
)

// canary is the token of every console under test. It must be seen by the console alone.
const canary = "eyJjYW5hcnkiOiJuZXZlciBzaG93biJ9.canary-of-the-token"

// rig is a Console under test, with all that it says.
type rig struct {
	*Console
	log   *logBuffer
	ready *ops.Conditions
	reg   *prometheus.Registry
}

// newRig makes a Console whose requests go to rt; nil is the network.
func newRig(t testing.TB, rt http.RoundTripper, change ...func(*Config)) *rig {
	t.Helper()
	cfg := DefaultConfig()
	cfg.URL, cfg.Token = "https://console.example", canary
	for _, f := range change {
		f(&cfg)
	}
	r := &rig{log: &logBuffer{}, ready: &ops.Conditions{}, reg: prometheus.NewRegistry()}
	c, err := New("main", cfg, Deps{
		Log:     slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Metrics: NewMetrics(r.reg), Conditions: r.ready, Limits: &Limits{}, Transport: rt,
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Console = c
	t.Cleanup(func() {
		if strings.Contains(r.log.String()+strings.Join(r.ready.Reasons(), "\n"), canary) {
			t.Error("the token is in the log or among the conditions")
		}
	})
	return r
}

// metric returns the value of a counter or gauge, the labels given summed up.
func (r *rig) metric(t testing.TB, name string) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() == "s1stream_source_"+name {
			for _, m := range f.GetMetric() {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// seen is a page as a test keeps it.
type seen struct {
	ids      []string
	frontier time.Time
}

// read walks from a frontier to the end.
func (r *rig) read(ctx context.Context, from time.Time) (pages []seen, err error) {
	for p, err := range r.Walk(ctx, from, true) {
		if err != nil {
			return pages, err
		}
		s := seen{frontier: p.Frontier}
		for i := range p.Events {
			s.ids = append(s.ids, p.Events[i].ID)
		}
		pages = append(pages, s)
		if len(pages) > 5000 {
			return pages, fmt.Errorf("the walk does not end")
		}
	}
	return pages, nil
}

// all returns the ids of pages in their order.
func all(pages []seen) string {
	var ids []string
	for _, p := range pages {
		ids = append(ids, p.ids...)
	}
	return strings.Join(ids, " ")
}

// frontiers returns the pages' frontiers, as seconds before at, "-" for none.
func frontiers(pages []seen, at time.Time) string {
	var out []string
	for _, p := range pages {
		if p.frontier.IsZero() {
			out = append(out, "-")
		} else {
			out = append(out, fmt.Sprint(at.Sub(p.frontier).Seconds()))
		}
	}
	return strings.Join(out, " ")
}

// logBuffer is a log that may be read while it is written.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// answers is a RoundTripper whose function is called one request at a time, n counting from 0.
type answers struct {
	mu   sync.Mutex
	n    int
	when []time.Time
	asks []*http.Request
	f    func(n int, r *http.Request) (*reply, error)
}

// reply is what an answer is made of.
type reply struct {
	status int
	Header http.Header
	body   io.Reader
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.n++
	a.when = append(a.when, time.Now())
	a.asks = append(a.asks, r)
	p, err := a.f(a.n-1, r)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: p.status, Header: p.Header, Body: io.NopCloser(p.body)}, nil
}

// respond makes an answer, with our clock as its Date, and then header lines of which an empty value removes one.
func respond(status int, body string, header ...string) *reply {
	h := http.Header{}
	h.Set("Content-Type", "application/json")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
		if header[i+1] == "" {
			h.Del(header[i])
		}
	}
	return &reply{status, h, strings.NewReader(body)}
}

// threat is a small one; at is its updatedAt.
func threat(id string, at time.Time) string {
	return fmt.Sprintf(`{"id":%q,"threatInfo":{"updatedAt":%q}}`, id, formatTime(at))
}

// page is an answer's body; cursor is JSON.
func page(cursor string, threats ...string) string {
	return `{"data":[` + strings.Join(threats, ",") + `],"pagination":{"nextCursor":` + cursor + `,"totalItems":0}}`
}

// sample is the recorded page: three threats.
func sample(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "pages", "sample.json"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
