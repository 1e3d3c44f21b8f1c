package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/console"
)

// served is a console that listens, with a set of threats that lives until it is told to rest.
type served struct {
	*console.Console
	*console.Server
	token string // file that holds the token
}

// serve starts a console. Its own certificate authority is used over HTTPS.
func serve(t *testing.T, cfg console.Config, https bool) *served {
	t.Helper()
	s := &served{Console: console.New(cfg), token: filepath.Join(t.TempDir(), "token")}
	tlsDir := ""
	if https {
		tlsDir = t.TempDir()
	}
	var err error
	if s.Server, err = s.Serve(context.Background(), "127.0.0.1:0", tlsDir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	s.putToken(t, cfg.Token)
	return s
}

// putToken writes the token's file, whole at once.
func (s *served) putToken(t *testing.T, token string) {
	t.Helper()
	tmp := s.token + ".new"
	if err := os.WriteFile(tmp, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, s.token); err != nil {
		t.Fatal(err)
	}
}

// live lets the set live. rest ends that, and returns when everything that was published is visible.
func (s *served) live(t *testing.T, newPerSecond, updatesPerSecond float64) (rest func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.Living(ctx, newPerSecond, updatesPerSecond) })
	end := func() { cancel(); wg.Wait() }
	t.Cleanup(end)
	return func() {
		t.Helper()
		end()
		eventually(t, nil, "every published version is visible", func() bool { return s.Store.Pending() == 0 })
	}
}

// config writes a configuration whose checkpoints lie in dir. source holds keys of the console's table, and
// rest what follows it.
func (s *served) config(t *testing.T, dir, source, rest string) string {
	t.Helper()
	if s.CAFile != "" {
		source += fmt.Sprintf("ca_file = %q\n", s.CAFile)
	}
	file := filepath.Join(t.TempDir(), "config.toml")
	text := fmt.Sprintf(`[ops]
listen = "127.0.0.1:0"
[checkpoint]
dir = %q
interval = "%v"
[pipeline]
patience = "2s"
[source.main]
url = %q
token_file = %q
%s%s`, dir, saveEvery, s.URL, s.token, source, rest)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// saveEvery is checkpoint.interval.
const saveEvery = 100 * time.Millisecond

// eventually waits until ok, for as long as p lives if it is given.
func eventually(t *testing.T, p *process, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(50 * time.Millisecond) {
		if p != nil && !p.alive() {
			t.Fatalf("s1stream ended with %v before %s; it said:\n%s", p.cmd.ProcessState, what, p.stderr.text())
		}
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// load reads a line's checkpoint while the program may be at work.
func load(dir, sink string) (checkpoint.State, error) {
	d, err := checkpoint.View(checkpoint.OS{}, dir)
	if err != nil {
		return checkpoint.State{}, err
	}
	return d.Line("main", sink).Load()
}

// delivered waits until each sink's checkpoint says that the console has nothing more for it. Whether that is
// true is what the test asks the destinations afterwards.
func (s *served) delivered(t *testing.T, p *process, dir string, sinks ...string) {
	t.Helper()
	var missing string
	defer func() {
		if t.Failed() {
			t.Log(missing)
		}
	}()
	eventually(t, p, "everything is delivered to "+strings.Join(sinks, ", "), func() bool {
		tr := truthOf(t, s.Console)
		missing = ""
		for _, sink := range sinks {
			st, err := load(dir, sink)
			left := 0
			for i, v := range tr.all {
				if v.Last && !tr.knows(st, i) {
					left++
				}
			}
			if left > 0 || err != nil {
				missing += fmt.Sprintf("%s: %d versions to come, frontier %v, err %v\n", sink, left, st.Frontier, err)
			}
		}
		return missing == ""
	})
}

// get asks the ops server.
func get(t *testing.T, addr, path string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// metric returns the value of one series as /metrics writes it, and fails the test where there is none.
func metric(t *testing.T, addr, series string) float64 {
	t.Helper()
	_, text := get(t, addr, "/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("/metrics has no %s:\n%s", series, text)
	return 0
}

// noDeadLetters fails the test if a sink has given up on an event.
func noDeadLetters(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.dead.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || len(b) > 0 {
			t.Errorf("dead letters in %s: %.500s %v", f, b, err)
		}
	}
}
