package sink

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

// elasticTestSink is a sink on servers of the test, of one cluster.
func elasticTestSink(t *testing.T, change func(*ElasticConfig), nodes ...http.Handler) *Elastic {
	t.Helper()
	cfg := DefaultElastic()
	cfg.Target = "threats"
	for _, h := range nodes {
		srv := httptest.NewServer(h)
		t.Cleanup(srv.Close)
		cfg.URLs = append(cfg.URLs, srv.URL)
	}
	if change != nil {
		change(cfg)
	}
	s, err := NewElastic(*cfg, Deps{Name: "siem", Source: "emea"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// elasticTestAnswer answers each document with an item of its own _id, made by item from its number.
func elasticTestAnswer(item func(i int) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		b, _ := io.ReadAll(z)
		var items []string
		for i, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
			var action map[string]struct {
				ID string `json:"_id"`
			}
			if i%2 == 0 && json.Unmarshal([]byte(line), &action) == nil {
				for op, a := range action {
					items = append(items, fmt.Sprintf(`{%q:{"_id":%q,%s}}`, op, a.ID, item(i/2)))
				}
			}
		}
		_, _ = fmt.Fprintf(w, `{"errors":false,"items":[%s]}`, strings.Join(items, ","))
	}
}

func TestElastic_GoesOnToTheNextNode(t *testing.T) {
	ok := elasticTestAnswer(func(int) string { return `"status":201` })
	var first, second atomic.Int64
	firstStatus := http.StatusOK
	count := func(n *atomic.Int64, status *int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			if status != nil && *status != http.StatusOK {
				w.WriteHeader(*status)
				return
			}
			ok(w, r)
		}
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	s := elasticTestSink(t, nil, count(&first, &firstStatus), count(&second, nil))
	write := func(want string) {
		t.Helper()
		if err := s.Write(t.Context(), httpTestRecords(2, 10)); httpKind(err) != want {
			t.Fatalf("Write: %s (%v), want %s", httpKind(err), err, want)
		}
	}
	write("taken")
	firstStatus = http.StatusTooManyRequests // its own queue: stay
	write("failed")
	if write("failed"); second.Load() != 0 {
		t.Error("a full queue made the sink leave its node")
	}
	firstStatus = http.StatusAccepted // no answer of _bulk: what is this?
	write("failed")
	write("taken")
	s.current = 0
	firstStatus = http.StatusBadGateway
	write("failed")
	write("taken")
	if write("taken"); second.Load() != 3 {
		t.Errorf("the second node had %d requests, want 3", second.Load())
	}
	before := first.Load()
	s.nodes[1].url = gone.URL // it dies
	firstStatus = http.StatusOK
	if write("taken"); first.Load() != before+1 {
		t.Error("a node that can't be reached cost a Write")
	}
}

func TestElastic_HalvesWhatIsTooLargeAndRemembers(t *testing.T) {
	const limit = 300 << 10
	var tooLarge, taken atomic.Int64
	ok := elasticTestAnswer(func(int) string { return `"status":201` })
	s := elasticTestSink(t, func(c *ElasticConfig) { c.Timeout = 10 * time.Second }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z, _ := gzip.NewReader(r.Body)
		b, _ := io.ReadAll(z)
		if len(b) > limit {
			tooLarge.Add(1)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		taken.Add(1)
		var again strings.Builder
		g := gzip.NewWriter(&again)
		_, _ = g.Write(b)
		_ = g.Close()
		r.Body = io.NopCloser(strings.NewReader(again.String()))
		ok(w, r)
	}))
	records := httpTestRecords(200, 5000) // 1 MB
	for range 3 {
		if err := s.Write(t.Context(), records); err != nil {
			t.Fatal(err)
		}
	}
	if n := tooLarge.Load(); n == 0 || n > 4 {
		t.Errorf("%d requests were too large, want some at first and none later", n)
	}
	one := httpTestRecords(1, limit)
	if err := s.Write(t.Context(), append(records[:2:2], one...)); httpKind(err) != "refused" || len(err.(*BatchError).Failed) != 1 { //nolint:errorlint // as it is returned
		t.Errorf("a document that is too large alone: %v, want it refused by name", err)
	}
}

