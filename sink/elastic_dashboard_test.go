package sink

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"

	"s1stream/internal/corpus"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

func TestElasticDashboard_HangsTogether(t *testing.T) {
	export := elasticDashExport(t)
	objects, vis, faults := elasticDashRead(t, export)
	for _, f := range faults {
		t.Error(f)
	}
	if len(vis) != 5 || objects["s1stream-threats"].Attributes.Title != "logs-sentinel_one.threat-*" {
		t.Errorf("%d visualizations, of %q", len(vis), objects["s1stream-threats"].Attributes.Title)
	}
	for _, broken := range [][2]string{
		{`"id":"s1stream-ingest-lag"`, `"id":"s1stream-lag"`}, {`"name":"panel_3"`, `"name":"panel_9"`},
		{`"exportedCount":8`, `"exportedCount":9`}, {`\"title\": \"Ingest lag\"`, `\"title\": \"Lag\"`},
	} {
		damaged := bytes.Replace(export, []byte(broken[0]), []byte(broken[1]), 1)
		if _, _, faults := elasticDashRead(t, damaged); len(faults) == 0 || bytes.Equal(damaged, export) {
			t.Errorf("an export with %s is approved of", broken[1])
		}
	}
}

// elasticDashVersion is a version of a threat, and what the console says in it.
type elasticDashVersion struct {
	id, host, incident, confidence string
	day, minute                    int
	mitigation                     string
}

func (d elasticDashVersion) raw() string {
	return fmt.Sprintf(`{"id":%q,"threatInfo":{"updatedAt":"2026-11-%02dT10:%02d:00Z","createdAt":"2026-11-01T00:00:00Z","incidentStatus":%q,"confidenceLevel":%q,"mitigationStatus":%q},"agentRealtimeInfo":{"agentComputerName":%q}}`,
		d.id, d.day, d.minute, d.incident, d.confidence, d.mitigation, d.host)
}

func TestElasticDashboard_CountsWhatIsThere(t *testing.T) {
	o := testpeer.StartOpenSearch(t, 2, 10000, "node.roles=cluster_manager,data,ingest")
	elasticSIEMInstall(t, o, "opensearch", `false`)
	versions := []elasticDashVersion{
		{"1", "alpha", "unresolved", "malicious", 1, 0, ""}, {"1", "alpha", "resolved", "malicious", 1, 1, ""}, // no more
		{"2", "alpha", "unresolved", "suspicious", 1, 2, ""},
		{"3", "beta", "resolved", "malicious", 1, 3, ""}, {"3", "beta", "unresolved", "malicious", 2, 4, ""}, // once more
		{"4", "beta", "in_progress", "suspicious", 2, 5, ""}, {"4", "beta", "in_progress", "malicious", 2, 6, ""},
		{"5", "beta", "unresolved", "n/a", 2, 7, ""},
		{"6", "gamma", "resolved", "n/a", 2, 8, ""},
		{"7", "gamma", "unresolved", "suspicious", 2, 9, "mitigated"}, // 40 is low here, and medium of the "n/a" above
	}
	s := elasticPeerSink(t, o, nil)
	encode := elasticSIEMEncode(t, s, false)
	type set = map[string]map[string]bool // threats by what they are counted by
	days, severities, latest, hosts := set{}, set{}, map[string]elasticDashVersion{}, map[string]int{}
	count := func(s set, key, id string) {
		if s[key] == nil {
			s[key] = map[string]bool{}
		}
		s[key][id] = true
	}
	var records []Record
	for _, v := range versions {
		ev := corpus.Event([]byte(v.raw()))
		body, _, err := encode(nil, &ev, 0)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, Record{Event: &ev, Body: body})
		facts := format.FactsOf(ev.Raw)
		count(days, fmt.Sprintf("2026-11-%02d %sd", v.day, map[format.Activity]string{format.Close: "threat-resolve", format.Update: "threat-update"}[facts.Activity(&ev)]), v.id)
		count(severities, facts.Severity().CIM, v.id)
		latest[v.id] = v
	}
	for _, v := range latest {
		if v.incident != "resolved" {
			hosts[v.host]++
		}
	}
	for range 2 { // the second time, everything is there already
		if refused := elasticSIEMWrite(t, s, records); len(refused) > 0 {
			t.Fatal(refused)
		}
	}
	o.Do(http.MethodPost, "/"+elasticPeerTarget+"/_refresh", "", nil)

	export := elasticDashExport(t)
	objects, vis, _ := elasticDashRead(t, export)
	aggregated, shown := elasticDashFields(t, objects, vis)
	if faults := elasticDashUnknown(t, o, aggregated, shown); len(faults) > 0 || len(aggregated) < 6 || len(shown) < 9 {
		t.Errorf("%d and %d fields: %q", len(aggregated), len(shown), faults)
	}
	for _, field := range []string{"host.nam", "event.original", "message", "sentinel_one.threat.detection.cloud_providers"} {
		if len(elasticDashUnknown(t, o, map[string]bool{field: true}, nil)) == 0 {
			t.Errorf("%s passes for a field that can be aggregated", field)
		}
	}

	ask := func(id string) elasticDashAnswer {
		var a elasticDashAnswer
		o.Do(http.MethodPost, "/"+elasticPeerTarget+"/_search", elasticDashSearch(t, vis[id]), &a)
		return a
	}
	got := map[string]int{}
	for _, day := range ask("s1stream-threats-over-time").Aggregations["2"].list(t) {
		for _, action := range day.sub(t, "3").list(t) {
			got[day.Day[:10]+" "+action.name(t)] = action.sub(t, "1").Value
		}
	}
	elasticDashSame(t, "threats over time", got, days)
	got = map[string]int{}
	for label, b := range ask("s1stream-threats-by-severity").Aggregations["2"].named(t) {
		if n := b.sub(t, "1").Value; n > 0 {
			got[label] = n
		}
	}
	elasticDashSame(t, "threats by severity", got, severities)
	answer := ask("s1stream-versions-and-documents")
	if a, b, c := answer.Hits.Total.Value, answer.Aggregations["2"].Value, answer.Aggregations["3"].Value; a != len(versions) || b != len(versions) || c != len(latest) {
		t.Errorf("%d documents, %d versions, %d threats", a, b, c)
	}
	lags := 0
	for _, day := range ask("s1stream-ingest-lag").Aggregations["2"].list(t) {
		for percent, text := range day.sub(t, "1").Values {
			var ms float64
			if err := json.Unmarshal(text, &ms); err != nil || ms <= 0 {
				t.Errorf("the lag's percentile %s is %s", percent, text)
			}
			lags++
		}
	}
	if lags != 2*3 {
		t.Errorf("%d lags of two days, want three percentiles each", lags)
	}
	if found := elasticDashUnresolved(t, o, vis["s1stream-unresolved-by-host"]); !maps.Equal(found, hosts) {
		t.Errorf("unresolved by host: %v, want %v", found, hosts)
	}
	for _, product := range []string{"elastic", "opensearch"} {
		elasticDashReadme(t, o, product, len(versions), len(latest))
	}
}

