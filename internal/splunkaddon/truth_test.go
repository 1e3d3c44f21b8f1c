package splunkaddon

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	product "s1stream/internal/event"
	"s1stream/internal/jsonscan"
	"s1stream/sink/format"
)

// corpusSize is how many hostile threats are searched for: all of them where the judges want the fields.
func corpusSize() int {
	if *outDir != "" {
		return 1000
	}
	return 120
}

// threat reads a threat by encoding/json, as nothing in the product does.
type threat struct{ doc any }

func (th threat) get(path string) string {
	doc, _ := th.doc.(map[string]any)
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		doc, _ = doc[p].(map[string]any)
	}
	switch v := doc[parts[len(parts)-1]].(type) {
	case string:
		return v
	case bool:
		return fmt.Sprint(v)
	}
	return ""
}

// texts are what the add-on reads as texts, and booleans as such.
var (
	texts = []string{"id", "threatInfo.mitigationStatus", "threatInfo.incidentStatus", "threatInfo.analystVerdict", "threatInfo.confidenceLevel",
		"threatInfo.classification", "threatInfo.filePath", "threatInfo.threatName", "threatInfo.sha256", "threatInfo.sha1", "threatInfo.md5",
		"threatInfo.processUser", "agentDetectionInfo.agentLastLoggedInUserName", "agentDetectionInfo.agentDomain", "agentDetectionInfo.siteName",
		"agentDetectionInfo.accountName", "agentDetectionInfo.agentIpV4", "agentRealtimeInfo.agentComputerName", "agentRealtimeInfo.agentDomain",
		"agentRealtimeInfo.siteName", "agentRealtimeInfo.accountName"}
	booleans = []string{"threatInfo.failedActions", "threatInfo.pendingActions", "threatInfo.rebootRequired"}
)

// asDocumented reports whether all of these are of the kind that the console's document says, or null, or absent.
func (th threat) asDocumented() bool {
	if th.get("mitigationStatus") != "" { // it is a list
		return false
	}
	for _, path := range slices.Concat(texts, booleans) {
		doc, _ := th.doc.(map[string]any)
		parent, key, nested := strings.Cut(path, ".")
		if nested {
			doc, _ = doc[parent].(map[string]any)
		} else {
			key = parent
		}
		_, isText := doc[key].(string)
		_, isBool := doc[key].(bool)
		if doc[key] != nil && isText == slices.Contains(booleans, path) || isBool != slices.Contains(booleans, path) && doc[key] != nil {
			return false
		}
	}
	return true
}

func (th threat) first(paths ...string) string {
	for _, p := range paths {
		if s := th.get(p); s != "" {
			return s
		}
	}
	return ""
}

// want is what the fields of the format json have to be.
func (th threat) want(ev *product.Event) map[string]string {
	mitigation := strings.ToLower(th.get("threatInfo.mitigationStatus"))
	action := "allowed"
	switch {
	case mitigation == "marked_as_benign", th.get("threatInfo.failedActions") == "true":
	case th.get("threatInfo.pendingActions") == "true", th.get("threatInfo.rebootRequired") == "true":
		action = "deferred"
	case mitigation == "mitigated", mitigation == "blocked":
		action = "blocked"
	case mitigation == "":
		action = ""
	}
	path := th.get("threatInfo.filePath")
	name := path[strings.LastIndexAny(path, `\/`)+1:]
	if name == "" {
		name = th.get("threatInfo.threatName")
	}
	return map[string]string{
		"severity":         format.FactsOf(ev.Raw).Severity().CIM,
		"action":           action,
		"signature":        th.get("threatInfo.threatName"),
		"category":         th.get("threatInfo.classification"),
		"file_path":        path,
		"file_name":        name,
		"file_hash":        th.first("threatInfo.sha256", "threatInfo.sha1", "threatInfo.md5"),
		"user":             th.first("agentDetectionInfo.agentLastLoggedInUserName", "threatInfo.processUser"),
		"dest_nt_domain":   th.first("agentDetectionInfo.agentDomain", "agentRealtimeInfo.agentDomain"),
		"site":             th.first("agentDetectionInfo.siteName", "agentRealtimeInfo.siteName"),
		"vendor_account":   th.first("agentDetectionInfo.accountName", "agentRealtimeInfo.accountName"),
		"id":               ev.ID,
		"signature_id":     ev.ID,
		"analyst_verdict":  th.get("threatInfo.analystVerdict"),
		"incident_status":  th.get("threatInfo.incidentStatus"),
		"confidence_level": th.get("threatInfo.confidenceLevel"),
	}
}

