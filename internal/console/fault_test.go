package console

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"
)

func TestParseFaults_ReadsEveryName(t *testing.T) {
	got, err := ParseFaults("429=0.05, 429-storm=10s/40s,outage=5s/60s,500=0.1,truncate=0.25,html=1,retry-after=date,cursor-expire=0.5," +
		"cursor-repeat,slow=200ms,no-date,date-skew=-1h,bad-json=0,errors-200=0.2,null-data=0.3,401-after=20s,403-after=1s+5s,late=2s,no-gzip")
	if err != nil {
		t.Fatal(err)
	}
	want := Faults{
		Storm: Cycle{10 * time.Second, 40 * time.Second}, Outage: Cycle{5 * time.Second, time.Minute},
		NoToken: Window{On: true, After: 20 * time.Second}, NoRight: Window{true, time.Second, 5 * time.Second},
		RetryAfter: "date", Slow: 200 * time.Millisecond, DateSkew: -time.Hour, NoDate: true, NoGzip: true, Late: 2 * time.Second,
	}
	want.Chance[Throttle], want.Chance[ServerError], want.Chance[Truncate], want.Chance[LoginPage] = 0.05, 0.1, 0.25, 1
	want.Chance[CursorExpired], want.Chance[CursorRepeated], want.Chance[ErrorsOK], want.Chance[NullData] = 0.5, 1, 0.2, 0.3
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got, err := ParseFaults("cursor-always"); err != nil || got.Chance[CursorExpired] != 1 {
		t.Errorf("cursor-always: %v %v", got.Chance, err)
	}
	for _, s := range []string{"", " ", "none"} {
		if got, err := ParseFaults(s); err != nil || got != (Faults{}) {
			t.Errorf("%q: %+v %v", s, got, err)
		}
	}
	for _, name := range faultNames() {
		if !strings.Contains(FaultSyntax, name) {
			t.Errorf("the help does not name %s", name)
		}
	}
}

func TestParseFaults_SaysWhatIsWrong(t *testing.T) {
	for _, tc := range []struct{ flag, want string }{
		{"404=1", `fault "404=1": is not known; known are 401, `},
		{"none=1", "is not known"},
		{"429=2", "must be a probability from 0 to 1"},
		{"429=NaN", "must be a probability"},
		{"429=", "must be a probability"},
		{"429-storm=10s", "must be a length and a longer period, such as 10s/40s"},
		{"outage=60s/5s", "must be a length and a longer period"},
		{"slow=-1s", "must be a duration such as 2s"},
		{"late=2", "must be a duration such as 2s"},
		{"date-skew=1", "must be a duration such as -1h"},
		{"no-date=1", "takes no value"},
		{"retry-after=later", "must be none, seconds, a number of seconds, date or garbage"},
		{"401-after=20s+0s", "must be a duration, or a duration and a length"},
		{"500=0.1,slow=x", `fault "slow=x"`},
	} {
		if _, err := ParseFaults(tc.flag); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.flag, err, tc.want)
		}
	}
}

func TestFault_EachKindIsWhatItsNameSays(t *testing.T) {
	c := filled(30, true)
	cursorOf := func() string {
		e, _ := ask(t, c, values("limit", "5"))
		return *e.Pagination.NextCursor
	}()
	for _, tc := range []struct {
		kind   Kind
		status int
		holds  string
	}{
		{Throttle, 429, "<center><h1>429 Too Many Requests</h1></center>\r\n<hr><center>nginx</center>"},
		{ServerError, 500, `"code":5000010,"detail":"Server could not process the request"`},
		{BadGateway, 502, "502 Bad Gateway"},
		{Unavailable, 503, "503 Service Unavailable"},
		{GatewayTimeout, 504, "504 Gateway Timeout"},
		{LoginPage, 200, "<!doctype html>"},
		{Redirect, 302, "/login"},
		{ErrorsOK, 200, `"errors":[{"code":5000010`},
		{NullData, 200, `{"data":null,`},
		{Unauthorized, 401, `{"errors":[{"code":4010010,"detail":null,"title":"Authentication Failed"}]}`},
		{Forbidden, 403, `{"errors":[{"code":4030010,"detail":null,"title":"Insufficient permissions"}]}`},
		{CursorExpired, 400, "Invalid cursor value received"},
		{CursorRepeated, 200, `"nextCursor":"` + cursorOf + `"`},
		{Truncate, 200, `{"data":[`},
		{BadJSON, 200, `{"data":[`},
	} {
		t.Run(tc.kind.String(), func(t *testing.T) {
			c.SetHook(func(*http.Request) Fault { return Fault{Kind: tc.kind, RetryAfter: "7"} })
			defer c.SetHook(nil)
			res, body := get(t, c, "/threats?limit=5&"+values("cursor", cursorOf).Encode())
			if res.StatusCode != tc.status || !strings.Contains(body, tc.holds) {
				t.Errorf("got %d %s, want %d with %s", res.StatusCode, body, tc.status, tc.holds)
			}
			if html := strings.HasPrefix(res.Header.Get("Content-Type"), "text/html"); html != strings.HasPrefix(body, "<") {
				t.Errorf("Content-Type %s for %.20s", res.Header.Get("Content-Type"), body)
			}
			if got := res.Header.Get("Retry-After"); (got == "7") != (tc.status == 429 || tc.status == 503) {
				t.Errorf("Retry-After %q with %d", got, tc.status)
			}
			if broken := tc.kind == Truncate || tc.kind == BadJSON; broken && json.Valid([]byte(body)) {
				t.Error("the broken page is valid")
			}
		})
	}
}

