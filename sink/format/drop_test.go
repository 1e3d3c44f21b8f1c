package format

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

func dropper1(t testing.TB, paths ...string) func(*event.Event) *event.Event {
	t.Helper()
	f, err := Drop(paths)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDrop_LeavesOutPathsAndTheirCommas(t *testing.T) {
	strip := dropper1(t, "threatInfo.md5", "threatInfo.sha1", "indicators.description", "agentRealtimeInfo", "indicators.tactics.techniques")
	for raw, want := range map[string]string{
		`{"threatInfo":{"md5":"a","x":1,"sha1":"b"}}`:                                                        `{"threatInfo":{"x":1}}`,
		`{"threatInfo":{"md5":"a","sha1":"b"}}`:                                                              `{"threatInfo":{}}`,
		`{"threatInfo":{"md5":"a" , "sha1":{"c":[1,2]} , "x":1, "md5":2}}`:                                   `{"threatInfo":{ "x":1}}`,
		`{"threatInfo":{"x":1,"md5":"a","y":2}}`:                                                             `{"threatInfo":{"x":1,"y":2}}`,
		`{"agentRealtimeInfo":{"a":1},"id":"1","threatInfo":{}}`:                                             `{"id":"1","threatInfo":{}}`,
		`{"id":"1","agentRealtimeInfo":null}`:                                                                `{"id":"1"}`,
		`{"indicators":[{"description":"d","ids":[1]},{"ids":[2],"description":"e"},7,[{"description":1}]]}`: `{"indicators":[{"ids":[1]},{"ids":[2]},7,[{}]]}`,
		`{"indicators":[{"tactics":[{"techniques":[1],"name":"n"}],"description":""}]}`:                      `{"indicators":[{"tactics":[{"name":"n"}]}]}`,
		`{"threatInfo":{"m\u00645":"a","x":1}}`:                                                              `{"threatInfo":{"x":1}}`,
		`{ "agentRealtimeInfo" : 1 , "a" : 2 }`:                                                              `{ "a" : 2 }`,
	} {
		ev := &event.Event{Raw: []byte(raw), ID: "7"}
		got := strip(ev)
		if string(got.Raw) != want || got.ID != "7" || string(ev.Raw) != raw {
			t.Errorf("%s:\n got %s\nwant %s", raw, got.Raw, want)
		}
	}
}

func TestDrop_GivesBackTheEventItselfWhereNothingGoes(t *testing.T) {
	strip := dropper1(t, "threatInfo.md5", "indicators.description")
	for _, raw := range []string{`{}`, `{"threatInfo":7,"indicators":null,"md5":1}`, `{"threatInfo":{"md":1,"a":{"md5":2}}}`} {
		ev := &event.Event{Raw: []byte(raw)}
		if strip(ev) != ev {
			t.Errorf("%s: a copy", raw)
		}
	}
	if f, err := Drop(nil); f != nil || err != nil {
		t.Errorf("no paths: want nil (err %v)", err)
	}
}

func TestDrop_RefusesIdentityAndWhatDecidesSeverity(t *testing.T) {
	for _, path := range kept {
		if _, err := Drop([]string{path}); err == nil || !strings.Contains(err.Error(), "can't be left out") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestDrop_TakesAwayWhatItNamesAndNothingElse compares with encoding/json over the corpus.
func TestDrop_TakesAwayWhatItNamesAndNothingElse(t *testing.T) {
	strip := dropper1(t, "threatInfo.maliciousProcessArguments", "agentDetectionInfo", "whiteningOptions", "threatInfo.processUser", "mitigationStatus")
	for c := range corpus.Threats(6, 300) {
		before := string(c.Event.Raw)
		got := strip(&c.Event)
		have, want := members(t, c.Name, string(got.Raw)), members(t, c.Name, before)
		maps.DeleteFunc(want, func(k string, _ any) bool {
			return k == "agentDetectionInfo" || k == "whiteningOptions" || k == "mitigationStatus"
		})
		if info, ok := want["threatInfo"].(map[string]any); ok {
			delete(info, "maliciousProcessArguments")
			delete(info, "processUser")
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Fatalf("%s (-want +got):\n%.2000s", c.Name, diff)
		}
		if string(c.Event.Raw) != before {
			t.Fatalf("%s: the event was written to", c.Name)
		}
	}
}

func members(t *testing.T, name, raw string) (out map[string]any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(raw))
	d.UseNumber() // some fit into no float
	if err := d.Decode(&out); err != nil {
		t.Fatalf("%s: %v: %.500s", name, err, raw)
	}
	return out
}

// FuzzDrop leaves out members of any JSON object: what is left is valid, and without them.
func FuzzDrop(f *testing.F) {
	f.Add([]byte(`{"threatInfo":{"md5":"a" , "x":1},"indicators":[{"description":1}],"agentRealtimeInfo":2}`))
	f.Add([]byte(`{ "agentRealtimeInfo" : 1 , "threatInfo" : { "md5" : [] } }`))
	strip := dropper1(f, "threatInfo.md5", "indicators.description", "agentRealtimeInfo")
	f.Fuzz(func(t *testing.T, raw []byte) {
		if !json.Valid(raw) {
			return
		}
		got := strip(&event.Event{Raw: raw})
		if !json.Valid(got.Raw) {
			t.Fatalf("%q became %q", raw, got.Raw)
		}
		if again := strip(got); again != got {
			t.Fatalf("%q: something was left: %q, then %q", raw, got.Raw, again.Raw)
		}
	})
}
