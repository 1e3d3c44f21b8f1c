package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/console"
)

// settleFor is the settle of the walks here; ago tells a moment as so long before now, to the second.
const settleFor = 100 * time.Second

func ago(d time.Duration) time.Time { return time.Now().Add(-d).UTC().Truncate(time.Second) }

func settled(c *Config) { c.Settle = settleFor }

// script answers the requests of a walk in turn; the last answer is given again and again.
func script(f ...func() *reply) *answers {
	return &answers{f: func(n int, _ *http.Request) (*reply, error) { return f[min(n, len(f)-1)](), nil }}
}

func good(cursor string, threats ...string) func() *reply {
	return func() *reply { return respond(200, page(cursor, threats...)) }
}

func TestWalk_SettledPagesMoveTheFrontierToTheirOldestThreat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := ago(0)
		r := newRig(t, script(
			good(`"a"`, threat("1", ago(900*time.Second)), threat("2", ago(800*time.Second))),
			good(`"b"`, threat("3", ago(800*time.Second)), threat("4", ago(101*time.Second))),
			good(`null`)), settled)
		pages, err := r.read(t.Context(), ago(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		// No page was unsettled, so the empty last one gives the walk's moment.
		if all(pages) != "1 2 3 4" || !strings.HasPrefix(frontiers(pages, now), "900 800 ") {
			t.Errorf("%s at %s", all(pages), frontiers(pages, now))
		}
		if last := pages[2].frontier; last.Before(now.Add(-settleFor)) || last.After(time.Now().Add(-settleFor)) {
			t.Errorf("the walk's end is %v, want its last page's moment less settle", last)
		}
	})
}

func TestWalk_TheFirstUnsettledPageFixesTheMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := ago(0)
		later := func(cursor string, threats ...string) func() *reply {
			return func() *reply {
				time.Sleep(30 * time.Second)
				return good(cursor, threats...)()
			}
		}
		r := newRig(t, script(
			good(`"a"`, threat("1", ago(900*time.Second))),
			good(`"b"`, threat("2", ago(100*time.Second)), threat("3", ago(99*time.Second))),
			later(`"c"`, threat("4", ago(98*time.Second))), // by its own clock it is settled
			later(`null`, threat("5", ago(10*time.Second)))), settled)
		pages, err := r.read(t.Context(), ago(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if all(pages) != "1 2 3 4 5" || !strings.HasPrefix(frontiers(pages, now), "900 - - ") {
			t.Errorf("%s at %s", all(pages), frontiers(pages, now))
		}
		if got := now.Add(-settleFor).Sub(pages[3].frontier).Abs(); got > time.Second {
			t.Errorf("the end is %v off from the second page's moment less settle", got)
		}
	})
}

func TestWalk_ThePagesMomentIsTheEarlierOfBothClocks(t *testing.T) {
	for _, c := range []struct {
		name       string
		skew, took time.Duration // of Date; of the request
		want       time.Duration // the moment, less our clock when it was asked
	}{
		{"clocks agree", 0, 0, 0},
		{"a slow answer", 0, 30 * time.Second, 0},
		{"Date is fast", time.Hour, 0, 0},
		{"Date is slow", -time.Hour, 0, -time.Hour},
		{"Date is slow, and the answer too", -time.Hour, 30 * time.Second, -time.Hour},
		{"Date is a little fast, and the answer slow", 10 * time.Second, 30 * time.Second, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, script(func() *reply {
					time.Sleep(c.took)
					return respond(200, page("null"), "Date", time.Now().Add(c.skew).UTC().Format(http.TimeFormat))
				}), settled)
				asked := time.Now()
				pages, err := r.read(t.Context(), ago(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				if got := pages[0].frontier.Add(settleFor).Sub(asked); got != c.want {
					t.Errorf("moment is our clock %+v, want %+v", got, c.want)
				}
			})
		})
	}
}

