package format

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

func newCEF(t testing.TB, o CEFOptions) func([]byte, *event.Event, int) ([]byte, bool, error) {
	t.Helper()
	encode, err := NewCEF(o)
	if err != nil {
		t.Fatal(err)
	}
	return encode
}

// corpusSize is how much of the corpus a test in Go reads; its judges read all of it.
const corpusSize = 600

func TestCEF_IsWhatItWasInTheLastRelease(t *testing.T) {
	golden(t, "cef-0.txt", newCEF(t, CEFOptions{Console: "usea1.sentinelone.net"}), 0)
	golden(t, "cef-1.txt", newCEF(t, CEFOptions{Version: "1", Console: "usea1.sentinelone.net"}), 0)
	golden(t, "cef-0-shrunk.txt", newCEF(t, CEFOptions{}), 600)
}

func TestCEF_SaysWhatWasMeantForEveryThreatOfTheCorpus(t *testing.T) {
	encode := newCEF(t, CEFOptions{})
	for c := range corpus.Threats(1, corpusSize) {
		line, shrunk, err := encode(nil, &c.Event, 0)
		if err != nil {
			t.Fatalf("%s: %v", c.Name, err)
		}
		header, extension, err := readCEF(string(line))
		if err != nil {
			t.Fatalf("%s: %v: %.300q", c.Name, err, line)
		}
		wantHeader, want := obviousCEF(&c.Event)
		if diff := cmp.Diff(wantHeader, header); diff != "" {
			t.Errorf("%s: header (-want +got):\n%.2000s", c.Name, diff)
		}
		if diff := cmp.Diff(want, extension); diff != "" {
			t.Errorf("%s: extension (-want +got):\n%.2000s", c.Name, diff)
		}
		if shrunk != (want["cn3"] == "1") {
			t.Errorf("%s: shrunk is %v, and the record says %q", c.Name, shrunk, want["cn3"])
		}
		if t.Failed() {
			return
		}
	}
}

func TestCEF_ShrinksToAnySizeAndStaysWhole(t *testing.T) {
	encode := newCEF(t, CEFOptions{Version: "1", Console: "usea1.sentinelone.net"})
	var fits, refused int
	for c := range corpus.Threats(2, 250) {
		before := string(c.Event.Raw)
		for _, limit := range []int{64, 380, 450, 520, 700, 1000, 1300, 2000, 8000} {
			line, shrunk, err := encode([]byte("before "), &c.Event, limit)
			if err != nil {
				refused++
				continue
			}
			fits++
			body := strings.TrimPrefix(string(line), "before ")
			header, extension, err := readCEF(body)
			if err != nil {
				t.Fatalf("%s: %d bytes: %v: %q", c.Name, limit, err, body)
			}
			if len(body) > limit || header[0] != "CEF:1" || extension["rt"] == "" || extension["externalId"] == "" {
				t.Fatalf("%s: %d bytes, limit %d, identity %q at %q", c.Name, len(body), limit, extension["externalId"], extension["rt"])
			}
			if shrunk != (extension["cn3"] == "1") || shrunk && (extension["cn2"] != strconv.Itoa(len(c.Event.Raw)) || len(extension["flexString1"]) != 64) {
				t.Fatalf("%s: shrunk %v is not what the record says: %q", c.Name, shrunk, body)
			}
		}
		if string(c.Event.Raw) != before {
			t.Fatalf("%s: the event was written to", c.Name)
		}
	}
	if fits < 1000 || refused < 250 {
		t.Errorf("%d fit, %d did not: the limits try too little", fits, refused)
	}
}

func TestCEF_GoesWithoutTheHeaviestFirst(t *testing.T) {
	ev := ordinary(t)
	encode := newCEF(t, CEFOptions{Version: "1", Console: "usea1.sentinelone.net"})
	whole, _, err := encode(nil, ev, 0)
	if err != nil {
		t.Fatal(err)
	}
	var gone [][]string
	had := keysOf(t, whole)
	for limit := len(whole) - 1; ; limit-- {
		line, _, err := encode(nil, ev, limit)
		if err != nil {
			break
		}
		now := keysOf(t, line)
		if lost := slices.DeleteFunc(slices.Clone(had), func(k string) bool { return slices.Contains(now, k) }); len(lost) > 0 {
			gone = append(gone, lost)
		}
		had = now
	}
	if len(gone) < 3 || !slices.Contains(gone[0], "cs6") || !slices.Contains(gone[0], "msg") || !slices.Contains(gone[1], "cs1") || !slices.Contains(gone[2], "filePath") {
		t.Errorf("what went, in order: %q", gone)
	}
	for _, must := range []string{"rt", "externalId", "act", "cat", "fname", "dvchost", "cn2"} {
		if !slices.Contains(had, must) {
			t.Errorf("the smallest record lacks %s: %q", must, had)
		}
	}
}

