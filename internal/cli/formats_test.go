package cli

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"s1stream/internal/console"
)

// Each format from the console to the file, with all that chooses: what is resolved is left out, one field is dropped,
// and a rule decides the severity.
func TestRun_WritesEachFormatOfWhatASinkChooses(t *testing.T) {
	fromJSON := func(path ...string) func(t *testing.T, line string) string {
		return func(t *testing.T, line string) string {
			t.Helper()
			var v any
			if err := json.Unmarshal([]byte(line), &v); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			for _, name := range path {
				m, _ := v.(map[string]any)
				v = m[name]
			}
			return fmt.Sprint(v)
		}
	}
	fromText := func(pattern string) func(t *testing.T, line string) string {
		return func(_ *testing.T, line string) string {
			if m := regexp.MustCompile(pattern).FindStringSubmatch(line); m != nil {
				return m[1]
			}
			return ""
		}
	}
	for _, c := range []struct {
		format, options       string
		id, severity, console func(t *testing.T, line string) string
		wantSeverity          string
		has                   string
	}{
		{"json", "", fromJSON("id"), nil, nil, "", `"threatInfo"`},
		{"ecs", "event_original = true\nformat_options.namespace = \"soc\"", fromJSON("event", "id"), fromJSON("event", "severity"), fromJSON("event", "url"), "10", `"namespace":"soc"`},
		{"ocsf", "raw_data = true", fromJSON("finding_info", "uid"), fromJSON("severity_id"), fromJSON("src_url"), "1", `"class_uid":2004`},
		{"cef", "version = \"1\"", fromText(` externalId=(\d+) `), fromText(`^CEF:1\|SentinelOne\|Singularity\|[^|]*\|[^|]*\|[^|]*\|(\d+)\|`), fromText(` request=(\S+)`), "1", "CEF:1|"},
		{"leef", "delimiter = \"^\"", fromText(`\^threatId=(\d+)\^`), fromText(`\^sev=(\d+)\^`), fromText(`\^url=([^^]+)`), "1", "|^|"},
	} {
		t.Run(c.format, func(t *testing.T) {
			store, server := serve(t, 12)
			resolved := store.Store.IDs()[:5]
			now := time.Now()
			for i, id := range store.Store.IDs() {
				store.Store.Update(id, now, time.Time{}, func(t *console.Threat) {
					t.Incident = console.Unresolved
					if i < 5 {
						t.Incident = console.Resolved
					}
				})
			}
			options := ""
			if c.options != "" {
				options = "format_options." + c.options
			}
			s := configure(t, server.URL, "", fmt.Sprintf("format = %q\n%s\n", c.format, options)+`
only.incidentStatus = ["unresolved"]
drop = ["threatInfo.storyline", "agentRealtimeInfo.agentComputerName"]
severity.rules = [{ when = { incidentStatus = ["unresolved"] }, level = "informational" }]
`)
			p := begin(t, []string{"S1STREAM_OPS__LISTEN=127.0.0.1:0"}, "run", "--config", s.file)
			address := regexp.MustCompile(`ops=(\S+)`)
			metrics := ""
			until(t, "all are dealt with", func() bool {
				if m := address.FindStringSubmatch(p.err.String()); m != nil {
					_, metrics = httpGet(t, "http://"+m[1]+"/metrics")
				}
				return strings.Contains(metrics, `s1stream_line_delivered_total{sink="siem",source="prod"} 7`) &&
					strings.Contains(metrics, `s1stream_line_left_out_total{sink="siem",source="prod"} 5`)
			})
			time.Sleep(50 * time.Millisecond) // some more walks: what they read is known
			p.signal()
			p.end(t)
			p.wantCode(t, 0)
			var got, want []string
			for _, id := range store.Store.IDs() {
				if !slices.Contains(resolved, id) {
					want = append(want, fmt.Sprint(id))
				}
			}
			for _, line := range s.lines(t) {
				got = append(got, c.id(t, line))
				contains(t, line, c.has)
				for _, gone := range []string{"storyline", "agentComputerName", "dvchost", "resource="} {
					if strings.Contains(line, gone) {
						t.Errorf("still has %s: %s", gone, line)
					}
				}
				if c.severity != nil && c.severity(t, line) != c.wantSeverity {
					t.Errorf("severity %s, want %s: %s", c.severity(t, line), c.wantSeverity, line)
				}
				if host := strings.TrimPrefix(server.URL, "http://"); c.console != nil && !strings.Contains(c.console(t, line), host) {
					t.Errorf("the link %q is not to %s: %s", c.console(t, line), host, line)
				}
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("threats %v, want %v", got, want)
			}
		})
	}
}
