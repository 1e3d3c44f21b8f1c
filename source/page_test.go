package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
)

var moment = time.Date(2026, 10, 5, 12, 0, 0, 0, time.UTC)

// sampleThreats returns the threats of the sample page, byte for byte.
func sampleThreats(t testing.TB) []string {
	t.Helper()
	var p struct{ Data []json.RawMessage }
	if err := json.Unmarshal(sample(t), &p); err != nil {
		t.Fatal(err)
	}
	out := make([]string, len(p.Data))
	for i, d := range p.Data {
		out[i] = string(d)
	}
	return out
}

func split(body string) ([]event.Event, string, error) {
	p := splitter{host: "h", source: "main"}
	return p.split([]byte(body), moment)
}

func TestSplit_HandsOnTheSamplesThreatsByteForByte(t *testing.T) {
	want := sampleThreats(t)
	events, cursor, err := split(string(sample(t)))
	if err != nil {
		t.Fatal(err)
	}
	if cursor != "eyJpZF9jb2x1bW4iOiJUaHJlYXRWaWV3LmlkIn0%3D" {
		t.Errorf("cursor %q", cursor)
	}
	if len(events) != len(want) {
		t.Fatalf("%d events", len(events))
	}
	for i, ev := range events {
		var th struct {
			ID         string
			ThreatInfo struct{ CreatedAt, UpdatedAt time.Time }
		}
		if err := json.Unmarshal([]byte(want[i]), &th); err != nil {
			t.Fatal(err)
		}
		if string(ev.Raw) != want[i] || ev.ID != th.ID || !ev.UpdatedAt.Equal(th.ThreatInfo.UpdatedAt) || !ev.CreatedAt.Equal(th.ThreatInfo.CreatedAt) ||
			ev.Stub != "" || ev.Unordered || ev.Source != "main" {
			t.Errorf("threat %d came as %+v", i, ev)
		}
	}
}

