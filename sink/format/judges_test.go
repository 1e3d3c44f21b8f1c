package format

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"s1stream/internal/corpus"
)

// TestCorpus_IsWrittenForTheJudgesOfCEFAndLEEF writes what .ci/judges/cef and .ci/judges/leef read: a line and what it was
// meant to say, one JSON object a line. Where no judge asks, it does so for a few threats and throws the files away.
func TestCorpus_IsWrittenForTheJudgesOfCEFAndLEEF(t *testing.T) {
	dir, size := *corpusDir, corpus.Size
	if dir == "" {
		dir, size = t.TempDir(), 200
	}
	cef, cef1, leef := newCEF(t, CEFOptions{}), newCEF(t, CEFOptions{Version: "1", Console: "usea1.sentinelone.net"}), newLEEF(t, LEEFOptions{})
	writeCEF, writeLEEF := ndjson(t, dir, "cef.ndjson"), ndjson(t, dir, "leef.ndjson")
	dictionary := lines(t, dir, "cef.dictionary")
	n := 0
	for c := range corpus.Threats(corpusSeed, size) {
		line, _, err := cef(nil, &c.Event, 0)
		if err != nil {
			t.Fatal(err)
		}
		header, extension := obviousCEF(&c.Event)
		writeCEF(map[string]any{"name": c.Name, "line": string(line), "header": header[1:], "ext": extension})
		// parcefone undoes no escapes, and fails at a header field that ends in one.
		if !longEscaped(extension) && !strings.HasSuffix(header[3], `\`) {
			dictionary(strconv.Itoa(len(extension)) + " " + string(line))
		}
		// Version 1 and shrunk records: as our own reader understands them.
		line, shrunk, err := cef1(nil, &c.Event, []int{0, 700, 1100, 4000}[n%4])
		if err == nil {
			if header, extension, err = readCEF(string(line)); err != nil {
				t.Fatal(err)
			}
			name := c.Name + ", version 1"
			if shrunk {
				name += ", shrunk"
			}
			writeCEF(map[string]any{"name": name, "line": string(line), "header": header[1:], "ext": extension})
		}
		if line, _, err = leef(nil, &c.Event, 0); err != nil {
			t.Fatal(err)
		}
		id, attributes := obviousLEEF(&c.Event, "\t")
		writeLEEF(map[string]any{"name": c.Name, "line": string(line), "id": id, "attributes": attributes})
		n++
	}
	if n != size {
		t.Errorf("%d threats, want %d", n, size)
	}
}

// longEscaped reports whether escapes alone make a value longer than its key may be.
func longEscaped(extension map[string]string) bool {
	for key, value := range extension {
		if most := cefLengths[key]; most > 0 && utf8.RuneCountInString(obviousExtension.Replace(value)) > most {
			return true
		}
	}
	return false
}

func ndjson(t *testing.T, dir, name string) func(v any) {
	t.Helper()
	line := lines(t, dir, name)
	return func(v any) {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		line(strings.TrimSuffix(b.String(), "\n"))
	}
}

func lines(t *testing.T, dir, name string) func(line string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	t.Cleanup(func() {
		if err := errors.Join(w.Flush(), f.Close()); err != nil {
			t.Error(err)
		}
	})
	return func(line string) { _, _ = w.WriteString(line + "\n") } // Flush reports it
}
