package ops

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func listen(t *testing.T, c *Conditions) *Server {
	t.Helper()
	s, err := Listen(context.Background(), "127.0.0.1:0", NewRegistry("v1.2.3", c), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

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

func TestListen_NamesTheKeyWhenItCannotAndIsOffWithoutAnAddress(t *testing.T) {
	c := new(Conditions)
	s := listen(t, c)
	if _, err := Listen(context.Background(), s.Addr(), NewRegistry("v", c), c); err == nil || !strings.HasPrefix(err.Error(), "ops.listen: ") {
		t.Errorf("an address in use: %v", err)
	}
	off, err := Listen(context.Background(), "", NewRegistry("v", c), c)
	if err != nil || off.Addr() != "" || off.Close() != nil {
		t.Errorf("switched off: %v", err)
	}
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