func TestCEF_NamesNothingInItsName(t *testing.T) {
	encode := newCEF(t, CEFOptions{})
	names := map[string]bool{}
	for c := range corpus.Threats(3, 400) {
		line, _, err := encode(nil, &c.Event, 0)
		if err != nil {
			t.Fatal(err)
		}
		header, _, err := readCEF(string(line))
		if err != nil {
			t.Fatal(err)
		}
		names[header[4]+"|"+header[5]] = true
	}
	want := map[string]bool{"s1.threat.create|Threat detected": true, "s1.threat.update|Threat updated": true, "s1.threat.close|Threat resolved": true}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestCEF_TakesTheSeverityOfItsRules(t *testing.T) {
	judge, err := SeverityConfig{Rules: []SeverityRule{{When: Fields{"siteName": []any{"rotterdam dc"}}, Level: "critical"}}}.Judge()
	if err != nil {
		t.Fatal(err)
	}
	line, _, err := newCEF(t, CEFOptions{Judge: judge})(nil, ordinary(t), 0)
	if err != nil {
		t.Fatal(err)
	}
	if header, _, err := readCEF(string(line)); err != nil || header[6] != "10" {
		t.Errorf("severity %q, err %v", header[6], err)
	}
}

func TestCEF_LinksToTheConsoleOnlyWhereTheIDIsPartOfAURL(t *testing.T) {
	encode := newCEF(t, CEFOptions{Console: "usea1.sentinelone.net"})
	for id, want := range map[string]string{
		"2316604981177352196": "https://usea1.sentinelone.net/incidents/threats/2316604981177352196/overview",
		"1 2":                 "", "a=b": "", "ü": "", `a\b`: "", strings.Repeat("9", 1023): "",
	} {
		line, _, err := encode(nil, &event.Event{Raw: []byte(`{}`), ID: id, UpdatedAt: time.UnixMilli(1)}, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, extension, err := readCEF(string(line)); err != nil || extension["request"] != want {
			t.Errorf("%.20q: %q, err %v", id, extension["request"], err)
		}
	}
}

func TestPairs_HaveAnIdentityWhateverTheIDIs(t *testing.T) {
	for id, want := range map[string]string{" 7\t": "7", " \u2028": "", "": "", strings.Repeat("x", 41): "", strings.Repeat("x", 40): strings.Repeat("x", 40)} {
		ev := &event.Event{Raw: []byte(`{}`), ID: id, UpdatedAt: time.UnixMilli(1), Version: event.NewVersion("h", id, "")}
		if want == "" {
			want = ev.Version.String()
		}
		line, _, err := newCEF(t, CEFOptions{})(nil, ev, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, extension, err := readCEF(string(line)); err != nil || extension["externalId"] != want {
			t.Errorf("cef %q: %q, want %q, err %v", id, extension["externalId"], want, err)
		}
		if line, _, err = newLEEF(t, LEEFOptions{})(nil, ev, 0); err != nil {
			t.Fatal(err)
		}
		if _, attributes, err := readLEEF(string(line)); err != nil || attributes["threatId"] != trim(id) || attributes["threatVersion"] != ev.Version.String() {
			t.Errorf("leef %q: %q, err %v", id, attributes["threatId"], err)
		}
	}
}

func trim(s string) string { return string(trimmed([]byte(s))) }

func TestCEF_RefusesOtherVersionsAndWhatIsNoThreat(t *testing.T) {
	if _, err := NewCEF(CEFOptions{Version: "2"}); err == nil || !strings.HasPrefix(err.Error(), "version: ") {
		t.Errorf("version 2: %v", err)
	}
	for _, raw := range []string{"", "[]", `{"a":`, "null"} {
		if body, _, err := newCEF(t, CEFOptions{})(nil, &event.Event{Raw: []byte(raw)}, 0); err == nil {
			t.Errorf("%q: %q", raw, body)
		}
	}
}

func keysOf(t *testing.T, line []byte) []string {
	t.Helper()
	_, extension, err := readCEF(string(line))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(maps.Keys(extension))
}

// FuzzCEF reads back whatever text a threat has, in whatever size.
func FuzzCEF(f *testing.F) {
	f.Add([]byte(`{"threatInfo":{"threatName":"a|b=c\\d\ne","filePath":"\\\\x y= ","updatedAt":null},"agentRealtimeInfo":{"agentVersion":"1\\|2"}}`), 0)
	f.Add([]byte("{\"threatInfo\":{\"threatName\":\"\xff =\u2028\",\"maliciousProcessArguments\":\"\\ud800\\u0000\"}}"), 500)
	encode, err := NewCEF(CEFOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		ev := event.Event{Raw: raw, ID: "7", UpdatedAt: time.UnixMilli(1795266404908)}
		line, _, err := encode(nil, &ev, max(0, limit))
		if err != nil {
			return
		}
		if _, _, err := readCEF(string(line)); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if limit > 0 && len(line) > limit {
			t.Fatalf("%d bytes, limit %d", len(line), limit)
		}
	})
}