// words are the fields that an expression reads, and where it does. action goes by one of them.
var words = map[string]string{
	"analyst_verdict": "analystVerdict", "confidence_level": "confidenceLevel", "incident_status": "incidentStatus", "action": "mitigationStatus",
}

// odd are values that may be lost: a word that is written with escapes, which none that a console sends is, and what
// is no UTF-8, which is not the same when it was read as JSON.
func odd(field string, ev *product.Event) bool {
	if key, ok := words[field]; ok {
		value, _ := jsonscan.Lookup(ev.Raw, "threatInfo", key)
		return bytes.ContainsRune(value, '\\') || !utf8.Valid(value)
	}
	return (field == "id" || field == "signature_id") && !utf8.ValidString(ev.ID)
}

// A field that is read by the add-on alone is compared with what another reading of the same threat says.
func TestAddon_ReadsHostileThreatsAsTheyAre(t *testing.T) {
	k := load(t)
	threats, names := hostile(corpusSize())
	compared := 0
	for _, ev := range index(t, "json", threats, names, 0) {
		doc, ok := readJSON(ev.raw)
		if !ok {
			t.Fatalf("%s: _raw is no JSON", ev.name)
		}
		if strings.Contains(ev.name, "a member twice") || !(threat{doc}).asDocumented() {
			continue // what Splunk makes of it is not written down
		}
		compared++
		for o := range ways() {
			f, err := k.search(ev.event, o)
			if err != nil {
				t.Fatalf("%s: %v", ev.name, err)
			}
			checkValues(t, ev.name, f)
			for field, want := range (threat{doc}).want(ev.threat) {
				got, _ := text(f[field])
				if got != want && !odd(field, ev.threat) {
					t.Errorf("%s: %s is %.200q, want %.200q", ev.name, field, got, want)
				}
			}
		}
	}
	if compared < corpusSize()*3/4 {
		t.Errorf("only %d of %d threats were compared", compared, corpusSize())
	}
}

// plain is a text that no format has to change.
func plain(s string) bool {
	return utf8.ValidString(s) && len(s) < 60 && s == strings.TrimSpace(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == utf8.RuneError
	})
}

// Whatever the format, a search finds the same threat, of the same severity.
func TestAddon_FindsTheSameInEveryFormat(t *testing.T) {
	k := load(t)
	threats, names := hostile(corpusSize())
	for _, name := range format.Names() {
		compared := 0
		for _, ev := range index(t, name, threats, names, 0) {
			doc, _ := readJSON(string(ev.threat.Raw))
			f, err := k.search(ev.event, options{})
			if !(threat{doc}).asDocumented() && (err == nil || errors.Is(err, errKind)) {
				continue
			}
			if err != nil {
				t.Fatalf("%s, %s: %v", name, ev.name, err)
			}
			checkValues(t, name+", "+ev.name, f)
			want := (threat{doc}).want(ev.threat)
			for _, field := range []string{"id", "severity", "signature", "file_path", "file_name"} {
				got, _ := text(f[field])
				if !plain(want[field]) || strings.Contains(ev.name, "a member twice") {
					continue
				}
				if compared++; got != want[field] {
					t.Errorf("%s, %s: %s is %.200q, want %.200q", name, ev.name, field, got, want[field])
				}
			}
		}
		if compared < 3*corpusSize() {
			t.Errorf("%s: only %d comparisons", name, compared)
		}
	}
}

// An event that was shrunk to fit says so, and is as grave as it was.
func TestAddon_KnowsWhatWasShrunk(t *testing.T) {
	k := load(t)
	threats, names := golden(t)
	for _, name := range format.Names() {
		for _, ev := range index(t, name, threats, names, 1000) {
			f, err := k.search(ev.event, options{})
			if err != nil {
				t.Fatalf("%s, %s: %v", name, ev.name, err)
			}
			checkValues(t, name+", "+ev.name, f)
			if f["truncated"] != "true" {
				t.Errorf("%s, %s: %d bytes, and truncated is %v", name, ev.name, len(ev.raw), f["truncated"])
			}
			if f["id"] != ev.threat.ID || f["version"] != ev.threat.Version.String() {
				t.Errorf("%s, %s: id %v, version %v", name, ev.name, f["id"], f["version"])
			}
			// A small cef or ecs has its number and not how sure the console is: 4 is then not made less than it may be.
			want := format.FactsOf(ev.threat.Raw).Severity().CIM
			unsure := f["confidence_level"] == nil && want == "low" && f["severity"] == "medium"
			if f["severity"] != want && !unsure {
				t.Errorf("%s, %s: severity %v, want %s", name, ev.name, f["severity"], want)
			}
		}
	}
}

