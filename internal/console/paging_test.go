package console

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// walk follows the cursor to its end and returns the ids in the order they came.
func walk(t testing.TB, c *Console, kv ...string) (ids []string, pages int) {
	t.Helper()
	q := values(kv...)
	for pages = 1; ; pages++ {
		if pages > 2000 {
			t.Fatal("the walk does not end")
		}
		e, shapes := ask(t, c, q)
		for _, s := range shapes {
			ids = append(ids, s.ID)
		}
		if e.Pagination.NextCursor == nil {
			return ids, pages
		}
		q.Set("cursor", *e.Pagination.NextCursor)
	}
}

func TestCursor_ReachesEveryThreatOnceInOrderAtAnyPageSize(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 30 {
		c := New(Config{Token: token, Tiny: true})
		n := r.IntN(60)
		for range n {
			// Few stamps, so that most are shared.
			created, updated := day.Add(time.Duration(r.IntN(5))), day.Add(time.Duration(r.IntN(6))*time.Microsecond)
			c.Store.Publish(Threat{ID: 1e18 + uint64(r.IntN(1e6)), Created: StampOf(created), Updated: StampOf(updated)}, day)
		}
		var all []Threat
		for _, id := range c.Store.IDs() {
			th, _ := c.Store.Latest(id)
			all = append(all, th)
		}
		for _, order := range []string{"id", "createdAt", "updatedAt", "siteName"} {
			for _, desc := range []bool{false, true} {
				slices.SortFunc(all, func(a, b Threat) int {
					d := map[string]int{"createdAt": cmp.Compare(a.Created, b.Created), "updatedAt": cmp.Compare(a.Updated, b.Updated)}[order]
					d = cmp.Or(d, cmp.Compare(a.ID, b.ID))
					if desc {
						return -d
					}
					return d
				})
				want := make([]string, len(all))
				for i := range all {
					want[i] = all[i].IDString()
				}
				limit := 1 + r.IntN(n+2)
				got, pages := walk(t, c, "limit", fmt.Sprint(limit), "sortBy", order, "sortOrder", orderName(desc))
				if !slices.Equal(got, want) {
					t.Fatalf("round %d, by %s, desc %v, limit %d:\ngot  %v\nwant %v", round, order, desc, limit, got, want)
				}
				// A full last page has a cursor, and an empty page follows.
				if wantPages := len(all)/limit + 1; pages != wantPages {
					t.Errorf("%d pages for %d threats at limit %d, want %d", pages, len(all), limit, wantPages)
				}
			}
		}
	}
}

func TestCursor_IsAKeysetInBase64WithEscapedPadding(t *testing.T) {
	c := filled(5, true)
	e, shapes := ask(t, c, values("limit", "2", "sortBy", "updatedAt", "sortOrder", "asc"))
	raw := *e.Pagination.NextCursor
	b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(raw, "%3D", "="))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		IDValue   json.Number `json:"id_value"`
		SortValue string      `json:"sort_by_value"`
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if got.IDValue.String() != shapes[1].ID || got.SortValue != shapes[1].ThreatInfo.UpdatedAt {
		t.Errorf("cursor %s does not name the page's last threat %+v", b, shapes[1])
	}
	for _, asked := range []string{raw, strings.ReplaceAll(raw, "%3D", "=")} {
		if _, next := ask(t, c, values("limit", "2", "sortBy", "updatedAt", "sortOrder", "asc", "cursor", asked)); len(next) != 2 {
			t.Errorf("cursor %q gives %d threats", asked, len(next))
		}
	}
	for _, other := range []string{"sortBy=createdAt", "sortBy=updatedAt&sortOrder=desc", ""} {
		if res, _ := get(t, c, "/threats?"+other+"&"+values("cursor", raw).Encode()); res.StatusCode != 400 {
			t.Errorf("a cursor of another order (%s) gets %d", other, res.StatusCode)
		}
	}
}

