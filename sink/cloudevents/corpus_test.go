package cloudevents_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"s1stream/internal/corpus"
	"s1stream/sink/cloudevents"
	"s1stream/sink/format"
)

var corpusDir = flag.String("corpus.dir", "", "where TestCorpus writes records for .ci/judges")

// TestCorpus_IsWrittenForTheJudgeOfKafkasBinding writes what a Kafka record holds in the binary content mode: the key, the
// headers and the value, one JSON object a line. Where no judge asks, it does so for a few threats.
func TestCorpus_IsWrittenForTheJudgeOfKafkasBinding(t *testing.T) {
	dir, size := *corpusDir, corpus.Size
	if dir == "" {
		dir, size = t.TempDir(), 100
	}
	f, err := os.Create(filepath.Join(dir, "cloudevents-kafka.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	write := json.NewEncoder(w)
	names, n := format.Names(), 0
	for c := range corpus.Threats(1, size) {
		name := names[n%len(names)]
		n++
		encode, err := format.New(name, format.Options{}, "console.example", nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _, err := encode(nil, &c.Event, 0)
		if err != nil {
			t.Fatal(err)
		}
		a := cloudevents.Of(&c.Event, "console.example", format.ContentType(name))
		headers := map[string]string{"content-type": a.DataContentType}
		for _, h := range a.Kafka() {
			headers[h.Name] = h.Value
		}
		if err := write.Encode(map[string]any{
			"name": c.Name, "format": name, "key": c.Event.ID, "headers": headers, "value": body,
			"id": c.Event.ID, "version": c.Event.Version, "at": c.Event.UpdatedAt.UnixMilli(),
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if n != size {
		t.Errorf("%d threats, want %d", n, size)
	}
}
