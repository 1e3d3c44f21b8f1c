package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/console"
)

func TestFetch_OutlastsAnOutageOfADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := console.New(console.Config{Host: "console.example", Token: canary, Tiny: true})
		c.Store.Fill(3, ago(time.Hour), ago(time.Minute))
		n, end := 0, time.Now().Add(24*time.Hour)
		c.SetHook(func(*http.Request) console.Fault {
			if n++; time.Now().Before(end) {
				return console.Fault{Kind: []console.Kind{console.Drop, console.Unavailable, console.ServerError, console.BadGateway}[n%4]}
			}
			return console.Fault{}
		})
		r := newRig(t, c.Transport())
		pages, err := r.read(t.Context(), ago(2*time.Hour))
		if err != nil || len(pages) != 1 || len(pages[0].ids) != 3 {
			t.Fatalf("%v, %v", pages, err)
		}
		if late := time.Since(end); late > 91*time.Second {
			t.Errorf("back %v after the outage; the longest wait is a minute and a half", late)
		}
		if n < 24*60/2 || n > 24*60*3 {
			t.Errorf("%d requests in a day, want about one a minute", n)
		}
		if said := strings.Count(r.log.String(), "level=ERROR"); said < 1 || said > 25 {
			t.Errorf("said %d times, want once, then hourly", said)
		}
		if len(r.ready.Reasons()) > 0 {
			t.Errorf("not ready after it: %v", r.ready.Reasons())
		}
	})
}

func TestFetch_WaitsAsLongAsRetryAfterSays(t *testing.T) {
	const cap = 15 * time.Minute
	date := func(d time.Duration) string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	for _, c := range []struct {
		name     string
		header   func() []string
		min, max time.Duration
	}{
		{"seconds", func() []string { return []string{"Retry-After", "30"} }, 30 * time.Second, 31 * time.Second},
		{"none", func() []string { return nil }, 0, time.Second},
		{"zero", func() []string { return []string{"Retry-After", "0"} }, 0, time.Second},
		{"negative", func() []string { return []string{"Retry-After", "-5"} }, 0, time.Second},
		{"a fraction", func() []string { return []string{"Retry-After", "3.5"} }, 0, time.Second},
		{"garbage", func() []string { return []string{"Retry-After", "soon; NaN"} }, 0, time.Second},
		{"31 years", func() []string { return []string{"Retry-After", "1000000000"} }, cap, cap + time.Second},
		{"more than an integer", func() []string { return []string{"Retry-After", strings.Repeat("9", 400)} }, cap, cap + time.Second},
		{"a date", func() []string { return []string{"Retry-After", date(20 * time.Second)} }, 19 * time.Second, 21 * time.Second},
		{"a date by a clock that is an hour fast", func() []string {
			return []string{"Retry-After", date(time.Hour + 20*time.Second), "Date", date(time.Hour)}
		}, 19 * time.Second, 21 * time.Second},
		{"a date in the past", func() []string { return []string{"Retry-After", date(-time.Hour)} }, 0, time.Second},
		{"a date in 9999", func() []string { return []string{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"} }, cap, cap + time.Second},
	} {
		for _, status := range []int{429, 503} {
			t.Run(fmt.Sprint(c.name, " ", status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					rt := script(func() *reply { return respond(status, "<html>", c.header()...) }, good("null"))
					r := newRig(t, rt)
					if _, err := r.read(t.Context(), ago(time.Hour)); err != nil {
						t.Fatal(err)
					}
					if wait := rt.when[1].Sub(rt.when[0]); wait < c.min || wait > c.max {
						t.Errorf("asked again after %v, want %v to %v", wait, c.min, c.max)
					}
				})
			})
		}
	}
}

func TestFetch_A429HoldsEveryWalkOfTheToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := script(func() *reply { return respond(429, "", "Retry-After", "40") }, good("null"))
		r := newRig(t, rt)
		done := make(chan error, 1)
		go func() {
			_, err := r.read(t.Context(), ago(time.Hour))
			done <- err
		}()
		time.Sleep(time.Second)
		for _, err := range r.Walk(t.Context(), ago(time.Hour), false) { // another walk
			if err != nil {
				t.Error(err)
			}
		}
		if _, err := r.Ask(t.Context(), InfoPath, nil); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if rt.n != 4 {
			t.Fatalf("%d requests", rt.n)
		}
		if held := rt.when[1].Sub(rt.when[0]); held < 40*time.Second {
			t.Errorf("the next request of the token came after %v", held)
		}
		if r.metric(t, "throttled_total") != 1 {
			t.Error("not counted")
		}
	})
}

