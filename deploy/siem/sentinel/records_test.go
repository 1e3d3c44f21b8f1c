package sentinel

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/jsonscan"
	"s1stream/sink/format"
)

// record is what the azure sink sends of one event: a row of the stream Custom-SentinelOneThreats. Members in order.
type record struct {
	TimeGenerated string // updatedAt, RFC 3339 in UTC
	Version       string
	ThreatID      string `json:"ThreatId"`
	Console       string // the console's host
	SourceName    string
	Format        string
	Event         json.RawMessage
	Truncated     bool
}

const root = "../../.."

// wrapped are the golden events of every format that is JSON, in the shape of the azure sink, and a raw one that was
// shrunk.
func wrapped(t *testing.T) []record {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "testdata", "pages", "sample.json"))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := jsonscan.Lookup(page, "data")
	ecs, ocsf := lines(t, "ecs-9.4.0.ndjson"), lines(t, "ocsf-1.8.0.ndjson")
	var out []record
	i := 0
	s := jsonscan.Scanner{Data: list}
	err = s.Array(func() error {
		raw, err := s.Value()
		if err != nil {
			return err
		}
		ev := corpus.Event(raw)
		add := func(name string, body []byte, truncated bool) {
			out = append(out, record{
				ev.UpdatedAt.Format(time.RFC3339Nano), ev.Version.String(), ev.ID, "console.example", "prod", name, body, truncated,
			})
		}
		add("json", raw, false)
		add("ecs", ecs[i], false)
		add("ocsf", ocsf[i], false)
		i++
		if i > 1 {
			return nil
		}
		small, _, err := format.JSON(nil, &ev, 1500)
		ev.ID, ev.Version[0] = ev.ID+"9", ev.Version[0]^0xff // a threat of its own
		add("json", small, true)
		return err
	})
	if err != nil || i == 0 {
		t.Fatalf("%d threats: %v", i, err)
	}
	return out
}

func lines(t *testing.T, golden string) (out [][]byte) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "testdata", "golden", golden))
	if err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(bytes.NewReader(data))
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		out = append(out, bytes.Clone(s.Bytes()))
	}
	return out
}

// What .ci/judges/sentinel sends through the transformation.
func TestRecords_AreTheGoldenEventsInTheShapeOfTheSink(t *testing.T) {
	var got bytes.Buffer
	e := json.NewEncoder(&got)
	e.SetEscapeHTML(false)
	for _, r := range wrapped(t) {
		if err := e.Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	const file = "testdata/records.ndjson"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, file)), got.String()); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

func TestRecords_FitTheStreamThatTheTemplateDeclares(t *testing.T) {
	stream := declared(t)
	data := read(t, "testdata/records.ndjson")
	for line := range bytes.Lines(data) {
		for _, fault := range misfits(t, line, stream) {
			t.Error(fault)
		}
	}
	first, _, _ := bytes.Cut(data, []byte("\n"))
	for _, broken := range []struct{ old, with string }{
		{`"Truncated":false`, `"Truncated":"no"`},
		{`"TimeGenerated":"2026-`, `"TimeGenerated":"in 2026-`},
		{`"SourceName"`, `"Source"`},
		{`"Event":{`, `"Event":"","Other":{`},
	} {
		line := bytes.Replace(first, []byte(broken.old), []byte(broken.with), 1)
		if bytes.Equal(line, first) || len(misfits(t, line, stream)) == 0 {
			t.Errorf("a record with %s fits", broken.with)
		}
	}
}

// declared is the stream that the template's one data flow takes; what the flow and the outputs say of it must agree.
func declared(t *testing.T) map[string]string {
	t.Helper()
	const name = "Custom-SentinelOneThreats"
	tmpl, out := load(t, "azuredeploy.json"), map[string]string{}
	for _, r := range tmpl.Resources {
		for _, flow := range r.Properties.DataFlows {
			if len(flow.Streams) != 1 || flow.Streams[0] != name || flow.OutputStream != "Custom-SentinelOneThreats_CL" {
				t.Errorf("the data flow goes from %q to %q", flow.Streams, flow.OutputStream)
			}
		}
		for _, c := range r.Properties.StreamDeclarations[name].Columns {
			out[c.Name] = c.Type
		}
	}
	if len(out) == 0 || tmpl.Outputs["stream"].Value != name {
		t.Fatalf("%s: %d columns declared, the output says %q", name, len(out), tmpl.Outputs["stream"].Value)
	}
	return out
}

// misfits says what of a record the declaration has no column of that type for.
func misfits(t *testing.T, line []byte, stream map[string]string) (out []string) {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range fields {
		var fits bool
		switch stream[name] {
		case "string":
			fits = value[0] == '"'
		case "datetime":
			var at time.Time
			fits = json.Unmarshal(value, &at) == nil
		case "boolean":
			fits = value[0] == 't' || value[0] == 'f'
		case "dynamic":
			fits = value[0] == '{' && len(value) <= 64<<10 // a field's limit
		}
		if !fits {
			out = append(out, name+": "+string(value[:min(40, len(value))])+" is no "+stream[name])
		}
	}
	for name := range stream {
		if _, ok := fields[name]; !ok {
			out = append(out, name+": not sent")
		}
	}
	return out
}
