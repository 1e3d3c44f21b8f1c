package splunkaddon

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"s1stream/sink/format"
)

var outDir = flag.String("splunk.dir", "", "where TestAddon writes fields and matches for .ci/judges/splunk")

// match is what one expression finds in one text; a judge asks PCRE2 for the same.
type match struct {
	Name       string              `json:"name"`
	Regex      string              `json:"regex"`
	MatchLimit int                 `json:"match_limit"`
	DepthLimit int                 `json:"depth_limit"`
	Once       bool                `json:"once"`
	Text       int                 `json:"text"` // its line of splunk-texts.ndjson
	Found      []map[string]string `json:"found"`
}

type writer struct {
	t     testing.TB
	files map[string]*json.Encoder
	texts map[string]int
}

func (w *writer) line(file string, v any) {
	w.t.Helper()
	if w.files[file] == nil {
		f, err := os.Create(filepath.Join(*outDir, file))
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() {
			if err := f.Close(); err != nil {
				w.t.Error(err)
			}
		})
		w.files[file] = json.NewEncoder(f)
	}
	if err := w.files[file].Encode(v); err != nil {
		w.t.Fatal(err)
	}
}

// match writes what an expression finds in a text.
func (w *writer) match(m match, re *regexp.Regexp, text string) {
	text = strings.ToValidUTF8(text, "\ufffd")
	at, known := w.texts[text]
	if !known {
		at = len(w.texts)
		w.texts[text] = at
		w.line("splunk-texts.ndjson", text)
	}
	m.Text = at
	most := -1
	if m.Once {
		most = 1
	}
	named := strings.Join(re.SubexpNames(), "") != ""
	for _, groups := range re.FindAllStringSubmatch(text, most) {
		found := map[string]string{}
		for i, name := range re.SubexpNames() {
			switch {
			case i > 0 && named && name != "":
				found[name] = groups[i]
			case i > 0 && !named:
				found[strconv.Itoa(i)] = groups[i]
			}
		}
		m.Found = append(m.Found, found)
	}
	w.line("splunk-matches.ndjson", m)
}

// TestAddon_HasTheSameForItsJudges is where .ci/judges/splunk takes the fields of many events from, and what every
// expression finds in some of them. Limits are those of props.conf and transforms.conf, or Splunk's own.
func TestAddon_HasTheSameForItsJudges(t *testing.T) {
	if *outDir == "" {
		t.Log("without -splunk.dir there is nothing to write")
		return
	}
	k := load(t)
	transforms := shipped(t, "default/transforms.conf")
	w := &writer{t: t, files: map[string]*json.Encoder{}, texts: map[string]int{}}
	goldenThreats, goldenNames := golden(t)
	threats, names := hostile(corpusSize())
	for _, name := range format.Names() {
		all := slices.Concat(index(t, name, goldenThreats, goldenNames, 1000), index(t, name, threats, names, 0))
		for n, ev := range all {
			f, err := k.search(ev.event, options{})
			if err != nil {
				doc, _ := readJSON(string(ev.threat.Raw))
				if (threat{doc}).asDocumented() {
					t.Fatalf("%s, %s: %v", name, ev.name, err)
				}
				continue
			}
			w.line("splunk-hostile.ndjson", map[string]any{"format": name, "name": ev.name, "fields": shown(f)})
			if n%5 != 0 && n > 5 {
				continue
			}
			s := k.types[ev.sourceType]
			for i, re := range s.extracts {
				w.match(match{Name: name + " EXTRACT " + strconv.Itoa(i), Regex: strings.TrimPrefix(re.String(), "(?ms)"), MatchLimit: 100000, DepthLimit: 1000, Once: true}, re, ev.raw)
			}
			for _, tr := range s.reports {
				source, ok := text(f[tr.source])
				if !ok {
					continue
				}
				w.match(reported(t, transforms, tr.name, name), tr.re, source)
			}
		}
	}
	// The longest value of a cef, of backslashes alone.
	const pairs = "s1stream_cef_pairs"
	tr, err := newTransform(transforms, pairs)
	if err != nil {
		t.Fatal(err)
	}
	w.match(reported(t, transforms, pairs, "cef"), tr.re, "cs6="+strings.Repeat(`\\`, 4000)+" cs6Label=CommandLine")
}

func reported(t *testing.T, transforms conf, transform, format string) match {
	t.Helper()
	m := match{Name: format + " " + transform, Regex: transforms.get(transform, "REGEX"), MatchLimit: 100000, DepthLimit: 1000}
	for key, at := range map[string]*int{"MATCH_LIMIT": &m.MatchLimit, "DEPTH_LIMIT": &m.DepthLimit} {
		if set := transforms.get(transform, key); set != "" {
			var err error
			if *at, err = strconv.Atoi(set); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}
