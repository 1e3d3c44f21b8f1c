package sink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
)

// One broker serves all: it takes seconds to start. The last rows end it.
func TestKafka_WithARealBroker(t *testing.T) {
	testpeer.Long(t, "starts a JVM")
	b := testpeer.StartKafka(t)
	b.CreateTopic(t, kafkaTestTopic, 3)
	for _, row := range []struct {
		name string
		run  func(*testing.T, *testpeer.Kafka)
	}{
		{"each way to connect delivers", kafkaBrokerConnects},
		{"each refusal says what to do", kafkaBrokerRefuses},
		{"a rotated password is used by the next connection", kafkaBrokerRotates},
		{"each compression is read by others", kafkaBrokerCompresses},
		{"headers of one's own and of CloudEvents arrive", kafkaBrokerHeaders},
		{"a record over the topic's limit is refused alone", kafkaBrokerTooLarge},
		{"a missing topic is denied until it is there", kafkaBrokerNoTopic},
		{"check sees what is there and what is wrong", kafkaBrokerProbe},
		{"a broker that hangs loses nothing that was acked", kafkaBrokerHangs},
		{"a broker that is killed and comes back loses nothing that was acked", kafkaBrokerDies},
	} {
		t.Run(row.name, func(t *testing.T) { row.run(t, b) })
	}
}

// kafkaBrokerTimes are short enough for a test and long enough for a broker on a busy machine.
func kafkaBrokerTimes() kafkaTimes {
	u := kafkaUsualTimes()
	u.dial, u.write, u.metadata, u.closing, u.asking = 3*time.Second, 4*time.Second, 500*time.Millisecond, 2*time.Second, 200*time.Millisecond
	return u
}

func kafkaBrokerTLS(b *testpeer.Kafka) TLS { return TLS{CAFile: b.Certs.CA} }

func kafkaBrokerWith(addr string, set func(*KafkaConfig)) KafkaConfig {
	cfg := kafkaTestConfig(addr)
	set(&cfg)
	return cfg
}

func kafkaSCRAM(password string) KafkaSASL {
	return KafkaSASL{Mechanism: "SCRAM-SHA-512", Username: testpeer.KafkaSCRAMUser, Password: safe.Secret(password)}
}

func kafkaPlain(password string) KafkaSASL {
	return KafkaSASL{Mechanism: "PLAIN", Username: testpeer.KafkaPlainUser, Password: safe.Secret(password)}
}

func kafkaBrokerConnects(t *testing.T, b *testpeer.Kafka) {
	for name, cfg := range map[string]KafkaConfig{
		"plaintext":      kafkaTestConfig(b.Plain),
		"SASL PLAIN":     kafkaBrokerWith(b.SASL, func(c *KafkaConfig) { c.SASL = kafkaPlain(testpeer.KafkaPlainPassword) }),
		"SCRAM over TLS": kafkaBrokerWith(b.SCRAM, func(c *KafkaConfig) { c.SASL, c.TLS = kafkaSCRAM(testpeer.KafkaSCRAMPassword), kafkaBrokerTLS(b) }),
		"mTLS": kafkaBrokerWith(b.MTLS, func(c *KafkaConfig) {
			c.TLS = TLS{CAFile: b.Certs.CA, CertFile: b.Certs.Client.Cert, KeyFile: b.Certs.Client.Key}
		}),
	} {
		t.Run(name, func(t *testing.T) {
			cfg.Topic = "connect-" + strings.ReplaceAll(name, " ", "-")
			b.CreateTopic(t, cfg.Topic, 3)
			records := kafkaTestRecords(200)
			kafkaEventually(t, kafkaTestSink(t, cfg, kafkaBrokerTimes()), records)
			got := b.ReadAll(t, cfg.Topic)
			slices.SortFunc(got, func(x, y kafka.Message) int {
				return slices.IndexFunc(records, func(r Record) bool { return r.Event.ID == string(x.Key) }) -
					slices.IndexFunc(records, func(r Record) bool { return r.Event.ID == string(y.Key) })
			})
			if len(got) != len(records) {
				t.Fatalf("%d records are stored, want %d", len(got), len(records))
			}
			for i, m := range got {
				if !bytes.Equal(m.Value, records[i].Body) || string(m.Headers[0].Value) != records[i].Event.Version.String() {
					t.Fatalf("record %d is %s", i, m.Value)
				}
			}
		})
	}
}

