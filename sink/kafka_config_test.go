package sink

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

func TestKafkaConfig_NamesEveryMistake(t *testing.T) {
	good := func() *KafkaConfig {
		c := DefaultKafka()
		c.Brokers = []string{"kafka-1.example.com:9092", "[2001:db8::1]:9092"}
		return c
	}
	bearer := func() KafkaSASL {
		return KafkaSASL{Mechanism: kafkaBearerName, TokenURL: "https://login.example.com/token", ClientID: "s1stream", ClientSecretFile: "f"}
	}
	for name, row := range map[string]struct {
		set  func(*KafkaConfig)
		want []string // beginnings of the lines
	}{
		"the defaults with brokers": {func(*KafkaConfig) {}, nil},
		"source in the topic":       {func(c *KafkaConfig) { c.Topic = "s1.{source}.threats" }, nil},
		"all there is": {func(c *KafkaConfig) {
			c.Brokers, c.Topic, c.Compression, c.Timestamp = nil, "a b", "brotli", "created"
			c.TLS.CertFile = "client.pem"
			c.SASL = KafkaSASL{Mechanism: "GSSAPI", Password: "p", PasswordFile: "f"}
		}, []string{"brokers: must not be empty", "topic: ", "compression: ", "timestamp: ", "tls.cert_file: ", "sasl.mechanism: ", "sasl.password: must not be given together"}},
		"brokers that are no address": {func(c *KafkaConfig) {
			c.Brokers = []string{"kafka", "kafka://a:9092", "a:0", "a:99999", ":9092", "a:1,b:1"}
		}, []string{`brokers: "kafka"`, `brokers: "kafka://`, `brokers: "a:0"`, `brokers: "a:99999"`, `brokers: ":9092"`, `brokers: "a:1,b:1"`}},
		"another placeholder":      {func(c *KafkaConfig) { c.Topic = "{sink}" }, []string{"topic: "}},
		"a topic of two dots":      {func(c *KafkaConfig) { c.Topic = ".." }, []string{"topic: "}},
		"a topic too long by name": {func(c *KafkaConfig) { c.Topic = strings.Repeat("t", 220) + "{source}" }, []string{"topic: "}},
		"sasl keys alone":          {func(c *KafkaConfig) { c.SASL.Username = "u" }, []string{"sasl.mechanism: "}},
		"a mechanism alone":        {func(c *KafkaConfig) { c.SASL.Mechanism = "SCRAM-SHA-256" }, []string{"sasl.username: ", "sasl.password_file: "}},
		"a password in clear text": {func(c *KafkaConfig) {
			c.SASL = KafkaSASL{Mechanism: "PLAIN", Username: "u", Password: "p"}
		}, []string{"sasl.mechanism: PLAIN without TLS"}},
		"a password in clear text, allowed": {func(c *KafkaConfig) {
			c.SASL, c.AllowCleartextAuth = KafkaSASL{Mechanism: "PLAIN", Username: "u", Password: "p"}, true
		}, nil},
		"a password in clear text to loopback": {func(c *KafkaConfig) {
			c.Brokers = []string{"127.0.0.1:9092", "localhost:9092", "[::1]:9092"}
			c.SASL = KafkaSASL{Mechanism: "PLAIN", Username: "u", Password: "p"}
		}, nil},
		"a password over TLS": {func(c *KafkaConfig) {
			c.SASL, c.TLS.Enabled = KafkaSASL{Mechanism: "PLAIN", Username: "u", PasswordFile: "f"}, true
		}, nil},
		"SCRAM without TLS": {func(c *KafkaConfig) {
			c.SASL = KafkaSASL{Mechanism: "SCRAM-SHA-512", Username: "u", Password: "p"}
		}, nil},
		"a token over TLS": {func(c *KafkaConfig) { c.SASL, c.TLS.Enabled = bearer(), true }, nil},
		"a token in clear text": {func(c *KafkaConfig) { c.SASL = bearer() },
			[]string{"sasl.mechanism: OAUTHBEARER without TLS sends the token to kafka-1.example.com:9092 in clear text"}},
		"a token in clear text, allowed": {func(c *KafkaConfig) { c.SASL, c.AllowCleartextAuth = bearer(), true }, nil},
		"a token endpoint in clear text": {func(c *KafkaConfig) {
			c.SASL, c.TLS.Enabled = bearer(), true
			c.SASL.TokenURL = "http://login.example.com/token"
		}, []string{"sasl.token_url: would send the secret in clear text to http://login.example.com"}},
		"OAUTHBEARER alone": {func(c *KafkaConfig) { c.SASL.Mechanism, c.TLS.Enabled = kafkaBearerName, true },
			[]string{"sasl.token_url: must be", "sasl.client_id: ", "sasl.client_secret: give it"}},
		"OAUTHBEARER with two secrets": {func(c *KafkaConfig) {
			c.SASL, c.TLS.Enabled = bearer(), true
			c.SASL.ClientSecret = "s"
		}, []string{"sasl.client_secret: give it"}},
		"OAUTHBEARER with a password": {func(c *KafkaConfig) {
			c.SASL, c.TLS.Enabled = bearer(), true
			c.SASL.Username, c.SASL.PasswordFile = "u", "f"
		}, []string{"sasl.username: it and the password are not for"}},
		"a password with a token endpoint": {func(c *KafkaConfig) {
			c.SASL, c.TLS.Enabled = KafkaSASL{Mechanism: "PLAIN", Username: "u", Password: "p", Scope: "kafka"}, true
		}, []string{"sasl.token_url: it, client_id, client_secret and scope are for"}},
		"OAuth keys without a mechanism": {func(c *KafkaConfig) { c.SASL.ClientID = "s1stream" }, []string{"sasl.mechanism: must be PLAIN"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := good()
			row.set(c)
			var got []string
			if err := c.Validate(); err != nil {
				got = strings.Split(err.Error(), "\n")
			}
			if len(got) != len(row.want) {
				t.Fatalf("mistakes %q, want %q", got, row.want)
			}
			for i, w := range row.want {
				if !strings.HasPrefix(got[i], w) {
					t.Errorf("mistake %q, want one that begins with %q", got[i], w)
				}
			}
		})
	}
}

