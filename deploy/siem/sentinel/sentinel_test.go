// Package sentinel holds what Microsoft Sentinel needs to take threats from s1stream; its tests hold the files to one
// another. Microsoft's own tools judge them in .ci/judges/sentinel.
package sentinel

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "put the .kql files into the templates, and write testdata again")

// template is a deployment template, as far as these tests read it.
type template struct {
	Resources []struct {
		Type       string
		Name       string
		Properties struct {
			Query         string // of a function or a rule
			FunctionAlias string
			Schema        struct{ Columns []column }

			StreamDeclarations map[string]struct{ Columns []column }
			DataFlows          []struct {
				Streams      []string
				TransformKql string
				OutputStream string
			}
		}
	}
	Outputs map[string]struct{ Value string }
}

type column struct{ Name, Type string }

func load(t *testing.T, file string) *template {
	t.Helper()
	var out template
	if err := json.Unmarshal(read(t, file), &out); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return &out
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// queries are the places in the templates that hold a .kql file, by the file's name.
func queries(t *testing.T) map[string]struct{ template, text string } {
	t.Helper()
	out := map[string]struct{ template, text string }{}
	put := func(name, template, text string) { out[name+".kql"] = struct{ template, text string }{template, text} }
	for _, r := range load(t, "azuredeploy.json").Resources {
		for _, flow := range r.Properties.DataFlows {
			put("transform", "azuredeploy.json", flow.TransformKql)
		}
		if r.Properties.FunctionAlias != "" {
			put(r.Properties.FunctionAlias, "azuredeploy.json", r.Properties.Query)
		}
	}
	rules := load(t, "rules.json").Resources
	if len(rules) != 2 {
		t.Fatalf("rules.json has %d resources, want 2", len(rules))
	}
	put("rule-not-mitigated", "rules.json", rules[0].Properties.Query)
	put("rule-same-file", "rules.json", rules[1].Properties.Query)
	return out
}

func TestTemplates_HoldTheQueriesOfTheirFiles(t *testing.T) {
	files, err := filepath.Glob("*.kql")
	if err != nil {
		t.Fatal(err)
	}
	held := queries(t)
	if len(files) != len(held) {
		t.Errorf("%d .kql files, the templates hold %d queries", len(files), len(held))
	}
	for _, file := range files {
		want := string(read(t, file))
		place, ok := held[file]
		switch {
		case !ok:
			t.Errorf("%s is in no template", file)
		case place.text == want:
		case !*update:
			t.Errorf("%s holds another text of %s: run go test ./deploy/siem/sentinel -update", place.template, file)
		default:
			replace(t, place.template, place.text, want)
		}
	}
}

// replace puts one string of a JSON file in the place of another, and leaves the rest of the file as it is.
func replace(t *testing.T, file, old, with string) {
	t.Helper()
	data := read(t, file)
	if bytes.Count(data, literal(t, old)) != 1 {
		t.Fatalf("%s does not hold the old text once", file)
	}
	if err := os.WriteFile(file, bytes.Replace(data, literal(t, old), literal(t, with), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

// literal is a string as JSON, with < and > as they are.
func literal(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(text); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// reserved are names that a custom table's column can't have ("Add or delete tables and columns in Azure Monitor
// Logs", "Standard columns in Azure Monitor Logs"). Case does not count here.
var reserved = []string{
	"id", "billedsize", "isbillable", "invalidtimegenerated", "tenantid", "title", "type", "uniqueid",
	"sourcesystem", "managementgroupname", "rawdata", "computer",
}

func TestTable_HasColumnsThatAzureTakes(t *testing.T) {
	name := regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]{1,44}$`)
	types := []string{"string", "int", "long", "real", "boolean", "dateTime", "dynamic"}
	table := columns(t)
	for i, c := range table {
		if !name.MatchString(c.Name) || slices.Contains(reserved, strings.ToLower(c.Name)) {
			t.Errorf("%s: not a name for a column", c.Name)
		}
		if !slices.Contains(types, c.Type) {
			t.Errorf("%s: %s is not a type of a column", c.Name, c.Type)
		}
		if slices.ContainsFunc(table[:i], func(o column) bool { return strings.EqualFold(o.Name, c.Name) }) {
			t.Errorf("%s: twice", c.Name)
		}
	}
	if !slices.Contains(table, column{"TimeGenerated", "dateTime"}) {
		t.Error("has no TimeGenerated of type dateTime")
	}
}

// columns are those of SentinelOneThreats_CL.
func columns(t *testing.T) []column {
	t.Helper()
	for _, r := range load(t, "azuredeploy.json").Resources {
		if len(r.Properties.Schema.Columns) > 0 {
			return r.Properties.Schema.Columns
		}
	}
	t.Fatal("azuredeploy.json has no table")
	return nil
}

// path is a way into the event, or into one of the names that the transformation gives its parts.
var (
	path  = regexp.MustCompile(`\b(Event|E|T|R|D)((?:\.[A-Za-z][A-Za-z0-9]*)+)`)
	parts = map[string]string{"Event": "", "E": "", "T": ".threatInfo", "R": ".agentRealtimeInfo", "D": ".agentDetectionInfo"}
)

func TestQueries_ReadFieldsThatThreatsHave(t *testing.T) {
	var events []map[string]any
	for line := range bytes.Lines(sent(t)) {
		var r record
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatal(err)
		}
		if r.Format == "json" {
			var ev map[string]any
			if err := json.Unmarshal(r.Event, &ev); err != nil {
				t.Fatal(err)
			}
			events = append(events, ev)
		}
	}
	if missing := unknownPaths(`x = tostring(T.threatNam), y = Event.indicators, z = T.threatName`, events); !slices.Equal(missing, []string{"T.threatNam"}) {
		t.Fatalf("a misspelt field: found %q", missing)
	}
	n := 0
	for file, q := range queries(t) {
		n += len(path.FindAllString(q.text, -1))
		for _, p := range unknownPaths(q.text, events) {
			t.Errorf("%s reads %s, which no threat has", file, p)
		}
	}
	if n < 30 {
		t.Errorf("%d paths found, there are more", n)
	}
}

// unknownPaths returns those of a query that lead nowhere in any event.
func unknownPaths(query string, events []map[string]any) (out []string) {
	for _, m := range path.FindAllStringSubmatch(query, -1) {
		keys := strings.Split(parts[m[1]]+m[2], ".")[1:]
		if !slices.ContainsFunc(events, func(ev map[string]any) bool { return has(ev, keys) }) {
			out = append(out, m[0])
		}
	}
	return out
}

func has(v any, keys []string) bool {
	for _, key := range keys {
		object, ok := v.(map[string]any)
		if !ok {
			return false
		}
		if v, ok = object[key]; !ok {
			return false
		}
	}
	return true
}
