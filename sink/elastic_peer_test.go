package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

const elasticPeerTarget = "logs-sentinel_one.threat-default"

// elasticPeerTemplate makes a data stream of logs-*, and refuses a document whose number is none.
const elasticPeerTemplate = `{"index_patterns":["logs-sentinel_one.*-*"],"data_stream":{},"priority":200,"template":{
	"settings":{"number_of_shards":1,"number_of_replicas":0},
	"mappings":{"properties":{"@timestamp":{"type":"date"},"id":{"type":"keyword"},"n":{"type":"long"},"pad":{"type":"keyword","index":false,"doc_values":false}}}}}`

func elasticPeerSink(t *testing.T, o *testpeer.OpenSearch, change func(*ElasticConfig)) *Elastic {
	t.Helper()
	cfg := DefaultElastic()
	cfg.URLs, cfg.Target = []string{o.URL}, elasticPeerTarget
	if change != nil {
		change(cfg)
	}
	s, err := NewElastic(*cfg, Deps{Name: "siem", Source: "emea"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// elasticPeerRecords makes n records, numbered from first.
func elasticPeerRecords(t *testing.T, s *Elastic, first, n int, number string) []Record {
	t.Helper()
	encode := s.Wrap(format.JSON)
	var out []Record
	for i := first; i < first+n; i++ {
		raw := fmt.Appendf(nil, `{"id":"%020d","n":%s,"pad":%q}`, i, number, strings.Repeat("x", 500))
		ev := &event.Event{Raw: raw, ID: fmt.Sprintf("%020d", i), UpdatedAt: time.Date(2026, 1, 6, 10, 0, 0, i*1000, time.UTC), Source: "emea"}
		ev.Version = event.NewVersion("console.example.com", ev.ID, "u", raw)
		body, _, err := encode(nil, ev, 0)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Record{Event: ev, Body: body})
	}
	return out
}

// elasticPeerDeliver writes as a line does, until every record is taken.
func elasticPeerDeliver(ctx context.Context, s *Elastic, records []Record) (failures int, err error) {
	for len(records) > 0 {
		if ctx.Err() != nil {
			return failures, ctx.Err()
		}
		err := s.Write(ctx, records)
		var batch *BatchError
		switch {
		case err == nil:
			return failures, nil
		case errors.As(err, &batch):
			var rest []Record
			for _, f := range batch.Failed {
				if httpRefused(f.Err) {
					return failures, f.Err
				}
				rest = append(rest, records[f.Index])
			}
			records = rest
		}
		failures++
		time.Sleep(50 * time.Millisecond) // a line backs off longer
	}
	return failures, nil
}

// elasticPeerCheck sees that every document is there, once, as it was sent.
func elasticPeerCheck(t *testing.T, o *testpeer.OpenSearch, want []Record) {
	t.Helper()
	count, bodies := map[string]int{}, map[string]string{}
	for _, d := range o.Docs(elasticPeerTarget) {
		count[d.ID]++
		bodies[d.ID] = string(d.Source)
	}
	lost, repeated, changed := 0, 0, 0
	for _, r := range want {
		id := r.Event.Version.String()
		switch {
		case count[id] == 0:
			lost++
		case count[id] > 1:
			repeated++
		case bodies[id] != string(r.Body):
			changed++
		}
	}
	if lost+repeated+changed > 0 || len(count) != len(want) {
		t.Errorf("of %d: lost %d, repeated %d, changed %d; %d are there", len(want), lost, repeated, changed, len(count))
	}
}

func TestElasticPeer_LosesAndRepeatsNothingThroughKills(t *testing.T) {
	o := testpeer.StartOpenSearch(t, 2, 10000)
	o.Do(http.MethodPut, "/_index_template/threats", elasticPeerTemplate, nil)
	s := elasticPeerSink(t, o, nil)
	const kills, batch, batches = 2, 200, 60
	var all []Record
	for i := range batches {
		all = append(all, elasticPeerRecords(t, s, i*batch, batch, "1")...)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	started := make(chan int, batches)
	var stream sync.WaitGroup
	failures := 0
	var failed error
	stream.Go(func() {
		for i := range batches {
			started <- i
			n, err := elasticPeerDeliver(ctx, s, all[i*batch:(i+1)*batch])
			if failures += n; err != nil {
				failed = err
				return
			}
		}
	})
	for k := range kills {
		for i := range started {
			if i == (k+1)*batches/(kills+1) {
				time.Sleep(time.Duration(5+10*k) * time.Millisecond) // into the middle of a request
				break
			}
		}
		o.Kill()
		o.Start()
	}
	stream.Wait()
	if failed != nil {
		t.Fatal(failed)
	}
	if failures == 0 {
		t.Error("no Write failed: the kills met no stream")
	}
	elasticPeerCheck(t, o, all)
	// All of it once more, as after a crash of ours: nothing is stored twice.
	if n, err := elasticPeerDeliver(ctx, s, all); n != 0 || err != nil {
		t.Errorf("the same again: %d failures, %v", n, err)
	}
	elasticPeerCheck(t, o, all)
}

func TestElasticPeer_WaitsOutAFullQueue(t *testing.T) {
	o := testpeer.StartOpenSearch(t, 1, 1)
	o.Do(http.MethodPut, "/_index_template/threats", elasticPeerTemplate, nil)
	const sinks, batch = 12, 100
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all []Record
	var wg sync.WaitGroup
	var mu sync.Mutex
	failures := 0
	for i := range sinks {
		s := elasticPeerSink(t, o, nil)
		records := elasticPeerRecords(t, s, i*1000, 10*batch, "1")
		all = append(all, records...)
		wg.Go(func() {
			for b := range 10 {
				n, err := elasticPeerDeliver(ctx, s, records[b*batch:(b+1)*batch])
				mu.Lock()
				failures += n
				mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if failures == 0 {
		t.Error("the queue of one place was never full")
	}
	t.Logf("%d times the queue was full", failures)
	elasticPeerCheck(t, o, all)
}

func TestElasticPeer_IsUnderstood(t *testing.T) {
	o := testpeer.StartOpenSearch(t, 2, 10000, "action.auto_create_index=-forbidden*,+*")
	probe := func(target, op string) Probe {
		cfg := DefaultElastic()
		cfg.URLs, cfg.Target, cfg.Op = []string{o.URL}, target, op
		return cfg.Probe(t.Context(), Deps{Source: "emea"})
	}
	wantProbe := func(found, problem, target, op string) {
		t.Helper()
		p := probe(target, op)
		text, problems := strings.Join(p.Found, "\n"), ""
		for _, x := range p.Problems {
			problems += x.What + ": " + x.Remedy
		}
		if !strings.Contains(text, "OpenSearch 2.19.1") || !strings.Contains(text, found) || !strings.Contains(problems, problem) || (problem == "") != (problems == "") {
			t.Errorf("Probe of %s: found %q, problems %q; want %q and %q", target, text, problems, found, problem)
		}
	}
	wantProbe("", "no index template for it", elasticPeerTarget, "create")
	o.Do(http.MethodPut, "/_index_template/threats", elasticPeerTemplate, nil)
	o.Do(http.MethodPut, "/_index_template/lower", `{"index_patterns":["*"],"priority":1,"template":{"settings":{"number_of_replicas":0}}}`, nil)
	wantProbe("template threats makes a data stream", "", elasticPeerTarget, "create")
	wantProbe("template lower makes an index", "", "other", "create")

	s := elasticPeerSink(t, o, nil)
	// Whoever is not named is taken: the second copy of a document, and those beside a refused one.
	records := elasticPeerRecords(t, s, 0, 4, "1")
	records[2] = elasticPeerRecords(t, s, 2, 1, `"no number"`)[0]
	for range 2 {
		err := s.Write(t.Context(), records)
		var batch *BatchError
		if !errors.As(err, &batch) || len(batch.Failed) != 1 || batch.Failed[0].Index != 2 || httpKind(batch.Failed[0].Err) != "refused" {
			t.Fatalf("Write: %v, want record 2 refused alone", err)
		}
	}
	wantProbe("data stream "+elasticPeerTarget+", of the index template threats", "", elasticPeerTarget, "create")
	wantProbe("data stream", "takes no op", elasticPeerTarget, "index")
	elasticPeerCheck(t, o, append(records[:2:2], records[3]))

	// What a console lets through and a node would not take.
	odd := []byte("{\"id\":\"odd\",\r\n\"pad\":\"\xff\xfe \\ud800\"}")
	ev := &event.Event{Raw: odd, ID: "odd", Version: event.NewVersion("h", "odd", "u", odd)}
	body, _, err := s.Wrap(format.JSON)(nil, ev, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(t.Context(), []Record{{Event: ev, Body: body}}); err != nil {
		t.Errorf("a document with line breaks and invalid UTF-8: %v", err)
	}

	for name, tt := range map[string]struct {
		change func(*ElasticConfig)
		want   string
	}{
		"op index into a data stream":          {func(c *ElasticConfig) { c.Op = "index" }, "denied"},
		"an index that must not be made":       {func(c *ElasticConfig) { c.Target = "forbidden" }, "denied"},
		"op index into an index":               {func(c *ElasticConfig) { c.Op, c.Target = "index", "plain-{source}" }, "taken"},
		"op index into an index, once more":    {func(c *ElasticConfig) { c.Op, c.Target = "index", "plain-{source}" }, "taken"},
		"a path in front, without the node":    {func(c *ElasticConfig) { c.URLs = []string{o.URL + "/nothing/here"} }, "denied"},
		"a node that is gone, and one that is": {func(c *ElasticConfig) { c.URLs = []string{fmt.Sprintf("http://127.0.0.1:%d", testpeer.Port(t)), o.URL} }, "taken"},
	} {
		s := elasticPeerSink(t, o, tt.change)
		if err := s.Write(t.Context(), elasticPeerRecords(t, s, 10, 2, "1")); httpKind(err) != tt.want {
			t.Errorf("%s: %s (%v), want %s", name, httpKind(err), err, tt.want)
		}
	}
	wantProbe("index plain-emea", "", "plain-{source}", "index")
	o.Do(http.MethodPut, "/plain-emea/_settings", `{"index.blocks.read_only_allow_delete":true}`, nil) // as a full disk does
	s = elasticPeerSink(t, o, func(c *ElasticConfig) { c.Target = "plain-emea" })
	if err := s.Write(t.Context(), elasticPeerRecords(t, s, 20, 2, "1")); httpKind(err) != "denied" || !strings.Contains(err.Error(), "free disk space") {
		t.Errorf("a full disk: %v, want a denial that says so", err)
	}
	var count struct{ Count json.Number }
	o.Do(http.MethodGet, "/plain-emea/_count", "", &count)
}