func TestKafkaConfig_KeepsRoomForKeyAndHeaders(t *testing.T) {
	c := DefaultKafka()
	for configured, want := range map[int]int{0: 998_976, 1_048_588: 1_047_564, 100: 1} {
		if got := c.MaxBytes(configured); got != want {
			t.Errorf("MaxBytes(%d) = %d, want %d", configured, got, want)
		}
	}
	// An id of the usual length and the longest source fit beside the largest body.
	k := kafkaTestSink(t, kafkaTestConfig("127.0.0.1:1"), kafkaTestTimes())
	k.deps.Source = strings.Repeat("s", 31)
	rec := kafkaTestRecord("1234567890123456789", strings.Repeat("x", c.MaxBytes(0)))
	if _, results := k.messages([]Record{rec}); results[0] != nil {
		t.Errorf("a body of MaxBytes is refused: %v", results[0])
	}
}

func TestKafkaConfig_ListsItsSecretFiles(t *testing.T) {
	c := DefaultKafka()
	c.SASL.PasswordFile, c.SASL.ClientSecretFile, c.TLS.KeyFile = "pass", "secret", "key"
	if d := cmp.Diff([]string{"pass", "secret", "key"}, c.Secrets()); d != "" {
		t.Error(d)
	}
}

func TestKafka_SettingsThatDecideOnLoss(t *testing.T) {
	cfg := kafkaTestConfig("127.0.0.1:1")
	c, err := newKafkaClient(&cfg, nil, "t", 5000, kafkaUsualTimes(), Deps{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close(kafkaUsualTimes().closing) }()
	w := c.writer
	if w.RequiredAcks != kafka.RequireAll || w.Async || w.AllowAutoTopicCreation || w.BatchBytes != 5000 {
		t.Errorf("acks %v, async %v, creation of topics %v, batch bytes %d", w.RequiredAcks, w.Async, w.AllowAutoTopicCreation, w.BatchBytes)
	}
	if _, ok := w.Balancer.(kafka.Murmur2Balancer); !ok {
		t.Errorf("balancer %T, want Java's", w.Balancer)
	}
	u := kafkaUsualTimes()
	if need := u.write*3 + 3e9; u.whole < need || u.attempts != 3 {
		t.Errorf("a Write is bounded by %v, want more than %v: it is the last resort, not the rule", u.whole, need)
	}
}

func TestKafka_ShowsNoPassword(t *testing.T) {
	cfg := kafkaTestConfig("127.0.0.1:1")
	cfg.SASL = KafkaSASL{Mechanism: "SCRAM-SHA-256", Username: "u", Password: "canary\x01\uffff"}
	var log bytes.Buffer
	k, err := newKafka(cfg, Deps{Source: "s", Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))}, kafkaTestTimes())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = k.Close() }()
	_, _, err = kafkaPassword{cfg.SASL}.Start(context.Background())
	var denied *DeniedError
	if !errors.As(err, &denied) || strings.Contains(err.Error(), "canary") {
		t.Errorf("a password that can't be prepared gives %v", err)
	}
	werr := k.Write(t.Context(), []Record{kafkaTestRecord("1", "{}")})
	if werr == nil || strings.Contains(werr.Error()+log.String(), "canary") {
		t.Errorf("Write gives %v, log %s", werr, log.String())
	}
}