// A mutation is applied to the middle one of the sample's three threats.
func TestSplit_AnOddThreatConcernsItselfAlone(t *testing.T) {
	threats := sampleThreats(t)
	odd := threats[1]
	middle, _, err := split(page("null", odd))
	if err != nil {
		t.Fatal(err)
	}
	id, at := middle[0].ID, middle[0].UpdatedAt
	swap := func(old, by string) string {
		if strings.Count(odd, old) < 1 {
			t.Fatalf("the sample has no %s", old)
		}
		return strings.Replace(odd, old, by, 1)
	}
	idField, atField := `"id":"`+id+`"`, `"updatedAt":"2026-10-05T09:02:00Z"`
	hash, now := "", moment // what stands in: "" for a hash of 32 digits
	for _, m := range []struct {
		name, threat string
		id           string
		at           time.Time
		stub         bool
	}{
		{"id is a number beyond 2^53", swap(idField, `"id":`+id), id, at, false},
		{"id is a small number", swap(idField, `"id":7`), "7", at, false},
		{"id is null", swap(idField, `"id":null`), hash, at, false},
		{"id is true", swap(idField, `"id":true`), hash, at, false},
		{"id is an object", swap(idField, `"id":{"id":"1"}`), hash, at, false},
		{"id is a list", swap(idField, `"id":["1"]`), hash, at, false},
		{"id is empty", swap(idField, `"id":""`), hash, at, false},
		{"id is missing", swap(idField+",", ""), hash, at, false},
		{"id has escapes", swap(idField, `"id":"\u0031\/2"`), "1/2", at, false},
		{"id of 100 kB", swap(idField, `"id":"`+strings.Repeat("9", 100_000)+`"`), hash, at, false},
		{"id stands twice, the last one counts", swap(idField, `"id":"1",`+idField), id, at, false},
		{"ID in capitals is another key", swap(idField, `"ID":"1",`+idField), id, at, false},
		{"ID in capitals behind it is another key", swap(idField, idField+`,"ID":"1"`), id, at, false},
		{"id only in capitals", swap(idField, `"ID":"1"`), hash, at, false},
		{"key id has an escape", swap(`"id":"`+id, `"\u0069d":"`+id), id, at, false},
		{"updatedAt is null", swap(atField, `"updatedAt":null`), id, now, false},
		{"updatedAt is a number", swap(atField, `"updatedAt":1780000000`), id, now, false},
		{"updatedAt is empty", swap(atField, `"updatedAt":""`), id, now, false},
		{"updatedAt is garbage", swap(atField, `"updatedAt":"yesterday"`), id, now, false},
		{"updatedAt has no zone", swap(atField, `"updatedAt":"2026-10-05T09:02:00"`), id, now, false},
		{"updatedAt is the 30th of February", swap(atField, `"updatedAt":"2026-02-30T09:02:00.000000Z"`), id, now, false},
		{"updatedAt in another zone", swap(atField, `"updatedAt":"2026-10-05T11:02:00.5+02:00"`), id, at.Add(time.Second / 2), false},
		{"updatedAt with nanoseconds is cut", swap(atField, `"updatedAt":"2026-10-05T09:02:00.000000999Z"`), id, at, false},
		{"updatedAt on the last day of a month", swap(atField, `"updatedAt":"2026-08-31T09:02:00.000001Z"`), id, time.Date(2026, 8, 31, 9, 2, 0, 1000, time.UTC), false},
		{"updatedAt in the year 9999", swap(atField, `"updatedAt":"9999-12-31T23:59:59.999999Z"`), id, time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), false},
		{"updatedAt in the year 0", swap(atField, `"updatedAt":"0000-01-01T00:00:00.000000Z"`), id, time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{"updatedAt is missing", swap(","+atField, ""), id, now, false},
		{"updatedAt stands twice, the last one counts", swap(atField, `"updatedAt":"2020-01-01T00:00:00Z",`+atField), id, at, false},
		{"UPDATEDAT is another key", swap(atField, atField+`,"UPDATEDAT":"2020-01-01T00:00:00Z"`), id, at, false},
		{"threatInfo is null", `{"id":"1","threatInfo":null}`, "1", now, false},
		{"threatInfo is a list", `{"id":"1","threatInfo":[{"updatedAt":"2026-10-05T09:02:00Z"}]}`, "1", now, false},
		{"threatInfo stands twice, the last one counts", odd[:len(odd)-1] + `,"threatInfo":{}}`, id, now, false},
		{"createdAt is a list", swap(`"createdAt":"2026-10-05T07:44:51.000318Z"`, `"createdAt":[]`), id, at, false},
		{"agentRealtimeInfo is null", `{"id":"1","agentRealtimeInfo":null,"threatInfo":{"updatedAt":"2026-10-05T09:02:00Z"}}`, "1", at, false},
		{"unknown fields of any kind", swap(idField, idField+`,"new":{"deep":[[[1e9,-0.0,{"":null}]]]},"":0`), id, at, false},
		{"every field null", `{"id":null,"threatInfo":null,"agentDetectionInfo":null,"mitigationStatus":null}`, hash, now, false},
		{"invalid UTF-8", swap("phonograph", "phono\xff\xfe\xc3graph"), id, at, false},
		{"invalid UTF-8 in a key", swap(`"threatName"`, "\"threat\xffName\""), id, at, false},
		{"a lone surrogate and NUL, escaped", swap("phonograph", `\ud800\u0000`), id, at, false},
		{"line breaks and tabs between tokens", swap(`,"threatInfo":{`, "\r\n\t , \"threatInfo\"\t:\n{"), id, at, false},
		{"nested 9,000 deep", swap(idField, idField+`,"deep":`+strings.Repeat("[", 9000)+strings.Repeat("]", 9000)), id, at, false},
		{"a string of 1 MB", swap("phonograph", strings.Repeat(`\"\\x`, 200_000)), id, at, false},
		{"empty object", `{}`, hash, now, false},
		{"null", `null`, hash, now, true},
		{"a number", `1.5e3`, hash, now, true},
		{"a string", `"threat"`, hash, now, true},
		{"a list", `[{"id":"1"}]`, hash, now, true},
	} {
		t.Run(m.name, func(t *testing.T) {
			events, cursor, err := split(page(`"c"`, threats[0], m.threat, threats[2]))
			if err != nil {
				t.Fatal(err)
			}
			if len(events) != 3 || cursor != "c" {
				t.Fatalf("%d events, cursor %q", len(events), cursor)
			}
			for i, want := range []string{threats[0], m.threat, threats[2]} {
				if string(events[i].Raw) != want {
					t.Errorf("event %d is not byte for byte what came", i)
				}
			}
			alone, _, err := split(page("null", threats[0], threats[2]))
			if err != nil {
				t.Fatal(err)
			}
			late := events[2]
			late.Unordered = false // by a stamp far ahead before it, see below
			if others := []event.Event{events[0], late}; !reflect.DeepEqual(alone, others) {
				t.Errorf("the others are not as they are without it: %s", cmp.Diff(alone, others))
			}
			ev := events[1]
			if (m.id != hash && ev.ID != m.id) || (m.id == hash && len(ev.ID) != 32) || !ev.UpdatedAt.Equal(m.at) || (ev.Stub != "") != m.stub {
				t.Errorf("came with id %.40q, updatedAt %v, stub %q", ev.ID, ev.UpdatedAt, ev.Stub)
			}
		})
	}
}