func TestWalk_WithoutADateNoFrontierMovesAndEventsFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		noDate := func(f func() *reply) func() *reply {
			return func() *reply { res := f(); res.Header.Del("Date"); return res }
		}
		garbage := func(f func() *reply) func() *reply {
			return func() *reply { res := f(); res.Header.Set("Date", "today"); return res }
		}
		one, two, three := good(`"a"`, threat("1", ago(900*time.Second))), good(`"b"`, threat("2", ago(800*time.Second))), good(`null`, threat("3", ago(0)))
		now := ago(0)
		for _, spoil := range []func(func() *reply) func() *reply{noDate, garbage} {
			rt := script(one, spoil(two), three)
			r := newRig(t, rt, settled)
			pages, err := r.read(t.Context(), ago(time.Hour))
			if err != nil {
				t.Fatal(err)
			}
			if all(pages) != "1 2 3" || frontiers(pages, now) != "900 - -" {
				t.Errorf("%s at %s", all(pages), frontiers(pages, now))
			}
			if reasons := strings.Join(r.ready.Reasons(), " "); !strings.Contains(reasons, "no Date") {
				t.Errorf("ready in spite of it: %s", reasons)
			}
			rt.f = func(int, *http.Request) (*reply, error) { return three(), nil }
			if pages, err = r.read(t.Context(), ago(time.Hour)); err != nil || pages[0].frontier.IsZero() || len(r.ready.Reasons()) > 0 {
				t.Errorf("with a Date again: %v, %v, %v", pages, err, r.ready.Reasons())
			}
		}
	})
}

func TestWalk_EndsBehindAThreatLaterThanBothClocks(t *testing.T) {
	for _, c := range []struct {
		name  string
		skew  time.Duration // of Date
		last  time.Duration // of the page's last threat, against our clock
		pages int
	}{
		{"older than both", 0, -time.Second, 2},
		{"within the grain of Date", 0, 600 * time.Millisecond, 2},
		{"later than both", 0, 3 * time.Second, 1},
		{"later than ours alone", time.Hour, 3 * time.Second, 2},
		{"later than ours and a fast Date", time.Hour, time.Hour + 3*time.Second, 1},
		{"later than a slow Date alone", -time.Hour, -time.Minute, 2},
		{"later than ours and a slow Date", -time.Hour, 3 * time.Second, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(300 * time.Millisecond)
				date := func(f func() *reply) func() *reply {
					return func() *reply {
						res := f()
						res.Header.Set("Date", time.Now().Add(c.skew).UTC().Format(http.TimeFormat))
						return res
					}
				}
				from := time.Now()
				r := newRig(t, script(date(good(`"a"`, threat("1", from.Add(-2*time.Hour)), threat("2", from.Add(c.last)))), date(good("null", threat("3", from)))), settled)
				pages, err := r.read(t.Context(), from.Add(-3*time.Hour))
				if err != nil || len(pages) != c.pages {
					t.Fatalf("%d pages, %v; want %d", len(pages), err, c.pages)
				}
				end := pages[len(pages)-1].frontier
				if want := from.Add(min(c.skew, 0) - settleFor); end.After(want) || end.Before(want.Add(-time.Second)) {
					t.Errorf("ends at %v, want %v", end, want)
				}
			})
		})
	}
	t.Run("one odd stamp in the middle of a page ends nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, script(good(`"a"`, threat("1", ago(-8000*24*time.Hour)), threat("2", ago(time.Hour))), good("null", threat("3", ago(time.Minute)))), settled)
			if pages, err := r.read(t.Context(), ago(2*time.Hour)); err != nil || all(pages) != "1 2 3" {
				t.Errorf("%v, %v", pages, err)
			}
		})
	})
}

