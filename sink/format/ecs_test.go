package format

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

func TestECS_IsTheSameForEver(t *testing.T) {
	f := structured(t)
	golden(t, "ecs-9.4.0.ndjson", f["ecs"], 0)
	golden(t, "ecs-9.4.0-original.ndjson", f["ecs-raw"], 0)
	golden(t, "ecs-9.4.0-shrunk.ndjson", f["ecs"], 2000)
}

// ecsTable is a table of fields: a type, and whether the schema wants a list.
type ecsTable map[string]struct {
	kind string
	list bool
}

func readECSTable(t testing.TB) ecsTable {
	t.Helper()
	table := make(ecsTable)
	for _, name := range []string{"ecs-9.4.0.txt", "sentinel_one_fields.txt"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] != "#" {
				e := table[f[0]]
				e.kind, e.list = f[1], len(f) > 2 && f[2] == "array"
				table[f[0]] = e
			}
		}
	}
	if len(table) < 300 {
		t.Fatalf("%d fields", len(table))
	}
	return table
}

// check returns the first field of a document that is not as the table has it.
func (table ecsTable) check(name string, v any, seen map[string]bool) error {
	f, leaf := table[name]
	if leaf && f.kind != "object" {
		seen[name] = true
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		if f.list && !isList {
			return fmt.Errorf("%s: no list", name)
		}
		for _, e := range list {
			if !isECS(f.kind, e) {
				return fmt.Errorf("%s: %v is no %s", name, e, f.kind)
			}
		}
		return nil
	}
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if err := table.check(name, e, seen); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for k, e := range v {
			if err := table.check(strings.TrimPrefix(name+"."+k, "."), e, seen); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("%s: not a field of the schema", name)
}

func isECS(kind string, v any) bool {
	text, isText := v.(string)
	switch kind {
	case "ip":
		_, err := netip.ParseAddr(text)
		return err == nil
	case "date":
		_, err := time.Parse(time.RFC3339Nano, text)
		return err == nil
	case "boolean":
		_, ok := v.(bool)
		return ok
	case "long":
		n, ok := v.(json.Number)
		_, err := n.Int64()
		return ok && err == nil
	case "flattened":
		_, ok := v.(map[string]any)
		return ok
	}
	return isText
}

func decode(t testing.TB, body []byte) map[string]any {
	t.Helper()
	var doc map[string]any
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		t.Fatalf("%v: %.300q", err, body)
	}
	return doc
}

func TestECS_WritesFieldsOfTheSchemaAndOfItsTypesAlone(t *testing.T) {
	table, encode, seen := readECSTable(t), structured(t)["ecs-raw"], map[string]bool{}
	for c := range corpus.Threats(corpusSeed, 600) {
		for _, limit := range []int{0, 3000} {
			body, _, err := encode(nil, &c.Event, limit)
			if err != nil {
				t.Fatal(err)
			}
			if err := table.check("", decode(t, body), seen); err != nil {
				t.Errorf("%s: limit %d: %v", c.Name, limit, err)
			}
		}
	}
	for name := range table {
		if strings.HasPrefix(name, "sentinel_one.") && !seen[name] {
			t.Errorf("%s is in the table, and in no document", name)
		}
	}
	for _, broken := range []string{`{"host":{"ip":"10.0.0.1"}}`, `{"host":{"ip":["x"]}}`, `{"host":{"nam":"x"}}`, `{"event":{"severity":"1"}}`, `{"message":{"a":"b"}}`} {
		if table.check("", decode(t, []byte(broken)), seen) == nil {
			t.Errorf("the check approves of %s", broken)
		}
	}
}

