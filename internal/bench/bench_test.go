package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"s1stream/internal/console"
	"s1stream/internal/testpeer"
)

var (
	flagThreats = flag.Int("bench.threats", 3000, "threats on the console")
	flagMany    = flag.Int("bench.many", 0, "threats for the run that shows memory flat; 0: none")
	flagRounds  = flag.Int("bench.rounds", 1, "rounds; the best CPU time of each counts")
	flagIdle    = flag.Duration("bench.idle", 0, "how long to watch an idle program; 0: not at all")
	flagKafka   = flag.Bool("bench.kafka", false, "also into a real Kafka broker, uncompressed")
)

// The test binary is also the console and the baselines, each in a process of its own.
func TestMain(m *testing.M) {
	if role := os.Getenv("BENCH_ROLE"); role != "" {
		if err := play(role, os.Getenv("BENCH_ARG")); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func play(role, arg string) error {
	switch role {
	case "console":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		return serve(n)
	case "floor":
		return walk(arg, func([]byte) error { return nil })
	case "plain":
		return plain(arg)
	}
	return fmt.Errorf("unknown role %q", role)
}

// serve is the console: a static set of settled threats, its pages compressed once and kept.
func serve(n int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c := console.New(console.Config{Seed: 1, CacheBytes: 4 << 30})
	now := time.Now()
	c.Store.Fill(n, now.Add(-30*24*time.Hour), now.Add(-time.Hour))
	s, err := c.Serve(ctx, "127.0.0.1:0", "")
	if err != nil {
		return err
	}
	fmt.Println(s.URL)
	<-ctx.Done()
	return s.Close()
}

// walk fetches every page as a first version of a client would: http.DefaultClient with its own gzip,
// io.ReadAll, one page after the other.
func walk(url string, page func([]byte) error) error {
	cursor := ""
	for {
		u := url + "/web/api/v2.1/threats?sortBy=updatedAt&sortOrder=asc&limit=1000&skipCount=true&updatedAt__gte=1970-01-01T00:00:00.000000Z"
		if cursor != "" {
			u += "&cursor=" + cursor
		}
		resp, err := http.Get(u) //nolint:gosec,noctx // the baseline is what it is
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		if err := page(body); err != nil {
			return err
		}
		_, after, _ := bytes.Cut(body[max(0, len(body)-1000):], []byte(`"nextCursor":`))
		next, _, ok := bytes.Cut(bytes.TrimPrefix(bytes.TrimSpace(after), []byte(`"`)), []byte(`"`))
		if !ok || bytes.HasPrefix(bytes.TrimSpace(after), []byte("null")) {
			return nil
		}
		cursor = strings.NewReplacer("%", "%25", "+", "%2B", "=", "%3D", "/", "%2F").Replace(string(next))
	}
}

// plain decodes each threat into a map, encodes it again and writes it to a file.
func plain(url string) error {
	f, err := os.CreateTemp("", "plain-*.jsonl")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	err = walk(url, func(body []byte) error {
		var page struct{ Data []map[string]any }
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		for _, threat := range page.Data {
			line, err := json.Marshal(threat)
			if err != nil {
				return err
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}

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

// startConsole starts the console and has every page compressed.
func startConsole(t *testing.T, n int) string {
	t.Helper()
	cmd := role(t, "console", strconv.Itoa(n))
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
	url = strings.TrimSpace(url)
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

// stream runs the program until its one line has delivered n events, and stops it. It returns what it took.
func stream(t *testing.T, bin, url, sink string, n int) (cost, float64) {
	t.Helper()
	cmd, ops := start(t, bin, url, sink, "1s")
	since := time.Now()
	for limit := since.Add(10 * time.Minute); ; time.Sleep(250 * time.Millisecond) { // asking costs the program CPU
		if got := metric(ops, "s1stream_line_delivered_total"); got >= float64(n) {
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

const fileSink = `type = "file"
path = "DIR/out.jsonl"
max_size = "0B"
`

// best runs f a few times and keeps the least CPU time, and the largest RSS.
func best(f func() cost) cost {
	c := f()
	for range *flagRounds - 1 {
		next := f()
		c.rss = max(c.rss, next.rss)
		if next.cpu < c.cpu {
			c.cpu, c.wall = next.cpu, next.wall
		}
	}
	return c
}

func TestBenchmark_ConsoleToSink(t *testing.T) {
	n := *flagThreats
	bin, url := build(t), startConsole(t, n)
	run := func(name string) cost {
		return best(func() cost {
			cmd, since := role(t, name, url), time.Now()
			if err := cmd.Run(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			return spent(cmd, since)
		})
	}
	floor, simple := run("floor"), run("plain")
	var allocated float64
	file := best(func() (c cost) { c, allocated = stream(t, bin, url, fileSink, n); return c })
	t.Logf("%d threats, %d cores, %s", n, runtime.NumCPU(), runtime.Version())
	t.Logf("floor:      %v", floor)
	t.Logf("plain:      %v", simple)
	t.Logf("file sink:  %v, %.0f bytes allocated a threat", file, allocated/float64(n))
	t.Logf("file sink:  %.2f times the floor's CPU, %.2f times the plain pipeline's threats a CPU-second",
		file.cpu.Seconds()/floor.cpu.Seconds(), simple.cpu.Seconds()/file.cpu.Seconds())
	if *flagKafka {
		k := testpeer.StartKafka(t)
		topics := 0
		kafka := best(func() (c cost) {
			topics++
			topic := fmt.Sprintf("bench-%d", topics)
			k.CreateTopic(t, topic, 3)
			c, _ = stream(t, bin, url, fmt.Sprintf("type = \"kafka\"\nbrokers = [%q]\ntopic = %q\ncompression = \"none\"\n", k.Plain, topic), n)
			return c
		})
		t.Logf("kafka sink: %v", kafka)
		t.Logf("kafka sink: %.2f times the floor's CPU, %.2f times the plain pipeline's threats a CPU-second",
			kafka.cpu.Seconds()/floor.cpu.Seconds(), simple.cpu.Seconds()/kafka.cpu.Seconds())
	}
	if *flagIdle > 0 {
		idle(t, bin, url)
	}
	if *flagMany > 0 {
		url := startConsole(t, *flagMany)
		c, _ := stream(t, bin, url, fileSink, *flagMany)
		t.Logf("%d threats, file sink: %v", *flagMany, c)
	}
}

// idle measures a program that has nothing new to read, at one poll a second.
func idle(t *testing.T, bin, url string) {
	t.Helper()
	cmd, ops := start(t, bin, url, fileSink, "1s")
	for metric(ops, "s1stream_line_delivered_total") < float64(*flagThreats) {
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(2 * time.Second)
	before := metric(ops, "process_cpu_seconds_total")
	time.Sleep(*flagIdle)
	used := metric(ops, "process_cpu_seconds_total") - before
	t.Logf("idle, one poll a second: %.2f %% of a core", 100*used/flagIdle.Seconds())
	_ = cmd.Process.Signal(syscall.SIGTERM)
	_ = cmd.Wait()
}