func kafkaBrokerRefuses(t *testing.T, b *testpeer.Kafka) {
	for name, row := range map[string]struct {
		cfg    KafkaConfig
		denied bool
		want   string
	}{
		"wrong PLAIN password": {kafkaBrokerWith(b.SASL, func(c *KafkaConfig) { c.SASL = kafkaPlain("canary") }), true, "check sasl.username"},
		"wrong SCRAM password": {kafkaBrokerWith(b.SCRAM, func(c *KafkaConfig) { c.SASL, c.TLS = kafkaSCRAM("canary"), kafkaBrokerTLS(b) }), true, "check sasl.username"},
		"a mechanism not offered": {kafkaBrokerWith(b.SASL, func(c *KafkaConfig) {
			c.SASL = KafkaSASL{Mechanism: "SCRAM-SHA-256", Username: "u", Password: "canary"}
		}), true, "does not offer"},
		"no SASL on a SASL port": {kafkaTestConfig(b.SASL), false, "wants TLS or SASL"},
		"no client certificate":  {kafkaBrokerWith(b.MTLS, func(c *KafkaConfig) { c.TLS = kafkaBrokerTLS(b) }), true, "client certificate"},
		"another authority's certificate": {kafkaBrokerWith(b.MTLS, func(c *KafkaConfig) {
			c.TLS = TLS{CAFile: b.Certs.CA, CertFile: b.Certs.Rogue.Cert, KeyFile: b.Certs.Rogue.Key}
		}), true, "client certificate"},
		"a broker of an unknown authority": {kafkaBrokerWith(b.SCRAM, func(c *KafkaConfig) { c.SASL, c.TLS.Enabled = kafkaSCRAM("canary"), true }), true, "tls.ca_file"},
		"a broker of another name": {kafkaBrokerWith(b.SCRAM, func(c *KafkaConfig) {
			c.SASL, c.TLS = kafkaSCRAM("canary"), TLS{CAFile: b.Certs.CA, ServerName: "kafka.example.com"}
		}), true, "another name"},
		"no TLS on a TLS port":  {kafkaTestConfig(b.MTLS), true, "tls.enabled"},
		"TLS on a plain port":   {kafkaBrokerWith(b.Plain, func(c *KafkaConfig) { c.TLS = kafkaBrokerTLS(b) }), false, "wants TLS or SASL"},
		"a port that is closed": {kafkaTestConfig(fmt.Sprintf("127.0.0.1:%d", testpeer.Port(t))), false, "nothing listens there"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			err := kafkaTestSink(t, row.cfg, kafkaBrokerTimes()).Write(t.Context(), kafkaTestRecords(2))
			var denied *DeniedError
			if err == nil || errors.As(err, &denied) != row.denied || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v; want denied %v, with %q in it", err, row.denied, row.want)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("the error shows the password: %v", err)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("it took %v", took)
			}
			p := row.cfg.Probe(t.Context(), Deps{Source: "emea"})
			if len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Remedy, row.want) {
				t.Errorf("check finds %+v, want one problem with the remedy %q", p.Problems, row.want)
			}
		})
	}
}

func kafkaBrokerRotates(t *testing.T, b *testpeer.Kafka) {
	file := filepath.Join(t.TempDir(), "password")
	put := func(s string) {
		if err := os.WriteFile(file, []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := kafkaBrokerWith(b.SASL, func(c *KafkaConfig) {
		c.SASL = KafkaSASL{Mechanism: "PLAIN", Username: testpeer.KafkaPlainUser, PasswordFile: file}
	})
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	var denied *DeniedError
	if err := k.Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) || !strings.Contains(err.Error(), "password_file") {
		t.Errorf("without the file: %v", err)
	}
	put("old")
	if err := k.Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) {
		t.Errorf("with an old password: %v", err)
	}
	put(testpeer.KafkaPlainPassword)
	kafkaEventually(t, k, kafkaTestRecords(1))
}

func kafkaBrokerCompresses(t *testing.T, b *testpeer.Kafka) {
	kcat, err := exec.LookPath("kcat")
	if err != nil {
		testpeer.Missing(t, "kcat")
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			cfg := kafkaTestConfig(b.Plain)
			cfg.Compression, cfg.Topic = codec, "codec-"+codec
			b.CreateTopic(t, cfg.Topic, 1)
			records := kafkaTestRecords(100)
			records[7].Body = []byte("not UTF-8: \xff\x00\n" + strings.Repeat(`{"repeated":"text"}`, 2000))
			kafkaEventually(t, kafkaTestSink(t, cfg, kafkaBrokerTimes()), records)
			got := b.ReadAll(t, cfg.Topic)
			if len(got) != len(records) {
				t.Fatalf("%d records are stored, want %d", len(got), len(records))
			}
			for i, m := range got {
				if !bytes.Equal(m.Value, records[i].Body) {
					t.Fatalf("kafka-go reads %.80q as record %d", m.Value, i)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			out, err := exec.CommandContext(ctx, kcat, "-C", "-b", b.Plain, "-t", cfg.Topic, "-o", "beginning", "-e", "-q", "-f", `%K %S %h\n%k%s`).Output()
			if err != nil {
				t.Fatal(err)
			}
			kafkaWantKcat(t, out, records)
		})
	}
}

