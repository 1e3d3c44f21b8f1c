package source

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var updateParams = flag.Bool("update-params", false, "rewrite testdata/params.txt from the table of parameters")

// testdata/params.txt is the endpoint's published interface, compared with the vendor's API description.
func TestParams_AreTheEndpointsOwn(t *testing.T) {
	var got strings.Builder
	for _, p := range params {
		var facts []string
		if p.kind == kindList {
			facts = append(facts, fmt.Sprintf("max=%d", p.max))
		}
		if p.kind == kindInt {
			facts = append(facts, fmt.Sprintf("range=%d..%d", p.min, p.max))
		}
		if rule := [...]string{"", "id", "2+", "sha1"}[p.item]; rule != "" {
			facts = append(facts, rule)
		}
		if p.enum != nil {
			facts = append(facts, "enum="+strings.Join(p.enum, "|"))
		}
		line := strings.TrimRight(fmt.Sprintf("%s\t%s\t%s", p.name, p.kind, strings.Join(facts, " ")), "\t")
		got.WriteString(line + "\n")
	}
	if *updateParams {
		if err := os.WriteFile("testdata/params.txt", []byte(got.String()), 0o644); err != nil { //nolint:gosec // testdata
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/params.txt")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("parameters differ (-published +ours):\n%s", diff)
	}
	if n := len(ParamNames()); n != 105 {
		t.Errorf("%d parameters, want 102 of the published interface and 3 newer ones", n)
	}
}

// valid returns a value that a parameter takes, as TOML would give it.
func valid(p param) any {
	switch p.kind {
	case kindBool:
		return true
	case kindInt:
		return int64(p.max)
	case kindTime:
		return time.Date(2026, 1, 31, 9, 0, 0, 123456789, time.FixedZone("", 3600))
	case kindJSON:
		return `{"k":["v"]}`
	}
	s := map[itemRule]string{anyItem: "free text", idItem: "225494730938493804", wordItem: "ab", sha1Item: strings.Repeat("aF", 20)}[p.item]
	if p.enum != nil {
		s = p.enum[len(p.enum)-1]
	}
	if p.kind == kindText {
		return s
	}
	return []any{s}
}

func TestParseFilter_TakesEveryParameterThatIsNotTheWalksOwn(t *testing.T) {
	table := make(map[string]any)
	for _, p := range params {
		if p.own == "" {
			table[p.name] = valid(p)
		}
	}
	f, _, err := ParseFilter(table)
	if err != nil {
		t.Fatal(err)
	}
	values := f.Values()
	if len(values) != len(FilterNames()) || len(values) != 105-11 {
		t.Errorf("%d values of %d names, want 94 of each", len(values), len(FilterNames()))
	}
	for name, want := range map[string]string{
		"createdAt__lte":   "2026-01-31T08:00:00.123456Z",
		"agentIsActive":    "true",
		"agentTagsData":    `{"k":["v"]}`,
		"confidenceLevels": "n/a",
		"siteIds":          "225494730938493804",
	} {
		if got := values.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestParseFilter_RefusesTheWalksOwnWithTheReason(t *testing.T) {
	own := 0
	for _, p := range params {
		if p.own == "" {
			continue
		}
		own++
		_, _, err := ParseFilter(map[string]any{p.name: valid(p)})
		if err == nil || err.Error() != p.name+": can't be a filter: "+p.own {
			t.Errorf("%s: %v", p.name, err)
		}
	}
	if own != 11 {
		t.Errorf("%d parameters are the walk's own, want 11", own)
	}
}

func TestParseFilter_NamesTheKeyAndWhatWouldBeRight(t *testing.T) {
	many := func(n int) []any {
		out := make([]any, n)
		for i := range out {
			out[i] = "a word"
		}
		return out
	}
	for _, c := range []struct {
		name  string
		value any
		want  string
	}{
		{"incidentStatus", []any{"resolved"}, `is not a parameter of the threats endpoint; the nearest one is "incidentStatuses"`},
		{"incidentstatuses", []any{"resolved"}, `the nearest one is "incidentStatuses"`},
		{"incidentStatuses", []any{"resolve"}, `unknown value "resolve", the nearest one is "resolved"; known: unresolved, in_progress, resolved`},
		{"incidentStatuses", []any{"Resolved"}, `unknown value "Resolved"`},
		{"incidentStatuses", "resolved,unresolved", "holds a comma"},
		{"incidentStatuses", []any{}, "must not be empty"},
		{"incidentStatuses", true, "must be a list of texts"},
		{"incidentStatuses", []any{int64(1)}, "item 1 must be text"},
		{"siteIds", []any{"12"}, `"12" is not an id`},
		{"siteIds", []any{int64(225494730938493804)}, "item 1 must be text, in quotes"},
		{"siteIds", []any{"099999999999999999"}, "is not an id"},
		{"filePath__contains", []any{"x"}, `"x" is too short`},
		{"filePath__contains", many(11), "must have 10 items at most, has 11"},
		{"classifications", []any{""}, "must not be empty"},
		{"classifications", []any{" Malware"}, "white space"},
		{"classifications", []any{"a,b"}, "holds a comma"},
		{"contentHashes", []any{strings.Repeat("0", 64)}, "is not a SHA-1 hash"},
		{"resolved", "true", "must be true or false, without quotes"},
		{"resolved", int64(1), "must be true or false"},
		{"createdAt__gt", "yesterday", "must be a moment with its time zone"},
		{"createdAt__gt", "2026-01-31T08:00:00", "must be a moment with its time zone"},
		{"createdAt__gt", time.Date(0, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)), "must be a moment"},
		{"createdAt__gt", int64(0), "must be a moment"},
		{"query", "", "must be one text"},
		{"query", []any{"a"}, "must be one text"},
		{"agentTagsData", "{", "must be JSON"},
	} {
		_, _, err := ParseFilter(map[string]any{c.name: c.value})
		if err == nil || !strings.HasPrefix(err.Error(), c.name+": ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s = %v: %v, want %q", c.name, c.value, err, c.want)
		}
	}
}

func TestParseFilter_ReportsEveryMistakeAtOnce(t *testing.T) {
	_, _, err := ParseFilter(map[string]any{"cursor": "x", "resolved": "no", "siteId": "1", "osTypes": []any{"linux"}})
	if err == nil {
		t.Fatal("three mistakes were taken")
	}
	var keys []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		key, _, _ := strings.Cut(line, ":")
		keys = append(keys, key)
	}
	if diff := cmp.Diff([]string{"cursor", "resolved", "siteId"}, keys); diff != "" {
		t.Error(diff)
	}
}

