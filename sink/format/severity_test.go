package format

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
)

// TestSeverity_FollowsTheTableForEveryCombination writes the ten rows of the mapping down once more, each with its
// whole condition, and compares over every combination of values, legacy, unknown and absent ones included.
func TestSeverity_FollowsTheTableForEveryCombination(t *testing.T) {
	type row struct {
		name string
		when func(f Facts) bool
		want Severity
	}
	ransom := func(f Facts) bool { return f.Classification == "Ransomware" || f.Classification == "ransomware" }
	rows := []row{
		{"1 cleared", func(f Facts) bool { return f.Verdict == "false_positive" || f.Mitigation == "marked_as_benign" },
			Severity{6, 1, 1, 1, 10, "informational"}},
		{"2 resolved and mitigated", func(f Facts) bool { return f.Incident == "resolved" && f.Mitigation == "mitigated" },
			Severity{5, 3, 3, 2, 30, "low"}},
		{"3 malicious, open, grave", func(f Facts) bool {
			return f.Confidence == "malicious" && f.Mitigation != "mitigated" && (ransom(f) || f.FailedActions || f.Verdict == "true_positive")
		}, Severity{2, 10, 10, 5, 100, "critical"}},
		{"4 malicious, open", func(f Facts) bool { return f.Confidence == "malicious" && f.Mitigation != "mitigated" },
			Severity{3, 9, 9, 4, 90, "high"}},
		{"5 malicious, mitigated", func(f Facts) bool { return f.Confidence == "malicious" && f.Mitigation == "mitigated" },
			Severity{4, 6, 6, 3, 60, "medium"}},
		{"6 suspicious, open, confirmed", func(f Facts) bool {
			return f.Confidence == "suspicious" && f.Mitigation != "mitigated" && f.Verdict == "true_positive"
		}, Severity{3, 9, 9, 4, 90, "high"}},
		{"6 suspicious, open", func(f Facts) bool { return f.Confidence == "suspicious" && f.Mitigation != "mitigated" },
			Severity{4, 6, 6, 3, 60, "medium"}},
		{"7 suspicious, mitigated", func(f Facts) bool { return f.Confidence == "suspicious" && f.Mitigation == "mitigated" },
			Severity{5, 4, 4, 2, 40, "low"}},
		{"9 resolved", func(f Facts) bool { return f.Incident == "resolved" }, Severity{5, 3, 3, 2, 30, "low"}},
		{"10 unknown", func(Facts) bool { return true }, Severity{5, 4, 4, 0, 40, "medium"}},
	}
	capped := Severity{4, 5, 5, 3, 50, "medium"} // row 8
	hit := map[string]int{}
	for _, conf := range []string{"malicious", "suspicious", "n/a", "", "new-word"} {
		for _, mit := range []string{"not_mitigated", "mitigated", "marked_as_benign", "", "blocked", "active"} {
			for _, inc := range []string{"unresolved", "in_progress", "resolved", ""} {
				for _, ver := range []string{"undefined", "true_positive", "suspicious", "false_positive", ""} {
					for _, cls := range []string{"Trojan", "Malware", "PUA", "pup", "Ransomware", "ransomware", "Exploit", ""} {
						for _, failed := range []bool{false, true} {
							f := Facts{Verdict: ver, Mitigation: mit, Incident: inc, Confidence: conf, Classification: cls, FailedActions: failed}
							var want Severity
							for _, r := range rows {
								if r.when(f) {
									want = r.want
									hit[r.name]++
									break
								}
							}
							if (cls == "PUA" || cls == "pup") && want.ECS > capped.ECS {
								want = capped
								hit["8 unwanted"]++
							}
							if got := f.Severity(); got != want {
								t.Fatalf("%+v: %+v, want %+v", f, got, want)
							}
						}
					}
				}
			}
		}
	}
	if len(hit) != len(rows)+1 {
		t.Errorf("rows that decided something: %v, want all", hit)
	}
}

