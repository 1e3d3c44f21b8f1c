package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"s1stream/internal/console"
	"s1stream/internal/testpeer"
)

// A sink that is down when a long backfill comes is not buffered for: it is left behind, the others get
// everything, and memory does not grow with what it misses: that alone would be over the limit, as the garbage
// collector lets a heap double. When it is back it reads the console again.
func TestMemory_StaysBoundedInABackfillWhileASinkIsDead(t *testing.T) {
	const (
		threats = 20_000    // some 5 KB each: 100 MB
		most    = 160 << 20 // bytes
	)
	c := serve(t, console.Config{Token: "a-token", Seed: 5, CacheBytes: 256 << 20, Ledger: true}, false)
	c.Store.Fill(threats, time.Now().Add(-30*24*time.Hour), time.Now().Add(-time.Hour))
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "threats.jsonl")
	dead := fmt.Sprintf("127.0.0.1:%d", testpeer.Port(t)) // nobody listens there yet
	file := c.config(t, dir, fileSource("all"), fmt.Sprintf(`[sink.dead]
type = "http"
url = "http://%s/"
body = "ndjson"
retry_max_wait = "1s"
[sink.file]
type = "file"
path = %q
max_size = "0" # one file
`, dead, out))

	p := start(t, plain, file)
	addr := p.running(t)
	begun := time.Now()
	eventually(t, p, "the healthy sink has everything", func() bool {
		return metric(t, addr, `s1stream_line_delivered_total{sink="file",source="main"}`) == threats
	})
	took := time.Since(begun)
	if n := metric(t, addr, `s1stream_line_behind{sink="dead",source="main"}`); n != 1 {
		t.Errorf("the dead sink is not behind (%v): it held the others up, or was buffered for", n)
	}
	c.delivered(t, p, dir, "file")
	siem := receive(t, dead, c.Host())
	c.delivered(t, p, dir, "dead")
	peak := p.peak(t)
	if peak > most {
		t.Errorf("peak of resident memory: %d MiB, want at most %d MiB", peak>>20, most>>20)
	}
	p.stop(t)

	tr := truthOf(t, c.Console)
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	copies, err := identifyLines(c.Host(), data)
	if err != nil {
		t.Error(err)
	}
	for name, copies := range map[string][]delivery{"file": copies, "dead": siem.taken(t)} {
		if n := tr.compare(t, name, copies, true); n.repeated != 0 {
			t.Errorf("%s: %v", name, n)
		}
	}
	reportf(t, "backfill of %d threats (%d MB) beside a dead sink: %v, peak memory %d MiB", threats, len(data)/1_000_000, took.Round(time.Millisecond), peak>>20)
}
