package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

// splunkTestSink is a sink on a collector of the test.
func splunkTestSink(t *testing.T, h http.Handler, change func(*SplunkConfig)) *Splunk {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	cfg := DefaultSplunk()
	cfg.URL, cfg.Token = srv.URL, "token"
	if change != nil {
		change(cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s, err := NewSplunk(*cfg, Deps{Name: "siem", Source: "emea"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestSplunk_GradeIsWhatTheCollectorShows(t *testing.T) {
	for _, tt := range []struct {
		ack         string
		acks        bool
		before, now Grade
		want        string
	}{
		{"auto", true, BestEffort, Acknowledged, "taken"},
		{"auto", false, BestEffort, BestEffort, "taken"},
		{"required", true, Acknowledged, Acknowledged, "taken"},
		{"required", false, Acknowledged, Acknowledged, "denied"},
		{"off", true, BestEffort, BestEffort, "taken"},
		{"off", false, BestEffort, BestEffort, "taken"},
	} {
		fake := &testpeer.FakeSplunk{Token: "token", Acks: tt.acks}
		s := splunkTestSink(t, fake, func(c *SplunkConfig) { c.Ack = tt.ack })
		before := s.Grade()
		err := s.Write(t.Context(), httpTestRecords(3, 10))
		if before != tt.before || s.Grade() != tt.now || httpKind(err) != tt.want {
			t.Errorf("%s, acks %v: %s, then %s and %s (%v); want %s, then %s and %s", tt.ack, tt.acks, before, s.Grade(), httpKind(err), err, tt.before, tt.now, tt.want)
		}
		if tt.want == "denied" && len(fake.Indexed()) > 0 {
			t.Error("with acks required, events went to a token without: they would be sent again for ever")
		}
		p := s.cfg.Probe(t.Context(), Deps{})
		if wantProblem := tt.want == "denied"; p.Grade != tt.now || (len(p.Problems) > 0) != wantProblem {
			t.Errorf("%s, acks %v: Probe: %+v", tt.ack, tt.acks, p)
		}
	}
}

func TestSplunk_ProbeDoubtsWhatAnswersAsNoCollector(t *testing.T) {
	for _, tt := range []struct {
		name           string
		health, ack    int
		healthy, doubt bool
	}{
		{"a web server on another port", http.StatusNotFound, http.StatusNotFound, false, true},
		{"a port that wants TLS", http.StatusBadRequest, http.StatusBadRequest, false, true},
		{"a collector of others that says by its status alone that it is well", http.StatusOK, http.StatusBadRequest, false, false},
		{"a collector of others that knows no acks", http.StatusOK, http.StatusNotFound, true, false},
	} {
		s := splunkTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case !strings.HasSuffix(r.URL.Path, "/health"):
				w.WriteHeader(tt.ack)
			case tt.healthy:
				_, _ = io.WriteString(w, `{"text":"HEC is healthy","code":17}`)
			default:
				w.WriteHeader(tt.health)
			}
		}), nil)
		if p := s.cfg.Probe(t.Context(), Deps{}); len(p.Problems) > 0 || (len(p.Warnings) > 0) != tt.doubt {
			t.Errorf("%s: Probe: %+v", tt.name, p)
		}
	}
}

func TestSplunk_SendsAgainInANewChannelWhatIsNotAcknowledgedInTime(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token", Acks: true, IndexAfter: time.Hour}
	s := splunkTestSink(t, fake, func(c *SplunkConfig) { c.AckTimeout = 300 * time.Millisecond })
	first := s.channel.guid
	records := httpTestRecords(3, 10)
	if err := s.Write(t.Context(), records); httpKind(err) != "failed" || !strings.Contains(err.Error(), "ack_timeout") {
		t.Fatalf("Write: %v, want no ack", err)
	}
	if s.channel.guid == first || !splunkGUID.MatchString(s.channel.guid) {
		t.Errorf("channel %s after %s, want a new one", s.channel.guid, first)
	}
	fake.Crash(nil) // what was in memory is lost
	fake.SetIndexAfter(0)
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	second := s.channel.guid
	if got := fake.Indexed(); len(got) != 3 {
		t.Errorf("%d events are indexed, want 3", len(got))
	}
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil || s.channel.guid != second {
		t.Errorf("a channel whose acks all came is not used again: %v", err)
	}
}

func TestSplunk_ARestartOfTheCollectorAcknowledgesNothing(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token", Acks: true, IndexAfter: 200 * time.Millisecond}
	var posts atomic.Int64
	// Its channels forgotten, the collector counts ack ids from 0 again: those of what it lost come a second time.
	s := splunkTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/event") && posts.Add(1) == 3 {
			fake.Crash(nil)
		}
		fake.ServeHTTP(w, r)
	}), func(c *SplunkConfig) { c.AckTimeout = 2 * time.Second })
	records := httpTestRecords(4*splunkMaxEvents, 10)
	acked := map[string]bool{}
	for try := 0; len(acked) < len(records); try++ {
		if try == 3 {
			t.Fatal("not delivered in three tries")
		}
		var rest []Record
		for _, r := range records {
			if !acked[r.Event.ID] {
				rest = append(rest, r)
			}
		}
		err := s.Write(t.Context(), rest)
		failed := map[int]bool{}
		var batch *BatchError
		if errors.As(err, &batch) {
			for _, f := range batch.Failed {
				failed[f.Index] = true
			}
		}
		has := map[string]bool{}
		for _, e := range fake.Indexed() {
			has[e.Fields["threat_id"]] = true
		}
		for i, r := range rest {
			if (err == nil || batch != nil) && !failed[i] {
				acked[r.Event.ID] = true
				if !has[r.Event.ID] {
					t.Fatalf("%s was acknowledged and is not indexed", r.Event.ID)
				}
			}
		}
	}
}

