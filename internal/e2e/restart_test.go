package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/console"
)

// An operator restarts the program, or the machine does. Where nothing is new, nothing is sent: not after a
// stop, and not after a kill that came when everything was saved.
func TestRestart_WithNothingNewRepeatsNothing(t *testing.T) {
	t.Parallel()
	c := serve(t, console.Config{Token: "a-token", Seed: 3, Ledger: true}, false)
	// Half of them are younger than settle: the seen-set must stand for them, the frontier can't.
	c.Store.Fill(200, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	c.Store.Fill(200, time.Now().Add(-time.Minute), time.Now())
	siem := receive(t, "127.0.0.1:0", c.Host())
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "threats.jsonl")
	file := c.config(t, dir, fileSource("all"), fmt.Sprintf(`[sink.siem]
type = "http"
url = %q
body = "ndjson"
[sink.file]
type = "file"
path = %q
`, siem.URL, out))

	var after time.Time // what the walks of this life must be later than
	for _, end := range []func(*process){(*process).kill, func(p *process) { p.stop(t) }, (*process).kill} {
		p := start(t, watched, file)
		addr := p.running(t)
		c.delivered(t, p, dir, "siem", "file")
		after = time.Now()
		eventually(t, p, "the console was read again", func() bool {
			return metric(t, addr, `s1stream_source_last_walk_timestamp_seconds{source="main"}`) > float64(after.UnixMilli())/1e3
		})
		end(p)
	}

	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	filed, err := identifyLines(c.Host(), data)
	if err != nil {
		t.Error(err)
	}
	tr := truthOf(t, c.Console)
	for name, copies := range map[string][]delivery{"file": filed, "siem": siem.taken(t)} {
		if n := tr.compare(t, name, copies, true); n.repeated != 0 {
			t.Errorf("%s: %v", name, n)
		}
	}
}

func TestStart_DecidesWhatANewSinkIsGiven(t *testing.T) {
	const old, day, fresh = 1, 2, 3 // of threats: their tickets
	for _, tc := range []struct {
		start string
		want  []int
	}{
		{"now", []int{fresh}},
		{"-24h", []int{day, fresh}},
		{time.Now().Add(-24 * time.Hour).UTC().Format(time.RFC3339), []int{day, fresh}},
		{"all", []int{old, day, fresh}},
	} {
		t.Run(tc.start, func(t *testing.T) {
			t.Parallel()
			c := serve(t, console.Config{Token: "a-token", Ledger: true}, false)
			publish := func(ticket uint32, at time.Time) {
				c.Store.Publish(console.Threat{ID: c.Store.NewID(at), Created: console.StampOf(at), Updated: console.StampOf(at), Ticket: ticket}, time.Time{})
			}
			publish(old, time.Now().Add(-72*time.Hour))
			publish(day, time.Now().Add(-time.Hour))
			dir, out := t.TempDir(), filepath.Join(t.TempDir(), "threats.jsonl")
			p := start(t, watched, c.config(t, dir, fileSource(tc.start), fmt.Sprintf("[sink.file]\ntype = \"file\"\npath = %q\n", out)))
			eventually(t, p, "the start is saved", func() bool {
				st, err := load(dir, "file")
				return err == nil && !st.Frontier.IsZero()
			})
			publish(fresh, time.Now())
			c.delivered(t, p, dir, "file")
			p.stop(t)

			// The version says which threat it was.
			tickets := map[string]int{}
			for _, v := range c.Truth() {
				id, err := strconv.ParseUint(v.ID, 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				th, _ := c.Store.Latest(id)
				tickets[v.ID] = int(th.Ticket)
			}
			data, err := os.ReadFile(out)
			if err != nil {
				t.Fatal(err)
			}
			copies, err := identifyLines(c.Host(), data)
			if err != nil {
				t.Fatal(err)
			}
			got := map[int]int{}
			for _, d := range copies {
				got[tickets[d.id]]++
			}
			if diff := cmp.Diff(tc.want, slices.Sorted(maps.Keys(got))); diff != "" || len(copies) != len(tc.want) {
				t.Errorf("%d events (-want +got):\n%s", len(copies), diff)
			}
		})
	}
}

// fileSource is a console's table for a test that has no faults.
func fileSource(start string) string {
	return fmt.Sprintf("start = %q\npoll_interval = \"100ms\"\nrequests_per_second = 100\n", start)
}
