package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"s1stream/internal/testpeer"
)

// elasticDashObject is a line of an export of OpenSearch Dashboards.
type elasticDashObject struct {
	ID, Type   string
	Attributes struct {
		Title, VisState, PanelsJSON, TimeFieldName string
		Columns                                    []string
		Sort                                       [][]string
	}
	References    []struct{ Name, Type, ID string }
	ExportedCount int
}

// elasticDashAgg is a metric or a bucket of a visualization.
type elasticDashAgg struct {
	ID, Type, Schema string
	Params           struct {
		Field, JSON, OrderBy, Order string
		Size                        int
		Percents                    []float64
		Filters                     []struct {
			Input struct{ Query, Language string }
			Label string
		}
	}
}

// elasticDashVis is what a visualization asks for, and with which words.
type elasticDashVis struct {
	Title, Type string
	Aggs        []elasticDashAgg
	Params      struct{ Spec string }
}

// elasticDashSpec is the part of a Vega-Lite specification that OpenSearch Dashboards reads: the search.
type elasticDashSpec struct {
	Data struct {
		URL struct {
			Index string
			Time  string `json:"%timefield%"`
			Body  map[string]any
		}
	}
}

// elasticDashRead reads an export, and returns its visualizations and what is wrong with how its objects hang together.
func elasticDashRead(t *testing.T, export []byte) (objects map[string]elasticDashObject, vis map[string]elasticDashVis, faults []string) {
	t.Helper()
	objects, vis = map[string]elasticDashObject{}, map[string]elasticDashVis{}
	last := -1
	for line := range bytes.Lines(export) {
		var o elasticDashObject
		if err := json.Unmarshal(line, &o); err != nil {
			t.Fatal(err)
		}
		if last = o.ExportedCount; last > 0 {
			break
		}
		if objects[o.ID].ID != "" {
			faults = append(faults, o.ID+" is there twice")
		}
		objects[o.ID] = o
	}
	if last != len(objects) {
		faults = append(faults, fmt.Sprintf("%d objects, the last line says %d", len(objects), last))
	}
	for id, o := range objects {
		names := map[string]bool{}
		for _, r := range o.References {
			names[r.Name] = true
			if objects[r.ID].Type != r.Type {
				faults = append(faults, fmt.Sprintf("%s: no %s %s", id, r.Type, r.ID))
			}
		}
		switch o.Type {
		case "visualization":
			var v elasticDashVis
			if err := json.Unmarshal([]byte(o.Attributes.VisState), &v); err != nil || v.Title != o.Attributes.Title {
				faults = append(faults, fmt.Sprintf("%s: visState of %q: %v", id, v.Title, err))
			}
			vis[id] = v
		case "dashboard":
			var panels []struct{ PanelRefName string }
			if err := json.Unmarshal([]byte(o.Attributes.PanelsJSON), &panels); err != nil || len(panels) != len(names) || len(panels) != len(objects)-2 {
				faults = append(faults, fmt.Sprintf("%s: %d panels, %d references: %v", id, len(panels), len(names), err))
			}
			for _, p := range panels {
				if !names[p.PanelRefName] {
					faults = append(faults, id+": no reference "+p.PanelRefName)
				}
			}
		}
	}
	return objects, vis, faults
}

// elasticDashFields returns the fields that an export aggregates by, and those that it only searches or shows.
func elasticDashFields(t *testing.T, objects map[string]elasticDashObject, vis map[string]elasticDashVis) (aggregated, shown map[string]bool) {
	t.Helper()
	aggregated, shown = map[string]bool{}, map[string]bool{}
	for _, o := range objects {
		for _, c := range o.Attributes.Columns {
			shown[c] = true
		}
		for _, s := range o.Attributes.Sort {
			aggregated[s[0]] = true
		}
		if o.Type == "index-pattern" {
			aggregated[o.Attributes.TimeFieldName] = true
		}
	}
	for _, v := range vis {
		for _, a := range v.Aggs {
			if a.Params.Field != "" {
				aggregated[a.Params.Field] = true
			}
			for _, f := range a.Params.Filters {
				field, _, _ := strings.Cut(f.Input.Query, ":")
				shown[field] = true
			}
		}
		if v.Type == "vega" {
			spec := elasticDashVega(t, v)
			aggregated[spec.Data.URL.Time] = true
			aggregated[spec.Data.URL.Body["collapse"].(map[string]any)["field"].(string)] = true
			for _, s := range spec.Data.URL.Body["sort"].([]any) {
				for field := range s.(map[string]any) {
					aggregated[field] = true
				}
			}
			for _, f := range spec.Data.URL.Body["_source"].([]any) {
				shown[f.(string)] = true
			}
		}
	}
	return aggregated, shown
}

