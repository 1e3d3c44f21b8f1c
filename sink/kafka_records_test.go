package sink

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

// kafkaHeaderNames are those that stand on every record.
var kafkaHeaderNames = []string{"s1-version", "s1-id", "s1-updated-at", "s1-source", "content-type"}

func TestKafka_AddsHeadersOnlyWhereAsked(t *testing.T) {
	events := []string{"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"}
	for name, row := range map[string]struct {
		set  func(*KafkaConfig)
		want []string
	}{
		"none":        {func(*KafkaConfig) {}, kafkaHeaderNames},
		"one's own":   {func(c *KafkaConfig) { c.Headers = map[string]string{"b": "2", "a": "1"} }, append(kafkaHeaderNames[:5:5], "a", "b")},
		"CloudEvents": {func(c *KafkaConfig) { c.CloudEvents = true }, append(kafkaHeaderNames[:5:5], events...)},
		"both": {func(c *KafkaConfig) { c.CloudEvents, c.Headers = true, map[string]string{"ce_tenant": "7"} },
			append(append(kafkaHeaderNames[:5:5], events...), "ce_tenant")},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := kafkaTestConfig("127.0.0.1:1")
			row.set(&cfg)
			if err := cfg.Validate(); err != nil {
				t.Fatal(err)
			}
			k := kafkaTestSink(t, cfg, kafkaTestTimes())
			k.deps.Host = "acme.sentinelone.net"
			rec := kafkaTestRecords(1)[0]
			msgs, _ := k.messages([]Record{rec})
			var got []string
			for _, h := range msgs[0].Headers {
				got = append(got, h.Key)
				if h.Key == "ce_id" && string(h.Value) != rec.Event.Version.String() {
					t.Errorf("ce_id is %s, want the version", h.Value)
				}
			}
			if d := cmp.Diff(row.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestKafkaConfig_NamesEveryMistakeOfItsHeaders(t *testing.T) {
	for name, row := range map[string]struct {
		header, value string
		events        bool
		want          string // beginning of the one mistake, "" for none
	}{
		"a word":                          {"team", "soc", false, ""},
		"any text":                        {"Équipe 1:2", "é, =", false, ""},
		"an empty value":                  {"team", "", false, ""},
		"an extension of CloudEvents":     {"ce_tenant", "a", true, ""},
		"no name":                         {"", "a", false, `headers: "" is not`},
		"a name with a line break":        {"a\nb", "a", false, `headers: "a\nb" is not`},
		"a name that is no UTF-8":         {"a\xff", "a", false, `headers: "a\xff" is not`},
		"a value with a control":          {"a", "b\x00", false, "headers.a: must be text"},
		"a value that is no UTF-8":        {"a", "\xff", false, "headers.a: must be text"},
		"one of ours":                     {"s1-version", "a", false, "headers.s1-version: is written by s1stream"},
		"one that ours may become":        {"S1-New", "a", false, "headers.S1-New: is written by s1stream"},
		"the content type":                {"Content-Type", "a", false, "headers.Content-Type: is written by s1stream"},
		"one of CloudEvents":              {"ce_source", "a", true, "headers.ce_source: is written by s1stream"},
		"one of CloudEvents, otherwise":   {"CE_ID", "a", true, "headers.CE_ID: is written by s1stream"},
		"what content-type stands for":    {"ce_datacontenttype", "a", true, "headers.ce_datacontenttype: is written by s1stream"},
		"of CloudEvents without them":     {"ce_tenant", "a", false, "headers.ce_tenant: names an attribute of CloudEvents"},
		"of CloudEvents, ill-named":       {"ce_my-tenant", "a", true, "headers.ce_my-tenant: must be ce_"},
		"of CloudEvents, in capitals":     {"ce_Tenant", "a", true, "headers.ce_Tenant: must be ce_"},
		"of CloudEvents, empty":           {"ce_tenant", "", true, "headers.ce_tenant: must not be empty"},
		"more than every record can have": {"a", strings.Repeat("x", kafkaMaxHeaders), false, "headers: have 8203 bytes together"},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkaTestConfig("127.0.0.1:1")
			c.Headers, c.CloudEvents = map[string]string{row.header: row.value}, row.events
			got := ""
			if err := c.Validate(); err != nil {
				got = err.Error()
			}
			if row.want == "" && got != "" || !strings.HasPrefix(got, row.want) || strings.Contains(got, "\n") {
				t.Errorf("mistake %q, want one that begins with %q", got, row.want)
			}
		})
	}
}

func TestKafkaConfig_KeepsRoomForHeadersOfOnesOwnAndCloudEvents(t *testing.T) {
	plain, full := kafkaTestConfig("127.0.0.1:1"), kafkaTestConfig("127.0.0.1:1")
	full.CloudEvents, full.Headers = true, map[string]string{"a": strings.Repeat("x", 4000), "b": strings.Repeat("y", 4000)}
	if err := full.Validate(); err != nil {
		t.Fatal(err)
	}
	const limit = 20_000
	if got, want := plain.MaxBytes(limit)-full.MaxBytes(limit), 2*(10+1+4000)+kafkaCloudEvents; got != want {
		t.Errorf("%d bytes less are left for the body, want %d", got, want)
	}
	// The longest host and source, and an id twice as long as any, fit beside the largest body.
	k, err := newKafka(full, Deps{
		Source: strings.Repeat("s", 31), Host: strings.Repeat("h", 253) + ":65535", ContentType: format.TextType, MaxMessageBytes: limit,
	}, kafkaTestTimes())
	if err != nil {
		t.Fatal(err)
	}
	rec := kafkaTestRecord(strings.Repeat("7", 40), `{"threatInfo":{"incidentStatus":"resolved"},"agentDetectionInfo":{"accountId":"`+strings.Repeat("9", 32)+`"}}`)
	rec.Body = make([]byte, full.MaxBytes(limit))
	msgs, results := k.messages([]Record{rec})
	if results[0] != nil {
		t.Errorf("a body of MaxBytes is refused: %v", results[0])
	}
	// What is free beyond that fits too, to the byte.
	for more, refused := range map[int]bool{limit - kafkaSize(&msgs[0]): false, limit - kafkaSize(&msgs[0]) + 1: true} {
		rec.Body = make([]byte, full.MaxBytes(limit)+more)
		if _, results := k.messages([]Record{rec}); (results[0] != nil) != refused {
			t.Errorf("%d bytes more: %v, want refused %v", more, results[0], refused)
		}
	}
}

// What has no room beside its id is shrunk, or a dead letter, before anything is sent: refused by Write it would wait for
// proof that others are taken.
func TestKafka_MakesRoomForALongID(t *testing.T) {
	const limit = 20_000
	cfg := kafkaTestConfig("127.0.0.1:1")
	cfg.CloudEvents = true
	k, err := newKafka(cfg, Deps{Source: "emea", Host: "console.example.com", MaxMessageBytes: limit}, kafkaTestTimes())
	if err != nil {
		t.Fatal(err)
	}
	encode := k.Wrap(format.JSON)
	for _, size := range []int{19, kafkaUsualID, kafkaUsualID + 1, 600, 5000, 7000, 30_000} {
		rec := kafkaTestRecord(strings.Repeat("7", size), `{"id":"1","threatInfo":{"threatName":"x"},"indicators":["`+strings.Repeat("y", limit)+`"]}`)
		body, shrunk, err := encode(nil, rec.Event, cfg.MaxBytes(limit))
		if size > limit/3 {
			if err == nil {
				t.Errorf("an id of %d bytes: a body of %d", size, len(body))
			}
			continue
		}
		rec.Body = body
		if _, results := k.messages([]Record{rec}); err != nil || !shrunk || results[0] != nil {
			t.Errorf("an id of %d bytes: shrunk %v, %v, %v", size, shrunk, err, results[0])
		}
	}
}

// What is not asked for costs nothing.
func TestKafka_HeadersCostNoAllocationWhereThereAreNone(t *testing.T) {
	records := kafkaTestRecords(500)
	allocs := func(set func(*KafkaConfig)) float64 {
		cfg := kafkaTestConfig("127.0.0.1:1")
		set(&cfg)
		k := kafkaTestSink(t, cfg, kafkaTestTimes())
		return testing.AllocsPerRun(10, func() { k.messages(records) })
	}
	none := allocs(func(*KafkaConfig) {})
	// Of each record: its id, its version twice, its time twice. Of each call: messages, results, headers, source and type.
	if none > 5*500+6 {
		t.Errorf("%v allocations for 500 records", none)
	}
	if n := allocs(func(c *KafkaConfig) { c.Headers = map[string]string{"team": "soc"} }); n > none {
		t.Errorf("%v allocations with a header of one's own, %v without", n, none)
	}
	if n := allocs(func(c *KafkaConfig) { c.CloudEvents = true }); n <= none {
		t.Errorf("%v allocations with CloudEvents, no more than without: nothing is measured", n)
	}
}

func BenchmarkKafka_Messages(b *testing.B) {
	for _, row := range []struct {
		name string
		set  func(*KafkaConfig)
	}{
		{"default", func(*KafkaConfig) {}},
		{"headers", func(c *KafkaConfig) { c.Headers = map[string]string{"team": "soc", "env": "prod"} }},
		{"cloudevents", func(c *KafkaConfig) { c.CloudEvents = true }},
	} {
		b.Run(row.name, func(b *testing.B) {
			cfg := kafkaTestConfig("127.0.0.1:1")
			row.set(&cfg)
			k, err := newKafka(cfg, Deps{Source: "emea", Host: "console.example.com"}, kafkaTestTimes())
			if err != nil {
				b.Fatal(err)
			}
			records := kafkaTestRecords(500)
			b.ReportAllocs()
			for b.Loop() {
				k.messages(records)
			}
		})
	}
}

// kafkaBrokerHeaders reads back, with two clients, all that stands on a record, in its order.
func kafkaBrokerHeaders(t *testing.T, b *testpeer.Kafka) {
	cfg := kafkaBrokerWith(b.Plain, func(c *KafkaConfig) {
		c.Topic, c.CloudEvents = "headers", true
		c.Headers = map[string]string{"team": "soc", "Région": "Île-de-France, €=1", "empty": "", "ce_tenant": "7"}
	})
	b.CreateTopic(t, cfg.Topic, 1)
	rec := kafkaTestRecord("42", `{"id":"42"}`)
	kafkaEventually(t, kafkaTestSink(t, cfg, kafkaBrokerTimes()), []Record{rec})
	version, at := rec.Event.Version.String(), "2026-03-04T05:06:07.890123Z"
	want := []string{
		"s1-version=" + version, "s1-id=42", "s1-updated-at=" + at, "s1-source=emea", "content-type=application/json",
		"ce_specversion=1.0", "ce_id=" + version, "ce_source=https://console.example.com",
		"ce_type=com.sentinelone.threat.updated", "ce_time=" + at, "ce_subject=42",
		"Région=Île-de-France, €=1", "ce_tenant=7", "empty=", "team=soc",
	}
	pairs := func(headers []kafka.Header) (out []string) {
		for _, h := range headers {
			out = append(out, h.Key+"="+string(h.Value))
		}
		return out
	}
	stored := b.ReadAll(t, cfg.Topic)
	if d := cmp.Diff(want, pairs(stored[len(stored)-1].Headers)); d != "" {
		t.Error(d)
	}
	if got := string(stored[len(stored)-1].Value); got != string(rec.Body) {
		t.Errorf("the value is %s", got)
	}
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		testpeer.Missing(t, "kcat")
	}
	out, err := exec.CommandContext(t.Context(), kcat, "-C", "-b", b.Plain, "-t", cfg.Topic, "-o", "beginning", "-c", "1", "-q", "-f", "%h").Output()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Join(want, ","), string(out)); d != "" {
		t.Errorf("kcat reads other headers:\n%s", d)
	}
}