func TestParseFilter_WarnsOfWhatChangesWithoutANewUpdatedAt(t *testing.T) {
	for name, live := range map[string]bool{
		"agentIsActive": true, "realtimeAgentVersion__contains": true, "computerName__contains": true,
		"agentMachineTypes": true, "osTypes": true, "hasAgentTags": true, "noteExists": true, "pendingActions": true,
		"incidentStatuses": false, "siteIds": false, "confidenceLevels": false, "createdAt__gte": false,
		"detectionAgentVersion__contains": false,
	} {
		p, ok := lookupParam(name)
		if !ok {
			t.Fatalf("no parameter %s", name)
		}
		_, warnings, err := ParseFilter(map[string]any{name: valid(p)})
		if err != nil || (len(warnings) == 1) != live {
			t.Errorf("%s: warnings %q, error %v, want a warning: %v", name, warnings, err, live)
		}
		if live && !strings.Contains(warnings[0], "may start or stop matching without a new updatedAt") {
			t.Errorf("%s: %q does not say what may happen", name, warnings[0])
		}
	}
}

func TestFilter_String_IsTheSameForFiltersThatAskForTheSame(t *testing.T) {
	parse := func(table map[string]any) string {
		t.Helper()
		f, _, err := ParseFilter(table)
		if err != nil {
			t.Fatal(err)
		}
		return f.String()
	}
	a := parse(map[string]any{
		"osTypes":       []any{"linux", "windows", "linux"},
		"createdAt__gt": "2026-01-31T09:00:00+01:00",
		"query":         "b a",
	})
	b := parse(map[string]any{
		"query":         "b a",
		"createdAt__gt": time.Date(2026, 1, 31, 8, 0, 0, 0, time.UTC),
		"osTypes":       []any{"windows", "linux"},
	})
	if want := "createdAt__gt=2026-01-31T08%3A00%3A00.000000Z&osTypes=linux%2Cwindows&query=b+a"; a != want || b != want {
		t.Errorf("normalised to\n%s and\n%s, want\n%s", a, b, want)
	}
	if got := (Filter{}).String(); got != "" {
		t.Errorf("no filter is %q, want \"\"", got)
	}
}

func TestParseParam_TakesEveryParameterAsText(t *testing.T) {
	for _, c := range []struct{ name, value, want, err string }{
		{"limit", "1000", "1000", ""},
		{"limit", "1001", "", "limit: must be a whole number from 1 to 1000"},
		{"limit", "0", "", "limit: must be a whole number from 1 to 1000"},
		{"skip", "0", "0", ""},
		{"skip", "ten", "", "skip: must be a whole number from 0 to 1000"},
		{"cursor", "abc%3D=", "abc%3D=", ""},
		{"countOnly", "true", "true", ""},
		{"countOnly", "yes", "", "countOnly: must be true or false"},
		{"sortBy", "updatedAt", "updatedAt", ""},
		{"sortBy", "updated", "", `sortBy: unknown value "updated", the nearest one is "updatedAt"`},
		{"sortOrder", "desc", "desc", ""},
		{"updatedAt__gte", "2026-01-31T08:00:00Z", "2026-01-31T08:00:00.000000Z", ""},
		{"osArchs", "64 bit, ARM64", "64 bit,ARM64", ""},
		{"osArchs", "", "", "osArchs: \"\" must not be empty"},
		{"updatedat__gte", "now", "", `the nearest one is "updatedAt__gte"`},
	} {
		got, err := ParseParam(c.name, c.value)
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("ParseParam(%q, %q) = %q, %v; want %q, %q", c.name, c.value, got, err, c.want, c.err)
		}
	}
}

func TestFilterText_FindsTheParameterWithoutCase(t *testing.T) {
	name, value, err := FilterText("COMPUTERNAME__CONTAINS", "web, db")
	if err != nil || name != "computerName__contains" {
		t.Fatalf("got %q, %v", name, err)
	}
	if diff := cmp.Diff([]any{"web", "db"}, value); diff != "" {
		t.Error(diff)
	}
	if _, _, err := FilterText("COMPUTERNAMES", "web"); err == nil || !strings.Contains(err.Error(), "computerName__contains") {
		t.Errorf("a wrong name gives %v", err)
	}
	if _, _, err := FilterText("RESOLVED", "1"); err == nil || err.Error() != "resolved: must be true or false" {
		t.Errorf("a wrong bool gives %v", err)
	}
}
