package bench

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"s1stream/internal/testpeer"
)

// cost is what one process took.
type cost struct {
	wall, cpu time.Duration
	rss       int64 // peak, bytes
}

func (c cost) String() string {
	return fmt.Sprintf("wall %.2f s, CPU %.2f s, peak RSS %d MiB", c.wall.Seconds(), c.cpu.Seconds(), c.rss>>20)
}

func spent(cmd *exec.Cmd, since time.Time) cost {
	c := cost{wall: time.Since(since), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if ru, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.rss = ru.Maxrss << 10
	}
	return c
}

// role starts this binary in another role.
func role(t *testing.T, name, arg string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), "BENCH_ROLE="+name, "BENCH_ARG="+arg)
	cmd.Stderr = os.Stderr
	return cmd
}

// background starts this binary in a role that ends with the test, and returns the URL that it prints.
func background(t *testing.T, name, arg string) string {
	t.Helper()
	cmd := role(t, name, arg)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(url)
}

// startConsole starts the console and has every page compressed.
func startConsole(t *testing.T, n int) string {
	t.Helper()
	url := background(t, "console", strconv.Itoa(n))
	if err := walk(url, func([]byte) error { return nil }); err != nil {
		t.Fatal(err)
	}
	return url
}

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "s1stream")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, ".") //nolint:gosec // our own program
	cmd.Dir = testpeer.Root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return bin
}

// stream runs the program until its one line has delivered n events, and stops it. It returns what it took, and how
// many bytes it allocated. watch, if any, is told how many were delivered every time that was asked for.
func stream(t *testing.T, bin, url, sink string, n int, watch func(delivered float64)) (cost, float64) {
	t.Helper()
	cmd, ops := start(t, bin, url, sink, "1s")
	since := time.Now()
	for limit := since.Add(10 * time.Minute); ; time.Sleep(250 * time.Millisecond) { // asking costs the program CPU
		got := metric(ops, "s1stream_line_delivered_total")
		if watch != nil {
			watch(got)
		}
		if got >= float64(n) {
			break
		}
		if time.Now().After(limit) {
			t.Fatal("not everything was delivered in ten minutes")
		}
	}
	wall := time.Since(since)
	allocated := metric(ops, "go_memstats_alloc_bytes_total")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("s1stream: %v", err)
	}
	c := spent(cmd, since)
	c.wall = wall
	return c, allocated
}

func start(t *testing.T, bin, url, sink, poll string) (*exec.Cmd, string) {
	t.Helper()
	dir := t.TempDir()
	ops := fmt.Sprintf("127.0.0.1:%d", testpeer.Port(t))
	config := fmt.Sprintf(`
[log]
level = "warn"
[ops]
listen = %q
[checkpoint]
dir = %q
[source.main]
url = %q
token = "token"
start = "all"
poll_interval = %q
requests_per_second = 1000
[sink.out]
%s`, ops, filepath.Join(dir, "state"), url, poll, strings.ReplaceAll(sink, "DIR", dir))
	file := filepath.Join(dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), bin, "run", "--config", file) //nolint:gosec // our own program
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, "http://" + ops + "/metrics"
}

// metric sums a metric, 0 while the program does not answer.
func metric(url, name string) float64 {
	resp, err := http.Get(url) //nolint:gosec,noctx // loopback
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	sum := 0.0
	for in := bufio.NewScanner(resp.Body); in.Scan(); {
		key, value, _ := strings.Cut(in.Text(), " ")
		if bare, _, _ := strings.Cut(key, "{"); bare == name {
			v, _ := strconv.ParseFloat(value, 64)
			sum += v
		}
	}
	return sum
}
