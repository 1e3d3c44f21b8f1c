package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/pipeline"
	"s1stream/sink"
	"s1stream/sink/format"
	"s1stream/source"
)

func TestEnvironment_OverridesTheFile(t *testing.T) {
	c := parse(t, minimal+`
[sink.my-siem]
type = "http"
url = "https://siem.example.com"
headers = { X-Tenant = "file" }
[source.main.filter]
osTypes = ["linux"]
`,
		"S1STREAM_LOG__LEVEL=debug",
		"S1STREAM_OPS__LISTEN=",
		"S1STREAM_CHECKPOINT__INTERVAL=7s",
		"S1STREAM_SOURCE__MAIN__PAGE_SIZE=10",
		"S1STREAM_SOURCE__MAIN__REQUESTS_PER_SECOND=0.5",
		"S1STREAM_SOURCE__MAIN__FILTER__OSTYPES=windows, macos",
		"S1STREAM_SOURCE__MAIN__FILTER__COMPUTERNAME__CONTAINS=web",
		"S1STREAM_SOURCE__MAIN__FILTER__RESOLVED=false",
		"S1STREAM_SINK__MY_SIEM__QUEUE_BYTES=1MiB",
		"S1STREAM_SINK__MY_SIEM__SOURCES=main",
		"S1STREAM_SINK__MY_SIEM__GZIP=true",
		"S1STREAM_SINK__MY_SIEM__AUTH__TYPE=bearer",
		"S1STREAM_SINK__MY_SIEM__AUTH__TOKEN=se,cret",
		"S1STREAM_SINK__MY_SIEM__HEADERS__X_TENANT=env",
	)
	if c.Log.Level != "debug" || c.Ops.Listen != "" || c.Checkpoint.Interval != 7*time.Second {
		t.Errorf("sections: %+v %+v %+v", c.Log, c.Ops, c.Checkpoint)
	}
	src := c.Sources[0]
	if src.Config.PageSize != 10 || src.Config.RequestsPerSecond != 0.5 {
		t.Errorf("source: %+v", src.Config)
	}
	if got, want := src.Filter.String(), "computerName__contains=web&osTypes=macos%2Cwindows&resolved=false"; got != want {
		t.Errorf("filter %s, want %s", got, want)
	}
	i := slices.IndexFunc(c.Sinks, func(s Sink) bool { return s.Name == "my-siem" })
	h := c.Sinks[i].Config.(*sink.HTTPConfig)
	if !h.Gzip || h.Auth.Token != "se,cret" || c.Sinks[i].Line.QueueBytes != 1<<20 {
		t.Errorf("sink: %+v", h)
	}
	if diff := cmp.Diff(map[string]string{"X-Tenant": "env"}, h.Headers); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment_CreatesTheTablesItNames(t *testing.T) {
	c := parse(t, "",
		"S1STREAM_SOURCE__EU__URL=https://eu.sentinelone.net",
		"S1STREAM_SOURCE__EU__TOKEN=t",
		"S1STREAM_SINK__SIEM_2__TYPE=kafka",
		"S1STREAM_SINK__SIEM_2__BROKERS=a:9092,b:9092",
		"S1STREAM_SINK__SIEM_2__SASL__MECHANISM=SCRAM-SHA-512",
		"S1STREAM_SINK__SIEM_2__SASL__USERNAME=u",
		"S1STREAM_SINK__SIEM_2__SASL__PASSWORD=p",
	)
	if c.Sources[0].Name != "eu" || c.Sinks[0].Name != "siem-2" {
		t.Fatalf("NAMEs: %q, %q", c.Sources[0].Name, c.Sinks[0].Name)
	}
	k := c.Sinks[0].Config.(*sink.KafkaConfig)
	if diff := cmp.Diff([]string{"a:9092", "b:9092"}, k.Brokers); diff != "" || k.SASL.Password != "p" {
		t.Errorf("%s%+v", diff, k)
	}
}

func TestEnvironment_SaysWhatASinkGetsAndInWhichFormat(t *testing.T) {
	c := parse(t, minimal+"only.siteId = [\"1\"]\nonly.incidentStatus = [\"resolved\"]\n",
		"S1STREAM_SINK__OUT__FORMAT=ecs",
		"S1STREAM_SINK__OUT__FORMAT_OPTIONS__EVENT_ORIGINAL=true",
		"S1STREAM_SINK__OUT__FORMAT_OPTIONS__NAMESPACE=soc",
		"S1STREAM_SINK__OUT__ONLY__INCIDENTSTATUS=unresolved, in_progress",
		"S1STREAM_SINK__OUT__ONLY__AGENTREALTIMEINFO__SITENAME=Paris",
		"S1STREAM_SINK__OUT__DROP=threatInfo.filePath,threatInfo.processUser",
	)
	line := c.Sinks[0].Line
	if o := line.FormatOptions; line.Format != "ecs" || o.EventOriginal == nil || !*o.EventOriginal || o.Namespace != "soc" {
		t.Errorf("format: %q %+v", line.Format, o)
	}
	want := format.Choice{
		Only: format.Fields{"siteId": []any{"1"}, "incidentStatus": []any{"unresolved", "in_progress"}, "agentRealtimeInfo.siteName": []any{"Paris"}},
		Drop: []string{"threatInfo.filePath", "threatInfo.processUser"},
	}
	if diff := cmp.Diff(want, line.Choice); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment_IgnoresWhatIsNotOurs(t *testing.T) {
	c := parse(t, minimal,
		"S1STREAM_SOURCE_PORT=tcp://10.0.0.1:9464", "S1STREAM_SINK_SERVICE_HOST=10.0.0.1", "S1STREAM_OTHER__KEY=x",
		"S1STREAM_PORT_9464_TCP=x", "s1stream_log__level=loud", "LOG__LEVEL=loud", "S1STREAM_LOG=x", "no equals sign", "")
	if diff := cmp.Diff(parse(t, minimal).Sources, c.Sources, cmp.AllowUnexported(source.Filter{})); diff != "" {
		t.Error(diff)
	}
}

func TestEnvironment_FindsNamesThatTheFileHas(t *testing.T) {
	c := parse(t, strings.ReplaceAll(minimal, "out", "a--b-"), "S1STREAM_SINK__A__B___QUEUE_EVENTS=7")
	if got := c.Sinks[0].Line.QueueEvents; got != 7 {
		t.Errorf("queue_events = %d, want 7", got)
	}
}

func TestEnvironment_ClearsASecretFileToReplaceIt(t *testing.T) {
	c := parse(t, strings.Replace(minimal, `token = "t"`, `token_file = "f"`, 1),
		"S1STREAM_SOURCE__MAIN__TOKEN_FILE=", "S1STREAM_SOURCE__MAIN__TOKEN=u")
	if got := c.Sources[0].Config; got.Token != "u" || got.TokenFile != "" {
		t.Errorf("token %q, file %q", got.Token.Reveal(), got.TokenFile)
	}
}

// Whatever struct a key lives in, a variable reaches it.
func TestEnvironment_ReachesEveryKey(t *testing.T) {
	for _, section := range sections[:4] {
		wantReached(t, "S1STREAM_"+strings.ToUpper(section)+"__", nil, sectionOf(new(Config), section))
	}
	wantReached(t, "S1STREAM_SOURCE__N__", nil, new(source.Config))
	for _, typ := range sink.Types() {
		env := []string{"S1STREAM_SINK__N__TYPE=" + typ.Name}
		wantReached(t, "S1STREAM_SINK__N__", env, new(pipeline.LineConfig), typ.Default())
	}
}

func wantReached(t *testing.T, prefix string, env []string, structs ...any) {
	t.Helper()
	for _, key := range envKeys(fields(structs...)) {
		name := prefix + key
		for _, value := range []string{"1", "true", "2026-01-01T00:00:00Z"} { // one of them suits any type
			r := newReport()
			r.overlay(append(slices.Clone(env), name+"="+value), nil)
			if len(r.mistakes) == 0 {
				name = ""
				break
			}
		}
		if name != "" {
			t.Errorf("%s is not taken", name)
		}
	}
}