func TestSplit_RefusesWhatIsNoWholePage(t *testing.T) {
	for _, c := range []struct{ name, body, want string }{
		{"nothing", ``, "object"},
		{"null", `null`, "object"},
		{"a list", `[]`, "object"},
		{"no data", `{"pagination":{"nextCursor":null}}`, "no data"},
		{"data is null", `{"data":null,"pagination":{}}`, "not a list"},
		{"data is an object", `{"data":{},"pagination":{}}`, "not a list"},
		{"data twice", `{"data":[],"data":[],"pagination":{}}`, "twice"},
		{"data in capitals", `{"DATA":[],"pagination":{}}`, "no data"},
		{"no pagination", `{"data":[]}`, "no pagination"},
		{"pagination is null", `{"data":[],"pagination":null}`, "not an object"},
		{"the cursor is a number", `{"data":[],"pagination":{"nextCursor":7}}`, "neither"},
		{"the cursor is false", `{"data":[],"pagination":{"nextCursor":false}}`, "neither"},
		{"errors", `{"data":[],"errors":[{"code":5000010,"title":"Oh\u202eno"}],"pagination":{}}`, "carries errors"},
		{"errors behind the data", `{"data":[{"id":"1"}],"pagination":{},"errors":["x"]}`, "carries errors"},
		{"errors is text", `{"data":[],"pagination":{},"errors":"no"}`, "carries errors"},
		{"text behind the end", `{"data":[],"pagination":{}}x`, "after the end"},
		{"two pages", `{"data":[],"pagination":{}}{"data":[],"pagination":{}}`, "after the end"},
		{"a comma too many", `{"data":[{"id":"1"},],"pagination":{}}`, "bad JSON"},
		{"a control character", "{\"data\":[{\"id\":\"1\n\"}],\"pagination\":{}}", "control"},
		{"nested beyond sense", `{"data":[{"a":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}],"pagination":{}}`, "deep"},
	} {
		if events, _, err := split(c.body); err == nil || !strings.Contains(err.Error(), c.want) || len(events) > 0 {
			t.Errorf("%s: %d events, %v; want %q", c.name, len(events), err, c.want)
		}
	}
	body := string(sample(t))
	for n := range len(body) - 2 { // the last two bytes are } and a line break
		if n%7 > 0 && n < len(body)-500 {
			continue
		}
		if events, _, err := split(body[:n]); err == nil || len(events) > 0 {
			t.Fatalf("cut off at byte %d of %d, it is a page of %d events", n, len(body), len(events))
		}
	}
}

func TestSplit_KnowsEveryWayToSayTheEnd(t *testing.T) {
	for _, end := range []string{`{"nextCursor":null}`, `{"nextCursor":""}`, `{}`, `{"nextCursor":"null"}`, `{"totalItems":3}`, `{"nextCursor":"x","nextCursor":null}`} {
		for _, errs := range []string{"", `,"errors":null`, `,"errors":[]`, `,"errors":[ ]`, `,"errors":{}`, `,"errors":""`} {
			if _, cursor, err := split(`{"data":[{"id":"1"}],"pagination":` + end + errs + `}`); cursor != "" || err != nil {
				t.Errorf("%s %s: cursor %q, %v", end, errs, cursor, err)
			}
		}
	}
}