// The time of an event is its envelope's, to the microsecond. Read from a file, it is the same by TIME_PREFIX and
// TIME_FORMAT, as exact as the format has it.
func TestAddon_TakesTheTimeOfTheEnvelope(t *testing.T) {
	props := shipped(t, "default/props.conf")
	for name, stanza := range props {
		for _, set := range stanza {
			if strings.HasPrefix(set.key, "TRANSFORMS") || strings.HasPrefix(set.key, "RULESET") || set.key == "DATETIME_CONFIG" ||
				set.key == "INDEXED_EXTRACTIONS" || set.key == "TIMESTAMP_FIELDS" || set.key == "EVAL-_time" || strings.HasPrefix(set.key, "INGEST") {
				t.Errorf("[%s] %s would change what the collector was given", name, set.key)
			}
		}
	}
	threats, names := golden(t)
	for _, name := range format.Names() {
		for _, ev := range index(t, name, threats, names, 0) {
			micros := big.NewRat(ev.threat.UpdatedAt.UnixMicro(), 1e6)
			if ev.time.Cmp(micros) != 0 {
				t.Errorf("%s, %s: time %s, updatedAt %s", name, ev.name, ev.time.FloatString(6), micros.FloatString(6))
			}
			got, err := readTime(ev.raw, props, ev.sourceType)
			if err != nil {
				t.Errorf("%s, %s: %v", name, ev.name, err)
				continue
			}
			if d := ev.threat.UpdatedAt.Sub(got); d < 0 || d >= 1e6 || name == "json" && d != 0 {
				t.Errorf("%s, %s: read as %s, updatedAt %s", name, ev.name, got, ev.threat.UpdatedAt)
			}
		}
	}
}

// A short list of words by hand, so that the golden file is not the only one to say what they are.
func TestAddon_JudgesAsTheTableSays(t *testing.T) {
	k := load(t)
	for _, tt := range []struct{ info, severity, action string }{
		{`"confidenceLevel":"malicious","mitigationStatus":"not_mitigated","incidentStatus":"unresolved","classification":"Trojan"`, "high", "allowed"},
		{`"confidenceLevel":"malicious","mitigationStatus":"not_mitigated","classification":"Ransomware"`, "critical", "allowed"},
		{`"confidenceLevel":"malicious","mitigationStatus":"not_mitigated","failedActions":true`, "critical", "allowed"},
		{`"confidenceLevel":"malicious","mitigationStatus":"mitigated","failedActions":true`, "medium", "allowed"},
		{`"confidenceLevel":"malicious","mitigationStatus":"mitigated","pendingActions":true`, "medium", "deferred"},
		{`"confidenceLevel":"malicious","mitigationStatus":"mitigated","rebootRequired":true`, "medium", "deferred"},
		{`"confidenceLevel":"malicious","mitigationStatus":"mitigated","incidentStatus":"unresolved"`, "medium", "blocked"},
		{`"confidenceLevel":"malicious","mitigationStatus":"mitigated","incidentStatus":"resolved"`, "low", "blocked"},
		{`"confidenceLevel":"malicious","mitigationStatus":"marked_as_benign"`, "informational", "allowed"},
		{`"confidenceLevel":"malicious","analystVerdict":"false_positive","mitigationStatus":"mitigated"`, "informational", "blocked"},
		{`"confidenceLevel":"malicious","mitigationStatus":"not_mitigated","classification":"PUA"`, "medium", "allowed"},
		{`"confidenceLevel":"suspicious","mitigationStatus":"not_mitigated"`, "medium", "allowed"},
		{`"confidenceLevel":"suspicious","mitigationStatus":"not_mitigated","analystVerdict":"true_positive"`, "high", "allowed"},
		{`"confidenceLevel":"suspicious","mitigationStatus":"mitigated"`, "low", "blocked"},
		{`"confidenceLevel":"n/a","mitigationStatus":"not_mitigated"`, "medium", "allowed"},
		{`"confidenceLevel":"n/a","incidentStatus":"resolved"`, "low", ""},
		{`"confidenceLevel":null`, "medium", ""},
	} {
		raw := `{"id":"1","threatInfo":{` + tt.info + `}}`
		f, err := k.search(event{"sentinelone:channel:threats", raw, nil}, options{})
		if err != nil {
			t.Fatal(err)
		}
		got := [2]any{f["severity"], f["action"]}
		want := [2]any{tt.severity, any(tt.action)}
		if tt.action == "" {
			want[1] = nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.info, diff)
		}
	}
}
