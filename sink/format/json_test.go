package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"s1stream/internal/event"
)

// threat is a threat of the console's shape, with a command line and a list of indicators of the given lengths.
func threat(arguments string, indicators, labels int) *event.Event {
	list := strings.TrimSuffix(strings.Repeat(`{"category":"General","description":"x","ids":[43],"tactics":[]},`, indicators), ",")
	raw := fmt.Sprintf(`{"agentRealtimeInfo":{"agentComputerName":"RTM-LT-0417","agentId":"2104880512239147008","networkInterfaces":[{"inet":["10.42.17.93"]}]},`+
		`"id":"2316604981177352196","indicators":[%s],"kubernetesInfo":{"podLabels":%q},"mitigationStatus":[{"action":"kill","status":"success"}],`+
		`"threatInfo":{"classification":"Trojan","maliciousProcessArguments":%s,"sha256":"c5b9","threatName":"CMR.exe","updatedAt":"2026-11-21T13:06:44.908771Z"}}`,
		list, strings.Repeat("l", labels), quote(arguments))
	return &event.Event{Raw: []byte(raw), ID: "2316604981177352196"}
}

func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestJSON_IsTheThreatItselfWhereItFits(t *testing.T) {
	ev := threat("/quiet", 2, 10)
	for _, limit := range []int{0, len(ev.Raw)} {
		body, shrunk, err := JSON(nil, ev, limit)
		if err != nil || shrunk || &body[0] != &ev.Raw[0] {
			t.Errorf("limit %d: not Raw itself (shrunk %v, err %v)", limit, shrunk, err)
		}
		body, shrunk, err = JSON([]byte("header "), ev, limit)
		if err != nil || shrunk || string(body) != "header "+string(ev.Raw) {
			t.Errorf("limit %d: appended %q (shrunk %v, err %v)", limit, body, shrunk, err)
		}
	}
}