func TestFetch_AStopInterruptsEveryWaitAtOnce(t *testing.T) {
	for name, answer := range map[string]func() *reply{
		"Retry-After": func() *reply { return respond(429, "", "Retry-After", "900") },
		"denied":      func() *reply { return respond(401, "") },
		"bad pages":   func() *reply { return respond(200, "") },
		"errors":      func() *reply { return respond(500, "") },
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, script(answer))
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begin := time.Now()
			if _, err := r.read(ctx, ago(time.Hour)); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 500*time.Millisecond {
				t.Errorf("%s: ended with %v after %v", name, err, time.Since(begin))
			}
		})
	}
}

func TestFetch_TriesADeniedTokenOnceAMinuteAndSaysSo(t *testing.T) {
	for _, c := range []struct {
		status int
		header []string
		every  time.Duration
		reason string
	}{
		{401, nil, time.Minute, "renew it"},
		{403, nil, time.Minute, "Threats.view"},
		{401, []string{"Retry-After", "300"}, 5 * time.Minute, "renew it"},
		{400, nil, time.Minute, "check url and filter"},
		{404, nil, time.Minute, "check url and filter"},
		{302, []string{"Location", "https://elsewhere.example/login"}, time.Minute, "check url and filter"},
		{307, []string{"Location", "https://console.example/web/api/v2.1/threats?limit=1"}, time.Minute, "check url and filter"},
		{501, nil, time.Minute, "check url and filter"},
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := &answers{f: func(n int, _ *http.Request) (*reply, error) {
				if n < 10 {
					return respond(c.status, `{"errors":[{"code":4010010,"detail":null,"title":"Authentication Failed"}]}`, c.header...), nil
				}
				return good("null", threat("1", ago(time.Minute)))(), nil
			}}
			r := newRig(t, rt)
			begin := time.Now()
			go func() {
				time.Sleep(time.Second)
				if got := strings.Join(r.ready.Reasons(), " "); !strings.Contains(got, c.reason) || !strings.Contains(got, strconv.Itoa(c.status)) {
					t.Errorf("%d: not ready because %q, want %q", c.status, got, c.reason)
				}
				time.Sleep(8 * c.every)
				if got := strings.Join(r.ready.Reasons(), " "); !strings.Contains(got, c.reason) {
					t.Errorf("%d: later not ready because %q, want %q", c.status, got, c.reason)
				}
			}()
			pages, err := r.read(t.Context(), ago(time.Hour))
			if err != nil || all(pages) != "1" {
				t.Fatalf("%d: %v, %v", c.status, pages, err)
			}
			if took := time.Since(begin); took < 10*c.every || took > 10*c.every+5*time.Minute {
				t.Errorf("%d: ten refusals took %v", c.status, took)
			}
			if len(r.ready.Reasons()) > 0 || strings.Count(r.log.String(), "level=ERROR") != 1 {
				t.Errorf("%d: %v\n%s", c.status, r.ready.Reasons(), r.log)
			}
		})
	}
}

func TestFetch_TakesUpARotatedTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		write(canary + "\n")
		c := console.New(console.Config{Host: "console.example", Token: canary, Tiny: true})
		c.Store.Fill(5, ago(time.Hour), ago(time.Minute))
		r := newRig(t, c.Transport(), func(c *Config) { c.Token, c.TokenFile = "", file })
		if _, err := r.read(t.Context(), ago(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		c.SetToken("rotated-in-time")
		write("  rotated-in-time\n")
		begin := time.Now()
		if pages, err := r.read(t.Context(), ago(2*time.Hour)); err != nil || len(pages[0].ids) != 5 || time.Since(begin) > 2*time.Second {
			t.Errorf("rotated before it was revoked: %v, %v after %v", pages, err, time.Since(begin))
		}
		if strings.Contains(r.log.String(), "ERROR") {
			t.Errorf("a rotation that works is loud:\n%s", r.log)
		}
		c.SetToken("rotated-late")
		go func() {
			time.Sleep(30 * time.Second)
			write("") // a file being written is kept out
			time.Sleep(60 * time.Second)
			write("rotated-late")
		}()
		begin = time.Now()
		if pages, err := r.read(t.Context(), ago(2*time.Hour)); err != nil || len(pages[0].ids) != 5 {
			t.Fatalf("rotated late: %v, %v", pages, err)
		}
		if took := time.Since(begin); took > 125*time.Second {
			t.Errorf("rotated after 90 s, taken up after %v", took)
		}
		if strings.Contains(r.log.String(), "rotated-late") || len(r.ready.Reasons()) > 0 {
			t.Errorf("%v\n%s", r.ready.Reasons(), r.log)
		}
	})
}