func elasticDashVega(t *testing.T, v elasticDashVis) (spec elasticDashSpec) {
	t.Helper()
	if err := json.Unmarshal([]byte(v.Params.Spec), &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// elasticDashUnknown returns the fields that the data stream does not have, or not in such a way that they can be aggregated.
func elasticDashUnknown(t *testing.T, o *testpeer.OpenSearch, aggregated, shown map[string]bool) (faults []string) {
	t.Helper()
	var caps struct {
		Fields map[string]map[string]struct{ Searchable, Aggregatable bool }
	}
	o.Do(http.MethodGet, "/"+elasticPeerTarget+"/_field_caps?fields=*", "", &caps)
	for _, wanted := range []struct {
		fields     map[string]bool
		aggregated bool
	}{{aggregated, true}, {shown, false}} {
		for field := range wanted.fields {
			if len(caps.Fields[field]) != 1 {
				faults = append(faults, field+" is no field of the template")
			}
			for _, c := range caps.Fields[field] {
				if !c.Searchable || wanted.aggregated && !c.Aggregatable {
					faults = append(faults, field+" can't be aggregated, or not be searched")
				}
			}
		}
	}
	return faults
}

// elasticDashSearch is the search that OpenSearch Dashboards makes of a visualization; a bucket of a date is a day.
func elasticDashSearch(t *testing.T, v elasticDashVis) string {
	t.Helper()
	metrics, buckets := map[string]any{}, []elasticDashAgg{}
	for _, a := range v.Aggs {
		body := map[string]any{"field": a.Params.Field}
		if a.Params.JSON != "" {
			if err := json.Unmarshal([]byte(a.Params.JSON), &body); err != nil {
				t.Fatal(err)
			}
		}
		switch {
		case a.Schema != "metric":
			buckets = append(buckets, a)
		case a.Type == "percentiles":
			body["percents"] = a.Params.Percents
			fallthrough
		case a.Type == "cardinality":
			metrics[a.ID] = map[string]any{a.Type: body}
		case a.Type != "count":
			t.Fatalf("%s: unknown metric %s", v.Title, a.Type)
		}
	}
	aggs := metrics
	for _, b := range slices.Backward(buckets) {
		var body map[string]any
		switch b.Type {
		case "date_histogram":
			body = map[string]any{"field": b.Params.Field, "fixed_interval": "1d", "min_doc_count": 1}
		case "terms":
			body = map[string]any{"field": b.Params.Field, "size": b.Params.Size, "order": map[string]any{b.Params.OrderBy: b.Params.Order}}
		case "filters":
			filters := map[string]any{}
			for _, f := range b.Params.Filters {
				if f.Input.Language != "lucene" {
					t.Fatalf("%s: %s is in %s", v.Title, f.Label, f.Input.Language)
				}
				filters[f.Label] = map[string]any{"query_string": map[string]any{"query": f.Input.Query}}
			}
			body = map[string]any{"filters": filters}
		default:
			t.Fatalf("%s: unknown bucket %s", v.Title, b.Type)
		}
		aggs = map[string]any{b.ID: map[string]any{b.Type: body, "aggs": aggs}}
	}
	text, err := json.Marshal(map[string]any{"size": 0, "track_total_hits": true, "aggs": aggs})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func elasticDashExport(t *testing.T) []byte {
	t.Helper()
	export, err := os.ReadFile(filepath.Join(elasticSIEMDir, "opensearch", "dashboard.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	return export
}

// elasticDashAnswer is the answer to a search with aggregations.
type elasticDashAnswer struct {
	Hits         struct{ Total struct{ Value int } }
	Aggregations map[string]elasticDashResult
}

type elasticDashResult struct {
	Value   int
	Values  map[string]json.RawMessage
	Buckets json.RawMessage
}

type elasticDashBucket struct {
	Day    string          `json:"key_as_string"`
	Key    json.RawMessage `json:"key"`
	fields map[string]json.RawMessage
}

func (b *elasticDashBucket) UnmarshalJSON(text []byte) error {
	type plain elasticDashBucket
	if err := json.Unmarshal(text, (*plain)(b)); err != nil {
		return err
	}
	return json.Unmarshal(text, &b.fields)
}

func (b elasticDashBucket) sub(t *testing.T, id string) (r elasticDashResult) {
	t.Helper()
	if err := json.Unmarshal(b.fields[id], &r); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return r
}

func (b elasticDashBucket) name(t *testing.T) string {
	t.Helper()
	name, err := strconv.Unquote(string(b.Key))
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func (r elasticDashResult) list(t *testing.T) (out []elasticDashBucket) {
	t.Helper()
	if err := json.Unmarshal(r.Buckets, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (r elasticDashResult) named(t *testing.T) (out map[string]elasticDashBucket) {
	t.Helper()
	if err := json.Unmarshal(r.Buckets, &out); err != nil {
		t.Fatal(err)
	}
	return out
}