func TestCursor_CarriesNoFilter(t *testing.T) {
	c := filled(40, true)
	e, _ := ask(t, c, values("limit", "1", "incidentStatuses", "resolved"))
	_, rest := ask(t, c, values("limit", "1000", "cursor", *e.Pagination.NextCursor))
	if !slices.ContainsFunc(rest, func(s shape) bool { return s.ThreatInfo.IncidentStatus != "resolved" }) {
		t.Error("a page asked for without the filter is filtered: the cursor must have kept it")
	}
}

func TestHandler_SkipsAndCounts(t *testing.T) {
	c := filled(25, true)
	e, all := ask(t, c, values("limit", "25"))
	if e.Pagination.TotalItems != 25 {
		t.Errorf("totalItems %d", e.Pagination.TotalItems)
	}
	e, some := ask(t, c, values("skip", "3", "skipCount", "true"))
	if len(some) != 10 || some[0].ID != all[3].ID || e.Pagination.TotalItems != 0 {
		t.Errorf("%d threats from %s, total %d; want the default 10 from %s, and no total", len(some), some[0].ID, e.Pagination.TotalItems, all[3].ID)
	}
}

func TestWalk_MeetsAThreatAgainThatMovedToTheTail(t *testing.T) {
	c := filled(6, true)
	e, first := ask(t, c, values("limit", "2", "sortBy", "updatedAt"))
	th := mustLatest(t, c, first[0].ID)
	c.Store.Update(th.ID, day.Add(25*time.Hour), day, func(t *Threat) { t.Incident = Resolved })
	ids, _ := walk(t, c, "limit", "2", "sortBy", "updatedAt", "cursor", *e.Pagination.NextCursor)
	if ids[len(ids)-1] != first[0].ID || len(ids) != 5 {
		t.Errorf("the rest of the walk is %v; want the four others, then %s again", ids, first[0].ID)
	}
}

func TestConsole_IsSafeForConcurrentUse(t *testing.T) {
	c := New(Config{Host: "h", Token: token, Tiny: true, Ledger: true, CacheBytes: 1 << 20})
	c.Store.Fill(200, day, day.Add(time.Hour))
	ids := c.Store.IDs()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 40 {
				switch g {
				case 0:
					c.Store.Update(ids[i], time.Now(), time.Now().Add(time.Millisecond), func(t *Threat) { t.Ticket++ })
					c.SetFaults(Faults{Late: time.Duration(i)})
				case 1:
					c.Truth()
					c.SetHost("h2")
				default:
					// Errorf alone may be called from here, and ask would call Fatal.
					r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://h"+API+"/threats?sortBy=updatedAt", nil)
					if err != nil {
						t.Error(err)
						return
					}
					r.Header.Set("Authorization", "ApiToken "+token)
					res, err := c.Transport().RoundTrip(r)
					if err != nil || res.StatusCode != 200 {
						t.Errorf("%v", err)
						return
					}
					_ = res.Body.Close()
				}
			}
		})
	}
	wg.Wait()
}

func TestStore_KeepsItsIndexThroughRandomChanges(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	c := New(Config{Token: token, Tiny: true})
	for i := range 3000 {
		id := 1e18 + uint64(r.IntN(80))
		at := StampOf(day) + Stamp(r.IntN(50))
		c.Store.Publish(Threat{ID: id, Created: StampOf(day) + Stamp(id%7), Updated: at, Ticket: uint32(i)}, day)
		if !slices.IsSortedFunc(c.Store.byUpdated, compareUpdated) || !slices.IsSortedFunc(c.Store.byID, compareID) ||
			len(c.Store.byUpdated) != len(c.Store.byID) {
			t.Fatalf("index out of order after change %d", i)
		}
		if th, _ := c.Store.Latest(id); th.Ticket != uint32(i) {
			t.Fatalf("change %d is not the latest", i)
		}
	}
}