func TestFetch_AsksForLessWhereAnswersTakeTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &answers{f: func(_ int, r *http.Request) (*reply, error) {
			limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
			if err != nil {
				return nil, err
			}
			if limit > 100 { // too much for this console
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}
			return good("null", threat("1", ago(time.Hour)))(), nil
		}}
		r := newRig(t, rt)
		if _, err := r.read(t.Context(), ago(2*time.Hour)); err != nil {
			t.Fatal(err)
		}
		if size := r.size.Load(); size != 62 || rt.n != 9 {
			t.Errorf("page size %d after %d requests, want 62 (1000 halved four times) after 9", size, rt.n)
		}
	})
}

func TestFetch_AsksForNoLessWhereTheConsoleIsNotReached(t *testing.T) {
	for name, err := range map[string]error{
		"refused":         &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED},
		"dial timeout":    &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded},
		"no such host":    &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "console.example", IsNotFound: true}},
		"reset":           &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET},
		"proxy timeout":   &net.OpError{Op: "proxyconnect", Net: "tcp", Err: context.DeadlineExceeded},
		"idle connection": io.EOF,
	} {
		synctest.Test(t, func(t *testing.T) {
			rt := &answers{f: func(n int, _ *http.Request) (*reply, error) {
				if n < 12 {
					return nil, err
				}
				return good("null")(), nil
			}}
			r := newRig(t, rt)
			if _, err := r.read(t.Context(), ago(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if r.size.Load() != 1000 {
				t.Errorf("%s: page size %d", name, r.size.Load())
			}
		})
	}
}

func TestFetch_GrowsThePageSizeAgainAfterGoodPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := script(good("null"))
		r := newRig(t, rt, func(c *Config) { c.PageSize = 300 })
		for range 12 {
			r.shrink("test")
		}
		if r.size.Load() != 1 {
			t.Fatalf("halved to %d", r.size.Load())
		}
		if n := strings.Count(r.log.String(), "page size halved"); n != 8 {
			t.Errorf("said %d times for eight halvings", n)
		}
		for range 4 * 9 {
			if _, err := r.read(t.Context(), ago(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if r.size.Load() != 300 || r.metric(t, "page_size_threats") != 300 {
			t.Errorf("grown to %d", r.size.Load())
		}
	})
}

func TestStart_IsResolvedAgainstTheEarlierClock(t *testing.T) {
	for _, c := range []struct {
		start string
		skew  time.Duration
		want  time.Duration // against our clock
	}{
		{"now", 0, 0},
		{"now", -time.Hour, -time.Hour},
		{"now", time.Hour, 0},
		{"-24h", -time.Hour, -25 * time.Hour},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			r := newRig(t, &answers{f: func(_ int, _ *http.Request) (*reply, error) {
				n++
				switch n {
				case 1:
					return respond(503, ""), nil
				case 2:
					return respond(200, page("null"), "Date", ""), nil // says nothing about its clock
				}
				return respond(200, page("null"), "Date", time.Now().Add(c.skew).UTC().Format(http.TimeFormat)), nil
			}}, func(cfg *Config) { cfg.Start = c.start })
			got, err := r.Start(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if off := got.Sub(time.Now().Add(c.want)); off > 0 || off < -time.Second {
				t.Errorf("%s with a skew of %v is %v off", c.start, c.skew, off)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) { // these ask nobody
		for start, want := range map[string]time.Time{"all": time.Unix(0, 0), "2026-10-05T09:00:00+02:00": time.Date(2026, 10, 5, 7, 0, 0, 0, time.UTC)} {
			r := newRig(t, &answers{f: func(int, *http.Request) (*reply, error) { return nil, errors.New("asked") }}, func(cfg *Config) { cfg.Start = start })
			if got, err := r.Start(t.Context()); err != nil || !got.Equal(want) {
				t.Errorf("%s: %v, %v", start, got, err)
			}
		}
		r := newRig(t, script(func() *reply { return respond(401, "") }), func(cfg *Config) { cfg.Start = "now" })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if got, err := r.Start(ctx); !errors.Is(err, context.DeadlineExceeded) || !got.IsZero() {
			t.Errorf("a console that denies: %v, %v", got, err)
		}
	})
}