func TestFacts_AreReadFromTheThreat(t *testing.T) {
	for _, c := range []struct {
		name, raw string
		want      Facts
	}{
		{"all of them", `{"mitigationStatus":[{"status":"x"}],"threatInfo":{"analystVerdict":"undefined","mitigationStatus":"mitigated",` +
			`"incidentStatus":"resolved","confidenceLevel":"malicious","classification":"Trojan","failedActions":true}}`,
			Facts{"undefined", "mitigated", "resolved", "malicious", "Trojan", true}},
		{"escapes", `{"threatInfo":{"classification":"\u0050UA"}}`, Facts{Classification: "PUA"}},
		{"null and other types are unknown", `{"threatInfo":{"analystVerdict":null,"mitigationStatus":[1],"confidenceLevel":7,"failedActions":"true"}}`, Facts{}},
		{"no threatInfo", `{"id":"1"}`, Facts{}},
		{"threatInfo is a list", `{"threatInfo":["classification","PUA"]}`, Facts{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, FactsOf([]byte(c.raw))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestActivity_IsDecidedByTheEventAlone(t *testing.T) {
	at := time.Date(2026, 11, 21, 13, 6, 44, 0, time.UTC)
	for _, c := range []struct {
		incident string
		age      time.Duration
		created  bool
		want     Activity
	}{
		{"resolved", 0, true, Close},
		{"RESOLVED", time.Hour, true, Close},
		{"unresolved", 0, true, Create},
		{"", 59*time.Second + 999*time.Millisecond, true, Create},
		{"in_progress", time.Minute, true, Update},
		{"unresolved", 0, false, Update},
	} {
		t.Run(fmt.Sprint(c.incident, c.age), func(t *testing.T) {
			ev := &event.Event{UpdatedAt: at}
			if c.created {
				ev.CreatedAt = at.Add(-c.age)
			}
			if got := (Facts{Incident: c.incident}).Activity(ev); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
		})
	}
}

// The table that operators read, and that the add-on for Splunk and the rule for Sentinel follow, is the one of the code.
func TestSeverity_IsTheTableOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Severity\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| ([^|]+) \| (\w+)[^|]* \| (\d+) \| (\d+) \| (\d) \| (\d) \|$`).FindAllStringSubmatch(section, -1)
	examples := [][]Facts{ // for each row, those that it names
		{{Verdict: "false_positive", Confidence: "malicious"}, {Mitigation: "marked_as_benign", Confidence: "malicious"}},
		{{Incident: "resolved", Mitigation: "mitigated", Confidence: "malicious"}},
		{
			{Confidence: "malicious", Verdict: "true_positive"},
			{Confidence: "malicious", FailedActions: true},
			{Confidence: "malicious", Classification: "Ransomware", Incident: "resolved"},
		},
		{{Confidence: "malicious", Mitigation: "not_mitigated", Incident: "resolved"}},
		{{Confidence: "suspicious", Verdict: "true_positive"}},
		{{Confidence: "malicious", Mitigation: "mitigated"}},
		{{Confidence: "suspicious", Mitigation: "not_mitigated"}},
		{{Confidence: "suspicious", Mitigation: "mitigated"}},
		{{Incident: "resolved"}},
		{{}, {Confidence: "n/a"}},
	}
	if len(rows) != len(examples) {
		t.Fatalf("%d rows, want %d", len(rows), len(examples))
	}
	for i, row := range rows {
		for _, f := range examples[i] {
			s := f.Severity()
			got := []string{s.CIM, strconv.Itoa(s.CEF), strconv.Itoa(s.ECS), strconv.Itoa(s.OCSF), strconv.Itoa(s.Syslog)}
			if !slices.Equal(got, row[2:]) || s.LEEF != s.CEF {
				t.Errorf("%s: %+v is %v, and the page says %v", row[1], f, got, row[2:])
			}
		}
	}
	for _, f := range []Facts{{Confidence: "malicious", FailedActions: true}, {Confidence: "suspicious"}} {
		f.Classification = "PUA"
		if s := f.Severity(); s.CEF != 5 || s.ECS != 50 || s.OCSF != 3 || s.Syslog != 4 || !strings.Contains(section, "5, 50, 3\nand 4") {
			t.Errorf("PUA: %+v is %+v, and the page says something else", f, s)
		}
	}
}
