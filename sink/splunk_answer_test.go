package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"s1stream/internal/testpeer"
)

func splunkSays(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = fmt.Fprint(w, body)
	}
}

func TestSplunk_JudgesEveryCode(t *testing.T) {
	want := map[int]string{
		0: "taken", 1: "denied", 2: "denied", 3: "denied", 4: "denied", 5: "refused", 6: "refused", 7: "denied", 8: "failed", 9: "failed",
		10: "denied", 11: "denied", 12: "refused", 13: "refused", 14: "denied", 15: "refused", 16: "denied", 17: "failed", 18: "failed",
		19: "failed", 20: "failed", 21: "denied", 22: "denied", 23: "failed", 24: "failed", 25: "failed", 26: "failed", 27: "failed", 28: "denied",
	}
	if len(want) != testpeer.SplunkCodes() {
		t.Errorf("the collector's table has %d codes, of which %d are known", testpeer.SplunkCodes(), len(want))
	}
	for code, want := range want {
		status, body := testpeer.SplunkAnswer(code)
		s := splunkTestSink(t, splunkSays(status, body), nil)
		err := s.Write(t.Context(), httpTestRecords(1, 10))
		if httpKind(err) != want || (want == "taken") != (err == nil) {
			t.Errorf("code %d: %s (%v), want %s", code, httpKind(err), err, want)
		}
		if err != nil && !strings.Contains(err.Error(), fmt.Sprintf("code %d ", code)) {
			t.Errorf("code %d is not shown: %v", code, err)
		}
		if code == 0 {
			continue
		}
		// Success in the status is none where the code says otherwise.
		s = splunkTestSink(t, splunkSays(http.StatusOK, body), nil)
		if err := s.Write(t.Context(), httpTestRecords(1, 10)); err == nil {
			t.Errorf("code %d with status 200 is taken", code)
		}
	}
}

func TestSplunk_JudgesWhatIsNoAnswerOfACollector(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   string
	}{
		{"a login page", 200, "<html>Sign in</html>", "failed"},
		{"nothing", 200, "", "failed"},
		{"no code", 200, `{"text":"Success"}`, "failed"},
		{"a code of text", 200, `{"text":"Success","code":"0"}`, "failed"},
		{"an impossible ack id", 200, `{"text":"Success","code":0,"ackId":-1}`, "failed"},
		{"an unknown code", 200, `{"text":"x","code":99}`, "failed"},
		{"created", 201, `{"text":"Success","code":0}`, "failed"},
		{"not found", 404, "404", "denied"},
		{"a redirect", 302, "", "denied"},
		{"a proxy's credentials", 407, "", "denied"},
		{"forbidden by a proxy", 403, "<html>", "denied"},
		{"too large, alone", 413, "", "refused"},
		{"throttled", 429, "", "failed"},
		{"a bad gateway", 502, "<html>", "failed"},
		{"a bad gateway that talks of events", 502, `{"text":"x","code":6,"invalid-event-number":0}`, "failed"},
	} {
		s := splunkTestSink(t, splunkSays(tt.status, tt.body), nil)
		if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != tt.want {
			t.Errorf("%s: %s (%v), want %s", tt.name, httpKind(err), err, tt.want)
		}
	}
	wait := splunkTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "30")
		splunkSays(503, `{"text":"Server is busy","code":9}`)(w, nil)
	}), nil)
	if err := wait.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != "wait 30s" {
		t.Errorf("Retry-After: %v", err)
	}
}

func TestSplunk_SendsTheGuiltyEventByItself(t *testing.T) {
	for name, tt := range map[string]struct {
		named func(guilty int) string // the answer's end
		most  int64                   // requests
	}{
		"named":         {func(i int) string { return fmt.Sprintf(`,"invalid-event-number":%d`, i) }, 12},
		"not named":     {func(int) string { return "" }, 60},
		"another named": {func(int) string { return `,"invalid-event-number":0` }, 60},
		"out of range":  {func(int) string { return `,"invalid-event-number":1000` }, 60},
	} {
		t.Run(name, func(t *testing.T) {
			var requests atomic.Int64
			s := splunkTestSink(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				d := json.NewDecoder(r.Body)
				for i := 0; ; i++ {
					var e testpeer.SplunkEvent
					if d.Decode(&e) != nil {
						break
					}
					if id := e.Fields["threat_id"]; id == "id-3" || id == "id-17" || id == "id-31" {
						splunkSays(400, `{"text":"Invalid data format","code":6`+tt.named(i)+`}`)(w, r)
						return
					}
				}
				splunkSays(200, `{"text":"Success","code":0}`)(w, r)
			}), func(c *SplunkConfig) { c.Gzip = false })
			err := s.Write(t.Context(), httpTestRecords(40, 10))
			var batch *BatchError
			if !errors.As(err, &batch) || len(batch.Failed) != 3 {
				t.Fatalf("Write: %v, want three refused", err)
			}
			for i, want := range []int{3, 17, 31} {
				if f := batch.Failed[i]; f.Index != want || !httpRefused(f.Err) {
					t.Errorf("record %d: %v, want record %d refused", f.Index, f.Err, want)
				}
			}
			if n := requests.Load(); n > tt.most {
				t.Errorf("%d requests, want at most %d", n, tt.most)
			}
		})
	}
}

func FuzzSplunkAnswer(f *testing.F) {
	f.Add([]byte(`{"text":"Success","code":0,"ackId":7}`))
	f.Add([]byte(`{"text":"Invalid data format","code":6,"invalid-event-number":3}`))
	f.Add([]byte(`{"acks":{"7":true,"8":false}}`))
	f.Add([]byte(`<html>`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := readSplunkAnswer(b); err == nil {
			var doc map[string]any
			if json.Unmarshal(b, &doc) != nil || a.Code == nil || a.AckID != nil && *a.AckID < 0 {
				t.Fatalf("taken for an answer: %q", b)
			}
		}
		acked, err := readSplunkAcks(b)
		if err != nil && acked != nil {
			t.Fatalf("acks %v of what is no answer: %q", acked, b)
		}
		for id, yes := range acked {
			if !yes || !strings.Contains(string(b), "true") {
				t.Fatalf("%d is acknowledged by %q", id, b)
			}
		}
	})
}