func TestSplunk_BelievesNoAckIDThatALostAnswerMayHave(t *testing.T) {
	w := splunkWrite{s: splunkTestSink(t, http.NotFoundHandler(), func(c *SplunkConfig) { c.AckTimeout = time.Nanosecond }),
		ctx: t.Context(), errs: make([]error, 3), pending: map[int64][]int{}}
	w.wait(0, []int{0})
	w.wait(1, []int{1})
	w.wait(7, []int{2})
	w.lost.Store(2) // two answers are lost: after a restart they had the ids 0 and 1
	if spoilt := w.await(); !spoilt {
		t.Error("the channel is used again")
	}
	for i, doubted := range []bool{true, true, false} {
		if got := strings.Contains(w.errs[i].Error(), "has restarted"); got != doubted {
			t.Errorf("record %d: %v", i, w.errs[i])
		}
	}
}

func TestSplunk_BelievesNoAckIDThatCameTwice(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token", Acks: true}
	s := splunkTestSink(t, fake, nil)
	fake.Acknowledge(s.channel.guid, 0, 1)
	w := splunkWrite{s: s, ctx: t.Context(), errs: make([]error, 3), pending: map[int64][]int{}}
	for i, id := range []int64{0, 0, 1} { // the answer from before the restart may well come last
		w.wait(id, []int{i})
	}
	if spoilt := w.await(); !spoilt || w.errs[0] == nil || w.errs[1] == nil || w.errs[2] != nil {
		t.Errorf("spoilt %v, %v; want the last acknowledged alone", spoilt, w.errs)
	}
}

// After a restart, told by an id that came twice or that an earlier Write had, an answer that was lost may have had any id.
func TestSplunk_BelievesNoAckWhereAnAnswerWasLostAfterARestart(t *testing.T) {
	for name, tt := range map[string]struct {
		next int64   // ids below it were of earlier Writes
		ids  []int64 // of answers, the first two from before the restart; the answer behind them is lost
	}{
		"an id came twice":               {0, []int64{0, 1, 0}},
		"an id was an earlier Write's":   {3, []int64{3, 4, 0, 1, 2}},
		"only lower ones, out of order":  {3, []int64{3, 4, 2, 0}},
		"another node of many more acks": {1000, []int64{1000, 1001, 5}},
	} {
		fake := &testpeer.FakeSplunk{Token: "token", Acks: true}
		s := splunkTestSink(t, fake, func(c *SplunkConfig) { c.AckTimeout = 100 * time.Millisecond })
		s.channel.next = tt.next
		// The request whose answer is lost had the id of the second one, which the restart has forgotten.
		fake.Acknowledge(s.channel.guid, tt.ids[1])
		w := splunkWrite{s: s, ctx: t.Context(), errs: make([]error, len(tt.ids)), pending: map[int64][]int{}}
		for i, id := range tt.ids {
			w.wait(id, []int{i})
		}
		w.lost.Store(1)
		if spoilt := w.await(); !spoilt || w.errs[1] == nil {
			t.Errorf("%s: spoilt %v, %v: acknowledged by another's ack", name, spoilt, w.errs)
		}
	}
}

