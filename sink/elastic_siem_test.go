package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

const elasticSIEMDir = "../deploy/siem"

// elasticSIEMCommand is a line of a README that sends something to the cluster.
var elasticSIEMCommand = regexp.MustCompile(`(?m)^curl -X (\w+) "\$URL(/[^"]*)"(?: --data-binary (?:@(\S+)|'([^']*)'))?$`)

type elasticSIEMCall struct{ method, path, file, body string }

// elasticSIEMCalls reads the commands of a README; what it sends from a file is read from there.
func elasticSIEMCalls(t *testing.T, product string) (calls []elasticSIEMCall) {
	t.Helper()
	read := func(name string) string {
		text, err := os.ReadFile(filepath.Join(elasticSIEMDir, product, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	readme := read("README.md")
	for _, m := range elasticSIEMCommand.FindAllStringSubmatch(readme, -1) {
		c := elasticSIEMCall{method: m[1], path: m[2], file: m[3], body: m[4]}
		if c.file != "" {
			c.body = read(c.file)
		}
		calls = append(calls, c)
	}
	if commands := strings.Count(readme, "\ncurl -"); commands != len(calls) || commands < 8 {
		t.Fatalf("%s: %d of %d commands are understood", product, len(calls), commands)
	}
	return calls
}

// elasticSIEMDiffers are the few names of Elasticsearch that OpenSearch does not have, and what stands in their place.
var elasticSIEMDiffers = map[string][2]string{
	"component-settings.json":     {`"lifecycle": { "name": "s1stream-threat" },`, ``},
	"component-sentinel_one.json": {`{ "type": "flattened", "ignore_above": 1024 }`, `{ "type": "object", "enabled": false }`},
	"index-template.json":         {",\n  \"allow_auto_create\": true", ``},
}

// elasticSIEMInstall runs a README's commands of installation, but for those that need a plugin or a licence: policies,
// roles and keys, which .ci/judges has an eye on.
func elasticSIEMInstall(t *testing.T, o *testpeer.OpenSearch, product, dynamic string) {
	t.Helper()
	installed := 0
	for _, c := range elasticSIEMCalls(t, product) {
		if c.method != http.MethodPut || strings.HasPrefix(c.path, "/_plugins/") || strings.HasPrefix(c.path, "/_ilm/") {
			continue
		}
		replace := func(from, to string) {
			if strings.Count(c.body, from) != 1 {
				t.Fatalf("%s/%s: %s is not there once", product, c.file, from)
			}
			c.body = strings.Replace(c.body, from, to, 1)
		}
		if d, ok := elasticSIEMDiffers[c.file]; ok && product == "elastic" {
			replace(d[0], d[1])
		}
		if c.file == "component-ecs.json" {
			replace(`"dynamic": false`, `"dynamic": `+dynamic) // of the whole: no object below has one of its own
		}
		if strings.Contains(strings.ReplaceAll(c.body, `"dynamic": `+dynamic, ""), `"dynamic"`) {
			t.Fatalf("%s/%s: has a dynamic of its own", product, c.file)
		}
		o.Do(c.method, c.path, c.body, nil)
		installed++
	}
	if installed != 5 {
		t.Fatalf("%s: %d files installed, want a pipeline, three components and a template", product, installed)
	}
}

// elasticSIEMWrite delivers in requests of 500 and returns what was refused.
func elasticSIEMWrite(t *testing.T, s *Elastic, records []Record) (refused []error) {
	t.Helper()
	for from := 0; from < len(records); from += 500 {
		err := s.Write(t.Context(), records[from:min(from+500, len(records))])
		var batch *BatchError
		switch {
		case errors.As(err, &batch):
			for _, f := range batch.Failed {
				refused = append(refused, f.Err)
			}
		case err != nil:
			t.Fatal(err)
		}
	}
	return refused
}

func elasticSIEMEncode(t *testing.T, s *Elastic, original bool) Encode {
	t.Helper()
	ecs, err := format.NewECS(format.ECSOptions{EventOriginal: original, Console: "console.example"})
	if err != nil {
		t.Fatal(err)
	}
	return s.Wrap(ecs)
}

// elasticSIEMRecords are n threats of the corpus, some of them with the whole threat in them and some shrunk, and the
// golden documents.
func elasticSIEMRecords(t *testing.T, s *Elastic, n int) (out []Record) {
	t.Helper()
	plain, original, i := elasticSIEMEncode(t, s, false), elasticSIEMEncode(t, s, true), 0
	for c := range corpus.Threats(1, n) {
		encode, limit := plain, 0
		switch i++; i % 10 {
		case 3:
			encode = original
		case 7:
			limit = [...]int{1500, 3000, 6000}[i%3]
		}
		body, _, err := encode(nil, &c.Event, limit)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Record{Event: &c.Event, Body: body})
	}
	files, err := filepath.Glob("../testdata/golden/ecs-*.ndjson")
	if err != nil || len(files) < 3 {
		t.Fatalf("%d golden files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range bytes.Lines(text) {
			version := event.NewVersion("golden", file, "", line) // those of one threat are documents of their own here
			out = append(out, Record{Event: &event.Event{Version: version}, Body: bytes.TrimSpace(line)})
		}
	}
	return out
}

// elasticSIEMStored compares what is stored with what was sent: the same documents, once, and unchanged but for what
// the pipeline adds.
func elasticSIEMStored(t *testing.T, o *testpeer.OpenSearch, target string, sent []Record) {
	t.Helper()
	want, got := map[string][]byte{}, map[string]bool{}
	for _, r := range sent {
		if id := r.Event.Version.String(); want[id] == nil {
			want[id] = r.Body // a second one of the same version is a repeat
		}
	}
	for _, d := range o.Docs(target) {
		var stored, was map[string]any
		for text, v := range map[string]*map[string]any{string(d.Source): &stored, string(want[d.ID]): &was} {
			dec := json.NewDecoder(strings.NewReader(text))
			dec.UseNumber()
			if err := dec.Decode(v); err != nil {
				t.Fatalf("%s: %v", d.ID, err)
			}
		}
		ev, _ := stored["event"].(map[string]any)
		lag, _ := stored["s1stream"].(map[string]any)
		if _, ok := lag["ingest_lag_ms"].(json.Number); !ok || ev["ingested"] == nil || got[d.ID] {
			t.Errorf("%s: lag %v, ingested %v, twice %v", d.ID, lag, ev["ingested"], got[d.ID])
		}
		got[d.ID] = true
		delete(stored, "s1stream")
		if delete(ev, "ingested"); len(ev) == 0 { // a threat that is no ECS has no event otherwise
			delete(stored, "event")
		}
		if !reflect.DeepEqual(stored, was) {
			t.Errorf("%s is stored as %.1500s\nwas sent as %.1500s", d.ID, d.Source, want[d.ID])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d documents are stored, %d were sent", len(got), len(want))
	}
}

func elasticSIEMProbe(t *testing.T, o *testpeer.OpenSearch) string {
	t.Helper()
	cfg := DefaultElastic()
	cfg.URLs, cfg.Target = []string{o.URL}, elasticPeerTarget
	p := cfg.Probe(t.Context(), Deps{Source: "emea"})
	return fmt.Sprint(p.Found, p.Problems)
}

func TestElasticSIEM_TemplatesTakeEveryDocumentOfTheFormatECS(t *testing.T) {
	o := testpeer.StartOpenSearch(t, 2, 10000, "node.roles=cluster_manager,data,ingest")
	if found := elasticSIEMProbe(t, o); !strings.Contains(found, "no index template") {
		t.Errorf("before the installation check says %s", found)
	}
	for _, tt := range []struct {
		product string
		threats int
	}{{"opensearch", corpus.Size}, {"elastic", 1000}} {
		elasticSIEMInstall(t, o, tt.product, `"strict"`)
		if found := elasticSIEMProbe(t, o); !strings.Contains(found, "index template s1stream-threat makes a data stream of "+elasticPeerTarget) {
			t.Errorf("%s: check says %s", tt.product, found)
		}
		target := "logs-sentinel_one.threat-" + tt.product + "_strict"
		s := elasticPeerSink(t, o, func(c *ElasticConfig) { c.Target = target })
		records := elasticSIEMRecords(t, s, tt.threats)
		for i, err := range elasticSIEMWrite(t, s, records) {
			if i < 10 {
				t.Errorf("%s: %v", tt.product, err)
			}
		}
		elasticSIEMStored(t, o, target, records)

		// A field of nobody's, wherever it is, would have been noticed, and is taken as the template is shipped.
		strange := elasticSIEMStrange(t, s)
		refused := elasticSIEMWrite(t, s, strange)
		for _, err := range refused {
			if !strings.Contains(err.Error(), "strict_dynamic_mapping_exception") {
				t.Errorf("%s: refused by %v, want the strict mapping", tt.product, err)
			}
		}
		if len(refused) != len(strange) {
			t.Errorf("%s: %d of %d documents with a field of nobody's are refused under strict", tt.product, len(refused), len(strange))
		}
		elasticSIEMInstall(t, o, tt.product, `false`)
		target = "logs-sentinel_one.threat-" + tt.product
		s = elasticPeerSink(t, o, func(c *ElasticConfig) { c.Target = target })
		strange = append(strange, elasticSIEMMalformed(t, s)...)
		for _, err := range elasticSIEMWrite(t, s, strange) {
			t.Errorf("%s, as it is shipped: %v", tt.product, err)
		}
		elasticSIEMStored(t, o, target, strange)
	}
}

// elasticSIEMVariant is the ordinary threat with one text in its place replaced by another, as a document of its own.
func elasticSIEMVariant(t *testing.T, s *Elastic, encode Encode, from, to string) Record {
	t.Helper()
	for c := range corpus.Threats(1, 1) {
		body, _, err := encode(nil, &c.Event, 0)
		if err != nil || strings.Count(string(body), from) == 0 {
			t.Fatalf("%s is not in the document: %v", from, err)
		}
		c.Event.Version = event.NewVersion(s.path, from, to, nil)
		return Record{Event: &c.Event, Body: []byte(strings.Replace(string(body), from, to, 1))}
	}
	panic("the corpus is empty")
}

func elasticSIEMStrange(t *testing.T, s *Elastic) (out []Record) {
	t.Helper()
	for _, at := range []string{`{"@timestamp"`, `"event":{"kind"`, `"sentinel_one":{"account"`, `"threat":{"id"`, `"os":{"name"`} {
		brace := strings.Index(at, "{") + 1
		out = append(out, elasticSIEMVariant(t, s, elasticSIEMEncode(t, s, false), at, at[:brace]+`"nobodys":{"a":1},`+at[brace:]))
	}
	return out
}

// elasticSIEMMalformed are documents that only another program would send, or this one in another format.
func elasticSIEMMalformed(t *testing.T, s *Elastic) []Record {
	t.Helper()
	ecs := elasticSIEMEncode(t, s, false)
	return []Record{
		elasticSIEMVariant(t, s, ecs, `"severity":`, `"severity":"none","was":`),
		elasticSIEMVariant(t, s, ecs, `"created":"`, `"created":"yesterday, `),
		elasticSIEMVariant(t, s, ecs, `"ip":["`, `"ip":["no address, `),
		elasticSIEMVariant(t, s, ecs, `"namespace":"default"`, `"namespace":"another"`),
		elasticSIEMVariant(t, s, s.Wrap(format.JSON), `"threatInfo"`, `"threatInfo"`),
	}
}

// OpenSearch fails every document of a request when its pipeline can't read one of them.
func TestElasticSIEM_NamesTheOneDocumentThatThePipelineCannotRead(t *testing.T) {
	o := testpeer.StartOpenSearch(t, 2, 10000, "node.roles=cluster_manager,data,ingest")
	elasticSIEMInstall(t, o, "opensearch", `false`)
	s := elasticPeerSink(t, o, nil)
	records := elasticPeerRecords(t, s, 0, 21, "1")
	records[13].Body = bytes.Replace(records[13].Body, []byte(`"n":1`), []byte(`"n":1,"n":2`), 1)
	err := s.Write(t.Context(), records)
	var batch *BatchError
	if !errors.As(err, &batch) || len(batch.Failed) != 1 || batch.Failed[0].Index != 13 || httpKind(batch.Failed[0].Err) != "refused" {
		t.Fatalf("Write: %v, want record 13 refused alone", err)
	}
	if n := len(o.Docs(elasticPeerTarget)); n != 20 {
		t.Errorf("%d documents are there, want 20", n)
	}
}
