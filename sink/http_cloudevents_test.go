package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
	"s1stream/sink/format"
)

func httpTestThreat(raw string) *event.Event {
	at := time.Date(2026, 1, 6, 10, 0, 0, 123456000, time.UTC)
	return &event.Event{Raw: []byte(raw), ID: "1234567890123456789", UpdatedAt: at, CreatedAt: at, Version: event.NewVersion("h", "1", "2", []byte(raw))}
}

// httpTestWrapped is a record as a line makes it.
func httpTestWrapped(t *testing.T, s *HTTP, ev *event.Event, max int) Record {
	t.Helper()
	name := "json"
	if s.deps.ContentType == format.TextType {
		name = "cef"
	}
	encode, err := format.New(name, format.Options{}, "console.example.com", nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _, err := s.Wrap(encode)(nil, ev, max)
	if err != nil {
		t.Fatal(err)
	}
	return Record{Event: ev, Body: body}
}

func TestHTTP_SendsCloudEventsInEachMode(t *testing.T) {
	ev := httpTestThreat(`{"id":"1234567890123456789", "agentDetectionInfo":{"accountId":"42"}}`)
	version := ev.Version.String()
	text := `{"specversion":"1.0","id":"` + version + `","source":"https://console.example.com/accounts/42","type":"com.sentinelone.threat.created",` +
		`"subject":"1234567890123456789","time":"2026-01-06T10:00:00.123456Z","datacontenttype":"application/json","data":` + string(ev.Raw) + `}`
	for _, tt := range []struct{ mode, contentType, body string }{
		{"cloudevents", "application/cloudevents+json", text},
		{"cloudevents-batch", "application/cloudevents-batch+json", "[" + text + "," + text + "]"},
		{"cloudevents-binary", "application/json", string(ev.Raw)},
	} {
		rec := &httpRecorder{}
		s := httpTestSink(t, rec, func(c *HTTPConfig) { c.Body = tt.mode })
		s.deps.Host = "console.example.com"
		r := httpTestWrapped(t, s, ev, 0)
		if err := s.Write(t.Context(), []Record{r, r}); err != nil {
			t.Fatal(err)
		}
		seen := rec.take()
		if n := map[bool]int{true: 1, false: 2}[tt.mode == "cloudevents-batch"]; len(seen) != n {
			t.Errorf("%s: %d requests, want %d", tt.mode, len(seen), n)
		}
		if got := string(seen[0].body); got != tt.body || seen[0].header.Get("Content-Type") != tt.contentType {
			t.Errorf("%s: the request is %s\n%s", tt.mode, seen[0].header, got)
		}
		got := map[string]string{}
		for name, values := range seen[0].header {
			if strings.HasPrefix(name, "Ce-") {
				got[strings.ToLower(name)] = strings.Join(values, "|")
			}
		}
		want := map[string]string{}
		if tt.mode == "cloudevents-binary" {
			want = map[string]string{
				"ce-specversion": "1.0", "ce-id": version, "ce-source": "https://console.example.com/accounts/42",
				"ce-type": "com.sentinelone.threat.created", "ce-subject": "1234567890123456789", "ce-time": "2026-01-06T10:00:00.123456Z",
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: headers (-want +got):\n%s", tt.mode, d)
		}
	}
}

// The limit is on the whole body. JSON stands in it as it is; text grows when it is quoted, by how much nobody knows before.
func TestHTTP_EveryFormatFitsIntoALimitWithItsEnvelope(t *testing.T) {
	for _, name := range format.Names() {
		encode, err := format.New(name, format.Options{}, "console.example.com", nil)
		if err != nil {
			t.Fatal(err)
		}
		n, shrank := 0, 0
		for c := range corpus.Threats(1, 160) {
			for _, mode := range []string{"cloudevents", "cloudevents-batch"} {
				cfg := &HTTPConfig{Body: mode}
				h := &HTTP{cfg: *cfg, deps: Deps{Host: "console.example.com", ContentType: format.ContentType(name)}}
				limit := [...]int{1800, 2500, 4000, 8000, 64 << 10}[n%5]
				body, shrunk, err := h.Wrap(encode)(nil, &c.Event, cfg.MaxBytes(limit))
				if err != nil {
					t.Fatalf("%s of %s, limit %d: %v", name, c.Name, limit, err)
				}
				if request := h.body([]Record{{Event: &c.Event, Body: body}}); len(request) > limit || !json.Valid(request) || !utf8.Valid(request) {
					t.Fatalf("%s of %s: %d bytes for a limit of %d: %.200q", name, c.Name, len(request), limit, request)
				}
				again, less, _ := h.Wrap(encode)([]byte("before"), &c.Event, cfg.MaxBytes(limit))
				if less != shrunk || string(again) != "before"+string(body) {
					t.Fatalf("%s of %s: not the same when appended", name, c.Name)
				}
				// cef and leef have lengths of their own, which shrink a record whatever the limit.
				whole, cut, err := h.Wrap(encode)(nil, &c.Event, 0)
				if err != nil || shrunk != (cut || len(whole) > cfg.MaxBytes(limit)) {
					t.Fatalf("%s of %s: shrunk %v, whole it has %d bytes of %d (%v)", name, c.Name, shrunk, len(whole), cfg.MaxBytes(limit), err)
				}
				if shrunk {
					shrank++
				}
			}
			n++
		}
		if shrank == 0 {
			t.Errorf("%s: nothing was shrunk", name)
		}
	}
}

// A text of n bytes of which each grows by a factor that depends on how long the text is: the worst that quoting can do, and
// worse than that, for no try may tell anything about the next one.
func TestHTTPFit_EndsSoonWhateverTheTextMakesOfItself(t *testing.T) {
	for name, grow := range map[string]func(n int) int{
		"by six":               func(n int) int { return 6 * n },
		"by one byte over":     func(n int) int { return max(n+1, 1000) },
		"always just too much": func(n int) int { return 1000 + n%2 },
		"not below 700":        func(n int) int { return map[bool]int{true: n, false: n + 900}[n < 700] },
		"not at all":           func(n int) int { return n },
	} {
		tries := 0
		encode := func(_ []byte, _ *event.Event, room int) ([]byte, bool, error) {
			tries++
			if room < 100 {
				return nil, false, fmt.Errorf("not into %d", room)
			}
			return make([]byte, min(room, 5000)), room < 5000, nil
		}
		finish := func(b []byte) []byte { return make([]byte, grow(len(b))+50) }
		body, _, err := httpFit(nil, nil, 1000, 50, encode, finish)
		if tries > 64 {
			t.Errorf("%s: %d tries", name, tries)
		}
		fits := name != "by one byte over" && name != "always just too much"
		if (err == nil) != fits || len(body) > 1000 {
			t.Errorf("%s: %d bytes, %v after %d tries", name, len(body), err, tries)
		}
	}
}

func TestHTTP_AnEnvelopeThatDoesNotFitIsSaid(t *testing.T) {
	h := &HTTP{cfg: HTTPConfig{Body: "cloudevents"}, deps: Deps{Host: "console.example.com", ContentType: format.JSONType}}
	_, _, err := h.Wrap(format.JSON)(nil, httpTestThreat(`{}`), 200)
	if err == nil || !strings.Contains(err.Error(), "max_message_bytes") {
		t.Errorf("error is %v", err)
	}
}

func FuzzHTTP_CloudEventsFitAndSayTheSame(f *testing.F) {
	f.Add("CEF:0|a|b|c|\\\\|=\"", 600)
	f.Add(strings.Repeat("\x01\"\u2028\xff", 300), 500)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		limit = 100 + limit&0xffff
		ev := httpTestThreat(`{"id":"1"}`)
		h := &HTTP{cfg: HTTPConfig{Body: "cloudevents"}, deps: Deps{Host: "console.example.com", ContentType: format.TextType}}
		body, shrunk, err := h.Wrap(func(dst []byte, _ *event.Event, room int) ([]byte, bool, error) {
			if room > 0 && len(text) > room {
				return append(dst, text[:room]...), true, nil
			}
			return append(dst, text...), false, nil
		})(nil, ev, limit)
		if err != nil {
			if limit > 2000 && len(text) > 0 {
				t.Fatalf("%d bytes do not fit into %d: %v", len(text), limit, err)
			}
			return
		}
		var got struct{ Data string }
		if err := json.Unmarshal(body, &got); err != nil || len(body) > limit {
			t.Fatalf("%d bytes of %d, %v", len(body), limit, err)
		}
		clean := func(s string) []byte {
			return bytes.ReplaceAll(bytes.ToValidUTF8([]byte(s), []byte("\uFFFD")), []byte("\uFFFD"), nil)
		}
		if want := clean(text); !shrunk && !bytes.Equal(clean(got.Data), want) {
			t.Fatalf("data is %q, want %q", got.Data, text)
		}
	})
}
