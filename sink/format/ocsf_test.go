package format

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

func TestOCSF_IsTheSameForEver(t *testing.T) {
	f := structured(t)
	golden(t, "ocsf-1.8.0.ndjson", f["ocsf"], 0)
	golden(t, "ocsf-1.8.0-raw.ndjson", f["ocsf-raw"], 0)
	golden(t, "ocsf-1.8.0-shrunk.ndjson", f["ocsf"], 2500)
}

// ocsfObject is what the schema says of one object.
type ocsfObject struct {
	attributes map[string]struct {
		kind           string
		list, required bool
	}
	one []string // of these it must have one
}

func readOCSFTable(t testing.TB) map[string]*ocsfObject {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "ocsf-1.8.0.txt"))
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]*ocsfObject{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[0] == "#" {
			continue
		}
		o := table[f[0]]
		if o == nil {
			o = &ocsfObject{attributes: map[string]struct {
				kind           string
				list, required bool
			}{}}
			table[f[0]] = o
		}
		if f[1] == "one" {
			o.one = f[2:]
			continue
		}
		a := o.attributes[f[1]]
		a.kind, a.list, a.required = f[2], slices.Contains(f[3:], "list"), slices.Contains(f[3:], "required")
		o.attributes[f[1]] = a
	}
	return table
}

var macShape = regexp.MustCompile(`^([0-9A-F]{2}:){5}[0-9A-F]{2}$`)

func checkOCSF(table map[string]*ocsfObject, kind, path string, v map[string]any) error {
	o := table[kind]
	for name, a := range o.attributes {
		if _, there := v[name]; a.required && !there {
			return fmt.Errorf("%s.%s: missing", path, name)
		}
	}
	if len(o.one) > 0 && !slices.ContainsFunc(o.one, func(name string) bool { return v[name] != nil }) {
		return fmt.Errorf("%s: none of %v", path, o.one)
	}
	for name, value := range v {
		at := path + "." + name
		a, known := o.attributes[name]
		if !known {
			return fmt.Errorf("%s: no attribute of %s", at, kind)
		}
		list, isList := value.([]any)
		if isList != a.list {
			return fmt.Errorf("%s: a list is %v, want %v", at, isList, a.list)
		}
		if !isList {
			list = []any{value}
		}
		for _, e := range list {
			if nested, isObject := e.(map[string]any); isObject && table[a.kind] != nil {
				if err := checkOCSF(table, a.kind, at, nested); err != nil {
					return err
				}
			} else if !isOCSF(a.kind, e) {
				return fmt.Errorf("%s: %v is no %s", at, e, a.kind)
			}
		}
	}
	return nil
}

func isOCSF(kind string, v any) bool {
	text, isText := v.(string)
	switch kind {
	case "number":
		n, ok := v.(json.Number)
		_, err := n.Int64()
		return ok && err == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "object":
		_, ok := v.(map[string]any)
		return ok
	case "ip":
		a, err := netip.ParseAddr(text)
		return err == nil && a.Zone() == ""
	case "mac":
		return macShape.MatchString(text)
	}
	return kind == "text" && isText
}

func TestOCSF_WritesWhatTheSchemaAllowsAlone(t *testing.T) {
	table, encode := readOCSFTable(t), structured(t)["ocsf-raw"]
	for c := range corpus.Threats(corpusSeed, 600) {
		for _, limit := range []int{0, 3000, 1200} {
			body, _, err := encode(nil, &c.Event, limit)
			if err != nil {
				t.Fatal(err)
			}
			v := decode(t, body)
			if err := checkOCSF(table, "detection_finding", "", v); err != nil {
				t.Errorf("%s: limit %d: %v", c.Name, limit, err)
			}
			if fmt.Sprint(v["type_uid"]) != fmt.Sprintf("20040%v", v["activity_id"]) {
				t.Errorf("%s: type_uid %v for activity_id %v", c.Name, v["type_uid"], v["activity_id"])
			}
		}
	}
	whole, _, _ := encode(nil, ordinary(t), 0)
	for _, change := range [][2]string{{`"time":`, `"tim":`}, {`"type_id":3`, `"type_id":"3"`}, {`"ip":"10.`, `"ip":"x10.`}, {`"mac":"02:`, `"mac":"02-`},
		{`"hostname":`, `"host_name":`}, {`"is_alert":true`, `"is_alert":"true"`}, {`"groups":[`, `"group":[`}} {
		broken := strings.Replace(string(whole), change[0], change[1], 1)
		if broken == string(whole) || checkOCSF(table, "detection_finding", "", decode(t, []byte(broken))) == nil {
			t.Errorf("the check approves of %s", change[1])
		}
	}
}

