package splunkaddon

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/config"
	"s1stream/sink"
	"s1stream/sink/format"
)

const readme = "../../deploy/siem/splunk/README.md"

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

var quotedName = regexp.MustCompile(`"([\w:]+)"`)

func quotedNames(s string) (names []string) {
	for _, m := range quotedName.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return names
}

func TestAddon_NamesTheSameSourceTypesEverywhere(t *testing.T) {
	want := []string{sink.DefaultSplunk().SourceType}
	for name, st := range sourceTypes {
		if _, err := format.New(name, format.Options{}, "", nil); err != nil {
			t.Error(err)
		}
		if st != "" {
			want = append(want, st)
			if !strings.Contains(readFile(t, readme), fmt.Sprintf("| `%s` | `%q` |", name, st)) {
				t.Errorf("README.md does not say that format %s has the source type %s", name, st)
			}
		}
	}
	if len(sourceTypes) != len(format.Names()) {
		t.Errorf("%d source types, %d formats", len(sourceTypes), len(format.Names()))
	}
	slices.Sort(want)
	var fieldsOf []string
	for stanza := range shipped(t, "default/fields.conf") {
		parts := strings.Split(stanza, "::")
		if len(parts) != 3 || parts[0] != "sourcetype" {
			t.Errorf("fields.conf: [%s] is not scoped to a source type: it would change searches over other events", stanza)
			continue
		}
		fieldsOf = append(fieldsOf, parts[1])
	}
	slices.Sort(fieldsOf)
	for where, got := range map[string][]string{
		"props.conf":      slices.Sorted(maps.Keys(shipped(t, "default/props.conf"))),
		"eventtypes.conf": quotedNames(shipped(t, "default/eventtypes.conf").get("s1stream_threat", "search")),
		"macros.conf":     quotedNames(shipped(t, "default/macros.conf").get("s1stream_sourcetypes", "definition")),
		"fields.conf":     slices.Compact(fieldsOf),
	} {
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", where, diff)
		}
	}
}

func TestAddon_KeepsWholeEventsOfTheSinksSize(t *testing.T) {
	largest := sink.DefaultSplunk().MaxBytes(0)
	props := shipped(t, "default/props.conf")
	for name := range props {
		if got, err := strconv.Atoi(props.get(name, "TRUNCATE")); err != nil || got < largest {
			t.Errorf("[%s] TRUNCATE = %d, the sink sends %d bytes", name, got, largest)
		}
		if props.get(name, "LINE_BREAKER") != `([\r\n]+)` || props.get(name, "SHOULD_LINEMERGE") != "false" {
			t.Errorf("[%s]: a line is not an event", name)
		}
	}
	if _, err := os.Stat(filepath.Join(addon, "default", "limits.conf")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("limits.conf belongs to the administrator: %v", err)
	}
}

func TestAddon_SharesWhatSearchesNeedAndHasOneVersion(t *testing.T) {
	meta := shipped(t, "metadata/default.meta")
	for _, kind := range []string{"props", "transforms", "lookups", "fields", "eventtypes", "tags", "macros"} {
		if meta.get(kind, "export") != "system" {
			t.Errorf("default.meta: [%s] is not exported: other apps would not see it", kind)
		}
	}
	var manifest struct {
		Info struct {
			ID struct{ Name, Version string }
		}
	}
	if err := json.Unmarshal([]byte(readFile(t, filepath.Join(addon, "app.manifest"))), &manifest); err != nil {
		t.Fatal(err)
	}
	app := shipped(t, "default/app.conf")
	for _, got := range []string{app.get("id", "version"), app.get("launcher", "version"), manifest.Info.ID.Version} {
		if got != app.get("id", "version") || got == "" {
			t.Errorf("version %q beside %q", got, app.get("id", "version"))
		}
	}
	for _, got := range []string{app.get("id", "name"), app.get("package", "id"), manifest.Info.ID.Name} {
		if got != filepath.Base(addon) {
			t.Errorf("the add-on is called %q and lies in %s", got, filepath.Base(addon))
		}
	}
}

var block = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```")

func blocks(t testing.TB, kind string) (found []string) {
	t.Helper()
	for _, m := range block.FindAllStringSubmatch(readFile(t, readme), -1) {
		if m[1] == kind {
			found = append(found, m[2])
		}
	}
	if len(found) == 0 {
		t.Fatalf("README.md has no block of %s", kind)
	}
	return found
}

func TestReadme_ItsConfigurationsLoad(t *testing.T) {
	for _, b := range blocks(t, "toml") {
		if !strings.Contains(b, "[source.") {
			b += "\n[source.prod]\nurl = \"https://example.sentinelone.net\"\ntoken_file = \"token\"\n"
		}
		c, err := config.Parse([]byte(b), nil)
		if err != nil {
			t.Errorf("%v in\n%s", err, b)
			continue
		}
		cfg := c.Sinks[0].Config.(*sink.SplunkConfig)
		if want := sourceTypes[c.Sinks[0].Line.Format]; want != "" && cfg.SourceType != want {
			t.Errorf("format %s with source type %s", c.Sinks[0].Line.Format, cfg.SourceType)
		}
	}
}

// queries are the dashboard's searches.
func queries(t testing.TB) (found []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(readFile(t, filepath.Join(addon, "default/data/ui/views/s1stream_threats.xml"))))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return found
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "query" {
			var q string
			if err := d.DecodeElement(&q, &start); err != nil {
				t.Fatal(err)
			}
			found = append(found, q)
		}
	}
}

// spl are the words of the search language that our searches use; every other word has to be a field.
var spl = strings.Fields(`tstats count dc max min where by AS AND OR NOT IN search eval stats timechart sort table fields head dedup
	sortby sum values if strftime relative_time now perc50 perc95 index sourcetype earliest _time _indextime host`)

var (
	aMacro  = regexp.MustCompile("`(\\w+)`")
	aToken  = regexp.MustCompile(`\$[\w.|]+\$`)
	aString = regexp.MustCompile(`"[^"]*"`)
	aWord   = regexp.MustCompile(`[A-Za-z_]\w*(::\w+)?`)
	madeAs  = regexp.MustCompile(`\bAS (\w+)|(?:\beval |, )(\w+)=`)
)

// A search with a field that nobody makes finds nothing, and says nothing.
func TestSearches_UseMacrosAndFieldsThatExist(t *testing.T) {
	macros := shipped(t, "default/macros.conf")
	known := append(slices.Clone(spl), "version", "threat_id", "console", "prod") // the last is a console of the README
	for name := range cim {
		known = append(known, name)
	}
	known = append(known, more...)
	searches := append(queries(t), blocks(t, "spl")...)
	for _, stanza := range slices.Sorted(maps.Keys(macros)) {
		searches = append(searches, macros.get(stanza, "definition"))
	}
	if len(searches) < 15 {
		t.Errorf("only %d searches were found", len(searches))
	}
	for _, s := range searches {
		for _, m := range aMacro.FindAllStringSubmatch(s, -1) {
			if macros.get(m[1], "definition") == "" {
				t.Errorf("there is no macro %s: %s", m[1], s)
			}
		}
		own := slices.Clone(known)
		for _, m := range madeAs.FindAllStringSubmatch(s, -1) {
			own = append(own, m[1]+m[2])
		}
		bare := aString.ReplaceAllString(aToken.ReplaceAllString(aMacro.ReplaceAllString(s, " "), " "), " ")
		for _, word := range aWord.FindAllString(bare, -1) {
			if !slices.Contains(own, word) {
				t.Errorf("%s is no field that the add-on makes: %s", word, s)
			}
		}
	}
}
