package sink

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/testpeer"
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

func TestKafkaConfig_RefusesHeadersThatWouldCollide(t *testing.T) {
	for name, row := range map[string]struct {
		name, value string
		events      bool
		want        string
	}{
		"ours":                             {"s1-version", "x", false, "headers.s1-version: is written by s1stream itself"},
		"ours in capitals":                 {"S1-New", "x", false, "headers.S1-New: is written by s1stream itself"},
		"the content's type":               {"Content-Type", "x", true, "headers.Content-Type: is written by s1stream itself"},
		"an attribute without the others":  {"ce_tenant", "x", false, "headers.ce_tenant: names an attribute of CloudEvents"},
		"an attribute of CloudEvents' own": {"ce_type", "x", true, "headers.ce_type: is written by s1stream itself"},
		"an extension in capitals":         {"ce_Tenant", "x", true, "headers.ce_Tenant: must be ce_ and up to 20"},
		"an empty extension":               {"ce_tenant", "", true, "headers.ce_tenant: must not be empty"},
		"a name with a line break":         {"a\nb", "x", false, "headers: \"a\\nb\" is not the name of a header"},
		"a value with a control":           {"a", "x\x00", false, "headers.a: must be text"},
		"a value that is no UTF-8":         {"a", "x\xff", false, "headers.a: must be text"},
		"too much":                         {"a", strings.Repeat("x", kafkaMaxHeaders), false, "headers: have 8203 bytes together"},
	} {
		t.Run(name, func(t *testing.T) {
			c := kafkaTestConfig("127.0.0.1:1")
			c.Headers, c.CloudEvents = map[string]string{row.name: row.value}, row.events
			if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), row.want) {
				t.Errorf("the mistake is %v, want %q", err, row.want)
			}
		})
	}
}

func TestKafkaConfig_KeepsRoomForHeadersOfOnesOwnAndCloudEvents(t *testing.T) {
	c := kafkaTestConfig("127.0.0.1:1")
	c.Headers, c.CloudEvents = map[string]string{"a": strings.Repeat("x", 8000)}, true
	k := kafkaTestSink(t, c, kafkaTestTimes())
	k.deps.Source, k.deps.Host = strings.Repeat("s", 31), strings.Repeat("h", 253)
	rec := kafkaTestRecord("1234567890123456789", "")
	rec.Event.Raw = []byte(`{"agentDetectionInfo":{"accountId":"12345678901234567890"}}`)
	rec.Body = make([]byte, c.MaxBytes(0))
	if _, results := k.messages([]Record{rec}); results[0] != nil {
		t.Error(results[0])
	}
}

// kafkaBrokerHeaders reads back with another client what stands on a record.
func kafkaBrokerHeaders(t *testing.T, b *testpeer.Kafka) {
	cfg := kafkaBrokerWith(b.Plain, func(c *KafkaConfig) {
		c.Topic, c.CloudEvents, c.Headers = "headers", true, map[string]string{"team": "soc é", "ce_tenant": "7"}
	})
	b.CreateTopic(t, cfg.Topic, 1)
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	k.deps.Host = "acme.sentinelone.net"
	records := kafkaTestRecords(3)
	if err := k.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	stored := b.ReadAll(t, cfg.Topic)
	if len(stored) != len(records) {
		t.Fatalf("%d records are stored", len(stored))
	}
	for i, m := range stored {
		got := map[string]string{}
		for _, h := range m.Headers {
			got[h.Key] = string(h.Value)
		}
		ev := records[i].Event
		for name, want := range map[string]string{
			"team": "soc é", "ce_tenant": "7", "ce_specversion": "1.0", "ce_id": ev.Version.String(), "ce_subject": ev.ID,
			"ce_source": "https://acme.sentinelone.net", "content-type": "application/json", "s1-version": ev.Version.String(),
		} {
			if got[name] != want {
				t.Errorf("%s is %q, want %q", name, got[name], want)
			}
		}
		if string(m.Value) != string(records[i].Body) {
			t.Errorf("the value is %s", m.Value)
		}
	}
}