func TestOCSF_SaysWhatHappened(t *testing.T) {
	encode := structured(t)["ocsf"]
	for _, c := range []struct{ name, info, want string }{
		{"created", `"createdAt":"2026-11-21T13:06:43.548207Z"`, `"activity_id":1,"activity_name":"Create","type_uid":200401`},
		{"created when", `"createdAt":"2026-11-21T13:06:43.548207Z"`, `"time":1795266403548`},
		{"no creation", `"createdAt":"soon"`, `"time":1795266404908`},
		{"resolved", `"incidentStatus":"resolved"`, `"status_id":4,"status":"Resolved","is_alert":false`},
		{"suppressed", `"incidentStatus":"unresolved","analystVerdict":"false_positive"`, `"status_id":3,"status":"Suppressed"`},
		{"a word unknown", `"incidentStatus":"parked"`, `"status_id":0,"status":"Unknown","is_alert":true`},
		{"a verdict", `"analystVerdict":"true_positive"`, `"verdict_id":2,"verdict":"True Positive"`},
		{"sure", `"confidenceLevel":"malicious"`, `"confidence_id":3,"confidence":"High"`},
		{"benign", `"mitigationStatus":"marked_as_benign","failedActions":true`, `"action_id":1,"action":"Allowed","disposition_id":10,"disposition":"Exonerated"`},
		{"failed", `"mitigationStatus":"mitigated","failedActions":true`, `"action_id":3,"action":"Observed","disposition_id":13,"disposition":"Uncorrected"`},
		{"pending", `"mitigationStatus":"not_mitigated","rebootRequired":true`, `"action_id":4,"action":"Modified","disposition_id":14,"disposition":"Delayed"`},
		{"only seen", `"mitigationStatus":"not_mitigated"`, `"action_id":3,"action":"Observed","disposition_id":15,"disposition":"Detected"`},
		{"stopped before it ran", `"mitigationStatus":"mitigated"`, `"action_id":2,"action":"Denied","disposition_id":2,"disposition":"Blocked"`},
		{"nothing known", `"md5":null`, `"action_id":0,"action":"Unknown","disposition_id":0,"disposition":"Unknown"`},
		{"static", `"detectionType":"static","detectionEngines":[{"key":"k","title":"T"}]`, `"analytic":{"name":"T","uid":"k","type_id":5,"type":"Fingerprinting"}`},
		{"malware", `"threatName":"a.exe","classification":"Ransomware"`, `"malware":[{"name":"a.exe","classification_ids":[10],"classifications":["Ransomware"]`},
		{"a hash", `"threatName":"a","md5":"9e107d9d372bb6826bd81d3542a419d6"`, `"hashes":[{"algorithm_id":1,"algorithm":"MD5","value":"9e107d9d372bb6826bd81d3542a419d6"}]`},
		{"no hash", `"threatName":"a","md5":"abc"`, `"unmapped":{"threatInfo":{"md5":"abc"}}`},
		{"a ticket", `"externalTicketExists":true,"externalTicketId":"INC-1"`, `"tickets":[{"uid":"INC-1","type_id":2,"type":"External"}]`},
		{"a command without a process", `"maliciousProcessArguments":"/q"`, `"unmapped":{"threatInfo":{"maliciousProcessArguments":"/q"}}`},
		{"a link", `"md5":null`, `"src_url":"https://console.example/incidents/threats/2316604981177352196/overview"`},
	} {
		body, _, err := encode(nil, made(c.info), 0)
		if err != nil || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %s is missing (err %v): %s", c.name, c.want, err, body)
		}
	}
	for name, info := range map[string]string{"malware": `"threatName":"a","classification":"PUA"`, "tickets": `"externalTicketExists":false,"externalTicketId":"INC-1"`,
		"device": `"threatName":"a"`, "process": `"maliciousProcessArguments":"/q"`} {
		if body, _, _ := encode(nil, made(info), 0); strings.Contains(string(body), `"`+name+`":`) {
			t.Errorf("%s of %s: %s", name, info, body)
		}
	}
}

