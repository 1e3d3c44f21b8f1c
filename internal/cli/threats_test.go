package cli

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"s1stream/internal/console"
)

// answerTo makes the endpoint answer as f says, on a server that also checks the token.
func answerTo(t *testing.T, f func(w http.ResponseWriter, q url.Values)) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "ApiToken "+testToken {
			t.Errorf("request to %s without the token", r.URL.Path)
		}
		f(w, r.URL.Query())
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func tokenFile(t *testing.T) string {
	t.Helper()
	f := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(f, []byte(testToken+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestThreats_PrintsTheAnswerAsItCame(t *testing.T) {
	const body = `{"data":[{"id":1e3, "x":"` + "\xff" + `"}], "pagination":{"nextCursor":"abc","totalItems":9}}`
	u := answerTo(t, func(w http.ResponseWriter, q url.Values) {
		if want := "limit=5&osTypes=linux%2Cmacos&sortBy=updatedAt"; q.Encode() != want {
			t.Errorf("asked for %s, want %s", q.Encode(), want)
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(body))
	})
	p := call(t, nil, "threats", "--url", u, "--token-file", tokenFile(t), "--param", "osTypes=linux,macos", "--param", "limit=5", "--param", "sortBy=updatedAt")
	p.wantCode(t, 0)
	if p.out.String() != body+"\n" {
		t.Errorf("prints %q", p.out)
	}
}

func TestThreats_AppliesTheSourcesFilterOnlyWhenAsked(t *testing.T) {
	var asked atomic.Value
	u := answerTo(t, func(w http.ResponseWriter, q url.Values) {
		asked.Store(q.Encode())
		_, _ = w.Write([]byte(`{}`))
	})
	s := configure(t, u, "resolved = false\nincidentStatuses = [\"unresolved\"]", "")
	for want, args := range map[string][]string{
		"limit=1": {"--param", "limit=1"},
		"incidentStatuses=unresolved&limit=1&resolved=true": {"--filter", "--param", "limit=1", "--param", "resolved=true"},
	} {
		call(t, nil, append([]string{"threats", "--config", s.file}, args...)...).wantCode(t, 0)
		if got := asked.Load(); got != want {
			t.Errorf("%v asks for %s, want %s", args, got, want)
		}
	}
}

func TestThreats_IncludesStatusReasonAndHeadersWithoutSecrets(t *testing.T) {
	u := answerTo(t, func(w http.ResponseWriter, _ url.Values) {
		w.Header().Set("Set-Cookie", "session=canary-cookie; Path=/")
		w.Header().Set("Location", "https://login.example/sso?ticket=canary-ticket")
		w.Header().Set("X-Echo", "ApiToken "+testToken)
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusFound)
		_, _ = w.Write([]byte("<html>\"sign in\" " + testToken + "</html>"))
	})
	p := call(t, nil, "threats", "--url", u, "--token-file", tokenFile(t), "--include")
	p.wantCode(t, exitFailed)
	contains(t, p.err.String(), "302 Found")
	var got struct {
		Status  int
		Reason  string
		Headers map[string][]string
		Body    string
	}
	if err := json.Unmarshal([]byte(p.out.String()), &got); err != nil {
		t.Fatalf("%v: %s", err, p.out)
	}
	if got.Status != 302 || got.Reason != "Found" || got.Headers["Set-Cookie"][0] != "session=***" ||
		got.Headers["Location"][0] != "https://login.example/sso" || !strings.Contains(got.Body, `"sign in"`) {
		t.Errorf("got %+v", got)
	}
	for _, canary := range []string{"canary-cookie", "canary-ticket", testToken} {
		if strings.Contains(p.out.String()+p.err.String(), canary) {
			t.Errorf("shows %s:\n%s%s", canary, p.out, p.err)
		}
	}
}

// document is what --all prints.
type document struct {
	Data       []json.RawMessage
	Pagination struct {
		NextCursor *string
		TotalItems int
	}
}

func TestThreats_FollowsTheCursorToTheEndAndWaitsAsLongAsA429Asks(t *testing.T) {
	c, server := serve(t, 23)
	s := configure(t, server.URL, "", "")
	var n, refused atomic.Int32
	var resumed atomic.Int64
	c.SetHook(func(*http.Request) console.Fault {
		if n.Add(1) == 3 {
			refused.Add(1)
			resumed.Store(time.Now().UnixNano())
			return console.Fault{Kind: console.Throttle, RetryAfter: "1"}
		}
		if n.Load() == 4 {
			resumed.Store(time.Now().UnixNano() - resumed.Load())
		}
		return console.Fault{}
	})
	p := call(t, nil, "threats", "--config", s.file, "--all", "--param", "limit=10")
	p.wantCode(t, 0)
	var got document
	if err := json.Unmarshal([]byte(p.out.String()), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Data) != 23 || got.Pagination.NextCursor != nil || got.Pagination.TotalItems != 23 {
		t.Errorf("%d threats, pagination %+v", len(got.Data), got.Pagination)
	}
	if wait := time.Duration(resumed.Load()); refused.Load() != 1 || wait < time.Second {
		t.Errorf("went on %s after the 429", wait)
	}
	contains(t, p.err.String(), "asking again in", "3 pages, 23 threats")
}

func TestThreats_ClosesTheDocumentAndSaysWhereToGoOnWhenItGivesUp(t *testing.T) {
	c, server := serve(t, 30)
	s := configure(t, server.URL, "", "")
	var n atomic.Int32
	c.SetHook(func(*http.Request) console.Fault {
		if n.Add(1) == 3 {
			return console.Fault{Kind: console.Forbidden}
		}
		return console.Fault{}
	})
	p := call(t, nil, "threats", "--config", s.file, "--all", "--include", "--param", "limit=10")
	p.wantCode(t, exitFailed)
	contains(t, p.err.String(), "403")
	var got struct {
		Status int
		Body   document
	}
	if err := json.Unmarshal([]byte(p.out.String()), &got); err != nil {
		t.Fatalf("%v: %s", err, p.out)
	}
	if got.Status != 200 || len(got.Body.Data) != 20 || got.Body.Pagination.NextCursor == nil {
		t.Fatalf("status %d, %d threats, %+v", got.Status, len(got.Body.Data), got.Body.Pagination)
	}
	p = call(t, nil, "threats", "--config", s.file, "--all", "--param", "limit=10", "--param", "cursor="+*got.Body.Pagination.NextCursor)
	p.wantCode(t, 0)
	var rest document
	if err := json.Unmarshal([]byte(p.out.String()), &rest); err != nil || len(rest.Data) != 10 {
		t.Errorf("%d threats follow, %v", len(rest.Data), err)
	}
}

func TestThreats_EndsOnACursorThatComesTwice(t *testing.T) {
	u := answerTo(t, func(w http.ResponseWriter, _ url.Values) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":[{"id":"1"}],"pagination":{"nextCursor":"same","totalItems":1}}`))
	})
	p := call(t, nil, "threats", "--url", u, "--token-file", tokenFile(t), "--all")
	p.wantCode(t, exitFailed)
	contains(t, p.err.String(), "cursor twice")
	if !json.Valid([]byte(p.out.String())) {
		t.Errorf("not JSON: %s", p.out)
	}
}

func TestThreats_AsksWhichSourceWhereThereAreSeveral(t *testing.T) {
	s := configure(t, "http://127.0.0.1:1", "", "[source.lab]\nurl = \"http://127.0.0.1:2\"\ntoken = \"t\"\n[sink.console]\ntype=\"file\"\npath=\"-\"")
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), "out.jsonl", "{source}.jsonl", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := call(t, nil, "threats", "--config", s.file)
	p.wantCode(t, exitUsage)
	contains(t, p.err.String(), "--source: say which one of lab, prod")
}

func TestCleanWriter_TakesHostileTextOutOfWhatGoesToATerminal(t *testing.T) {
	var b strings.Builder
	w := &cleanWriter{w: &b}
	for _, part := range []string{"a\x1b[2", "J\nb\u202e", "c\n", "rest\x07"} {
		if n, err := w.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "a?[2J\nb?c\nrest?\n"; b.String() != want {
		t.Errorf("writes %q, want %q", b.String(), want)
	}
}