// kafkaWantKcat compares what librdkafka read, length-prefixed, with what was written.
func kafkaWantKcat(t *testing.T, out []byte, records []Record) {
	t.Helper()
	r := bufio.NewReader(bytes.NewReader(out))
	for i, rec := range records {
		var klen, vlen int
		var headers string
		if _, err := fmt.Fscanf(r, "%d %d %s\n", &klen, &vlen, &headers); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		both := make([]byte, klen+vlen)
		if _, err := io.ReadFull(r, both); err != nil {
			t.Fatal(err)
		}
		if string(both[:klen]) != rec.Event.ID || !bytes.Equal(both[klen:], rec.Body) {
			t.Fatalf("kcat reads key %q and %.80q as record %d", both[:klen], both[klen:], i)
		}
		want := fmt.Sprintf("s1-version=%s,s1-id=%s,s1-updated-at=2026-03-04T05:06:07.890123Z,s1-source=emea,content-type=application/json", rec.Event.Version, rec.Event.ID)
		if d := cmp.Diff(want, headers); d != "" {
			t.Fatal(d)
		}
	}
	if rest, _ := io.ReadAll(r); len(rest) > 0 {
		t.Errorf("kcat reads more: %.80q", rest)
	}
}

func kafkaBrokerTooLarge(t *testing.T, b *testpeer.Kafka) {
	cfg := kafkaTestConfig(b.Plain)
	cfg.Topic, cfg.Compression = "small", "none"
	b.CreateTopic(t, cfg.Topic, 1, "max.message.bytes", "2000")
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	kafkaEventually(t, k, kafkaTestRecords(1))
	records := kafkaTestRecords(40) // together over the limit, alone below
	records[17].Body = bytes.Repeat([]byte("x"), 5000)
	kafkaWantRefused(t, k.Write(t.Context(), records), 17)
	seen := map[string]bool{}
	for _, m := range b.ReadAll(t, cfg.Topic) {
		seen[string(m.Key)] = true
	}
	if len(seen) != 39 || seen["id-17"] {
		t.Errorf("%d records are stored, want 39", len(seen))
	}
	kafkaWantRefused(t, k.Write(t.Context(), records[17:18]), 0)
}

func kafkaBrokerNoTopic(t *testing.T, b *testpeer.Kafka) {
	cfg := kafkaTestConfig(b.Plain)
	cfg.Topic = "later.{source}"
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	err := k.Write(t.Context(), kafkaTestRecords(1))
	var denied *DeniedError
	if !errors.As(err, &denied) || !strings.Contains(err.Error(), "topic later.emea: ") || !strings.Contains(err.Error(), "create the topic") {
		t.Errorf("the error is %v", err)
	}
	b.CreateTopic(t, "later.emea", 1)
	kafkaEventually(t, k, kafkaTestRecords(1))
}

func kafkaBrokerProbe(t *testing.T, b *testpeer.Kafka) {
	cfg := kafkaTestConfig(b.Plain)
	p := cfg.Probe(t.Context(), Deps{Source: "emea"})
	want := Probe{Grade: Acknowledged, Connections: 4, Found: []string{
		"cluster: 1 brokers",
		"topic sentinelone.threats: 3 partitions, 1 replicas",
		"max.message.bytes: 1048588",
	}, Warnings: []Problem{{
		What:   "min.insync.replicas: 1 with 1 replicas: an acknowledged record may be on one broker alone and is lost with it",
		Remedy: "set min.insync.replicas = 2 on the topic, with a replication factor of 3",
	}}}
	if d := cmp.Diff(want, p); d != "" {
		t.Error(d)
	}
	p = cfg.Probe(t.Context(), Deps{Source: "emea", MaxMessageBytes: 2_000_000})
	if len(p.Problems) != 1 || p.Problems[0].Remedy != "set max_message_bytes = 1048588, or raise max.message.bytes" {
		t.Errorf("a limit over the topic's: %+v", p.Problems)
	}
	cfg.Topic = "nowhere"
	p = cfg.Probe(t.Context(), Deps{Source: "emea"})
	if len(p.Problems) != 1 || !strings.Contains(p.Problems[0].Remedy, "create the topic") {
		t.Errorf("a missing topic: %+v", p.Problems)
	}
}