// TestStructured_KeepEveryValueOfAThreat holds that no field of a threat is forgotten: each text and each number of the
// corpus's whole threat stands somewhere in the record, as it is or in the spelling that the schema asks for.
func TestStructured_KeepEveryValueOfAThreat(t *testing.T) {
	ev := ordinary(t)
	for name, encode := range structured(t) {
		if strings.HasSuffix(name, "-raw") {
			continue // there it does, but as part of one text
		}
		body, _, err := encode(nil, ev, 0)
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		scalars("", decode(t, body), func(_, v string) { have[v] = true })
		scalars("", decode(t, ev.Raw), func(path, v string) {
			for one := range strings.SplitSeq(v, ",") {
				at, err := time.Parse(time.RFC3339Nano, one)
				spellings := []string{v, one, strings.ToLower(one), strings.ToUpper(one), strings.ReplaceAll(strings.ToUpper(one), ":", "-"), one[strings.LastIndex(one, `\`)+1:]}
				if err == nil {
					spellings = append(spellings, at.Format(micros), fmt.Sprint(at.UnixMilli()))
				}
				found := false
				for _, s := range spellings {
					found = found || have[s]
				}
				// Booleans are everywhere; these are told by other fields, or are nobody's business outside.
				if !found && one != "true" && one != "false" && !regexp.MustCompile(lostOnPurpose[name]).MatchString(path) {
					t.Errorf("%s: %s %q is nowhere", name, path, one)
				}
			}
		})
	}
}

// lostOnPurpose are paths whose values a format leaves out.
var lostOnPurpose = map[string]string{
	"ecs": `^(indicators.*\.source|containerInfo\.isContainerQuarantine|threatInfo\.(analystVerdictDescription)|agentRealtimeInfo\.agentOsType)$`,
	// OCSF has words of its own for verdict, status, confidence and machine, and ATT&CK alone of the indicators' parts;
	// the console's ids of its own indicators mean nothing outside, and the endpoint of now has taken the place of then.
	"ocsf": `^(threatInfo\.(analystVerdict|incidentStatus|confidenceLevel)(Description)?|threatInfo\.engines.*|indicators.*\.(ids.*|source)|` +
		`agentDetectionInfo\.(agentOsName|agentOsRevision|accountId|.*Name|.*Id|agentUuid|agentDomain)|agentRealtimeInfo\.(agentMachineType|agentOsType))$`,
}

func scalars(path string, v any, found func(path, v string)) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			scalars(strings.TrimPrefix(path+"."+k, "."), e, found)
		}
	case []any:
		for i, e := range v {
			scalars(fmt.Sprintf("%s[%d]", path, i), e, found)
		}
	case nil:
	default:
		found(path, fmt.Sprint(v))
	}
}

// made is an event of a threat with these members of threatInfo.
func made(info string) *event.Event {
	ev := corpus.Event([]byte(`{"id":"2316604981177352196","threatInfo":{"updatedAt":"2026-11-21T13:06:44.908771Z",` + info + `}}`))
	return &ev
}

func TestECS_SaysWhatHappened(t *testing.T) {
	encode := structured(t)["ecs"]
	for _, c := range []struct{ name, info, want string }{
		{"malware", `"classification":"Trojan"`, `"category":["malware"],"type":["info"]`},
		{"malware that Elastic's integration does not know", `"classification":"infostealer"`, `"category":["malware"],"type":["info"]`},
		{"unwanted", `"classification":"PUA"`, `"category":["threat"],"type":["indicator"]`},
		{"nothing known", `"md5":null`, `"category":["threat"],"type":["indicator"]`},
		{"created", `"createdAt":"2026-11-21T13:06:43Z"`, `"action":"threat-created","code":"s1.threat.create"`},
		{"resolved", `"incidentStatus":"resolved"`, `"end":"2026-11-21T13:06:44.908771Z"`},
		{"updated", `"md5":null`, `"action":"threat-updated","code":"s1.threat.update"`},
		{"a failed action", `"failedActions":true,"mitigationStatus":"mitigated"`, `"outcome":"failure"`},
		{"mitigated", `"mitigationStatus":"mitigated"`, `"outcome":"success"`},
		{"severity", `"confidenceLevel":"malicious","classification":"Ransomware"`, `"severity":100`},
		{"a link", `"md5":null`, `"url":"https://console.example/incidents/threats/2316604981177352196/overview"`},
		{"a sentence", `"threatName":"a\"b","confidenceLevel":"suspicious"`, `"message":"Threat Detected: a\"b (suspicious)"`},
		{"a user of a domain", `"processUser":"NT AUTHORITY\\SYSTEM"`, `"user":{"name":"SYSTEM","domain":"NT AUTHORITY"}`},
		{"a moment elsewhere", `"identifiedAt":"2026-11-21T15:06:41+02:00"`, `"start":"2026-11-21T13:06:41.000000Z"`},
		{"a file's name", `"filePath":"C:\\a\\b.EXE","fileExtension":"EXE"`, `"file":{"path":"C:\\a\\b.EXE","name":"b.EXE","extension":"exe"}`},
		{"no signature", `"fileVerificationType":"NotSigned","isValidCertificate":false`, `"code_signature":{"valid":false,"exists":false}`},
	} {
		body, _, err := encode(nil, made(c.info), 0)
		if err != nil || !strings.Contains(string(body), c.want) {
			t.Errorf("%s: %s is missing (err %v): %s", c.name, c.want, err, body)
		}
	}
	if body, _, _ := encode(nil, &event.Event{Raw: []byte(`{}`), ID: `x/../y`}, 0); strings.Contains(string(body), "https:") {
		t.Errorf("a link to an id that is none of the console's: %s", body)
	}
}

func TestECS_NamesTacticsAndTechniquesOnce(t *testing.T) {
	raw := `{"id":"1","indicators":[{"tactics":[{"name":"Persistence","source":"MITRE","techniques":[{"name":"T1053.005","link":"https://attack.mitre.org/techniques/T1053/005/"},{"name":"T1547","link":"l"}]}]},` +
		`{"tactics":[{"name":"Persistence","source":"MITRE","techniques":[{"name":"T1547","link":"l"}]},{"name":"Home-made","source":"DEFAULT","techniques":[]}]}]}`
	body, _, err := structured(t)["ecs"](nil, &event.Event{Raw: []byte(raw), ID: "1"}, 0)
	want := `"threat":{"framework":"MITRE ATT&CK","tactic":{"id":["TA0003"],"name":["Persistence","Home-made"]},` +
		`"technique":{"id":["T1053.005","T1547"],"reference":["https://attack.mitre.org/techniques/T1053/005/","l"],` +
		`"subtechnique":{"id":["T1053.005"],"reference":["https://attack.mitre.org/techniques/T1053/005/"]}}}`
	if err != nil || !strings.Contains(string(body), want) {
		t.Errorf("err %v, got %s\nwant %s", err, body, want)
	}
}

func TestECS_TakesTheOperatorsWord(t *testing.T) {
	o := DefaultECS()
	o.Namespace, o.Version = "soc_eu.1", "9.3.0"
	o.Judge = func(*event.Event, Facts) Severity { return Severity{ECS: 77} }
	encode, err := NewECS(o)
	if err != nil {
		t.Fatal(err)
	}
	body, _, _ := encode(nil, made(`"md5":null`), 0)
	for _, want := range []string{`"namespace":"soc_eu.1"`, `"ecs":{"version":"9.3.0"}`, `"severity":77`} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%s is missing: %s", want, body)
		}
	}
	for _, bad := range []ECSOptions{{Version: "9.4", Namespace: "x"}, {Version: "9.4.x", Namespace: "x"}, {Version: "9.4.0", Namespace: "a-b"},
		{Version: "9.4.0", Namespace: "Upper"}, {Namespace: "a b"}, {Version: "9.4.0", Namespace: strings.Repeat("x", 101)}} {
		if _, err := NewECS(bad); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}
