package bench

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

var (
	flagThreats = flag.Int("bench.threats", 3000, "threats on the console")
	flagMany    = flag.Int("bench.many", 0, "threats for the run that shows memory flat; 0: none")
	flagRounds  = flag.Int("bench.rounds", 1, "rounds; the best CPU time of each counts")
	flagIdle    = flag.Duration("bench.idle", 0, "how long to watch an idle program; 0: not at all")
	flagKafka   = flag.Bool("bench.kafka", false, "also into a real Kafka broker, uncompressed")
	flagAck     = flag.Duration("bench.ack", 200*time.Millisecond, "what a Splunk takes to acknowledge; 10s is the promise's")
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
	file := best(func() (c cost) { c, allocated = formatted(t, bin, url, "json", n); return c })
	t.Logf("%d threats, %d cores, %s", n, runtime.NumCPU(), runtime.Version())
	t.Logf("floor:      %v", floor)
	t.Logf("plain:      %v", simple)
	t.Logf("file sink:  %v, %.0f bytes allocated a threat", file, allocated/float64(n))
	t.Logf("file sink:  %.2f times the floor's CPU, %.2f times the plain pipeline's threats a CPU-second",
		file.cpu.Seconds()/floor.cpu.Seconds(), simple.cpu.Seconds()/file.cpu.Seconds())
	for _, name := range format.Names() {
		c := file // it is what "json" costs
		if name != "json" {
			c = best(func() (c cost) { c, _ = formatted(t, bin, url, name, n); return c })
		}
		t.Logf("%-5s file: %v, %.2f times the floor's CPU, %.2f times json's, %.0f threats a CPU-second",
			name, c, c.cpu.Seconds()/floor.cpu.Seconds(), c.cpu.Seconds()/file.cpu.Seconds(), float64(n)/c.cpu.Seconds())
	}
	splunk(t, bin, min(n, splunkThreats))
	if *flagKafka {
		k := testpeer.StartKafka(t)
		topics := 0
		kafka := best(func() (c cost) {
			topics++
			topic := fmt.Sprintf("bench-%d", topics)
			k.CreateTopic(t, topic, 3)
			c, _ = stream(t, bin, url, fmt.Sprintf("type = \"kafka\"\nbrokers = [%q]\ntopic = %q\ncompression = \"none\"\n", k.Plain, topic), n, nil)
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
		c, _ := stream(t, bin, url, fileSink, *flagMany, nil)
		t.Logf("%d threats, file sink: %v", *flagMany, c)
	}
}

// formatted streams into a file in a format, and returns what stream does.
func formatted(t *testing.T, bin, url, name string, n int) (cost, float64) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	c, allocated := stream(t, bin, url, fmt.Sprintf("type = \"file\"\npath = %q\nmax_size = \"0B\"\nformat = %q\n", out, name), n, nil)
	if fi, err := os.Stat(out); err != nil {
		t.Error(err)
	} else {
		t.Logf("%-5s file: %d bytes a threat", name, fi.Size()/int64(n))
	}
	_ = os.Remove(out) // a gigabyte; the directory goes with the test
	return c, allocated
}

// splunkThreats fill the default batch of the splunk sink a few times.
const splunkThreats = 60_000

// splunk measures how many threats a second a line with its defaults carries into a collector whose acks are slow. The
// first batch is what was read within batch_wait, and the last what was left: between the two, batches are full.
func splunk(t *testing.T, bin string, n int) {
	t.Helper()
	hec := background(t, "collector", flagAck.String())
	type sample struct {
		at        time.Time
		delivered float64
	}
	var acked []sample // one a batch
	c, _ := stream(t, bin, startConsole(t, n), fmt.Sprintf("type = \"splunk\"\nurl = %q\ntoken = \"token\"\nack = \"required\"\n", hec), n,
		func(delivered float64) {
			if delivered > 0 && (len(acked) == 0 || acked[len(acked)-1].delivered < delivered) {
				acked = append(acked, sample{time.Now(), delivered})
			}
		})
	t.Logf("splunk sink: acks after %v: %d threats in %d batches, %v", *flagAck, n, len(acked), c)
	if last := len(acked) - 2; last > 0 {
		rate := (acked[last].delivered - acked[0].delivered) / acked[last].at.Sub(acked[0].at).Seconds()
		t.Logf("splunk sink: %.0f threats a second while there is enough to send", rate)
		if n == splunkThreats && *flagAck <= 10*time.Second && rate < 1000 {
			t.Errorf("splunk sink: %.0f threats a second, want 1000", rate)
		}
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
