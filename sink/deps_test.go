package sink

import (
	"bytes"
	"strings"
	"testing"

	"s1stream/internal/event"
	"s1stream/sink/format"
)

func TestHTTP_NamesTheTypeOfWhatItSends(t *testing.T) {
	for _, c := range []struct{ record, body, want string }{
		{"", "single", "application/json"},
		{"", "array", "application/json"},
		{"", "ndjson", "application/x-ndjson"},
		{format.JSONType, "ndjson", "application/x-ndjson"},
		{format.TextType, "single", "text/plain; charset=utf-8"},
		{format.TextType, "ndjson", "text/plain; charset=utf-8"},
	} {
		cfg := DefaultHTTP()
		cfg.URL, cfg.Body = "http://127.0.0.1:1/", c.body
		h, err := NewHTTP(*cfg, Deps{ContentType: c.record})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // and after the secrets were read again
			if got := h.target.header.Get("Content-Type"); got != c.want {
				t.Errorf("%q as %s: %q, want %q", c.record, c.body, got, c.want)
			}
			h.readAgain()
		}
	}
}

func TestHTTP_CarriesTextInNoJSONArray(t *testing.T) {
	for _, body := range []string{"single", "array", "ndjson"} {
		for _, name := range format.Names() {
			err := (&HTTPConfig{Body: body}).Carries(name)
			if want := body == "array" && (name == "cef" || name == "leef"); (err != nil) != want {
				t.Errorf("%s in %s: %v", name, body, err)
			} else if want && !strings.HasPrefix(err.Error(), "body: ") {
				t.Errorf("%v does not begin with the key", err)
			}
		}
	}
}

func TestKafka_NamesTheTypeOfARecord(t *testing.T) {
	for given, want := range map[string]string{"": "application/json", format.TextType: "text/plain; charset=utf-8"} {
		k := &Kafka{deps: Deps{ContentType: given}, limit: kafkaMaxRecord}
		msgs, _ := k.messages([]Record{{Event: &event.Event{ID: "1"}, Body: []byte("x")}})
		for _, h := range msgs[0].Headers {
			if h.Key == "content-type" && string(h.Value) != want {
				t.Errorf("%q: content-type %q, want %q", given, h.Value, want)
			}
		}
	}
}

func TestSyslogLine_TakesTheSeverityThatIsConfigured(t *testing.T) {
	chosen, err := format.Choice{Severity: format.SeverityConfig{Rules: []format.SeverityRule{
		{When: format.Fields{"classification": []string{"Ransomware"}}, Level: "critical"},
	}}}.Compile()
	if err != nil {
		t.Fatal(err)
	}
	for class, want := range map[string]string{"ransomware": "<130>", "Trojan": "<133>"} { // local0 is 16 × 8
		header, err := defaultSyslogLine().begin(chosen.Judge)
		if err != nil {
			t.Fatal(err)
		}
		ev := &event.Event{ID: "1", Raw: []byte(`{"id":"1","threatInfo":{"classification":"` + class + `"}}`)}
		line, _, err := header.wrap(format.JSON)(nil, ev, 0)
		if err != nil || !bytes.HasPrefix(line, []byte(want)) {
			t.Errorf("%s: %s, %v, want %s", class, line, err, want)
		}
	}
}