func TestElastic_RequestsGrowAgainWhenTheDestinationTakesMore(t *testing.T) {
	var limit, tooLarge, requests, largest atomic.Int64
	limit.Store(100 << 10)
	ok := elasticTestAnswer(func(int) string { return `"status":201` })
	s := elasticTestSink(t, func(c *ElasticConfig) { c.Gzip = false }, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		requests.Add(1)
		if int64(len(b)) > limit.Load() {
			tooLarge.Add(1)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		largest.Store(max(largest.Load(), int64(len(b))))
		var zipped bytes.Buffer
		g := gzip.NewWriter(&zipped)
		_, _ = g.Write(b)
		_ = g.Close()
		r.Body = io.NopCloser(&zipped)
		ok(w, r)
	}))
	s.room.after = 10
	records := httpTestRecords(50, 3000)
	write := func(times int) {
		t.Helper()
		for range times {
			if err := s.Write(t.Context(), records); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(40) // two full requests each
	if n := tooLarge.Load(); n < 3 || n > 10 || requests.Load() > 3*40+2*n {
		t.Errorf("%d of %d requests were too large for a limit that stays, want it tried after ten full ones", n, requests.Load())
	}
	if n := largest.Load(); n < 90<<10 {
		t.Errorf("the largest request had %d bytes of the %d that may be", n, limit.Load())
	}
	limit.Store(1 << 20)
	write(40)
	before := requests.Load()
	if write(1); requests.Load() != before+1 {
		t.Errorf("%d requests for a batch that would be taken in one", requests.Load()-before)
	}
	limit.Store(100 << 10) // and back
	write(2)
	if s.room.bytes > 100<<10 {
		t.Errorf("a request may have %d bytes, over the limit", s.room.bytes)
	}
}

func TestElastic_AuthenticatesAsConfigured(t *testing.T) {
	certs := testpeer.NewCerts(t)
	var got atomic.Value
	ok := elasticTestAnswer(func(int) string { return `"status":201` })
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("Authorization"))
		ok(w, r)
	})
	mutual := httpTestTLS(t, certs, true, h)
	file := filepath.Join(t.TempDir(), "key")
	pair := base64.StdEncoding.EncodeToString([]byte("id:secret"))
	for name, tt := range map[string]struct {
		auth ElasticAuth
		want string
	}{
		"an encoded key":  {ElasticAuth{Type: "api_key", APIKey: "aWQ6c2VjcmV0"}, "ApiKey " + pair},
		"a key in parts":  {ElasticAuth{Type: "api_key", APIKey: "id:secret"}, "ApiKey " + pair},
		"a key in a file": {ElasticAuth{Type: "api_key", APIKeyFile: file}, "ApiKey " + pair},
		"a password":      {ElasticAuth{Type: "basic", Username: "id", Password: "secret"}, "Basic " + pair},
		"a certificate":   {ElasticAuth{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if err := os.WriteFile(file, []byte("id:secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			cfg := DefaultElastic()
			cfg.URLs, cfg.Target, cfg.Auth = []string{mutual.URL}, "threats", tt.auth
			cfg.TLS = TLS{CAFile: certs.CA, CertFile: certs.Client.Cert, KeyFile: certs.Client.Key}
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			s, err := NewElastic(*cfg, Deps{})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
				t.Fatal(err)
			}
			if got.Load() != tt.want {
				t.Errorf("Authorization: %q, want %q", got.Load(), tt.want)
			}
			if tt.auth.APIKeyFile == "" {
				return
			}
			if err := os.WriteFile(file, []byte("id:rotated\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			s.reread = true // as after a denial
			if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil || got.Load() == tt.want {
				t.Errorf("a rotated key was not read: %v", err)
			}
		})
	}
}

func TestElastic_ADocumentAlwaysHasATimestampAndIsOneLineOfUTF8(t *testing.T) {
	at := time.Date(2026, 1, 6, 10, 0, 0, 123456000, time.FixedZone("", 3600))
	const stamp = `"@timestamp":"2026-01-06T09:00:00.123456Z"`
	s := elasticTestSink(t, nil, http.NotFoundHandler())
	for _, tt := range []struct{ name, body, want string }{
		{"spliced in", `{"id":"1"}`, `{` + stamp + `,"id":"1"}`},
		{"nothing else", ` { } `, `{` + stamp + ` } `},
		{"already there", `{"a":1,"@timestamp":"2020-01-01T00:00:00Z"}`, `{"a":1,"@timestamp":"2020-01-01T00:00:00Z"}`},
		{"deeper is not there", `{"a":{"@timestamp":1}}`, `{` + stamp + `,"a":{"@timestamp":1}}`},
		{"lines", "{\r\n\"a\":1}", `{` + stamp + `,  "a":1}`},
		{"not UTF-8", "{\"a\":\"\xff\xfeé\"}", `{` + stamp + `,"a":"` + "\uFFFD" + `é"}`},
		{"a line of text", "CEF:0|a|\"b\"\n\xff", `{` + stamp + `,"message":"CEF:0|a|\"b\"\n` + `\ufffd"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			raw := []byte(tt.body)
			encode := s.Wrap(func(dst []byte, _ *event.Event, _ int) ([]byte, bool, error) { return append(dst, raw...), false, nil })
			got, _, err := encode([]byte("before"), &event.Event{UpdatedAt: at}, 0)
			if err != nil || string(got) != "before"+tt.want || !json.Valid(got[6:]) {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
			if string(raw) != tt.body {
				t.Errorf("the format's bytes were changed: %q", raw)
			}
		})
	}
	big := &event.Event{ID: "1", UpdatedAt: at, Raw: []byte(`{"id":"1","indicators":[` + strings.Repeat(`"\u0000",`, 2000) + `1]}`)}
	for max := 300; max < 20_000; max += 61 {
		got, shrunk, err := s.Wrap(format.JSON)(nil, big, max)
		if err != nil || len(got) > max || !json.Valid(got) || shrunk != (max < len(big.Raw)+len(elasticHead)) {
			t.Fatalf("max %d: %d bytes, shrunk %v, %v", max, len(got), shrunk, err)
		}
	}
}

func TestElasticProbe_MatchesPatternsAsTheClusterDoes(t *testing.T) {
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"logs-*-*", "logs-a-b", true}, {"logs-*-*", "logs-a", false}, {"*", "x", true}, {"logs", "logs", true}, {"logs", "logs-a", false},
		{"*-b", "a-b-b", true}, {"a*a", "a", false}, {"a*b*c", "axbxc", true}, {"a*b*c", "axbx", false}, {"*a*", "bab", true},
	} {
		if got := elasticMatch(tt.pattern, tt.name); got != tt.want {
			t.Errorf("%s and %s: %v", tt.pattern, tt.name, got)
		}
	}
}

func TestElasticProbe_SaysWhatAnAccountMayNotSee(t *testing.T) {
	for _, tt := range []struct {
		name           string
		status         int
		found, problem string
	}{
		{"who may write alone", 403, "whether it exists is first known by the first event", ""},
		{"who may nothing", 401, "", "check urls and the auth keys"},
		{"who asks something else", 200, "", "is no Elasticsearch"},
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, "{}")
		}))
		cfg := DefaultElastic()
		cfg.URLs, cfg.Target = []string{srv.URL}, "threats"
		p := cfg.Probe(t.Context(), Deps{})
		srv.Close()
		found, problems := strings.Join(p.Found, "\n"), fmt.Sprint(p.Problems)
		if !strings.Contains(found, tt.found) || !strings.Contains(problems, tt.problem) || (tt.problem == "") != (len(p.Problems) == 0) {
			t.Errorf("%s: found %q, problems %q", tt.name, found, problems)
		}
	}
}
