package splunkaddon

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/sink/format"
)

var update = flag.Bool("update", false, "write testdata/fields.json again")

// cim are the fields of the two data models that a threat can have, and the values that are prescribed.
// https://docs.splunk.com/Documentation/CIM/latest/User/Malware, https://docs.splunk.com/Documentation/CIM/latest/User/Alerts
var cim = map[string][]string{
	"action":             {"allowed", "blocked", "deferred"},
	"severity":           {"informational", "low", "medium", "high", "critical"},
	"severity_id":        {"1", "2", "3", "4", "5"},
	"type":               {"alert"},
	"app":                {"SentinelOne Singularity"},
	"vendor_product":     {"SentinelOne Singularity"},
	"category":           nil,
	"description":        nil,
	"dest":               nil,
	"dest_nt_domain":     nil,
	"file_hash":          nil,
	"file_name":          nil,
	"file_path":          nil,
	"id":                 nil,
	"mitre_technique_id": nil,
	"signature":          nil,
	"signature_id":       nil,
	"src":                nil,
	"url":                nil,
	"user":               nil,
	"vendor_account":     nil,
}

// more are the add-on's own fields, which the dashboard uses.
var more = []string{"analyst_verdict", "confidence_level", "incident_status", "mitigation_status", "site", "dest_ip", "truncated", "tag"}

// required are what a whole threat has in every format.
var required = []string{"action", "app", "category", "description", "dest", "dest_nt_domain", "file_hash", "file_name", "file_path", "id", "severity",
	"severity_id", "signature", "signature_id", "src", "type", "user", "vendor_account", "vendor_product",
	"analyst_verdict", "confidence_level", "incident_status", "mitigation_status", "site", "dest_ip"}

// shown are the fields that are promised, of all that an event has.
func shown(f fields) fields {
	out := fields{}
	for name, v := range f {
		if _, ok := cim[name]; ok || slices.Contains(more, name) {
			out[name] = v
		}
	}
	return out
}

// The file was read line by line when it was made; what changes in it is read again.
func TestAddon_GivesTheGoldenEventsTheseFields(t *testing.T) {
	k := load(t)
	threats, names := golden(t)
	got := map[string]map[string]fields{}
	for _, name := range format.Names() {
		got[name] = map[string]fields{}
		for _, ev := range index(t, name, threats, names, 0) {
			for o := range ways() {
				f, err := k.search(ev.event, o)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, ev.name, err)
				}
				for _, want := range required {
					if f[want] == nil {
						t.Errorf("%s, %s: no %s", name, ev.name, want)
					}
				}
				checkValues(t, name+", "+ev.name, f)
				if before, there := got[name][ev.name]; there {
					if diff := cmp.Diff(before, shown(f)); diff != "" {
						t.Errorf("%s, %s: not the same with %+v:\n%s", name, ev.name, o, diff)
					}
				}
				got[name][ev.name] = shown(f)
			}
		}
	}
	text, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("testdata/fields.json", append(text, '\n'), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/fields.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)+"\n"); diff != "" {
		t.Errorf("fields.json (-want +got):\n%s", diff)
	}
	if *outDir != "" {
		if err := os.WriteFile(filepath.Join(*outDir, "splunk-golden.json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// checkValues holds an event to the values that are prescribed, and to fields that hold something.
func checkValues(t *testing.T, name string, f fields) {
	t.Helper()
	for field, allowed := range cim {
		v, there := f[field]
		if !there {
			continue
		}
		list := several(v)
		if len(list) == 0 || slices.Contains(list, "") {
			t.Errorf("%s: %s is empty: %q", name, field, v)
		}
		for _, s := range list {
			if allowed != nil && !slices.Contains(allowed, s) {
				t.Errorf("%s: %s is %q, which CIM does not know", name, field, s)
			}
		}
	}
	tags := several(f["tag"])
	sort.Strings(tags)
	if diff := cmp.Diff([]string{"alert", "attack", "malware"}, tags); diff != "" {
		t.Errorf("%s: tags (-want +got):\n%s", name, diff)
	}
}

// What the golden files hold, options of the formats included, has the same fields as what the sink sends today, but
// for the link, which is to another console.
func TestAddon_ReadsTheGoldenFilesOfEveryFormat(t *testing.T) {
	k := load(t)
	threats, names := golden(t)
	for file, name := range map[string]string{
		"cef-0.txt": "cef", "cef-1.txt": "cef", "leef-1.txt": "leef", "leef-2.txt": "leef", "ecs-9.4.0.ndjson": "ecs",
		"ecs-9.4.0-original.ndjson": "ecs", "ocsf-1.8.0.ndjson": "ocsf", "ocsf-1.8.0-raw.ndjson": "ocsf",
	} {
		lines := strings.Split(strings.TrimSpace(readFile(t, filepath.Join("../../testdata/golden", file))), "\n")
		if len(lines) != len(threats) {
			t.Fatalf("%s has %d lines", file, len(lines))
		}
		for i, ev := range index(t, name, threats, names, 0) {
			want, err := k.search(ev.event, options{})
			if err != nil {
				t.Fatal(err)
			}
			ev.raw = lines[i]
			got, err := k.search(ev.event, options{})
			if err != nil {
				t.Fatal(err)
			}
			delete(want, "url")
			delete(got, "url")
			if diff := cmp.Diff(shown(want), shown(got)); diff != "" {
				t.Errorf("%s line %d (-want +got):\n%s", file, i+1, diff)
			}
		}
	}
}