func TestWalk_GoesRoundARefusedCursorByValue(t *testing.T) {
	for _, status := range []int{400, 404, 410, 414, 422} {
		synctest.Test(t, func(t *testing.T) {
			at := ago(700 * time.Second)
			rt := script(
				good(`"a"`, threat("1", ago(900*time.Second)), threat("2", at)),
				func() *reply {
					return respond(status, `{"errors":[{"code":4000010,"detail":"Invalid cursor value received","title":"Validation Error"}]}`)
				},
				good(`"b"`, threat("2", at), threat("3", ago(600*time.Second))),
				good("null", threat("4", ago(500*time.Second))))
			r := newRig(t, rt, settled, func(c *Config) { c.Filter = map[string]any{"siteIds": []any{"2290000000000000001"}} })
			pages, err := r.read(t.Context(), ago(time.Hour))
			if err != nil || all(pages) != "1 2 2 3 4" {
				t.Fatalf("%d: %v, %v", status, pages, err)
			}
			var asked []string
			for _, req := range rt.asks {
				q := req.URL.Query()
				asked = append(asked, q.Get("cursor")+"@"+q.Get("updatedAt__gte"))
				for _, cursor := range []string{"cursor", "updatedAt__gte"} {
					q.Del(cursor)
				}
				if got := q.Encode(); got != "limit=1000&siteIds=2290000000000000001&skipCount=true&sortBy=updatedAt&sortOrder=asc" {
					t.Errorf("%d: asked with %s", status, got)
				}
			}
			from := formatTime(ago(time.Hour))
			if want := []string{"@" + from, "a@" + from, "@" + formatTime(at), "b@" + formatTime(at)}; !slices.Equal(asked, want) {
				t.Errorf("%d: asked %v, want %v", status, asked, want)
			}
			if r.metric(t, "cursor_restarts_total") != 1 || len(r.ready.Reasons()) > 0 {
				t.Errorf("%d: %v restarts, %v", status, r.metric(t, "cursor_restarts_total"), r.ready.Reasons())
			}
		})
	}
}

// tied is a console whose threats are given; it refuses or garbles cursors as next says.
type tied struct {
	threats []console.Threat
	next    func(asked, fresh string) (cursor string, refuse bool)
}

func (c *tied) answer(_ int, r *http.Request) (*reply, error) {
	q := r.URL.Query()
	from, err := time.Parse(time.RFC3339Nano, q.Get("updatedAt__gte"))
	if err != nil {
		return nil, err
	}
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil {
		return nil, err
	}
	first := 0
	for first < len(c.threats) && c.threats[first].Updated.Time().Before(from) {
		first++
	}
	if n, err := strconv.Atoi(q.Get("cursor")); err == nil {
		first = n
	}
	end := min(first+limit, len(c.threats))
	fresh := ""
	if end-first == limit {
		fresh = strconv.Itoa(end)
	}
	cursor, refuse := c.next(q.Get("cursor"), fresh)
	if refuse {
		return respond(400, `{"errors":[{"code":4000010,"title":"Validation Error"}]}`), nil
	}
	var list []string
	for _, th := range c.threats[first:end] {
		list = append(list, threat(th.IDString(), th.Updated.Time()))
	}
	return respond(200, page(strconv.Quote(cursor), list...)), nil
}

func TestWalk_PassesAPageOfOneUpdatedAtWithoutMovingTheFrontier(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &tied{next: func(asked, fresh string) (string, bool) { return fresh, asked != "" }}
		for i, s := range []time.Duration{900, 800, 800, 800, 800, 800, 700} { // pages of 3
			c.threats = append(c.threats, console.Threat{ID: uint64(i + 1), Updated: console.StampOf(ago(s * time.Second))})
		}
		want := "1 2 3 2 3 4 2 3 4 7" // 5 and 6 wait for a cursor that works
		r := newRig(t, &answers{f: c.answer}, settled, func(c *Config) { c.PageSize = 3 })
		pages, err := r.read(t.Context(), ago(time.Hour))
		if err != nil || all(pages) != want {
			t.Fatalf("%v, %v; want %v", all(pages), err, want)
		}
		for _, p := range pages {
			if p.frontier.After(ago(800 * time.Second)) {
				t.Errorf("a frontier passed threats that were never read: %v", frontiers(pages, ago(0)))
			}
		}
		if reasons := strings.Join(r.ready.Reasons(), " "); !strings.Contains(reasons, "refuses its own cursor") {
			t.Errorf("ready in spite of it: %q", reasons)
		}
		c.next = func(_, fresh string) (string, bool) { return fresh, false }
		if pages, err = r.read(t.Context(), ago(time.Hour)); err != nil || all(pages) != "1 2 3 4 5 6 7" || len(r.ready.Reasons()) > 0 {
			t.Errorf("with cursors that work again: %v, %v, %v", all(pages), err, r.ready.Reasons())
		}
	})
}