func TestFault_DropsAConnectionBeforeOrWithinTheAnswer(t *testing.T) {
	c := filled(30, true)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://h"+API+"/threats", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "ApiToken "+token)
	c.SetHook(func(*http.Request) Fault { return Fault{Kind: Drop} })
	if res, err := c.Transport().RoundTrip(r); !errors.Is(err, io.ErrUnexpectedEOF) {
		_ = res.Body.Close()
		t.Errorf("dropped: %v", err)
	}
	c.SetHook(func(*http.Request) Fault { return Fault{Kind: Reset, Keep: 0.25} })
	res, err := c.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if b, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || len(b) == 0 {
		t.Errorf("reset: %d bytes, %v", len(b), err)
	}
}

func TestFault_TruncatesWhatIsCompressed(t *testing.T) {
	c := filled(30, true)
	c.SetHook(func(*http.Request) Fault { return Fault{Kind: Truncate, Keep: 0.9} })
	res, body := get(t, c, "/threats", "Accept-Encoding", "gzip")
	zr, err := gzip.NewReader(strings.NewReader(body))
	if err != nil || res.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(zr); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the cut gzip reads to its end: %v", err)
	}
}

func TestFault_RulesTheDateHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := filled(1, true)
		for _, tc := range []struct {
			fault Fault
			want  string
		}{
			{Fault{}, "Sat, 01 Jan 2000 00:00:00 GMT"},
			{Fault{DateSkew: time.Hour}, "Sat, 01 Jan 2000 01:00:00 GMT"},
			{Fault{DateSkew: -time.Hour}, "Fri, 31 Dec 1999 23:00:00 GMT"},
			{Fault{NoDate: true}, ""},
			// The answer is stamped when it is sent, after the threats were looked up.
			{Fault{Delay: 3 * time.Second, Hold: 4 * time.Second}, "Sat, 01 Jan 2000 00:00:07 GMT"},
		} {
			c.SetHook(func(*http.Request) Fault { return tc.fault })
			res, _ := get(t, c, "/threats")
			if _, there := res.Header["Date"]; res.Header.Get("Date") != tc.want || there != (tc.want != "") {
				t.Errorf("%+v: Date %q, want %q", tc.fault, res.Header.Get("Date"), tc.want)
			}
		}
	})
}

func TestFault_HoldsAPageThatWasLookedUpBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{Token: token, Tiny: true})
		now := time.Now()
		c.Store.Publish(Threat{ID: 1e18, Created: StampOf(now), Updated: StampOf(now)}, now.Add(2*time.Second))
		c.SetHook(func(*http.Request) Fault { return Fault{Hold: 3 * time.Second} })
		if _, shapes := ask(t, c, values()); len(shapes) != 0 {
			t.Error("a threat that became visible while the answer was held is on the page")
		}
		if _, shapes := ask(t, c, values()); len(shapes) != 1 {
			t.Error("the next page misses it")
		}
	})
}

func TestTransport_EndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := filled(1, true)
		c.SetHook(func(*http.Request) Fault { return Fault{Hold: time.Hour} })
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		start := time.Now()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://h"+API+"/threats", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := (&http.Client{Transport: c.Transport()}).Do(r)
		if err == nil {
			_ = res.Body.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 5*time.Second {
			t.Errorf("ended after %v with %v", time.Since(start), err)
		}
	})
}

func TestFaults_FollowTheirClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fs, err := ParseFaults("429-storm=10s/40s,401-after=85s+8s,retry-after=3")
		if err != nil {
			t.Fatal(err)
		}
		c := New(Config{Token: token, Tiny: true, Faults: fs})
		var got []int
		for range 12 {
			res, _ := get(t, c, "/threats")
			got = append(got, res.StatusCode)
			if res.StatusCode == 429 && res.Header.Get("Retry-After") != "3" {
				t.Errorf("Retry-After %q", res.Header.Get("Retry-After"))
			}
			time.Sleep(10*time.Second + time.Millisecond)
		}
		want := []int{200, 200, 429, 200, 200, 200, 429, 200, 200, 401, 429, 200}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		c.SetFaults(Faults{})
		if res, _ := get(t, c, "/threats"); res.StatusCode != 200 {
			t.Errorf("faults switched off, and still %d", res.StatusCode)
		}
	})
}

func TestFaults_ReplayFromTheirSeed(t *testing.T) {
	run := func(seed uint64) (out string) {
		fs, err := ParseFaults("429=0.2,500=0.2,html=0.2")
		if err != nil {
			t.Fatal(err)
		}
		c := New(Config{Token: token, Tiny: true, Seed: seed, Faults: fs})
		n := map[int]int{}
		for range 300 {
			res, _ := get(t, c, "/threats")
			out += res.Status + res.Header.Get("Content-Type")
			n[res.StatusCode]++
		}
		if n[429] < 35 || n[429] > 90 || n[500] < 20 || n[500] > 80 {
			t.Errorf("of 300 requests %v", n)
		}
		return out
	}
	first, again := run(1), run(1)
	if first != again {
		t.Error("one seed, two runs")
	}
	if first == run(2) {
		t.Error("two seeds, one run")
	}
}

func TestFaults_RetryAfterTakesEveryShape(t *testing.T) {
	now := time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC)
	for spec, want := range map[string]string{"": "", "none": "", "seconds": "2", "30": "30", "garbage": "soon; NaN",
		"date": "Wed, 25 Nov 2026 01:02:05 GMT"} {
		fs := Faults{RetryAfter: spec}
		if got := fs.retryAfter(now); got != want {
			t.Errorf("%q: %q, want %q", spec, got, want)
		}
	}
}
