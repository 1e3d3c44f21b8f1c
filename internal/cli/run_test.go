package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"s1stream/internal/console"
)

func TestRun_GoesOnAfterARestartWithoutRepeats(t *testing.T) {
	c, server := serve(t, 25)
	s := configure(t, server.URL, "", "")
	p := begin(t, nil, "run", "--config", s.file)
	until(t, "25 threats are delivered", func() bool { return len(s.lines(t)) == 25 })
	p.signal()
	p.end(t)
	p.wantCode(t, 0)
	contains(t, p.err.String(), "s1stream runs", "s1stream stops", "s1stream has stopped")
	if p.out.String() != "" {
		t.Errorf("standard output has %q", p.out)
	}

	now := time.Now()
	for _, id := range c.Store.IDs()[:3] {
		c.Store.Update(id, now, time.Time{}, func(t *console.Threat) { t.Ticket++ })
	}
	p = begin(t, nil, "run", "--config", s.file)
	until(t, "three changes are delivered", func() bool { return len(s.lines(t)) >= 28 })
	time.Sleep(100 * time.Millisecond) // some more walks: what they read is known
	p.signal()
	p.end(t)
	p.wantCode(t, 0)
	if n := len(s.lines(t)); n != 28 {
		t.Errorf("%d lines, want 28", n)
	}
	seen := map[string]bool{}
	for _, line := range s.lines(t) {
		line = regexp.MustCompile(`"agentRealtimeInfo":\{[^{}]*(\{[^{}]*\}[^{}]*)*\},?`).ReplaceAllString(line, "")
		if seen[line] {
			t.Errorf("twice: %s", line)
		}
		seen[line] = true
	}
}

// A year mistyped would deliver nothing, look well, and alert nobody.
func TestRun_WarnsOfAStartInTheFuture(t *testing.T) {
	_, server := serve(t, 1)
	s := configure(t, server.URL, "", "")
	env := []string{"S1STREAM_SOURCE__PROD__START=" + time.Now().AddDate(1, 0, 0).Format(time.RFC3339)}
	p := call(t, env, "check", "--config", s.file)
	p.wantCode(t, 0)
	contains(t, p.out.String(), "warn  source prod: start = ", "is in the future", "-> correct start")
	p = begin(t, env, "run", "--config", s.file)
	until(t, "the line starts", func() bool { return strings.Contains(p.err.String(), "line starts") })
	p.signal()
	p.end(t)
	contains(t, p.err.String(), "level=WARN", "start is in the future, and what changes before is not delivered")
	if p = call(t, nil, "check", "--config", s.file); strings.Contains(p.out.String(), "future") {
		t.Errorf("a start in the past is doubted:\n%s", p.out)
	}
}

func TestRun_LetsNoSecondProcessIntoItsDirectory(t *testing.T) {
	_, server := serve(t, 1)
	s := configure(t, server.URL, "", "")
	p := begin(t, nil, "run", "--config", s.file)
	until(t, "it runs", func() bool { return len(s.lines(t)) == 1 })
	for _, args := range [][]string{
		{"run", "--config", s.file},
		{"checkpoint", "reset", "--config", s.file, "--from", "all", "--yes"},
		{"checkpoint", "adopt", "--config", s.file, "--yes"},
	} {
		second := call(t, nil, args...)
		second.wantCode(t, exitLocked)
		contains(t, second.err.String(), "in use by process", s.dir)
	}
	call(t, nil, "check", "--config", s.file).wantCode(t, 0)
	call(t, nil, "checkpoint", "show", "--config", s.file).wantCode(t, 0)
	p.signal()
	p.end(t)
	p.wantCode(t, 0)
}

