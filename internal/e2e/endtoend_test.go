package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"s1stream/internal/console"
	"s1stream/internal/testpeer"
)

// One process, every type of sink, and everything that can fail fails once: the console now and then, each
// destination for a while, the token for good.
func TestEndToEnd_EverySinkHasEveryThreatAfterEverythingFailed(t *testing.T) {
	t.Parallel()
	broker := testpeer.StartKafka(t)
	broker.CreateTopic(t, "e2e.main", 3)
	rsyslog := testpeer.StartRsyslog(t, broker.Certs, "tcp")
	ng := testpeer.StartSyslogNG(t, broker.Certs, "tls")

	faults, err := console.ParseFaults("429=0.03,503=0.02,drop=0.02,truncate=0.02,bad-json=0.01,html=0.01,cursor-repeat=0.02,retry-after=date,late=1s")
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, console.Config{Token: "token-of-old", Seed: 7, Ledger: true, Faults: faults}, true)
	c.Store.Fill(600, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	siem := receive(t, "127.0.0.1:0", c.Host())
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "main.jsonl")
	file := c.config(t, dir, `start = "all"
poll_interval = "300ms"
settle = "8s" # above the 4 s by which this console is late
page_size = 200
requests_per_second = 100
`, fmt.Sprintf(`[sink.broker]
type = "kafka"
brokers = [%q]
topic = "e2e.{source}"
retry_max_wait = "1s"
[sink.plain-syslog]
type = "syslog"
address = %q
max_message_bytes = "128KiB"
retry_max_wait = "1s"
[sink.tls-syslog]
type = "syslog"
address = %q
transport = "tls"
tls.ca_file = %q
max_message_bytes = "128KiB"
retry_max_wait = "1s"
[sink.siem]
type = "http"
url = %q
body = "ndjson"
retry_max_wait = "1s"
[sink.archive]
type = "file"
path = %q
`, broker.Plain, rsyslog.Addr("tcp"), ng.Addr("tls"), broker.Certs.CA, siem.URL+"/secret-path", strings.Replace(out, "main", "{source}", 1)))
	sinks := []string{"broker", "plain-syslog", "tls-syslog", "siem", "archive"}

	rest := c.live(t, 8, 14)
	p := start(t, watched, file)
	addr := p.running(t)
	ready := func(want int, reasons ...string) func() bool {
		return func() bool {
			status, why := get(t, addr, "/readyz")
			return status == want && !slices.ContainsFunc(reasons, func(r string) bool { return !strings.Contains(why, r) })
		}
	}
	sent := func(sink string) float64 {
		return metric(t, addr, fmt.Sprintf(`s1stream_line_delivered_total{sink=%q,source="main"}`, sink))
	}
	eventually(t, p, "every sink takes events", func() bool {
		return !slices.ContainsFunc(sinks, func(s string) bool { return sent(s) < 100 })
	})
	eventually(t, p, "ready", ready(200))

	second := start(t, watched, file)
	if code := second.exit(t); code != 73 || !strings.Contains(second.stderr.text(), "locked") {
		t.Errorf("a second process on the same directory: exit code %d, want 73 and the reason; it said:\n%s", code, second.stderr.text())
	}

	broker.Kill()
	siem.set(doubleFaced)
	eventually(t, p, "not ready, and says why", ready(503, "sink broker on main", "sink siem on main"))
	if metric(t, addr, "s1stream_ready") != 0 {
		t.Error("s1stream_ready is not 0 while /readyz says 503")
	}
	siem.set(overloaded)
	c.putToken(t, "token-of-late")
	c.SetToken("token-of-late")
	healthy := sent("archive")
	siem.set(throttling)
	rsyslog.Restart()
	eventually(t, p, "the file takes events while others are down", func() bool { return sent("archive") > healthy+20 })
	siem.set(well)
	broker.Restart(t)
	eventually(t, p, "ready again", ready(200))
	eventually(t, p, "s1stream_ready is 1", func() bool { return metric(t, addr, "s1stream_ready") == 1 })
	if n := metric(t, addr, `s1stream_source_requests_total{source="main",status="401"}`); n == 0 {
		t.Error("no request was refused: the token was not rotated under the program")
	}

	rest()
	c.delivered(t, p, dir, sinks...)
	for _, s := range []string{"broker", "siem"} {
		if n := metric(t, addr, fmt.Sprintf(`s1stream_line_retries_total{sink=%q,source="main"}`, s)); n == 0 {
			t.Errorf("%s was down, and nothing was tried again", s)
		}
	}
	p.stop(t)
	noSecrets(t, p, "token-of-old", "token-of-late", "secret-path")
	noDeadLetters(t, dir)

	tr := truthOf(t, c.Console)
	archive, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	filed, err := identifyLines(c.Host(), archive)
	if err != nil {
		t.Errorf("archive: %v", err)
	}
	// A collector stores behind our back: it is given time until it has what the truth says it must.
	stored := func(s *testpeer.Syslog, input, name string) []delivery {
		n := len(tr.last(len(tr.all)))
		lines := s.WaitLines(input, n, patience)
		for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
			if now := s.Lines(input); len(now) > len(lines) {
				lines = now
			} else if now := identifySyslog(t, c.Host(), name, lines); tr.holds(now) {
				return now
			}
		}
		return identifySyslog(t, c.Host(), name, lines)
	}
	for _, d := range []struct {
		name   string
		copies []delivery
		strict bool // it took each thing once
	}{
		{"broker", identifyMessages(t, c.Host(), broker.ReadAll(t, "e2e.main")), false},
		{"siem", siem.taken(t), false},
		{"archive", filed, true},
		{"plain-syslog", stored(rsyslog, "tcp", "plain-syslog"), false},
		{"tls-syslog", stored(ng, "tls", "tls-syslog"), true},
	} {
		n := tr.compare(t, d.name, d.copies, d.strict)
		if d.strict && n.repeated > 0 {
			t.Errorf("%s: %d copies too many, though it never failed", d.name, n.repeated)
		}
		reportf(t, "end to end, %s: %v", d.name, n)
	}
}

// holds reports whether copies have every threat's last version.
func (tr truth) holds(copies []delivery) bool {
	left := map[string]bool{}
	for _, p := range tr.all {
		if p.Last {
			left[p.Version.String()] = true
		}
	}
	for _, d := range copies {
		delete(left, d.version.String())
	}
	return len(left) == 0
}

// noSecrets fails the test if a secret stands in what the program said.
func noSecrets(t *testing.T, p *process, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(p.stderr.text(), s) {
			t.Errorf("the log shows %q:\n%s", s, p.stderr.text())
		}
	}
}