func TestWalk_EndsWhereverTheConsoleLeadsInACircle(t *testing.T) {
	n := 0
	for _, c := range []struct {
		name     string
		next     func(asked, fresh string) (string, bool)
		requests int // at the most
	}{
		{"the cursor of the request comes back", func(asked, fresh string) (string, bool) {
			if asked != "" {
				return asked, false
			}
			return fresh, false
		}, 40},
		{"two cursors take turns", func(asked, fresh string) (string, bool) {
			switch asked {
			case "2":
				return "4", false
			case "4":
				return "2", false
			}
			return fresh, false
		}, 40},
		{"a new cursor leads back each time", func(asked, fresh string) (string, bool) {
			if n++; asked == "" {
				return "2", false
			}
			return "2 " + strconv.Itoa(n), false // Atoi fails, so the walk's first page comes again
		}, 500},
		{"every cursor is refused", func(asked, fresh string) (string, bool) { return fresh, asked != "" }, 40},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &tied{next: c.next}
				want := map[string]bool{}
				for i := range 9 {
					th := console.Threat{ID: uint64(i + 1), Updated: console.StampOf(ago(time.Duration(900-10*i) * time.Second))}
					server.threats = append(server.threats, th)
					want[th.IDString()] = true
				}
				rt := &answers{f: server.answer}
				r := newRig(t, rt, settled, func(c *Config) { c.PageSize = 2 })
				for p, err := range r.Walk(t.Context(), ago(time.Hour), true) {
					if err != nil {
						break // a walk that gives up is no loss: its frontier stays
					}
					for i := range p.Events {
						delete(want, p.Events[i].ID)
					}
					if rt.n > c.requests {
						t.Fatalf("still asking after %d requests", rt.n)
					}
					if len(want) > 0 && !p.Frontier.IsZero() && p.Frontier.After(ago(900*time.Second)) {
						for id := range want {
							if i, _ := strconv.Atoi(id); ago(time.Duration(910-10*i) * time.Second).Before(p.Frontier) {
								t.Fatalf("the frontier passed threat %s, which was never read", id)
							}
						}
					}
				}
				if len(want) > 0 {
					t.Errorf("never read: %v", want)
				}
			})
		})
	}
	t.Run("a console that does not keep to updatedAt__gte", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			same := page(`"a"`, threat("1", ago(900*time.Second)), threat("2", ago(800*time.Second)))
			rt := &answers{f: func(_ int, r *http.Request) (*reply, error) {
				if r.URL.Query().Has("cursor") {
					return respond(400, "{}"), nil
				}
				return respond(200, same), nil
			}}
			r := newRig(t, rt, settled)
			if _, err := r.read(t.Context(), ago(time.Hour)); !errors.Is(err, errGone) || rt.n > 20 {
				t.Errorf("%v after %d requests", err, rt.n)
			}
		})
	})
	t.Run("empty pages with a new cursor for ever", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			rt := &answers{f: func(n int, _ *http.Request) (*reply, error) {
				return respond(200, page(strconv.Quote(fmt.Sprint("c", n)))), nil
			}}
			r := newRig(t, rt, settled)
			if pages, err := r.read(t.Context(), ago(time.Hour)); err == nil || len(pages) > 50 {
				t.Errorf("%d pages, %v", len(pages), err)
			}
		})
	})
}

func TestWalk_AnEmptyPageDoesNotForgetWhereToGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := script(
			good(`"a"`, threat("1", ago(900*time.Second))),
			good(`"b"`),
			func() *reply { return respond(410, "") },
			good("null", threat("1", ago(900*time.Second)), threat("2", ago(800*time.Second))))
		r := newRig(t, rt, settled)
		if pages, err := r.read(t.Context(), ago(time.Hour)); err != nil || all(pages) != "1 1 2" {
			t.Errorf("%v, %v", all(pages), err)
		}
	})
}

