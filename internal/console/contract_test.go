package console

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const token = "tok"

// reply is an answer whose body has been read to its end and closed.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
}

// get asks c in process.
func get(t testing.TB, c *Console, path string, header ...string) (reply, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://console.example"+API+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "ApiToken "+token)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := c.Transport().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{res.StatusCode, res.Status, res.Header}, string(b)
}

type envelope struct {
	Data       []json.RawMessage
	Pagination struct {
		NextCursor *string
		TotalItems int
	}
}

type shape struct {
	ID         string
	ThreatInfo struct{ CreatedAt, UpdatedAt, IncidentStatus, Classification string }
	Realtime   struct{ AgentComputerName string } `json:"agentRealtimeInfo"`
	Detection  struct{ SiteID string }            `json:"agentDetectionInfo"`
}

// ask queries threats and fails the test unless a page comes back.
func ask(t testing.TB, c *Console, params url.Values) (envelope, []shape) {
	t.Helper()
	res, body := get(t, c, "/threats?"+params.Encode())
	if res.StatusCode != 200 {
		t.Fatalf("%s: status %d: %s", params.Encode(), res.StatusCode, body)
	}
	var e envelope
	if err := json.Unmarshal([]byte(body), &e); err != nil {
		t.Fatalf("%s: %v", params.Encode(), err)
	}
	shapes := make([]shape, len(e.Data))
	for i, raw := range e.Data {
		if err := json.Unmarshal(raw, &shapes[i]); err != nil {
			t.Fatal(err)
		}
	}
	return e, shapes
}

func values(kv ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v
}

var day = time.Date(2026, 11, 20, 8, 0, 0, 123_456_000, time.UTC)

func filled(n int, tiny bool) *Console {
	c := New(Config{Host: "console.example", Token: token, Seed: 7, Tiny: tiny, Ledger: true})
	c.Store.Fill(n, day, day.Add(24*time.Hour))
	return c
}

