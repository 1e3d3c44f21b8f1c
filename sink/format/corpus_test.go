package format

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

var corpusDir = flag.String("corpus.dir", "", "where TestCorpus writes threats and their records for .ci/judges")

// corpusSeed is the seed of CI's corpus.
const corpusSeed = 1

type encode = func(dst []byte, ev *event.Event, max int) ([]byte, bool, error)

// structured are the formats that are JSON, with everything switched on that is optional.
func structured(t testing.TB) map[string]encode {
	t.Helper()
	ecs, ocsf := DefaultECS(), DefaultOCSF()
	ecs.Console, ocsf.Console = "console.example", "console.example"
	out := make(map[string]encode)
	for _, raw := range []bool{false, true} {
		ecs.EventOriginal, ocsf.RawData = raw, raw
		e, err := NewECS(ecs)
		if err != nil {
			t.Fatal(err)
		}
		o, err := NewOCSF(ocsf)
		if err != nil {
			t.Fatal(err)
		}
		name := map[bool]string{true: "-raw"}[raw]
		out["ecs"+name], out["ocsf"+name] = e, o
	}
	return out
}

// TestCorpus_EveryThreatIsOneRecordOfEveryJSONFormat is where .ci/judges takes its records from: the size of the
// corpus and the limits are the same.
func TestCorpus_EveryThreatIsOneRecordOfEveryJSONFormat(t *testing.T) {
	size := 400
	if *corpusDir != "" {
		size = corpus.Size
	}
	formats := structured(t)
	files := map[string]*bufio.Writer{}
	line := func(file string, body []byte) {
		if *corpusDir == "" {
			return
		}
		if files[file] == nil {
			f, err := os.Create(filepath.Join(*corpusDir, file))
			if err != nil {
				t.Fatal(err)
			}
			w := bufio.NewWriter(f)
			files[file] = w
			t.Cleanup(func() {
				if err := w.Flush(); err != nil {
					t.Error(err)
				}
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		_, _ = files[file].Write(append(body, '\n')) // Flush reports it
	}
	n := 0
	for c := range corpus.Threats(corpusSeed, size) {
		ev := &c.Event
		before := bytes.Clone(ev.Raw)
		line("threats.ndjson", OneLine(ev.Raw))
		line("names.txt", []byte(c.Name))
		identity, err := json.Marshal(map[string]any{"id": ev.ID, "version": ev.Version, "updatedAt": ev.UpdatedAt.UnixMilli()})
		if err != nil {
			t.Fatal(err)
		}
		line("events.ndjson", identity)
		for name, encode := range formats {
			body, shrunk, err := encode(nil, ev, 0)
			if err != nil || shrunk {
				t.Fatalf("%s: %s: shrunk %v, %v", c.Name, name, shrunk, err)
			}
			checkJSON(t, c.Name+": "+name, body)
			if n%20 == 0 || !strings.HasSuffix(name, "-raw") { // which is the same and one text more
				line(name+".ndjson", body)
				line(name+".index", fmt.Appendf(nil, "%d", n))
			}
			again, _, _ := encode([]byte("before"), ev, 0)
			if string(again) != "before"+string(body) {
				t.Fatalf("%s: %s: not the same when appended", c.Name, name)
			}
			// Sinks' limits, and one that leaves hardly anything.
			limit := [...]int{1100, 1500, 4000, 8000, 64 << 10}[n%5]
			small, cut, err := encode(nil, ev, limit)
			if err != nil || len(small) > limit || cut != (len(body) > limit) {
				t.Fatalf("%s: %s: %d bytes of %d, shrunk %v, limit %d: %v", c.Name, name, len(small), len(body), cut, limit, err)
			}
			checkJSON(t, c.Name+": small "+name, small)
			if cut && n%4 == 0 {
				line(name+"-small.ndjson", small)
				line(name+"-small.index", fmt.Appendf(nil, "%d", n))
			}
		}
		if !bytes.Equal(before, ev.Raw) {
			t.Fatalf("%s: the event was written to", c.Name)
		}
		n++
	}
}

// checkJSON holds a record to what every receiver of one JSON object a line expects.
func checkJSON(t *testing.T, name string, body []byte) {
	t.Helper()
	switch {
	case !json.Valid(body) || body[0] != '{':
		t.Fatalf("%s: no JSON object: %.300q", name, body)
	case !utf8.Valid(body):
		t.Fatalf("%s: no UTF-8: %.300q", name, body)
	case bytes.ContainsAny(body, "\r\n\u2028\u2029\u0085"):
		t.Fatalf("%s: more than one line: %.300q", name, body)
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Fatal(err)
	}
	if at := hollow(v, ""); at != "" {
		t.Fatalf("%s: %s is null or empty: %.300s", name, at, body)
	}
}

// hollow returns where a value is null or empty.
func hollow(v any, path string) string {
	switch v := v.(type) {
	case nil:
		return path
	case string:
		if v == "" {
			return path
		}
	case []any:
		if len(v) == 0 {
			return path
		}
		for i, e := range v {
			if at := hollow(e, fmt.Sprintf("%s[%d]", path, i)); at != "" {
				return at
			}
		}
	case map[string]any:
		if len(v) == 0 {
			return path + "{}"
		}
		for k, e := range v {
			if at := hollow(e, path+"."+k); at != "" {
				return at
			}
		}
	}
	return ""
}
