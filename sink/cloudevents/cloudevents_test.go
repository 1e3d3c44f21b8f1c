package cloudevents_test

import (
	"encoding/json"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
	"s1stream/sink/cloudevents"
)

const host = "acme.sentinelone.net"

func threat(raw string) *event.Event {
	at := time.Date(2026, 1, 6, 10, 0, 0, 123456000, time.UTC)
	return &event.Event{
		Raw: []byte(raw), ID: "1234567890123456789", UpdatedAt: at, CreatedAt: at.Add(-time.Hour),
		Version: event.NewVersion(host, "1", "2"),
	}
}

func TestOf(t *testing.T) {
	ev := threat(`{"threatInfo":{"incidentStatus":"unresolved"},"agentRealtimeInfo":{"accountId":"2"},"agentDetectionInfo":{"accountId":"617755838952421242"}}`)
	want := cloudevents.Attributes{
		ID: ev.Version.String(), Source: "https://acme.sentinelone.net/accounts/617755838952421242", Type: "com.sentinelone.threat.updated",
		Subject: "1234567890123456789", Time: "2026-01-06T10:00:00.123456Z", DataContentType: "application/json",
	}
	if diff := cmp.Diff(want, cloudevents.Of(ev, host, "application/json")); diff != "" {
		t.Error(diff)
	}
}

// agentRealtimeInfo is joined live: what is made of it differs between two reads of one version.
func TestOf_IsTheSameForEveryReadOfAVersion(t *testing.T) {
	one := threat(`{"agentDetectionInfo":{"accountId":null},"agentRealtimeInfo":{"accountId":"1"}}`)
	two := threat(`{"agentDetectionInfo":{"accountId":null},"agentRealtimeInfo":{"accountId":"2"}}`)
	if diff := cmp.Diff(cloudevents.Of(one, host, "application/json"), cloudevents.Of(two, host, "application/json")); diff != "" {
		t.Error(diff)
	}
}

func TestOf_TypeSaysWhatHappened(t *testing.T) {
	fresh := threat(`{}`)
	fresh.CreatedAt = fresh.UpdatedAt
	for want, ev := range map[string]*event.Event{
		"com.sentinelone.threat.created":  fresh,
		"com.sentinelone.threat.updated":  threat(`{"threatInfo":{"incidentStatus":null}}`),
		"com.sentinelone.threat.resolved": threat(`{"threatInfo":{"incidentStatus":"resolved"}}`),
	} {
		if got := cloudevents.Of(ev, host, "application/json").Type; got != want {
			t.Errorf("type is %s, want %s", got, want)
		}
	}
}

func TestOf_LeavesOutWhatAnAttributeMayNotHold(t *testing.T) {
	for _, id := range []string{"", "a\x00b", "a\nb", "a\u0085b", "a\ufffeb", "a\U0001ffffb", "a\ufdd0b", "a\xffb"} {
		ev := threat(`{}`)
		ev.ID = id
		if got := cloudevents.Of(ev, host, "application/json").Subject; got != "" {
			t.Errorf("subject of %q is %q, want none", id, got)
		}
	}
	for _, account := range []string{`""`, `"../x"`, `"1 2"`, `"\u0000"`, `7`, `null`, `"123456789012345678901234567890123"`} {
		ev := threat(`{"agentDetectionInfo":{"accountId":` + account + `}}`)
		if got := cloudevents.Of(ev, host, "application/json").Source; got != "https://"+host {
			t.Errorf("source with account %s is %q", account, got)
		}
	}
}

func TestAppend(t *testing.T) {
	ev := threat(`{"a": 1.0}`)
	a := cloudevents.Of(ev, host, "application/json")
	var got map[string]json.RawMessage
	if err := json.Unmarshal(cloudevents.Append(nil, a, ev.Raw), &got); err != nil {
		t.Fatal(err)
	}
	if string(got["data"]) != `{"a": 1.0}` || string(got["specversion"]) != `"1.0"` || len(got) != 8 {
		t.Errorf("event is %s", got)
	}
	a.DataContentType = "text/plain"
	if err := json.Unmarshal(cloudevents.Append(nil, a, []byte("CEF:0|\"\\|")), &got); err != nil {
		t.Fatal(err)
	}
	if string(got["data"]) != `"CEF:0|\"\\|"` {
		t.Errorf("data is %s, want a string", got["data"])
	}
}

func TestHTTP_EncodesWhatAHeaderMayNotHold(t *testing.T) {
	ev := threat(`{}`)
	ev.ID = `€ 50%"` + "\u007e"
	a := cloudevents.Of(ev, host, "application/json")
	var got string
	for _, h := range a.HTTP() {
		if h.Name == "ce-subject" {
			got = h.Value
		}
	}
	if want := "%E2%82%AC%2050%25%22~"; got != want {
		t.Errorf("subject is %q, want %q", got, want)
	}
	if back, err := url.PathUnescape(got); err != nil || back != ev.ID {
		t.Errorf("it reads back as %q (%v), want %q", back, err, ev.ID)
	}
}

func TestKafka_NamesEveryAttributeOnce(t *testing.T) {
	seen := map[string]string{}
	for _, h := range cloudevents.Of(threat(`{}`), host, "application/json").Kafka() {
		if _, twice := seen[h.Name]; twice {
			t.Errorf("%s stands twice", h.Name)
		}
		seen[h.Name] = h.Value
	}
	for _, name := range []string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"} {
		if seen[name] == "" {
			t.Errorf("%s is missing", name)
		}
	}
}
