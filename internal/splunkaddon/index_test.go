package splunkaddon

import (
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"

	"s1stream/internal/corpus"
	product "s1stream/internal/event"
	"s1stream/internal/jsonscan"
	"s1stream/sink"
	"s1stream/sink/format"
)

// sourceTypes are what the README says to set for each format; "" is the sink's own default.
var sourceTypes = map[string]string{"json": "", "cef": "s1stream:cef", "leef": "s1stream:leef", "ecs": "s1stream:ecs", "ocsf": "s1stream:ocsf"}

// indexed is an event as an indexer has it, and the threat it was.
type indexed struct {
	event
	name   string
	time   *big.Rat // _time, in seconds
	threat *product.Event
}

// index sends threats through the sink itself, in a format, and returns what a collector takes from the envelopes: the text
// of an event is _raw, an object as it is written.
func index(t testing.TB, name string, threats []*product.Event, names []string, max int) []indexed {
	t.Helper()
	var bodies [][]byte
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, body)
		_, _ = io.WriteString(w, `{"text":"Success","code":0}`)
	}))
	defer collector.Close()
	cfg := sink.DefaultSplunk()
	cfg.URL, cfg.Token, cfg.Ack, cfg.Gzip = collector.URL, "token", "off", false
	if sourceTypes[name] != "" {
		cfg.SourceType = sourceTypes[name]
	}
	s, err := sink.NewSplunk(*cfg, sink.Deps{Name: "splunk", Source: "emea"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	encode, err := format.New(name, format.Options{}, "console.example", nil)
	if err != nil {
		t.Fatal(err)
	}
	encode = s.Wrap(encode)
	var out []indexed
	for i, ev := range threats {
		body, _, err := encode(nil, ev, max)
		if err != nil {
			t.Fatalf("%s: %v", names[i], err)
		}
		bodies = nil
		if err := s.Write(t.Context(), []sink.Record{{Event: ev, Body: body}}); err != nil {
			t.Fatal(err)
		}
		got := read(t, bodies)
		got.name, got.threat = names[i], ev
		out = append(out, got)
	}
	return out
}

// read reads one envelope.
func read(t testing.TB, bodies [][]byte) indexed {
	t.Helper()
	var envelope struct {
		Time       json.Number
		Host       string
		Source     string
		SourceType string
		Fields     map[string]string
		Event      json.RawMessage
	}
	if len(bodies) != 1 {
		t.Fatalf("%d requests for one event", len(bodies))
	}
	if err := json.Unmarshal(bodies[0], &envelope); err != nil {
		t.Fatal(err)
	}
	at, ok := new(big.Rat).SetString(envelope.Time.String())
	if !ok {
		t.Fatalf("time %q is no number", envelope.Time)
	}
	raw := string(envelope.Event)
	if raw[0] == '"' {
		if err := json.Unmarshal(envelope.Event, &raw); err != nil {
			t.Fatal(err)
		}
	}
	f := fields{"host": envelope.Host, "source": envelope.Source}
	for name, v := range envelope.Fields {
		f[name] = v
	}
	return indexed{event: event{sourceType: envelope.SourceType, raw: raw, indexed: f}, time: at}
}

// golden are the threats that the golden files of every format are made of.
func golden(t testing.TB) (threats []*product.Event, names []string) {
	t.Helper()
	page, err := os.ReadFile("../../testdata/pages/sample.json")
	if err != nil {
		t.Fatal(err)
	}
	list, _ := jsonscan.Lookup(page, "data")
	s := jsonscan.Scanner{Data: list}
	if err := s.Array(func() error {
		raw, err := s.Value()
		ev := corpus.Event(raw)
		threats, names = append(threats, &ev), append(names, fmt.Sprintf("sample %d", len(names)))
		return err
	}); err != nil || len(threats) == 0 {
		t.Fatalf("%d threats: %v", len(threats), err)
	}
	return threats, names
}

// hostile are threats of the corpus.
func hostile(n int) (threats []*product.Event, names []string) {
	for c := range corpus.Threats(1, n) {
		threats, names = append(threats, &c.Event), append(names, c.Name)
	}
	return threats, names
}

// ways are what may differ from one Splunk to another: what is extracted by itself, and what a JSON true is.
func ways() iter.Seq[options] {
	return slices.Values([]options{{automatic: 0}, {automatic: 5000}, {automatic: 1 << 20}, {automatic: 1 << 20, boolsAreTexts: true}})
}