func TestSplunk_StaysOnTheNodeOfItsCookie(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token", Acks: true, Sticky: true, MaxBytes: 1_000_000}
	s := splunkTestSink(t, fake, func(c *SplunkConfig) { c.AckTimeout = 5 * time.Second })
	if err := s.Write(t.Context(), httpTestRecords(5*splunkMaxEvents, 10)); err != nil {
		t.Fatal(err)
	}
	if n := fake.Channels(); n != 1 {
		t.Errorf("%d nodes had events, want 1", n)
	}
}

func TestSplunk_GoesOnAskingWhileTheCollectorIsBusy(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token", Acks: true}
	asked := 0
	fake.Answer(func(path string) (int, string) {
		if path == "/ack" {
			if asked++; asked < 3 {
				return testpeer.SplunkAnswer(9)
			}
		}
		return 0, ""
	})
	s := splunkTestSink(t, fake, nil)
	if err := s.Write(t.Context(), httpTestRecords(2, 10)); err != nil || asked < 3 {
		t.Errorf("Write: %v after %d questions", err, asked)
	}
	fake.Answer(func(path string) (int, string) {
		if path == "/ack" {
			return testpeer.SplunkAnswer(4)
		}
		return 0, ""
	})
	if err := s.Write(t.Context(), httpTestRecords(2, 10)); httpKind(err) != "denied" {
		t.Errorf("a token that is taken away: %v, want a denial", err)
	}
}

