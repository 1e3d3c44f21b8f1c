package console

import (
	"encoding/json"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/event"
)

// updatedNow returns what queries see of the first threat.
func updatedNow(t *testing.T, c *Console) string {
	t.Helper()
	_, shapes := ask(t, c, values("sortBy", "updatedAt"))
	if len(shapes) == 0 {
		return ""
	}
	return shapes[0].ThreatInfo.UpdatedAt
}

func TestStore_ShowsAChangeOnlyFromItsMomentOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Host: "h", Token: token, Tiny: true, Ledger: true})
		start := time.Now()
		a := Threat{ID: 1e18, Created: StampOf(start), Updated: StampOf(start)}
		c.Store.Publish(a, start.Add(2*time.Second))
		if got := updatedNow(t, c); got != "" {
			t.Fatalf("a new threat shows before its moment: %s", got)
		}
		if th, ok := c.Store.Latest(a.ID); !ok || th != a || c.Store.Pending() != 1 || len(c.Truth()) != 0 {
			t.Error("what is pending must be the latest, and no part of the truth")
		}
		time.Sleep(2 * time.Second)
		if got := updatedNow(t, c); got != a.Updated.String() {
			t.Fatalf("at its moment the threat shows %q", got)
		}
		later := start.Add(3 * time.Second)
		c.Store.Update(a.ID, later, start.Add(10*time.Second), func(t *Threat) { t.Ticket = 1 })
		time.Sleep(7999 * time.Millisecond)
		if got := updatedNow(t, c); got != a.Updated.String() {
			t.Errorf("a change 1 ms early shows already: %s", got)
		}
		time.Sleep(time.Millisecond)
		if got := updatedNow(t, c); got != StampOf(later).String() {
			t.Errorf("the change shows as %q", got)
		}
		if c.Store.Pending() != 0 {
			t.Error("a visible change is still pending")
		}
	})
}

func TestStore_MakesChangesOfOneThreatVisibleInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Host: "h", Token: token, Tiny: true, Ledger: true})
		now := time.Now()
		a := Threat{ID: 1e18, Created: StampOf(now), Updated: StampOf(now)}
		c.Store.Publish(a, now.Add(5*time.Second))
		c.Store.Update(a.ID, now.Add(time.Second), now, func(t *Threat) { t.Ticket = 1 }) // must wait for the first
		time.Sleep(4 * time.Second)
		if got := updatedNow(t, c); got != "" {
			t.Errorf("the second change overtook the first: %s", got)
		}
		time.Sleep(2 * time.Second)
		if got := updatedNow(t, c); got != StampOf(now.Add(time.Second)).String() {
			t.Errorf("visible is %q, want the second change", got)
		}
		truth := c.Truth()
		if len(truth) != 2 || truth[0].Last || !truth[1].Last || !truth[0].Served.IsZero() || truth[1].Served.IsZero() {
			t.Errorf("truth %+v", truth)
		}
	})
}

// versions makes each version on a page as a source does: from the raw bytes, found by a decoder.
func versions(t *testing.T, host string, e envelope) []event.Version {
	t.Helper()
	out := make([]event.Version, 0, len(e.Data))
	for _, raw := range e.Data {
		var s shape
		var members map[string]json.RawMessage
		if json.Unmarshal(raw, &s) != nil || json.Unmarshal(raw, &members) != nil {
			t.Fatal("a threat is no JSON object")
		}
		live := members["agentRealtimeInfo"]
		cut := [][]byte{raw}
		if live != nil {
			for i := range raw {
				if string(raw[i:min(len(raw), i+len(live))]) == string(live) {
					cut = [][]byte{raw[:i], raw[i+len(live):]}
					break
				}
			}
		}
		out = append(out, event.NewVersion(host, s.ID, s.ThreatInfo.UpdatedAt, cut...))
	}
	return out
}

