package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"s1stream/internal/console"
)

func TestMain(m *testing.M) {
	// The one goroutine of os/signal stays for the life of a process that ever asked for a signal.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("os/signal.signal_recv"), goleak.IgnoreTopFunction("os/signal.loop"))
}

const testToken = "canary-token-51c4"

// buffer is a bytes.Buffer that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// process is one command that runs in this process.
type process struct {
	signals  chan os.Signal
	out, err *buffer
	done     chan int
	code     int
}

// begin starts a command. Its end is waited for by end, or with the test.
func begin(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := &process{signals: make(chan os.Signal, 4), out: new(buffer), err: new(buffer), done: make(chan int, 1)}
	go func() { p.done <- run(args, strings.NewReader(""), p.out, p.err, env, p.signals, func() {}) }()
	t.Cleanup(func() {
		if p.done != nil {
			p.signal()
			p.end(t)
		}
	})
	return p
}

func (p *process) signal() { p.signals <- syscall.SIGTERM }

// end waits for the exit code.
func (p *process) end(t *testing.T) int {
	t.Helper()
	select {
	case p.code = <-p.done:
		p.done = nil
	case <-time.After(30 * time.Second):
		t.Fatalf("the command did not end; standard error:\n%s", p.err)
	}
	return p.code
}

// call runs a command to its end.
func call(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	p := begin(t, env, args...)
	p.end(t)
	return p
}

func (p *process) wantCode(t *testing.T, want int) {
	t.Helper()
	if p.code != want {
		t.Fatalf("exit code %d, want %d\nstandard output:\n%s\nstandard error:\n%s", p.code, want, p.out, p.err)
	}
}

// until waits for something to become true.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// contains fails unless text has every part.
func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("lacks %q:\n%s", part, text)
		}
	}
}

// serve starts a console with n threats.
func serve(t *testing.T, n int) (*console.Console, *console.Server) {
	t.Helper()
	c := console.New(console.Config{Token: testToken, Seed: 7, Tiny: true, Ledger: true})
	now := time.Now()
	c.Store.Fill(n, now.Add(-time.Hour), now)
	s, err := c.Serve(context.Background(), "127.0.0.1:0", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, s
}

// settings is a configuration under test, in a directory of its own.
type settings struct {
	dir, file, out string
}

// configure writes a configuration that streams a console to a file, with more TOML behind it.
func configure(t *testing.T, url, filter, more string) settings {
	t.Helper()
	dir := t.TempDir()
	s := settings{dir: filepath.Join(dir, "state"), file: filepath.Join(dir, "config.toml"), out: filepath.Join(dir, "out.jsonl")}
	s.write(t, url, filter, more)
	return s
}

func (s settings) write(t *testing.T, url, filter, more string) {
	t.Helper()
	text := fmt.Sprintf(`
[ops]
listen = ""
[checkpoint]
dir = %q
interval = "50ms"
[pipeline]
drain_timeout = "1s"
[source.prod]
url = %q
token = %q
start = "all"
poll_interval = "20ms"
requests_per_second = 10
[source.prod.filter]
%s
[sink.siem]
type = "file"
path = %q
batch_wait = "10ms"
%s
`, s.dir, url, testToken, filter, s.out, more)
	if err := os.WriteFile(s.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// lines returns what the sink has written, a line each.
func (s settings) lines(t *testing.T) []string {
	t.Helper()
	b, err := os.ReadFile(s.out)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")[:bytes.Count(b, []byte("\n"))]
}

// discardOutput is an app that a test calls from inside.
func discardOutput() (*app, *buffer) {
	stderr := new(buffer)
	return &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: stderr, abort: context.Background()}, stderr
}
