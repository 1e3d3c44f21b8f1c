package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
)

// outline lists the keys of a JSON value in their order, with the type of what they hold.
func outline(t *testing.T, raw []byte) []string {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(raw))
	var out []string
	var value func(path string)
	value = func(path string) {
		tok, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		kind := fmt.Sprintf("%T", tok)
		if delim, ok := tok.(json.Delim); ok {
			kind = delim.String()
			for d.More() {
				key := "[]"
				if delim == '{' {
					k, err := d.Token()
					if err != nil {
						t.Fatal(err)
					}
					key = "." + k.(string)
				}
				value(path + key)
			}
			if _, err := d.Token(); err != nil {
				t.Fatal(err)
			}
		}
		if line := path + " " + kind; !slices.Contains(out, line) {
			out = append(out, line)
		}
	}
	value("")
	return out
}

func TestRealistic_HasTheShapeOfARecordedThreat(t *testing.T) {
	recorded, err := os.ReadFile("testdata/sample_threat.json")
	if err != nil {
		t.Fatal(err)
	}
	var e envelope
	if err := json.Unmarshal(recorded, &e); err != nil {
		t.Fatal(err)
	}
	want := outline(t, e.Data[0])
	// The recorded threat holds one kind of value where the API may give null or another.
	may := []string{".threatInfo.externalTicketId string", ".threatInfo.fileExtension <nil>"}
	missing := map[string]int{}
	c := filled(200, false)
	for _, id := range c.Store.IDs() {
		th, _ := c.Store.Latest(id)
		th.Ticket = uint32(id % 2)
		got := outline(t, c.Body(th))
		for _, line := range got {
			if !slices.Contains(want, line) && !slices.Contains(may, line) {
				t.Fatalf("%q is not in the recorded threat", line)
			}
		}
		for _, line := range want {
			if !slices.Contains(got, line) {
				missing[line]++
			}
		}
	}
	for line, n := range missing {
		optional := strings.Contains(line, "mitigationStatus[]") || strings.Contains(line, "indicators[].tactics[]") ||
			strings.Contains(line, "externalTicketId") || strings.Contains(line, "fileExtension")
		// The recorded rows show these as null too; ours always have them.
		never := line == ".mitigationStatus[].actionsCounters <nil>" || line == ".mitigationStatus[].latestReport <nil>"
		if n == 200 && !never || n < 200 && !optional {
			t.Errorf("%q is missing from %d of 200 threats", line, n)
		}
	}
}

func TestRealistic_IsAPureFunctionOfSeedAndThreat(t *testing.T) {
	c := filled(1, false)
	th, _ := c.Store.Latest(c.Store.IDs()[0])
	seen := map[string]string{string(c.Body(th)): "itself"}
	if _, same := seen[string(c.Body(th))]; !same {
		t.Error("the same threat, another body")
	}
	changes := map[string]func(*Threat){
		"id": func(t *Threat) { t.ID++ }, "created": func(t *Threat) { t.Created++ }, "updated": func(t *Threat) { t.Updated++ },
		"ticket": func(t *Threat) { t.Ticket++ }, "incident": func(t *Threat) { t.Incident = (t.Incident + 1) % 3 },
		"verdict": func(t *Threat) { t.Verdict = (t.Verdict + 1) % 4 }, "mitigation": func(t *Threat) { t.Mitigation = (t.Mitigation + 1) % 3 },
	}
	for name, change := range changes {
		other := th
		change(&other)
		body := string(c.Body(other))
		if was, there := seen[body]; there {
			t.Errorf("another %s gives the body of %s", name, was)
		}
		seen[body] = name
	}
	for _, tiny := range []bool{true, false} {
		c := New(Config{Tiny: tiny})
		row := th
		for i := range 8 { // beyond the rows that a body shows, too
			before := c.Version(row)
			row.AddRow(day)
			if c.Version(row) == before {
				t.Errorf("tiny %v: row %d changes nothing", tiny, i+1)
			}
		}
	}
}

func TestRealistic_IsValidVariedAndCompresses(t *testing.T) {
	c := filled(1000, false)
	res, body := get(t, c, "/threats?limit=1000", "Accept-Encoding", "gzip")
	if res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("not compressed")
	}
	zr, err := gzip.NewReader(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	var plain bytes.Buffer
	if _, err := plain.ReadFrom(zr); err != nil {
		t.Fatal(err)
	}
	size, ratio := plain.Len()/1000, float64(plain.Len())/float64(len(body))
	t.Logf("%d bytes a threat, compressed %.1f:1", size, ratio)
	if size < 4000 || size > 6000 || ratio < 6 || ratio > 11 {
		t.Errorf("%d bytes a threat, compressed %.1f:1", size, ratio)
	}
	if !utf8.Valid(plain.Bytes()) {
		t.Error("invalid UTF-8")
	}
	for _, s := range []string{"\u202e", `\u001b[31m`, `\u0000`, `\"`, "|", "=", "\u200b", "請求書", "Счёт", "فاتورة", "🎁"} {
		if !bytes.Contains(plain.Bytes(), []byte(s)) {
			t.Errorf("nothing contains %q", s)
		}
	}
	if got, _ := get(t, c, "/threats", "Accept-Encoding", "gzip;q=0, br"); got.Header.Get("Content-Encoding") != "" {
		t.Error("compressed, though the client refused it")
	}
}