func TestOCSF_TakesTheLastActionThatSucceeded(t *testing.T) {
	encode := structured(t)["ocsf"]
	row := func(action, status, at string) string {
		return fmt.Sprintf(`{"action":%q,"status":%q,"mitigationEndedAt":"2026-11-21T13:06:%sZ"}`, action, status, at)
	}
	for _, c := range []struct{ rows, want string }{
		{row("kill", "success", "43") + "," + row("quarantine", "success", "44"), `"disposition":"Quarantined"`},
		{row("quarantine", "success", "44") + "," + row("kill", "success", "43"), `"disposition":"Quarantined"`},
		{row("quarantine", "failed", "44") + "," + row("kill", "success", "43"), `"disposition":"Blocked"`},
		{row("network_quarantine", "success", "44"), `"disposition":"Isolated"`},
		{row("rollback", "success", "44") + "," + row("quarantine", "success", "43"), `"action":"Modified","disposition_id":11,"disposition":"Corrected"`},
		{row("unquarantine", "success", "45") + "," + row("quarantine", "success", "44"), `"action":"Modified","disposition_id":9,"disposition":"Restored"`},
	} {
		ev := corpus.Event([]byte(`{"id":"1","mitigationStatus":[` + c.rows + `],"threatInfo":{"mitigationStatus":"mitigated"}}`))
		body, _, err := encode(nil, &ev, 0)
		if err != nil || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %s is missing (err %v): %s", c.rows, c.want, err, body)
		}
	}
}

func TestOCSF_KeepsEachPairOfTacticAndTechniqueOnce(t *testing.T) {
	raw := `{"id":"1","indicators":[{"tactics":[{"name":"Persistence","source":"MITRE","techniques":[{"name":"T1053.005","link":"l"},{"name":"T1053.005","link":"l"}]},` +
		`{"name":"Execution","source":"MITRE","techniques":[{"name":"T1053.005"}]},{"name":"Impact","source":"DEFAULT","techniques":[]},{"techniques":[{"name":"Odd","link":"o"},{"link":"alone"}]}]}]}`
	want := `"attacks":[{"tactic":{"name":"Persistence","uid":"TA0003"},"technique":{"uid":"T1053"},"sub_technique":{"uid":"T1053.005","src_url":"l"}},` +
		`{"tactic":{"name":"Execution","uid":"TA0002"},"technique":{"uid":"T1053"},"sub_technique":{"uid":"T1053.005"}},{"tactic":{"name":"Impact"}},{"technique":{"name":"Odd","src_url":"o"}}]`
	body, _, err := structured(t)["ocsf"](nil, &event.Event{Raw: []byte(raw), ID: "1"}, 0)
	if err != nil || strings.Count(string(body), want) != 2 { // in finding_info, and of security_control
		t.Errorf("err %v, got %s\nwant twice %s", err, body, want)
	}
}

func TestOCSF_RefusesAVersionThatIsNone(t *testing.T) {
	for _, version := range []string{"1.8", "v1.8.0", "1.8.0-rc1", `1.8."`} {
		if _, err := NewOCSF(OCSFOptions{Version: version}); err == nil {
			t.Errorf("%q is accepted", version)
		}
	}
}