func TestWalk_AsksFiveTimesMoreForABadPage(t *testing.T) {
	bad := func() *reply { return respond(200, page("null", threat("9", time.Now()))+"}") }
	synctest.Test(t, func(t *testing.T) {
		first := good(`"a"`, threat("1", ago(900*time.Second)))
		second := good("null", threat("2", ago(800*time.Second)))
		r := newRig(t, script(first, bad, bad, bad, bad, bad, second), settled)
		pages, err := r.read(t.Context(), ago(time.Hour))
		if err != nil || all(pages) != "1 2" || len(r.ready.Reasons()) > 0 {
			t.Errorf("bad five times: %v, %v, %v", all(pages), err, r.ready.Reasons())
		}
		rt := script(first, bad, bad, bad, bad, bad, bad, good("null", threat("1", ago(900*time.Second)), threat("2", ago(800*time.Second))))
		r = newRig(t, rt, settled)
		pages, err = r.read(t.Context(), ago(time.Hour))
		if err != nil || all(pages) != "1 1 2" || rt.asks[7].URL.Query().Has("cursor") {
			t.Errorf("bad six times: %v, %v", all(pages), err)
		}
		rt = script(bad)
		r = newRig(t, rt, settled)
		pages, err = r.read(t.Context(), ago(time.Hour))
		var pe *pageError
		if !errors.As(err, &pe) || len(pages) > 0 || rt.n != 6 {
			t.Errorf("a first page that stays bad: %v, %v after %d requests", pages, err, rt.n)
		}
		if reasons := strings.Join(r.ready.Reasons(), " "); !strings.Contains(reasons, "page stays bad") {
			t.Errorf("ready in spite of it: %q", reasons)
		}
	})
}

func TestWalk_EventsStayAsTheyAreUntilTheNextPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := console.New(console.Config{Host: "console.example", Token: canary, Ledger: true})
		c.Store.Fill(60, ago(time.Hour), ago(time.Minute))
		truth := map[string]bool{}
		for _, p := range c.Truth() {
			truth[p.ID+p.Version.String()] = true
		}
		r := newRig(t, c.Transport(), func(c *Config) { c.PageSize = 7 })
		// Two walks at once, one of them left early again and again, must not share memory that is in use.
		var wg sync.WaitGroup
		wg.Go(func() {
			for n := range 20 {
				for _, err := range r.Walk(t.Context(), ago(2*time.Hour), false) {
					if err != nil {
						t.Error(err)
					}
					if n--; n < 0 {
						break
					}
				}
			}
		})
		found := 0
		for p, err := range r.Walk(t.Context(), ago(2*time.Hour), true) {
			if err != nil {
				t.Fatal(err)
			}
			before := make([][]byte, len(p.Events))
			for i := range p.Events {
				before[i] = bytes.Clone(p.Events[i].Raw)
			}
			time.Sleep(5 * time.Second) // the other walk goes on meanwhile
			for i := range p.Events {
				if !bytes.Equal(before[i], p.Events[i].Raw) || !bytes.Contains(before[i], []byte(`"id":"`+p.Events[i].ID+`"`)) {
					t.Fatalf("event %d changed while its page was in hand", i)
				}
				if truth[p.Events[i].ID+p.Events[i].Version.String()] {
					found++
				}
			}
		}
		wg.Wait()
		if found != 60 {
			t.Errorf("%d of 60 versions are those that the console published", found)
		}
	})
}

func TestWalk_ReadsEverythingThroughEveryFault(t *testing.T) {
	for kind := console.Throttle; kind <= console.CursorRepeated; kind++ {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := console.New(console.Config{Host: "console.example", Token: canary, Tiny: true})
				c.Store.Fill(50, ago(time.Hour), ago(time.Minute))
				n := 0
				c.SetHook(func(*http.Request) console.Fault {
					if n++; n%3 == 0 {
						return console.Fault{}
					}
					return console.Fault{Kind: kind, RetryAfter: "3", Keep: float64(n%10) / 10}
				})
				r := newRig(t, c.Transport(), func(c *Config) { c.PageSize, c.TokenFile = 8, "" })
				want := map[string]bool{}
				for _, p := range c.Truth() {
					want[p.ID+p.Version.String()] = true
				}
				ctx, cancel := context.WithTimeout(t.Context(), 12*time.Hour)
				defer cancel()
				for p, err := range r.Walk(ctx, ago(2*time.Hour), true) {
					if err != nil {
						t.Fatal(err)
					}
					for i := range p.Events {
						delete(want, p.Events[i].ID+p.Events[i].Version.String())
					}
				}
				if len(want) > 0 {
					t.Errorf("%d versions were never read", len(want))
				}
				if len(r.ready.Reasons()) > 0 {
					t.Errorf("not ready after a whole walk: %v", r.ready.Reasons())
				}
			})
		})
	}
}