func TestTruth_HasTheVersionThatASourceMakesFromThePage(t *testing.T) {
	for _, tiny := range []bool{true, false} {
		c := filled(60, tiny)
		c.SetHost("Tenant.SentinelOne.example:8443")
		for range 2 { // the live part differs from read to read; versions must not
			e, _ := ask(t, c, values("limit", "1000"))
			got := versions(t, "tenant.sentinelone.example:8443", e)
			truth := c.Truth()
			if len(got) != 60 || len(truth) != 60 {
				t.Fatalf("%d on the page, %d in the truth", len(got), len(truth))
			}
			known := map[event.Version]bool{}
			for _, p := range truth {
				known[p.Version] = true
			}
			for i, v := range got {
				if !known[v] {
					t.Fatalf("tiny %v: version %d of the page is not in the truth", tiny, i)
				}
			}
			if len(known) != 60 {
				t.Fatalf("%d distinct versions of 60", len(known))
			}
		}
	}
}

func TestBodies_DifferBetweenReadsInTheLivePartAlone(t *testing.T) {
	for _, tiny := range []bool{true, false} {
		c := filled(20, tiny)
		a, _ := ask(t, c, values("limit", "20"))
		b, _ := ask(t, c, values("limit", "20"))
		same := 0
		for i := range a.Data {
			if string(a.Data[i]) == string(b.Data[i]) {
				same++
			}
		}
		if (same > 0) != tiny || same > 8 { // about a quarter of the tiny ones has no live part at all
			t.Errorf("tiny %v: %d of %d threats are the same in two reads", tiny, same, len(a.Data))
		}
		va, vb := versions(t, "h", a), versions(t, "h", b)
		for i := range va {
			if va[i] != vb[i] {
				t.Errorf("tiny %v: version %d changed without a change", tiny, i)
			}
		}
	}
}

func TestTruth_CountsWhatWasServedWhole(t *testing.T) {
	c := New(Config{Host: "h", Token: token, Tiny: true, Ledger: true})
	now := time.Now()
	id := c.Store.NewID(now)
	c.Store.Publish(Threat{ID: id, Created: StampOf(now), Updated: StampOf(now)}, now)
	served := func() (out []bool) {
		for _, p := range c.Truth() {
			out = append(out, !p.Served.IsZero())
		}
		return out
	}
	for _, k := range []Kind{Throttle, ServerError, Truncate, Reset, Drop, BadJSON, LoginPage, ErrorsOK, NullData} {
		c.SetHook(func(*http.Request) Fault { return Fault{Kind: k} })
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://h"+API+"/threats", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "ApiToken "+token)
		if res, err := c.Transport().RoundTrip(r); err == nil {
			_ = res.Body.Close()
		}
		if served()[0] {
			t.Errorf("%v counts as served", k)
		}
	}
	c.SetHook(nil)
	c.Store.Update(id, time.Time{}, now, func(t *Threat) { t.AddRow(now) }) // never seen: overwritten before a read
	c.Store.Update(id, now.Add(time.Millisecond), now, func(t *Threat) { t.Ticket++ })
	ask(t, c, values())
	if got := served(); len(got) != 3 || got[0] || got[1] || !got[2] {
		t.Errorf("served %v, want the last alone", got)
	}
	truth := c.Truth()
	if truth[0].Version == truth[1].Version || !truth[0].UpdatedAt.Equal(truth[1].UpdatedAt) {
		t.Error("a mitigation row without a new updatedAt must be a version of its own")
	}
	if truth[0].Last || truth[1].Last || !truth[2].Last {
		t.Error("the last version is not marked")
	}
}

func TestStore_BulkGivesManyThreatsOneStamp(t *testing.T) {
	c := filled(10, true)
	ids := c.Store.IDs()[:4]
	stamp := day.Add(48 * time.Hour)
	if n := c.Store.Bulk(append(ids, 5), stamp, day, func(t *Threat) { t.Incident = Resolved }); n != 4 {
		t.Errorf("%d changed, want the 4 that exist", n)
	}
	_, shapes := ask(t, c, values("updatedAt__gte", StampOf(stamp).String()))
	if len(shapes) != 4 {
		t.Errorf("%d threats carry the stamp", len(shapes))
	}
	before := len(c.Truth())
	c.Store.Bulk(ids, stamp, day, func(*Threat) {})
	if len(c.Truth()) != before {
		t.Error("a change that changes nothing was published")
	}
}
