package sink

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// elasticSIEMFields returns the fields of a product's components and their types.
func elasticSIEMFields(t *testing.T, product string) map[string]string {
	t.Helper()
	type properties map[string]struct {
		Type       string
		Properties json.RawMessage
		Fields     map[string]struct{ Type string }
	}
	out := map[string]string{}
	var walk func(at string, text json.RawMessage)
	walk = func(at string, text json.RawMessage) {
		var all properties
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		for name, p := range all {
			if p.Properties != nil {
				walk(at+name+".", p.Properties)
				continue
			}
			out[at+name] = p.Type
			for sub, f := range p.Fields {
				if sub != "text" || f.Type != "match_only_text" {
					t.Errorf("%s%s.%s is %s", at, name, sub, f.Type)
				}
			}
		}
	}
	for _, file := range []string{"component-ecs.json", "component-sentinel_one.json"} {
		text, err := os.ReadFile(filepath.Join(elasticSIEMDir, product, file))
		if err != nil {
			t.Fatal(err)
		}
		var c struct {
			Template struct {
				Mappings struct{ Properties json.RawMessage }
			}
		}
		if err := json.Unmarshal(text, &c); err != nil {
			t.Fatal(err)
		}
		before := len(out)
		if walk("", c.Template.Mappings.Properties); len(out) < before+80 {
			t.Fatalf("%s/%s: %d fields", product, file, len(out)-before)
		}
	}
	return out
}

// elasticSIEMTable reads a table of fields of sink/format: a name and a type a line.
func elasticSIEMTable(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("format", "testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] != "#" {
			out[f[0]] = f[1]
		}
	}
	return out
}

func TestElasticSIEM_TemplatesHaveTheFieldsOfTheFormatAndTheirTypes(t *testing.T) {
	ecs, want := elasticSIEMTable(t, "ecs-9.4.0.txt"), elasticSIEMTable(t, "sentinel_one_fields.txt")
	// Elastic's integration makes these two texts of "true" and "false".
	want["sentinel_one.threat.mitigation_status.agent_supports_report"] = "keyword"
	want["sentinel_one.threat.mitigation_status.group_not_found"] = "keyword"
	want["s1stream.ingest_lag_ms"] = "long" // of the pipeline

	got := elasticSIEMFields(t, "elastic")
	opensearch := maps.Clone(got)
	for name, kind := range got {
		table, is := ecs[name]
		if !is {
			continue
		}
		delete(got, name)
		switch name {
		// Ours always says the same, and what is the same in every document needs no room.
		case "event.dataset", "event.module":
			table = "constant_keyword"
		// A sink's namespace may differ from that of another into the same data stream.
		case "data_stream.namespace":
			table = "keyword"
		}
		if kind != table {
			t.Errorf("%s is %s, the schema says %s", name, kind, table)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields of our own (-table +template):\n%s", diff)
	}
	opensearch["sentinel_one.threat.detection.cloud_providers"] = "object" // its flat_object refuses long values
	if diff := cmp.Diff(opensearch, elasticSIEMFields(t, "opensearch")); diff != "" {
		t.Errorf("the templates of OpenSearch differ (-elastic +opensearch):\n%s", diff)
	}
}
