package format

import (
	"strings"
	"testing"

	"s1stream/internal/event"
)

func only(t *testing.T, fields Fields) func(*event.Event) bool {
	t.Helper()
	f, err := Only(fields)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestOnly_LetsThroughWhereEveryFieldHasOneOfItsValues(t *testing.T) {
	ev := &event.Event{Raw: []byte(`{"id":"7","agentRealtimeInfo":{"siteName":"Rotterdam DC","agentIsActive":true,"activeThreats":2,"accountName":null},
		"agentDetectionInfo":{"siteName":"Oslo","externalIp":"203.0.113.7"},
		"indicators":[{"tactics":[{"techniques":[{"name":"T1053.005"}]},{"techniques":[{"name":"T\u0031059"}]}]}],"whiteningOptions":["hash","path"],
		"mitigationStatus":[{"action":"kill"}],
		"threatInfo":{"incidentStatus":"unresolved","mitigationStatus":"not_mitigated","classification":"Trojan","md5":"","engines":[],"sha1":"A\u00c9"}}`)}
	for _, c := range []struct {
		name   string
		fields Fields
		want   bool
	}{
		{"a bare name", Fields{"incidentStatus": []any{"resolved", "unresolved"}}, true},
		{"another value", Fields{"incidentStatus": []any{"resolved"}}, false},
		{"all must hold", Fields{"incidentStatus": []string{"unresolved"}, "classification": []string{"PUA"}}, false},
		{"case does not count", Fields{"classification": []any{"TROJAN"}}, true},
		{"nor beyond ASCII", Fields{"sha1": []any{"aé"}}, true},
		{"a name of two parts is threatInfo's first", Fields{"mitigationStatus": []any{"not_mitigated"}}, true},
		{"then agentRealtimeInfo's", Fields{"siteName": []any{"rotterdam dc"}}, true},
		{"and not agentDetectionInfo's", Fields{"siteName": []any{"Oslo"}}, false},
		{"a path", Fields{"agentDetectionInfo.siteName": []any{"Oslo"}}, true},
		{"tables in tables", Fields{"agentDetectionInfo": map[string]any{"siteName": []any{"Oslo"}}}, true},
		{"through lists", Fields{"indicators.tactics.techniques.name": []any{"T1059"}}, true},
		{"through lists, none", Fields{"indicators.tactics.techniques.name": []any{"T1060"}}, false},
		{"a list of objects", Fields{"mitigationStatus.action": []any{"kill"}}, true},
		{"a list of texts", Fields{"whiteningOptions": []any{"path"}}, true},
		{"true", Fields{"agentIsActive": []any{"true"}}, true},
		{"a number", Fields{"activeThreats": []any{"2"}}, true},
		{"the id", Fields{"id": []any{"7"}}, true},
		{"null is empty", Fields{"accountName": []any{""}}, true},
		{"absent is empty", Fields{"filePath": []any{""}}, true},
		{"empty is empty", Fields{"md5": []any{"", "x"}}, true},
		{"an empty list is empty", Fields{"engines": []any{""}}, true},
		{"what is there is not", Fields{"classification": []any{""}}, false},
		{"an object is nothing to compare, and there", Fields{"threatInfo": []any{"", "x"}}, false},
		{"a path through a text", Fields{"threatInfo.classification.x": []any{"x"}}, false},
		{"a field that is not known", Fields{"threatInfo.brandNewField": []any{""}}, true},
	} {
		if got := only(t, c.fields)(ev); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if f, err := Only(nil); f != nil || err != nil {
		t.Errorf("no fields: want nil, which is everything (err %v)", err)
	}
}

func TestOnly_IsAMistakeWhereItWouldLeaveOutEverythingInSilence(t *testing.T) {
	for want, fields := range map[string]Fields{
		`only.incidentStatuss: unknown field; the nearest known one is "incidentStatus"`: {"incidentStatuss": []any{"resolved"}},
		`only.incidentStatus: unknown value "open"; known: unresolved, in_progress`:      {"incidentStatus": []any{"open"}},
		`only.threatInfo.sha265: unknown field; did you mean "threatInfo.sha256"?`:       {"threatInfo.sha265": []any{"x"}},
		`only.threatinfo.sha1: must begin with a member of the threat`:                   {"threatinfo.sha1": []any{"x"}},
		`only.threatInfo..x: must be names`:                                              {"threatInfo..x": []any{"x"}},
		`only.sha1: must list a value`:                                                   {"sha1": []any{}},
		`only.sha1: must be a list of texts`:                                             {"sha1": "x"},
		`only.agentIsActive: must be a list of texts, as in ["a", "b"]; write true`:      {"agentIsActive": []any{true}},
	} {
		if _, err := Only(fields); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v: %v, want %s", fields, err, want)
		}
	}
}

func TestSeverity_RulesComeBeforeTheTableAndTheFirstDecides(t *testing.T) {
	judge, err := SeverityConfig{Rules: []SeverityRule{
		{When: Fields{"classification": []any{"ransomware"}, "siteName": []any{"Lab"}}, Level: "informational"},
		{When: Fields{"classification": []any{"ransomware"}}, Level: "critical"},
	}}.Judge()
	if err != nil {
		t.Fatal(err)
	}
	for raw, want := range map[string]Severity{
		`{"threatInfo":{"classification":"Ransomware"},"agentRealtimeInfo":{"siteName":"lab"}}`: informational,
		`{"threatInfo":{"classification":"Ransomware"}}`:                                        critical,
		`{"threatInfo":{"classification":"Trojan","confidenceLevel":"malicious"}}`:              high,
	} {
		ev := &event.Event{Raw: []byte(raw)}
		if got := judge(ev, FactsOf(ev.Raw)); got != want {
			t.Errorf("%s: %+v, want %+v", raw, got, want)
		}
	}
}

func TestChoice_NamesEveryMistakeByItsKey(t *testing.T) {
	_, err := Choice{
		Only: Fields{"sha": []any{"x"}},
		Drop: []string{"id", "threatInfo.processUsr"},
		Severity: SeverityConfig{Rules: []SeverityRule{
			{When: Fields{"incidentStatus": []any{"x"}, "nope": []any{"y"}}, Level: "fatal"}, {Level: "low"},
		}},
	}.Compile()
	if err == nil {
		t.Fatal("want an error")
	}
	for _, want := range []string{
		"only.sha: unknown field", `drop: "id": can't be left out`, `drop: "threatInfo.processUsr": unknown field; did you mean "threatInfo.processUser"?`,
		"severity.rules[0].when.incidentStatus: unknown value", "severity.rules[0].when.nope: unknown field", "severity.rules[0].level: must be informational",
		"severity.rules[1].when: must name a field",
	} {
		if !strings.Contains("\n"+err.Error(), "\n"+want) {
			t.Errorf("%s: is missing in:\n%v", want, err)
		}
	}
}

func TestChoice_RefusesARuleAboutWhatIsLeftOut(t *testing.T) {
	c := Choice{Drop: []string{"agentRealtimeInfo"}, Severity: SeverityConfig{Rules: []SeverityRule{{When: Fields{"siteName": []any{"Lab"}}, Level: "low"}}}}
	if _, err := c.Compile(); err == nil || !strings.Contains(err.Error(), `severity.rules[0].when: drop leaves out "agentRealtimeInfo"`) {
		t.Errorf("%v", err)
	}
	c.Drop = []string{"agentRealtimeInfo.agentComputerName"}
	chosen, err := c.Compile()
	if err != nil || chosen.Judge == nil || chosen.Strip == nil || chosen.Takes != nil {
		t.Errorf("%+v, %v", chosen, err)
	}
}