func elasticDashSame(t *testing.T, what string, got map[string]int, want map[string]map[string]bool) {
	t.Helper()
	counted := map[string]int{}
	for key, ids := range want {
		counted[key] = len(ids)
	}
	if !maps.Equal(got, counted) || len(got) < 3 {
		t.Errorf("%s: %v, want %v", what, got, counted)
	}
}

// elasticDashUnresolved runs the search of the panel, and does with its hits what the panel's specification says.
func elasticDashUnresolved(t *testing.T, o *testpeer.OpenSearch, v elasticDashVis) map[string]int {
	t.Helper()
	spec := elasticDashVega(t, v)
	body, err := json.Marshal(spec.Data.URL.Body)
	if err != nil || spec.Data.URL.Index != "logs-sentinel_one.threat-*" {
		t.Fatalf("%q: %v", spec.Data.URL.Index, err)
	}
	var answer struct {
		Hits struct {
			Hits []struct {
				Source struct {
					Host struct{ Name string }
					One  struct {
						Threat struct{ Incident struct{ Status string } }
					} `json:"sentinel_one"`
				} `json:"_source"`
			}
		}
	}
	o.Do(http.MethodPost, "/"+spec.Data.URL.Index+"/_search", string(body), &answer)
	hosts := map[string]int{}
	for _, h := range answer.Hits.Hits {
		if h.Source.One.Threat.Incident.Status != "resolved" {
			hosts[h.Source.Host.Name]++
		}
	}
	return hosts
}

// elasticDashReadme runs the searches of a README.
func elasticDashReadme(t *testing.T, o *testpeer.OpenSearch, product string, versions, threats int) {
	t.Helper()
	ran := 0
	for _, c := range elasticSIEMCalls(t, product) {
		if !strings.Contains(c.path, "/_search") {
			continue
		}
		var a elasticDashAnswer
		o.Do(c.method, c.path, c.body, &a)
		if ran++; a.Hits.Total.Value != versions {
			t.Errorf("%s: %s finds %d documents, want %d", product, c.path, a.Hits.Total.Value, versions)
		}
		if c.body != "" && (a.Aggregations["threats"].Value != threats || a.Aggregations["versions"].Value != versions) {
			t.Errorf("%s: counts %v, want %d threats of %d versions", product, a.Aggregations, threats, versions)
		}
	}
	if ran != 2 {
		t.Errorf("%s: %d searches, want the first event and the count", product, ran)
	}
}