func TestSplunk_WaitsNoLongerThanItsContext(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token", Acks: true, IndexAfter: time.Hour}
	s := splunkTestSink(t, fake, nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := s.Write(ctx, httpTestRecords(2, 10)); httpKind(err) != "failed" || time.Since(start) > 2*time.Second {
		t.Errorf("Write: %v after %v", err, time.Since(start))
	}
}

func TestSplunk_ReadsARotatedTokenAfterADenial(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := splunkTestSink(t, &testpeer.FakeSplunk{Token: "token"}, func(c *SplunkConfig) { c.Token, c.TokenFile = "", file })
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != "denied" {
		t.Fatalf("Write with the old token: %v", err)
	}
	if err := os.WriteFile(file, []byte("token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
		t.Errorf("Write with the new token: %v", err)
	}
}

// What slow acks cost is waiting alone: all requests of a batch wait together. (How many threats a second that makes is
// shown by package pipeline under a fake clock, and by the benchmark.)
func TestSplunk_AsksAboutAllRequestsOfABatchTogether(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token", Acks: true, MaxBytes: splunkMaxBytes}
	var asked atomic.Int64
	fake.Answer(func(path string) (int, string) {
		if path == "/ack" && asked.Add(1) <= 2 {
			return 200, `{"acks":{}}` // nothing yet
		}
		return 0, ""
	})
	s := splunkTestSink(t, fake, nil)
	records := httpTestRecords(6*splunkMaxEvents, 10)
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	indexed, _ := fake.Count()
	if n := asked.Load(); n != 3 || indexed != len(records) {
		t.Errorf("asked %d times about %d requests, want 3; %d events are indexed, want %d", n, len(s.split(records)), indexed, len(records))
	}
}

func TestSplunk_EnvelopeSaysWhatSplunkAsksFor(t *testing.T) {
	fake := &testpeer.FakeSplunk{Token: "token"}
	s := splunkTestSink(t, fake, func(c *SplunkConfig) { c.Index = "secu\"rity" })
	raw := []byte("{\"id\":\"1\", \"agentRealtimeInfo\":{\"agentComputerName\":\"pc-\\\"1\\u00e9\"},\r\n\"n\":1.0e2}")
	ev := &event.Event{Raw: raw, ID: "1", Source: "emea", UpdatedAt: time.Date(2026, 1, 6, 10, 0, 0, 123456789, time.UTC), Version: event.NewVersion("h", "1", "u", raw)}
	var records []Record
	for _, encode := range []Encode{format.JSON, func(dst []byte, _ *event.Event, _ int) ([]byte, bool, error) {
		return append(dst, "CEF:0|a\\|\"b\""...), false, nil
	}} {
		body, _, err := s.Wrap(encode)(nil, ev, 1000)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, Record{Event: ev, Body: body})
	}
	if &records[0].Body[0] != &raw[0] {
		t.Error("the threat's own JSON was copied")
	}
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	got := fake.Indexed()
	want := testpeer.SplunkEvent{Time: "1767693600.123456", Host: `pc-"1é`, Source: "sentinelone:api:threats", SourceType: "sentinelone:channel:threats", Index: `secu"rity`}
	for i, e := range got {
		if e.Time != want.Time || e.Host != want.Host || e.Source != want.Source || e.SourceType != want.SourceType || e.Index != want.Index ||
			e.Fields["version"] != ev.Version.String() || e.Fields["threat_id"] != "1" || e.Fields["console"] != "emea" {
			t.Errorf("event %d: %+v, want %+v", i, e, want)
		}
	}
	var text string
	if string(got[0].Event) != string(raw) || json.Unmarshal(got[1].Event, &text) != nil || text != `CEF:0|a\|"b"` {
		t.Errorf("events %s and %s", got[0].Event, got[1].Event)
	}
	if around := len(s.envelope.append(nil, ev, nil)); around > s.envelope.max() {
		t.Errorf("an envelope of %d bytes, over its own limit of %d", around, s.envelope.max())
	}
}

// What an id takes in the envelope is the event's to give: a request over the limit would be refused.
func TestSplunk_ARequestKeepsToItsLimitWhateverTheID(t *testing.T) {
	const limit = 10_000
	var mu sync.Mutex
	largest := int64(0)
	fake := &testpeer.FakeSplunk{Token: "token"}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		largest = max(largest, r.ContentLength)
		mu.Unlock()
		fake.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	cfg := DefaultSplunk()
	cfg.URL, cfg.Token, cfg.Gzip = srv.URL, "token", false
	s, err := NewSplunk(*cfg, Deps{Name: "siem", Source: "emea", MaxMessageBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, id := range []string{"1", strings.Repeat("7", 256), strings.Repeat("\x01", 256)} {
		for _, size := range []int{100, 400, limit} {
			raw := fmt.Appendf(nil, `{"id":"1","indicators":["%s"]}`, strings.Repeat("y", size))
			ev := &event.Event{Raw: raw, ID: id, Source: "emea", UpdatedAt: time.Unix(1767693600, 0), Version: event.NewVersion("h", id, "u", raw)}
			body, _, err := s.Wrap(format.JSON)(nil, ev, cfg.MaxBytes(limit))
			if err != nil {
				t.Fatal(err)
			}
			var records []Record
			for range 40 {
				records = append(records, Record{Event: ev, Body: body})
			}
			largest = 0
			if err := s.Write(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			if largest > limit {
				t.Errorf("an id of %q…, %d bytes: a request of %d bytes", id[:1], size, largest)
			}
		}
	}
}

func TestSplunkConfig_FindsTheCollector(t *testing.T) {
	for in, want := range map[string]string{
		"https://h:8088":                              "https://h:8088/services/collector",
		"https://h:8088/":                             "https://h:8088/services/collector",
		"https://h/services/collector":                "https://h/services/collector",
		"https://h/services/collector/event":          "https://h/services/collector",
		"https://h/services/collector/event/1.0":      "https://h/services/collector",
		"https://h/insert/splunk":                     "https://h/insert/splunk/services/collector",
		"https://h/insert/splunk/services/collector/": "https://h/insert/splunk/services/collector",
	} {
		u, err := (&SplunkConfig{URL: in}).collector()
		if err != nil || u.String() != want {
			t.Errorf("%s: %v (%v), want %s", in, u, err, want)
		}
	}
}

func TestSplunk_ChannelsBeginAsConfigured(t *testing.T) {
	const like = "6a3c0f5e-8f0b-4a58-9d0e-3d3f7f1c2b10"
	a, b := newSplunkChannel(like).guid, newSplunkChannel(like).guid
	if a == b || a == like || a[:24] != like[:24] || b[:24] != like[:24] || !splunkGUID.MatchString(a) {
		t.Errorf("channels %s and %s of %s", a, b, like)
	}
}