func TestFill_IsPlausible(t *testing.T) {
	c := filled(500, true)
	e, shapes := ask(t, c, values("limit", "1000"))
	if e.Pagination.TotalItems != 500 {
		t.Fatalf("%d threats", e.Pagination.TotalItems)
	}
	for _, s := range shapes {
		if len(s.ID) != 19 {
			t.Errorf("id %s", s.ID)
		}
		if s.ThreatInfo.UpdatedAt < s.ThreatInfo.CreatedAt || s.ThreatInfo.UpdatedAt > StampOf(day.Add(24*time.Hour)).String() {
			t.Errorf("updated %s, created %s", s.ThreatInfo.UpdatedAt, s.ThreatInfo.CreatedAt)
		}
	}
}

func TestLiving_KeepsItsPaceAndItsPromise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const late = 2 * time.Second
		c := New(Config{Host: "h", Token: token, Tiny: true, Ledger: true, Faults: Faults{Late: late}})
		c.Store.Fill(50, time.Now().Add(-time.Hour), time.Now())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Living(ctx, 2, 5)
		}()
		// A poller that looks each second at what is at most LateRow + Late old sees everything in the end.
		seen := map[string]bool{}
		poll := func() {
			from := time.Now().Add(-LateRow - late - time.Second)
			q := values("limit", "1000", "sortBy", "updatedAt", "updatedAt__gte", StampOf(from).String())
			e, _ := ask(t, c, q)
			for _, v := range versions(t, "h", e) {
				seen[v.String()] = true
			}
		}
		for range 120 {
			time.Sleep(time.Second)
			poll()
		}
		stop()
		<-done
		time.Sleep(LateRow + late)
		poll()
		time.Sleep(time.Second)
		if n := c.Store.Len() - 50; n < 220 || n > 241 {
			t.Errorf("%d new threats in 120 s at 2 a second", n)
		}
		truth := c.Truth()
		if n := len(truth) - c.Store.Len(); n < 400 || n > 700 {
			t.Errorf("%d updates in 120 s at 5 a second", n)
		}
		stamps, kept := map[string]string{}, 0
		for _, p := range truth[50:] {
			if p.Last && !seen[p.Version.String()] && p.UpdatedAt.After(time.Now().Add(-2*time.Minute)) {
				t.Errorf("the last version of %s, stamped %s, was never to be seen", p.ID, p.UpdatedAt)
			}
			if stamps[p.ID] == p.UpdatedAt.String() {
				kept++
			}
			stamps[p.ID] = p.UpdatedAt.String()
		}
		if kept == 0 {
			t.Error("no version came without a new updatedAt")
		}
	})
}

func TestCache_GivesTheSamePageUntilTheStoreChanges(t *testing.T) {
	c := New(Config{Token: token, Seed: 7, CacheBytes: 1 << 20})
	c.Store.Fill(300, day, day.Add(time.Hour))
	q := values("limit", "100", "sortBy", "updatedAt", "skipCount", "true").Encode()
	_, first := get(t, c, "/threats?"+q)
	if _, again := get(t, c, "/threats?"+q); again != first {
		t.Error("a page of an unchanged store is not from the cache")
	}
	for _, other := range []url.Values{values("limit", "100", "sortBy", "updatedAt"), values("limit", "100", "sortBy", "updatedAt", "sortOrder", "desc"),
		values("limit", "99", "sortBy", "updatedAt", "skipCount", "true"), values("limit", "100", "skipCount", "true")} {
		if _, body := get(t, c, "/threats?"+other.Encode()); body == first {
			t.Errorf("%s got another query's page", other.Encode())
		}
	}
	c.Store.Update(c.Store.IDs()[0], time.Time{}, day, func(t *Threat) { t.Ticket = 9 })
	if _, changed := get(t, c, "/threats?"+q); changed == first {
		t.Error("the cache outlived a change")
	}
	if len(c.cache.pages) != 1 {
		t.Errorf("the cache holds %d pages of a store that is no more", len(c.cache.pages)-1)
	}
	tight := newPageCache(10)
	tight.put(pageKey{gen: 1}, false, []byte("seven b"))
	tight.put(pageKey{gen: 1, lo: 1}, false, []byte("more"))
	if tight.bytes != 7 {
		t.Errorf("a cache of 10 bytes holds %d", tight.bytes)
	}
}
