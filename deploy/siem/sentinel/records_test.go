package sentinel

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
	"s1stream/sink"
	"s1stream/sink/format"
)

// record is a row of the stream Custom-SentinelOneThreats, as far as these tests read it.
type record struct {
	Format string
	Event  json.RawMessage
}

const root = "../../.."

// sent are the threats of testdata/pages as the azure sink sends them, in every format that it has; and one that was shrunk.
func sent(t *testing.T) []byte {
	t.Helper()
	var out []byte
	add := func(name string, ev event.Event, max int) {
		encode, err := format.New(name, format.Options{}, "console.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		record, shrunk, err := azure(t, name).Wrap(encode)(nil, &ev, max)
		if err != nil || shrunk != (max > 0) {
			t.Fatalf("%s: shrunk %v, %v", name, shrunk, err)
		}
		out = append(append(out, record...), '\n')
	}
	list, _ := jsonscan.Lookup(read(t, filepath.Join(root, "testdata", "pages", "sample.json")), "data")
	s := jsonscan.Scanner{Data: list}
	if err := s.Array(func() error {
		raw, err := s.Value()
		ev := corpus.Event(raw)
		first := len(out) == 0
		for _, name := range []string{"json", "ecs", "ocsf"} {
			add(name, ev, 0)
		}
		if first {
			ev.ID += "9" // a threat of its own
			add("json", ev, 1800)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

func azure(t *testing.T, format string) *sink.Azure {
	t.Helper()
	c := sink.DefaultAzure()
	c.Endpoint, c.RuleID = "https://dcr-sentinelone-threats-a1b2-westeurope.logs.z1.ingest.monitor.azure.com", "dcr-0123456789abcdef0123456789abcdef"
	c.TenantID, c.ClientID, c.ClientSecret = "11111111-1111-1111-1111-111111111111", "22222222-2222-2222-2222-222222222222", "secret"
	if c.Stream != "Custom-SentinelOneThreats" {
		t.Fatalf("the sink's default stream is %s", c.Stream)
	}
	a, err := sink.NewAzure(*c, sink.Deps{Name: "sentinel", Source: "prod", Host: "console.example", Format: format})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return a
}

// What .ci/judges/sentinel sends through the transformation.
func TestRecords_AreWhatTheSinkSends(t *testing.T) {
	const file = "testdata/records.ndjson"
	got := sent(t)
	if *update {
		if err := os.WriteFile(file, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(string(read(t, file)), string(got)); diff != "" {
		t.Errorf("%s (-want +got): run go test ./deploy/siem/sentinel -update\n%s", file, diff)
	}
}

func TestRecords_FitTheStreamThatTheTemplateDeclares(t *testing.T) {
	stream := declared(t)
	data := sent(t)
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