func TestKafka_HidesThePasswordThatABrokerEchoes(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "SCRAM-SHA-512"} {
		machine, _, err := kafkaPassword{KafkaSASL{Mechanism: mechanism, Username: "u", Password: "canary"}}.Start(sasl.WithMetadata(t.Context(), &sasl.Metadata{}))
		if err != nil {
			t.Fatal(err)
		}
		if got := machine.(interface{ hide(text string) string }).hide("no user u with canary"); got != "no user u with ***" {
			t.Errorf("%s: %q", mechanism, got)
		}
	}
}

// Whoever writes a URL of a broker or a collector, user and password included, is told so without these.
func TestConfig_ShowsNoUserOfAnAddress(t *testing.T) {
	const address = "tcp://user:hunter2@siem.example.com:6514"
	kafka, syslog, relp := kafkaTestConfig(address), DefaultSyslog(), DefaultRELP()
	kafka.SASL = KafkaSASL{Mechanism: "PLAIN", Username: "u", Password: "p"}
	syslog.Address, relp.Address = []string{address}, []string{address}
	for _, c := range []Config{&kafka, syslog, relp} {
		if err := c.Validate(); err == nil || strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "***@siem.example.com") {
			t.Errorf("%T: %v", c, err)
		}
	}
}

func TestKafkaGuard_SendsNoSecretInClearTextBeyondLoopback(t *testing.T) {
	// A socket stands for any peer that is not on loopback: no other address may be used in a test.
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	for mechanism, secret := range map[string]string{"PLAIN": "the password", kafkaBearerName: "the token"} {
		cfg := kafkaTestConfig("127.0.0.1:1")
		cfg.SASL.Mechanism = mechanism
		g, err := newKafkaGuard(&cfg, kafkaPassword{}, kafkaTestTimes(), func() { t.Error("counted as a connection") })
		if err != nil {
			t.Fatal(err)
		}
		defer g.cut(false)
		_, err = g.dial(t.Context(), "unix", path)
		var denied *DeniedError
		if !errors.As(err, &denied) || !strings.Contains(err.Error(), secret+" would cross the network in clear text") {
			t.Errorf("%s: dial gives %v, want it denied", mechanism, err)
		}
	}
}

func TestKafka_MissingFilesAreTheOperatorsToMend(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "none")
	for name, set := range map[string]func(*KafkaConfig){
		"authority":   func(c *KafkaConfig) { c.TLS.CAFile = missing },
		"certificate": func(c *KafkaConfig) { c.TLS.CertFile, c.TLS.KeyFile = missing, missing },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := kafkaTestConfig("127.0.0.1:1")
			set(&cfg)
			k := kafkaTestSink(t, cfg, kafkaTestTimes())
			err := k.Write(t.Context(), []Record{kafkaTestRecord("1", "{}")})
			var denied *DeniedError
			if !errors.As(err, &denied) || !errors.Is(err, os.ErrNotExist) {
				t.Errorf("Write gives %v, want it denied", err)
			}
		})
	}
}
