package ops

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, c *Conditions) *Server {
	t.Helper()
	s := Listen(context.Background(), "127.0.0.1:0", NewRegistry("v1.2.3", c), c, quiet)
	t.Cleanup(s.Close)
	if s.Addr() == "" {
		t.Fatal(c.Reasons())
	}
	return s
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// got is an answer.
type got struct {
	status int
	header http.Header
	body   string
}

func ask(t *testing.T, s *Server, method, path string) got {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.Addr()+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(b)}
}

func TestServer_IsReadyUntilAConditionFailsAndSaysEachReasonOnALine(t *testing.T) {
	c := new(Conditions)
	s := listen(t, c)
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	siem, hook := c.New("sink siem", log), c.New("sink hook", log)

	want := func(status int, body, ready string) {
		t.Helper()
		a := ask(t, s, http.MethodGet, "/readyz")
		if a.status != status || a.body != body || !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") {
			t.Errorf("readyz: %+v", a)
		}
		if a := ask(t, s, http.MethodGet, "/metrics"); !strings.Contains(a.body, "\ns1stream_ready "+ready+"\n") {
			t.Errorf("metrics do not say s1stream_ready %s", ready)
		}
		if a := ask(t, s, http.MethodGet, "/healthz"); a.status != 200 || a.body != "ok\n" {
			t.Errorf("healthz: %+v", a)
		}
	}
	want(200, "ready\n", "1")
	siem.Fail("down", errors.New("line one\nline two"))
	hook.Fail("denied", nil)
	want(503, "sink hook: denied\nsink siem: down: line one line two\n", "0")
	siem.OK()
	hook.OK()
	want(200, "ready\n", "1")
}

func TestServer_AnswersGETAndHEADAlone(t *testing.T) {
	s := listen(t, new(Conditions))
	if a := ask(t, s, http.MethodHead, "/readyz"); a.status != 200 {
		t.Errorf("HEAD: %+v", a)
	}
	if a := ask(t, s, http.MethodPost, "/metrics"); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %+v", a)
	}
	if a := ask(t, s, http.MethodGet, "/debug/pprof/"); a.status != http.StatusNotFound {
		t.Errorf("an unknown path: %+v", a)
	}
}

// An address in use keeps nothing from being delivered: it is a reason not to be ready, said once, and over when the
// address is free.
func TestListen_TakesABusyAddressLaterAndSaysOnceThatItIsBusy(t *testing.T) {
	var lc net.ListenConfig
	other, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var text lockedText
	c := new(Conditions)
	ctx, cancel := context.WithCancel(context.Background())
	s := listenAgain(ctx, other.Addr().String(), NewRegistry("v", c), c, slog.New(slog.NewTextHandler(&text, nil)), time.Millisecond)
	defer s.Close()
	if r := c.Reasons(); len(r) != 1 || !strings.HasPrefix(r[0], "ops endpoint: ops endpoint can't listen: ops.listen: ") || s.Addr() != "" {
		t.Errorf("busy: %q, address %q", r, s.Addr())
	}
	cancel() // the end of a run's work is not the end of its server
	time.Sleep(20 * time.Millisecond)
	_ = other.Close()
	for end := time.Now().Add(10 * time.Second); s.Addr() == "" && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if a := ask(t, s, http.MethodGet, "/readyz"); a.status != 200 || a.header.Get("Server") != Name {
		t.Errorf("free: %+v", a)
	}
	if n := strings.Count(text.String(), "level=ERROR"); n != 1 {
		t.Errorf("said %d times:\n%s", n, text.String())
	}
}

func TestListen_EndsWhileItWaitsForItsAddress(t *testing.T) {
	c := new(Conditions)
	s := listen(t, c)
	waiting := Listen(context.Background(), s.Addr(), NewRegistry("v", c), c, quiet)
	began := time.Now()
	waiting.Close()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestListen_IsOffWithoutAnAddress(t *testing.T) {
	c := new(Conditions)
	off := Listen(context.Background(), "", NewRegistry("v", c), c, quiet)
	if off.Addr() != "" || len(c.Reasons()) != 0 {
		t.Errorf("switched off, and %q, %q", off.Addr(), c.Reasons())
	}
	off.Close()
}

// lockedText is a log that is read while it is written.
type lockedText struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestRegistry_TellsTheBuildAndPassesTheLinter(t *testing.T) {
	reg := NewRegistry("v1.2.3", new(Conditions))
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "s1stream_build_info" && strings.Contains(f.GetMetric()[0].String(), `"v1.2.3"`) {
			return
		}
	}
	t.Error("no s1stream_build_info with the version")
}