func TestJSON_DropsTheHeavyPartsInAFixedOrder(t *testing.T) {
	for _, c := range []struct {
		name  string
		ev    *event.Event
		limit int
		keeps string
		loses string
	}{
		{"a long command line alone", threat(strings.Repeat("a\"", 4000), 2, 10), 3000, `"indicators":[{`, "zzz"},
		{"then the indicators", threat(strings.Repeat("a", 4000), 200, 10), 3000, `"podLabels":"l`, `"category"`},
		{"then the labels", threat(strings.Repeat("a", 4000), 200, 3000), 3000, `"inet":["10.42.17.93"]`, `"podLabels":"l`},
		{"then interfaces", threat(strings.Repeat("a", 4000), 0, 9), 1030, `"mitigationStatus":[{`, `"inet"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			body, shrunk, err := JSON([]byte("h "), c.ev, c.limit)
			if err != nil || !shrunk {
				t.Fatalf("shrunk %v, err %v", shrunk, err)
			}
			got := body[2:]
			checkShrunk(t, c.ev, got, c.limit)
			if !bytes.Contains(got, []byte(c.keeps)) || bytes.Contains(got, []byte(c.loses)) {
				t.Errorf("want %s kept and %s gone: %s", c.keeps, c.loses, got)
			}
			if !bytes.Contains(got, []byte(`"agentId":"2104880512239147008"`)) {
				t.Errorf("not the threat any more: %s", got)
			}
		})
	}
}

func TestJSON_SummarisesWhatIsStillTooLarge(t *testing.T) {
	ev := threat(strings.Repeat("é", 5000), 100, 5000)
	for _, limit := range []int{900, 500, 400, 230} {
		body, shrunk, err := JSON(nil, ev, limit)
		if err != nil || !shrunk {
			t.Fatalf("limit %d: shrunk %v, err %v", limit, shrunk, err)
		}
		checkShrunk(t, ev, body, limit)
		if !bytes.Contains(body, []byte(`"updatedAt":"2026-11-21T13:06:44.908771Z"`)) {
			t.Errorf("limit %d: updatedAt is missing or cut: %s", limit, body)
		}
	}
	if _, _, err := JSON(nil, ev, 120); err == nil {
		t.Error("120 bytes hold no summary: want an error")
	}
}

func TestJSON_SummaryKeepsWhatAnAnalystNeedsFirst(t *testing.T) {
	ev := threat(strings.Repeat("a", 5000), 100, 5000)
	body, _, err := JSON(nil, ev, 900)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"threatName":"CMR.exe"`, `"sha256":"c5b9"`, `"agentComputerName":"RTM-LT-0417"`, `"maliciousProcessArguments":"aaa`} {
		if !bytes.Contains(body, []byte(want)) {
			t.Errorf("%s is missing: %s", want, body)
		}
	}
}

func TestJSON_IsAnErrorForWhatIsNoThreat(t *testing.T) {
	// Quarantined stubs and ids of strange types reach a sink too: valid JSON or an error, nothing else.
	for _, raw := range []string{`{}`, `{"id":null}`, `{"id":{"a":1}}`, `{"id":"` + strings.Repeat("9", 500) + `"}`, `{"threatInfo":[],"id":7}`} {
		ev := &event.Event{Raw: []byte(raw + strings.Repeat(" ", 600)), ID: "x"}
		body, _, err := JSON(nil, ev, 400)
		if err == nil && (len(body) > 400 || !json.Valid(body)) {
			t.Errorf("%s: %s", raw, body)
		}
	}
}

func TestOneLine_ReplacesLineBreaksBetweenTokensAlone(t *testing.T) {
	plain := []byte(`{"a":"\n\r"}`)
	if got := OneLine(plain); &got[0] != &plain[0] {
		t.Error("copied without need")
	}
	pretty := []byte("{\r\n\t\"a\": 1\n}")
	if got := string(OneLine(pretty)); got != "{  \t\"a\": 1 }" {
		t.Errorf("got %q", got)
	}
	if string(pretty) != "{\r\n\t\"a\": 1\n}" {
		t.Error("wrote to what it was given")
	}
}

func checkShrunk(t *testing.T, ev *event.Event, got []byte, limit int) {
	t.Helper()
	if len(got) > limit {
		t.Errorf("%d bytes, limit %d", len(got), limit)
	}
	var m struct {
		Truncated bool            `json:"_truncated"`
		Size      int             `json:"_size"`
		Sum       string          `json:"_sha256"`
		ID        json.RawMessage `json:"id"`
	}
	if err := json.Unmarshal(got, &m); err != nil {
		t.Fatalf("not JSON: %v: %s", err, got)
	}
	sum := sha256.Sum256(ev.Raw)
	if !m.Truncated || m.Size != len(ev.Raw) || m.Sum != hex.EncodeToString(sum[:]) {
		t.Errorf("does not say what it was: %+v", m)
	}
	if utf8.Valid(ev.Raw) && !utf8.Valid(got) {
		t.Errorf("cut inside a character: %q", got)
	}
}

// FuzzShrink shrinks any JSON object to any size: valid JSON that fits, or an error; no escape and no character
// is cut in two.
func FuzzShrink(f *testing.F) {
	f.Add(threat(strings.Repeat(`é\"`, 700), 20, 10).Raw, 2000)
	f.Add([]byte(`{"id":"1","threatInfo":{"threatName":"`+strings.Repeat(`\ud83d\ude00`, 100)+`","maliciousProcessArguments":"`+strings.Repeat(`😀\\`, 200)+`"}}`), 600)
	f.Add([]byte(`{ "indicators" : [ 1 , 2 ] , "indicators":[],"threatInfo":{"maliciousProcessArguments":[]},"mitigationStatus":null}`), 100)
	f.Add([]byte("{\"id\":\"\xff\",\"containerInfo\":{\"labels\":\"\xc3\"},\"agentRealtimeInfo\":7}"), 50)
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		raw = bytes.TrimSpace(raw)
		if !json.Valid(raw) || raw[0] != '{' {
			return // the source hands on objects alone
		}
		limit = max(1, min(limit, len(raw)-1))
		ev := &event.Event{Raw: raw, ID: "7"}
		before := bytes.Clone(raw)
		body, shrunk, err := JSON(nil, ev, limit)
		if !bytes.Equal(before, raw) {
			t.Fatal("the event was written to")
		}
		if err != nil {
			return
		}
		if !shrunk {
			t.Fatal("not reported as shrunk")
		}
		checkShrunk(t, ev, body, limit)
	})
}
