package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/safe"
)

// Sizes of a record as Kafka counts it: key, value, headers and their lengths, before compression.
const (
	// kafkaMaxRecord is the largest record and the largest batch where max_message_bytes is unset. A broker's
	// own default, message.max.bytes, is 1,048,588 for a whole batch.
	kafkaMaxRecord = 1_000_000
	// kafkaOverhead is kept free beside the body for key, headers and lengths, about 250 bytes as a rule.
	kafkaOverhead = 1024
	// kafkaCloudEvents is kept free for the ce_ headers: some 280 bytes as a rule, and 550 with the longest host.
	kafkaCloudEvents = 768
)

// KafkaConfig is a sink of type "kafka".
type KafkaConfig struct {
	Brokers     []string `koanf:"brokers"`     // host:port, some of the cluster's brokers; the others are found
	Topic       string   `koanf:"topic"`       // {source} stands for the source's NAME
	Compression string   `koanf:"compression"` // none, gzip, snappy, lz4 or zstd
	Timestamp   string   `koanf:"timestamp"`   // record time: now, or updated_at (the threat's)
	// Headers are added to every record, by name; they are no secrets.
	Headers map[string]string `koanf:"headers"`
	// CloudEvents adds the headers of the CloudEvents Kafka binding, binary content mode.
	CloudEvents bool      `koanf:"cloudevents"`
	TLS         TLS       `koanf:"tls"`
	SASL        KafkaSASL `koanf:"sasl"`
	// AllowCleartextAuth permits SASL PLAIN and OAUTHBEARER without TLS to a broker beyond loopback, and a token
	// endpoint over http:// there.
	AllowCleartextAuth bool `koanf:"allow_cleartext_auth"`
}

var (
	_ Config  = (*KafkaConfig)(nil)
	_ Proxied = (*KafkaConfig)(nil)
)

// DefaultKafka returns a configuration that lacks only its brokers.
func DefaultKafka() *KafkaConfig {
	return &KafkaConfig{Topic: "sentinelone.threats", Compression: "zstd", Timestamp: "now"}
}

// Validate implements Config.
func (c *KafkaConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Brokers) == 0 {
		bad(`brokers: must not be empty: give at least one broker, as in ["kafka-1.example.com:9092"]`)
	}
	for _, b := range c.Brokers {
		if !kafkaAddress(b) {
			bad("brokers: %q must be host:port, without a scheme; IPv6 in brackets", addressShown(b))
		}
	}
	// The longest NAME of a source has 31 characters.
	if !kafkaTopicName(c.topicFor(strings.Repeat("s", 31))) {
		bad("topic: %q must be 1 to 249 of the characters a-z A-Z 0-9 . _ -, with {source} for the source's name", safe.Text(c.Topic))
	}
	if _, ok := kafkaCompression(c.Compression); !ok {
		bad("compression: %q must be one of none, gzip, snappy, lz4, zstd", safe.Text(c.Compression))
	}
	if c.Timestamp != "now" && c.Timestamp != "updated_at" {
		bad("timestamp: %q must be now or updated_at", safe.Text(c.Timestamp))
	}
	if err := c.TLS.Validate(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.SASL.mistakes(c.AllowCleartextAuth)...)
	if secret := c.cleartext(); secret != "" {
		for _, b := range c.Brokers {
			if !kafkaLoopback(b) {
				bad("sasl.mechanism: %s without TLS sends %s to %s in clear text: %s", c.SASL.Mechanism, secret, addressShown(b), kafkaCleartextRemedy)
				break
			}
		}
	}
	errs = append(errs, c.headerMistakes()...)
	return errors.Join(errs...)
}

// MaxBytes implements Config. max_message_bytes is compared with what Kafka counts, the record with its key and
// headers, so it is to be the topic's max.message.bytes or less; 1 KiB of it is kept free for those, and what
// headers and cloudevents add.
func (c *KafkaConfig) MaxBytes(configured int) int {
	free := kafkaOverhead + kafkaHeadersSize(c.ownHeaders())
	if c.CloudEvents {
		free += kafkaCloudEvents
	}
	return max(1, kafkaRecordLimit(configured)-free)
}

func kafkaRecordLimit(configured int) int {
	if configured > 0 {
		return configured
	}
	return kafkaMaxRecord
}

// New implements Config.
func (c *KafkaConfig) New(d Deps) (Sink, error) {
	k, err := NewKafka(*c, d)
	if err != nil {
		return nil, err // not (*Kafka)(nil) as a Sink
	}
	return k, nil
}

// Secrets implements Config.
func (c *KafkaConfig) Secrets() []string {
	var files []string
	for _, f := range []string{c.SASL.PasswordFile, c.SASL.ClientSecretFile, c.TLS.KeyFile} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

// ByEnvironment implements Proxied: of the brokers' connections none goes by a proxy.
func (c *KafkaConfig) ByEnvironment() (key string, urls []safe.Secret) {
	if c.SASL.Mechanism != kafkaBearerName {
		return "", nil
	}
	return "sasl.token_url", []safe.Secret{safe.Secret(c.SASL.TokenURL)}
}

func (c *KafkaConfig) topicFor(source string) string {
	return strings.ReplaceAll(c.Topic, "{source}", source)
}

// kafkaTopicName checks a name by the rules of org.apache.kafka.common.internals.Topic.
func kafkaTopicName(s string) bool {
	return s != "." && s != ".." && len(s) <= 249 && regexp.MustCompile(`^[a-zA-Z0-9._-]+$`).MatchString(s)
}

func kafkaAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/@, \t\r\n") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

func kafkaLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func kafkaCompression(name string) (kafka.Compression, bool) {
	switch name {
	case "none":
		return 0, true
	case "gzip":
		return kafka.Gzip, true
	case "snappy":
		return kafka.Snappy, true
	case "lz4":
		return kafka.Lz4, true
	case "zstd":
		return kafka.Zstd, true
	}
	return 0, false
}

// Probe implements Config.
func (c *KafkaConfig) Probe(ctx context.Context, d Deps) Probe { return kafkaProbe(ctx, c, d) }