func TestRun_RefusesACheckpointThatItCannotBelieve(t *testing.T) {
	_, server := serve(t, 3)
	s := configure(t, server.URL, "", "")
	runOnce(t, s, 3)
	files, err := filepath.Glob(filepath.Join(s.dir, "prod.siem.ckpt*"))
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if err := os.WriteFile(f, []byte("garbage"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := call(t, nil, "run", "--config", s.file)
	p.wantCode(t, exitCheckpoint)
	contains(t, p.err.String(), "corrupt", "s1stream checkpoint reset --config "+s.file+" --from TIME prod siem")

	p = call(t, nil, "check", "--config", s.file)
	p.wantCode(t, exitFailed)
	contains(t, p.out.String(), "FAIL  checkpoints: ", "s1stream checkpoint reset --config "+s.file+" --from TIME prod siem")

	p = call(t, nil, "checkpoint", "reset", "--config", s.file, "--from", "all", "--yes", "prod", "siem")
	p.wantCode(t, 0)
	contains(t, p.err.String(), "prod siem: from an unusable checkpoint to 1970-01-01")
	runOnce(t, s, 6) // all three again, as asked
}

func TestRun_RefusesACheckpointOfAnotherFilterUntilItIsAdopted(t *testing.T) {
	_, server := serve(t, 3)
	for name, adopt := range map[string]func(s settings) *process{
		"by a command": func(s settings) *process {
			return call(t, nil, "checkpoint", "adopt", "--config", s.file, "--yes", "prod")
		},
		"by a flag": func(s settings) *process {
			p := begin(t, nil, "run", "--config", s.file, "--adopt", "prod")
			until(t, "it runs", func() bool { return strings.Contains(p.err.String(), "s1stream runs") })
			p.signal()
			p.end(t)
			contains(t, p.err.String(), "checkpoint adopted")
			return p
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := configure(t, server.URL, "", "")
			runOnce(t, s, 3)
			before := call(t, nil, "checkpoint", "show", "--config", s.file, "--json").out.String()

			s.write(t, server.URL, "resolved = false", "")
			p := call(t, nil, "run", "--config", s.file)
			p.wantCode(t, exitCheckpoint)
			contains(t, p.err.String(), "checkpoint adopt --config "+s.file+" prod siem", "checkpoint reset --config "+s.file+" --from TIME prod siem")
			contains(t, call(t, nil, "checkpoint", "show", "--config", s.file, "--json").out.String(), `"usable": false`,
				"checkpoint adopt --config "+s.file+" prod siem")

			adopt(s).wantCode(t, 0)
			after := call(t, nil, "checkpoint", "show", "--config", s.file, "--json").out.String()
			contains(t, after, `"usable": true`)
			if name == "by a command" && frontierOf(t, before) != frontierOf(t, after) {
				t.Errorf("the frontier moved:\n%s\n%s", before, after)
			}
			runOnce(t, s, 3) // nothing again
		})
	}
}

func frontierOf(t *testing.T, shown string) string {
	t.Helper()
	m := regexp.MustCompile(`"frontier": "([^"]+)"`).FindStringSubmatch(shown)
	if m == nil {
		t.Fatalf("no frontier in %s", shown)
	}
	return m[1]
}

// runOnce runs until the file has n lines and a walk more is over.
func runOnce(t *testing.T, s settings, n int) {
	t.Helper()
	p := begin(t, nil, "run", "--config", s.file)
	until(t, fmt.Sprintf("%d lines are written", n), func() bool { return len(s.lines(t)) >= n })
	time.Sleep(50 * time.Millisecond)
	p.signal()
	p.end(t)
	p.wantCode(t, 0)
	if have := len(s.lines(t)); have != n {
		t.Fatalf("%d lines, want %d", have, n)
	}
}

func TestRun_EndsWith75WhenADestinationTakesNothingUntilTheDeadline(t *testing.T) {
	_, server := serve(t, 3)
	hit := make(chan struct{}, 100)
	release := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hit <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer stuck.Close()
	defer close(release)
	s := configure(t, server.URL, "", fmt.Sprintf("[sink.hook]\ntype = \"http\"\nurl = %q", stuck.URL))
	p := begin(t, nil, "run", "--config", s.file)
	<-hit
	p.signal()
	p.end(t)
	p.wantCode(t, exitDrain)
	if n := len(s.lines(t)); n != 3 {
		t.Errorf("the healthy sink has %d lines, want 3", n)
	}
}

func TestRun_EndsAtOnceAtTheSecondSignal(t *testing.T) {
	_, server := serve(t, 3)
	down := closedAddr(t)
	s := configure(t, server.URL, "", fmt.Sprintf("[sink.tcp]\ntype = \"syslog\"\naddress = %q", down))
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.file, []byte(strings.Replace(string(text), `drain_timeout = "1s"`, `drain_timeout = "1h"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	p := begin(t, nil, "run", "--config", s.file)
	until(t, "the file has all", func() bool { return len(s.lines(t)) == 3 })
	p.signal()
	until(t, "it stops", func() bool { return strings.Contains(p.err.String(), "s1stream stops") })
	time.Sleep(signalEcho + 100*time.Millisecond)
	p.signal()
	p.end(t)
	p.wantCode(t, exitDrain)
}

func TestRun_TellsTheServiceManagerWhenItIsReadyAndWhenItStops(t *testing.T) {
	_, server := serve(t, 1)
	s := configure(t, server.URL, "", "")
	socket := filepath.Join(t.TempDir(), "notify")
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(context.Background(), "unixgram", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	read := func() string {
		b := make([]byte, 100)
		n, _, err := conn.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	p := begin(t, []string{"NOTIFY_SOCKET=" + socket}, "run", "--config", s.file)
	if got := read(); got != "READY=1\n" {
		t.Errorf("first %q", got)
	}
	p.signal()
	if got := read(); got != "STOPPING=1\n" {
		t.Errorf("then %q", got)
	}
	p.end(t)
	p.wantCode(t, 0)
}

func TestRun_ServesMetricsAndReadinessThatPromtoolWouldPass(t *testing.T) {
	_, server := serve(t, 2)
	s := configure(t, server.URL, "", "")
	p := begin(t, []string{"S1STREAM_OPS__LISTEN=127.0.0.1:0"}, "run", "--config", s.file)
	var addr string
	until(t, "it runs", func() bool {
		m := regexp.MustCompile(`ops=(\S+)`).FindStringSubmatch(p.err.String())
		if m != nil {
			addr = m[1]
		}
		return m != nil && len(s.lines(t)) == 2
	})
	status, body := httpGet(t, "http://"+addr+"/readyz")
	if status != 200 || body != "ready\n" {
		t.Errorf("readyz %d %q", status, body)
	}
	var metrics string
	until(t, "both are counted", func() bool { // the file has a line a moment before the line has its ack
		_, metrics = httpGet(t, "http://"+addr+"/metrics")
		return strings.Contains(metrics, `s1stream_line_delivered_total{sink="siem",source="prod"} 2`)
	})
	contains(t, metrics, `s1stream_build_info{`, "s1stream_ready 1",
		"go_goroutines", "process_resident_memory_bytes")
	problems, err := promlint.New(strings.NewReader(metrics)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE s1stream_(\S+)`).FindAllStringSubmatch(metrics, -1) {
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			t.Errorf("docs/operations.md does not have %s", m[1])
		}
	}

	// check knows the run that it looks at, and tells another one.
	env := []string{"S1STREAM_OPS__LISTEN=" + addr}
	own := call(t, env, "check", "--config", s.file)
	own.wantCode(t, 0)
	contains(t, own.out.String(), "ok    ops: "+addr+" is in use by the s1stream that runs here (process ")
	second := configure(t, server.URL, "", "")
	foreign := call(t, env, "check", "--config", second.file)
	foreign.wantCode(t, exitFailed)
	contains(t, foreign.out.String(), "FAIL  ops: can't listen on "+addr+": another s1stream has it")

	// Delivery goes on without it.
	clash := begin(t, env, "run", "--config", second.file)
	until(t, "the second one delivers", func() bool { return len(second.lines(t)) == 2 })
	clash.signal()
	clash.end(t)
	clash.wantCode(t, 0)
	contains(t, clash.err.String(), "ops endpoint can't listen", "ops.listen: ")
}

func TestRun_DrainsWhenItsTerminalIsClosed(t *testing.T) {
	_, server := serve(t, 3)
	s := configure(t, server.URL, "", "")
	hup := make(chan os.Signal, 1) // whatever happens, SIGHUP does not end the test's process, and nohup is no matter
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	errs, done := new(buffer), make(chan int, 1)
	go func() {
		done <- Main([]string{"run", "--config", s.file}, strings.NewReader(""), io.Discard, errs, nil)
	}()
	until(t, "all is delivered", func() bool { return len(s.lines(t)) == 3 })
	if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("goes on")
	}
	contains(t, errs.String(), "s1stream stops", "s1stream has stopped")
}

func httpGet(t *testing.T, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, http.NoBody)
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
	return resp.StatusCode, string(b)
}

// closedAddr is an address on loopback where nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
