package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

func TestAzure_SendsRowsAsTheRuleDeclaresThem(t *testing.T) {
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Microsecond)
	raw := []byte("{\"id\":\"7\", \"threatInfo\" : {\"updatedAt\":\"" + at.Format(time.RFC3339Nano) + "\",\"threatName\":\"<é\\u00e9>\"}}")
	for _, name := range []string{"", "json", "ecs", "ocsf"} {
		peer := testpeer.StartAzure(t)
		a := azureTestSink(t, azureTestConfig(peer), Deps{Format: name})
		want := name
		if name == "" {
			want = "json"
		}
		encode, err := format.New(want, format.Options{}, "example.sentinelone.net", nil)
		if err != nil {
			t.Fatal(err)
		}
		r := azureTestRecord(t, a, encode, `7"<`, at, raw)
		event, _, err := encode(nil, r.Event, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Write(t.Context(), []Record{r}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]testpeer.AzureRow{{
			TimeGenerated: at, Version: r.Event.Version.String(), ThreatID: `7"<`, Console: "example.sentinelone.net", SourceName: "emea",
			Format: want, Event: event,
		}}, peer.Rows()); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
	}
}

func TestAzure_AnOldChangeKeepsItsTimeInTheEvent(t *testing.T) {
	peer := testpeer.StartAzure(t)
	a := azureTestSink(t, azureTestConfig(peer), Deps{})
	at := time.Date(2024, 2, 29, 1, 2, 3, 456789000, time.UTC)
	r := azureTestRecord(t, a, format.JSON, "7", at, []byte(`{"id":"7","threatInfo":{"updatedAt":"2024-02-29T01:02:03.456789Z"}}`))
	if !bytes.Contains(r.Body, []byte(`{"TimeGenerated":"2024-02-29T01:02:03.456789Z",`)) {
		t.Errorf("the row is %s", r.Body)
	}
	if err := a.Write(t.Context(), []Record{r}); err != nil {
		t.Fatal(err)
	}
	row := peer.Rows()[0]
	if time.Since(row.TimeGenerated) > time.Minute || !bytes.Contains(row.Event, []byte("2024-02-29T01:02:03.456789Z")) {
		t.Errorf("the table has %v, %s", row.TimeGenerated, row.Event)
	}
}

func TestAzure_ShrinksWhatTheServiceWouldCut(t *testing.T) {
	long := strings.Repeat("é😀\xff", 20_000)
	for _, name := range []string{"json", "ecs", "ocsf"} {
		peer := testpeer.StartAzure(t)
		a := azureTestSink(t, azureTestConfig(peer), Deps{Format: name})
		yes := true
		options := format.Options{}
		switch name { // the larger, the better
		case "ecs":
			options.EventOriginal = &yes
		case "ocsf":
			options.RawData = &yes
		}
		encode, err := format.New(name, options, "example.sentinelone.net", nil)
		if err != nil {
			t.Fatal(err)
		}
		var records []Record
		at := time.Now().UTC().Truncate(time.Microsecond)
		for i, raw := range []string{
			`{"id":"0","threatInfo":{"threatName":"small"}}`,
			`{"id":"1","threatInfo":{"threatName":"` + long + `"}}`,
			`{"id":"2","threatInfo":{"maliciousProcessArguments":"` + long + `"},"indicators":[{"description":"` + long + `"}]}`,
			`{"id":"3","threatInfo":{"filePath":"` + strings.Repeat("\xffa", 30_000) + `"}}`, // too large once it is mended
		} {
			records = append(records, azureTestRecord(t, a, encode, fmt.Sprint(i), at, []byte(raw)))
		}
		// What the service does to an event that nobody shrank: the judge of this test is awake.
		bad := *records[1].Event
		bad.ID = "bad"
		head := azureHead(&bad, a.columns())
		records = append(records, Record{Event: &bad, Body: append(append(head, `{"s":"`+strings.Repeat("x", 70_000)+`"}`...), azureTail(false)...)})
		if err := a.Write(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		rows := peer.Rows()
		if len(rows) != len(records) {
			t.Fatalf("%s: %d rows, want %d", name, len(rows), len(records))
		}
		for _, row := range rows {
			whole := json.Valid(row.Event) && !row.Cut
			if whole != (row.ThreatID != "bad") {
				t.Errorf("%s: threat %s of %d bytes: cut %v", name, row.ThreatID, len(row.Event), row.Cut)
			}
			if want := row.ThreatID != "0" && row.ThreatID != "bad"; row.Truncated != want {
				t.Errorf("%s: threat %s: Truncated is %v", name, row.ThreatID, row.Truncated)
			}
		}
	}
}

func TestAzure_WrapObeysItsLimit(t *testing.T) {
	a := azureTestSink(t, azureTestConfig(testpeer.StartAzure(t)), Deps{})
	ev := &event.Event{ID: "7", Raw: []byte(`{"id":"7","threatInfo":{"threatName":"` + strings.Repeat("\xffé", 30_000) + `"}}`)}
	for _, limit := range []int{0, 100_000, 20_000, 2_000, 600} {
		body, shrunk, err := a.Wrap(format.JSON)([]byte("before"), ev, limit)
		row, ours := bytes.CutPrefix(body, []byte("before"))
		if err != nil || !ours || !shrunk || !json.Valid(row) || limit > 0 && len(row) > limit || len(row) > azureMaxField+1000 {
			t.Errorf("limit %d: %d bytes, shrunk %v, %v", limit, len(row), shrunk, err)
		}
	}
	for name, ev := range map[string]*event.Event{
		"no room":   {ID: "7", Raw: ev.Raw},
		"a huge id": {ID: strings.Repeat("7", 70_000), Raw: []byte(`{}`)},
	} {
		limit := map[string]int{"no room": 100, "a huge id": 999_998}[name]
		if body, _, err := a.Wrap(format.JSON)(nil, ev, limit); err == nil {
			t.Errorf("%s: %d bytes", name, len(body))
		}
	}
}