func TestSplit_VersionLeavesTheLivePartOut(t *testing.T) {
	version := func(th string) event.Version {
		events, _, err := split(page("null", th))
		if err != nil {
			t.Fatal(err)
		}
		return events[0].Version
	}
	for i, th := range sampleThreats(t) {
		v := version(th)
		if version(strings.Replace(th, `"activeThreats":`, `"activeThreats":9`, 1)) != v {
			t.Errorf("threat %d: a live change makes another version", i)
		}
		if version(strings.Replace(th, `"threatName":"`, `"threatName":"x`, 1)) == v {
			t.Errorf("threat %d: a changed name makes no other version", i)
		}
		if version(strings.Replace(th, `"mitigationStatus":[`, `"mitigationStatus":[ `, 1)) == v {
			t.Errorf("threat %d: a changed body under one updatedAt makes no other version", i)
		}
	}
	// The hash that stands for an id leaves it out too, or an idle threat would be new with every read.
	a, _, _ := split(page("null", `{"agentRealtimeInfo":{"n":1},"x":1}`))
	b, _, _ := split(page("null", `{"agentRealtimeInfo":{"n":2},"x":1}`))
	c, _, _ := split(page("null", `{"agentRealtimeInfo":{"n":2},"x":2}`))
	if a[0].ID != b[0].ID || b[0].ID == c[0].ID {
		t.Errorf("ids %s %s %s: the first two must be one, the third another", a[0].ID, b[0].ID, c[0].ID)
	}
}

func TestSplit_MarksWhatComesBehindANewerOne(t *testing.T) {
	p := splitter{host: "h"}
	first, _, err := p.split([]byte(page(`"c"`, threat("1", moment.Add(-3*time.Hour)), threat("2", moment.Add(-time.Hour)), threat("3", moment.Add(-2*time.Hour)), threat("4", moment.Add(-time.Hour)))), moment)
	if err != nil {
		t.Fatal(err)
	}
	marks := func(events []event.Event) string {
		s := ""
		for i := range events {
			s += fmt.Sprint(events[i].ID, events[i].Unordered, " ")
		}
		return s
	}
	if got := marks(first); got != "1false 2false 3true 4false " || p.unordered != 1 {
		t.Errorf("first page: %s, %d out of order", got, p.unordered)
	}
	// A bad page in between does not count.
	if _, _, err := p.split([]byte(page(`"c"`, threat("9", moment))+"x"), moment); err == nil {
		t.Fatal("a bad page is taken")
	}
	second, _, err := p.split([]byte(page("null", threat("5", moment.Add(-90*time.Minute)), threat("6", moment.Add(-time.Minute)))), moment)
	if err != nil {
		t.Fatal(err)
	}
	if got := marks(second); got != "5true 6false " || p.unordered != 1 {
		t.Errorf("second page: %s, %d out of order", got, p.unordered)
	}
}

func TestParseTime_AgreesWithTheStandardLibrary(t *testing.T) {
	for _, text := range []string{
		"2026-10-05T09:02:00.000001Z", "2026-02-28T23:59:59.999999Z", "2026-02-29T00:00:00.000000Z", "2024-02-29T00:00:00.000000Z",
		"2026-13-01T00:00:00.000000Z", "2026-00-01T00:00:00.000000Z", "2026-01-00T00:00:00.000000Z", "2026-01-01T24:00:00.000000Z",
		"2026-01-01T23:60:00.000000Z", "2026-01-01T23:59:60.000000Z", "2026-01-01T23:59:59.00000aZ", "2026-1-001T23:59:59.000000Z",
		"+026-01-01T23:59:59.000000Z", "2026-01-01 23:59:59.000000Z", "2026-01-01T23:59:59.000000+", "2026-01-01T23:59:59,000000Z", "",
	} {
		want, err := time.Parse(time.RFC3339Nano, text)
		got, ok := parseTime(text)
		if ok != (err == nil) || ok && !got.Equal(want) {
			t.Errorf("%q: %v, %v; the library says %v, %v", text, got, ok, want, err)
		}
	}
}

// reference splits with encoding/json alone, slowly and plainly.
func reference(body []byte) (items []json.RawMessage, cursor string, ok bool) {
	if !json.Valid(body) {
		return nil, "", false
	}
	top, ok := members(body)
	if !ok {
		return nil, "", false
	}
	var data, pages int
	for _, m := range top {
		switch m.key {
		case "data":
			if data++; data > 1 || json.Unmarshal(m.value, &items) != nil || items == nil {
				return nil, "", false
			}
		case "errors":
			var v any
			_ = json.Unmarshal(m.value, &v) // valid, as the whole is
			switch v := v.(type) {
			case nil:
			case string:
				if v != "" {
					return nil, "", false
				}
			case []any:
				if len(v) > 0 {
					return nil, "", false
				}
			case map[string]any:
				if len(v) > 0 {
					return nil, "", false
				}
			default:
				return nil, "", false
			}
		case "pagination":
			pages++
			cursor = ""
			in, isObject := members(m.value)
			if !isObject {
				return nil, "", false
			}
			for _, p := range in {
				if p.key != "nextCursor" {
					continue
				}
				var c *string
				if json.Unmarshal(p.value, &c) != nil {
					return nil, "", false
				}
				if cursor = ""; c != nil && *c != "null" {
					cursor = *c
				}
			}
		}
	}
	return items, cursor, data == 1 && pages > 0
}