func TestHandler_AnswersErrorsAsTheConsoleDoes(t *testing.T) {
	c := filled(3, true)
	const validation = `{"errors":[{"code":4000010,"detail":"%","title":"Validation Error"}]}`
	says := func(detail string) string { return strings.Replace(validation, "%", detail, 1) }
	for _, tc := range []struct {
		name, path string
		status     int
		body       string
	}{
		{"an unknown parameter", "/threats?foo=1", 400, says("foo: Unknown field")},
		{"a parameter in the wrong case", "/threats?siteids=1804417203823356902", 400, says("siteids: Unknown field")},
		{"a limit above 1000", "/threats?limit=1001", 400, says("limit: Must be greater than or equal to 1 and less than or equal to 1000")},
		{"a limit of 0", "/threats?limit=0", 400, says("limit: Must be greater than or equal to 1 and less than or equal to 1000")},
		{"a limit that is no number", "/threats?limit=x", 400, says("limit: Not a valid integer.")},
		{"a skip above 1000", "/threats?skip=1001", 400, `{"errors":[{"code":4000080,"detail":"Cannot display more than 1000 results","title":"Bad Request"}]}`},
		{"a negative skip", "/threats?skip=-1", 400, says("skip: Must be greater than or equal to 0 and less than or equal to 1000")},
		{"a small site id", "/threats?siteIds=12", 400, says("siteIds: 0: Must be greater than or equal to 100000000000000000.")},
		{"an id that is no number", "/threats?ids=1804417203823356902,x", 400, says("ids: 1: Not a valid integer.")},
		{"a value that is no choice", "/threats?incidentStatuses=resolved,closed", 400, says(`incidentStatuses: 1: \"closed\" is not a valid choice.`)},
		{"an unknown order", "/threats?sortBy=identifiedAt", 400, says(`sortBy: \"identifiedAt\" is not a valid choice.`)},
		{"a moment that is none", "/threats?updatedAt__gte=yesterday", 400, says("updatedAt__gte: Not a valid datetime.")},
		{"a flag that is none", "/threats?skipCount=maybe", 400, says("skipCount: Not a valid boolean.")},
		{"a text too short", "/threats?computerName__contains=a", 400, says("computerName__contains: 0: Shorter than minimum length 2.")},
		{"too many items", "/threats?filePath__contains=" + strings.Repeat("ab,", 10) + "ab", 400, says("filePath__contains: Longer than maximum length 10.")},
		{"a cursor that is none", "/threats?cursor=abc", 400, says("Invalid cursor value received")},
		{"another path", "/agents", 404, "404 page not found\n"},
		{"the status", "/system/status", 200, `{"data":{"health":"ok"}}`},
		{"an exact page", "/threats?ids=1000000000000000000", 200, `{"data":[],"pagination":{"nextCursor":null,"totalItems":0}}`},
		{"a count", "/threats?countOnly=true", 200, `{"data":[],"pagination":{"totalItems":3}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, body := get(t, c, tc.path)
			if res.StatusCode != tc.status || body != tc.body {
				t.Errorf("got %d %s\nwant %d %s", res.StatusCode, body, tc.status, tc.body)
			}
			for _, h := range []string{"Date", "X-Rqid", "Content-Type"} {
				if res.Header.Get(h) == "" {
					t.Errorf("no %s header", h)
				}
			}
			if got := res.Header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control: %q", got)
			}
		})
	}
}

func TestHandler_LetsInTheTokenAlone(t *testing.T) {
	c := filled(1, true)
	const refused = `{"errors":[{"code":4010010,"detail":null,"title":"Authentication Failed"}]}`
	for _, tc := range []struct {
		name, path, authorization string
		status                    int
	}{
		{"the token", "/threats", "ApiToken tok", 200},
		{"the scheme as the vendor's own SDK writes it", "/threats", "APIToken tok", 200},
		{"another token", "/threats", "ApiToken nope", 401},
		{"another scheme", "/threats", "Bearer tok", 401},
		{"nothing", "/threats", "", 401},
		{"nothing, for the version", "/system/info", "", 401},
		{"nothing, for the health", "/system/status", "", 200},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, body := get(t, c, tc.path, "Authorization", tc.authorization)
			if res.StatusCode != tc.status {
				t.Errorf("status %d, want %d", res.StatusCode, tc.status)
			}
			if tc.status == 401 && body != refused {
				t.Errorf("body %s", body)
			}
		})
	}
	c.SetToken("new")
	if res, _ := get(t, c, "/threats"); res.StatusCode != 401 {
		t.Errorf("a revoked token still gets %d", res.StatusCode)
	}
}

func TestHandler_RefusesOtherMethods(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, API+"/threats", nil)
	filled(1, true).ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("status %d, want 405", w.Code)
	}
}

func TestParams_AreThoseOfTheEndpoint(t *testing.T) {
	if len(params) != 105 {
		t.Errorf("%d parameters, want the 102 published and 3 more", len(params))
	}
	c := filled(5, false)
	for name, p := range params {
		value := "abc"
		switch {
		case p.enum != nil:
			value = p.enum[0]
		case name == "cursor":
			continue
		case p.kind == boolean:
			value = "false"
		case p.kind == integer:
			value = "1"
		case p.kind == datetime:
			value = "2018-02-27T04:49:26+00:00"
		case p.kind == idList:
			value = "1804417203823356902"
		}
		if res, body := get(t, c, "/threats?"+values(name, value).Encode()); res.StatusCode != 200 {
			t.Errorf("%s=%s: %d %s", name, value, res.StatusCode, body)
		}
	}
}

func TestHandler_FiltersAsAsked(t *testing.T) {
	c := filled(400, false)
	_, all := ask(t, c, values("limit", "1000"))
	if len(all) != 400 {
		t.Fatalf("%d threats, want 400", len(all))
	}
	x := all[123]
	raw := c.Body(mustLatest(t, c, x.ID))
	var sha struct{ ThreatInfo struct{ SHA1 string } }
	if err := json.Unmarshal(raw, &sha); err != nil {
		t.Fatal(err)
	}
	var some struct{ ids []string }
	for _, s := range []int{9, 3, 200} {
		some.ids = append(some.ids, all[s].ID)
	}
	at := x.ThreatInfo.UpdatedAt
	for _, tc := range []struct {
		name, value string
		keep        func(s shape) bool
	}{
		{"updatedAt__gt", at, func(s shape) bool { return s.ThreatInfo.UpdatedAt > at }},
		{"updatedAt__gte", at, func(s shape) bool { return s.ThreatInfo.UpdatedAt >= at }},
		{"updatedAt__lt", at, func(s shape) bool { return s.ThreatInfo.UpdatedAt < at }},
		{"updatedAt__lte", at, func(s shape) bool { return s.ThreatInfo.UpdatedAt <= at }},
		{"createdAt__gt", x.ThreatInfo.CreatedAt, func(s shape) bool { return s.ThreatInfo.CreatedAt > x.ThreatInfo.CreatedAt }},
		{"createdAt__lte", x.ThreatInfo.CreatedAt, func(s shape) bool { return s.ThreatInfo.CreatedAt <= x.ThreatInfo.CreatedAt }},
		{"ids", strings.Join(some.ids, ","), func(s shape) bool { return slices.Contains(some.ids, s.ID) }},
		{"incidentStatuses", "resolved,in_progress", func(s shape) bool { return s.ThreatInfo.IncidentStatus != "unresolved" }},
		{"incidentStatusesNin", "resolved", func(s shape) bool { return s.ThreatInfo.IncidentStatus != "resolved" }},
		{"resolved", "true", func(s shape) bool { return s.ThreatInfo.IncidentStatus == "resolved" }},
		{"classifications", x.ThreatInfo.Classification, func(s shape) bool { return s.ThreatInfo.Classification == x.ThreatInfo.Classification }},
		{"classificationsNin", x.ThreatInfo.Classification, func(s shape) bool { return s.ThreatInfo.Classification != x.ThreatInfo.Classification }},
		{"siteIds", x.Detection.SiteID, func(s shape) bool { return s.Detection.SiteID == x.Detection.SiteID }},
		{"computerName__contains", strings.ToLower(x.Realtime.AgentComputerName), func(s shape) bool {
			return s.Realtime.AgentComputerName == x.Realtime.AgentComputerName
		}},
		{"contentHashes", sha.ThreatInfo.SHA1, func(s shape) bool { return s.ID == x.ID }},
		{"query", strings.ToUpper(sha.ThreatInfo.SHA1[3:30]), func(s shape) bool { return s.ID == x.ID }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var want []string
			for _, s := range all {
				if tc.keep(s) {
					want = append(want, s.ID)
				}
			}
			if len(want) == 0 || len(want) == len(all) {
				t.Fatalf("the filter keeps %d of %d: the test proves nothing", len(want), len(all))
			}
			for _, order := range []string{"id", "createdAt", "updatedAt"} {
				e, shapes := ask(t, c, values(tc.name, tc.value, "limit", "1000", "sortBy", order))
				var got []string
				for _, s := range shapes {
					got = append(got, s.ID)
				}
				slices.Sort(got)
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("by %s: %s", order, d)
				}
				if e.Pagination.TotalItems != len(want) {
					t.Errorf("by %s: totalItems %d, want %d", order, e.Pagination.TotalItems, len(want))
				}
			}
		})
	}
}

func mustLatest(t testing.TB, c *Console, id string) Threat {
	t.Helper()
	for _, n := range c.Store.IDs() {
		if th, ok := c.Store.Latest(n); ok && th.IDString() == id {
			return th
		}
	}
	t.Fatalf("no threat %s", id)
	return Threat{}
}