type member struct {
	key   string
	value json.RawMessage
}

// members returns an object's members in their order, those that stand twice too.
func members(obj []byte) ([]member, bool) {
	d := json.NewDecoder(bytes.NewReader(obj))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	var out []member
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, false
		}
		m := member{key: key.(string)}
		if err := d.Decode(&m.value); err != nil {
			return nil, false
		}
		out = append(out, m)
	}
	return out, true
}

// field returns the last member of that name; nil where there is none.
func field(obj []byte, key string) json.RawMessage {
	var v json.RawMessage
	in, _ := members(obj)
	for _, m := range in {
		if m.key == key {
			v = m.value
		}
	}
	return v
}

// plainID is threatID by encoding/json. A string with invalid UTF-8 is let go: the library replaces it.
func plainID(v json.RawMessage) (id string, known bool) {
	if len(v) == 0 {
		return "", true
	}
	if v[0] == '-' || v[0] >= '0' && v[0] <= '9' {
		return string(v), len(v) <= maxID
	}
	if v[0] != '"' {
		return "", true
	}
	_ = json.Unmarshal(v, &id) // valid, as the whole is
	return id, len(id) <= maxID && !strings.ContainsRune(id, '\uFFFD')
}

func FuzzSplit(f *testing.F) {
	// Seeds are small: the fuzzer shortens what it finds, and spends its time on it where that is a whole page.
	for _, seed := range []string{
		page(`"c"`, `{"id":"1","threatInfo":{"updatedAt":"2026-10-05T09:02:00.000001Z"},"agentRealtimeInfo":{}}`, `null`, `{"id":7}`),
		`{"data":[],"errors":[ ],"pagination":{"nextCursor":"null"}}`,
		`{"\u0064ata":[{"\u0069d":"\u0031"}],"pagination":{"next\u0043ursor":"\n"}}`,
		`{"data":[],"pagination":{},"pagination":{"nextCursor":"x"}}`,
		`{"data":[],"data":[1],"pagination":null,"errors":{"a":1}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		want, wantCursor, wantOK := reference(body)
		p := splitter{host: "h"}
		events, cursor, err := p.split(body, moment)
		if (err == nil) != wantOK {
			t.Fatalf("split says %v, encoding/json takes it: %v", err, wantOK)
		}
		if !bytes.Equal(body, before) {
			t.Fatal("split wrote to the page")
		}
		if err != nil {
			return
		}
		if cursor != wantCursor && !strings.ContainsRune(wantCursor, '\uFFFD') {
			t.Fatalf("cursor %q, want %q", cursor, wantCursor)
		}
		if len(events) != len(want) {
			t.Fatalf("%d events, want %d", len(events), len(want))
		}
		for i, ev := range events {
			if !bytes.Equal(ev.Raw, want[i]) {
				t.Fatalf("event %d is %q, want %q", i, ev.Raw, want[i])
			}
			id, at := "", moment
			known := true
			if want[i][0] == '{' {
				id, known = plainID(field(want[i], "id"))
				var text string
				if v := field(field(want[i], "threatInfo"), "updatedAt"); len(v) > 0 && v[0] == '"' {
					_ = json.Unmarshal(v, &text)
				}
				if u, err := time.Parse(time.RFC3339Nano, text); err == nil {
					at = u.Truncate(time.Microsecond)
				}
			}
			if known && id != "" && ev.ID != id || ev.ID == "" {
				t.Fatalf("event %d has id %q, want %q", i, ev.ID, id)
			}
			if !ev.UpdatedAt.Equal(at) {
				t.Fatalf("event %d has updatedAt %v, want %v", i, ev.UpdatedAt, at)
			}
		}
	})
}
