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
)

// KafkaConfig is a sink of type "kafka".
type KafkaConfig struct {
	Brokers     []string  `koanf:"brokers"`     // host:port, some of the cluster's brokers; the others are found
	Topic       string    `koanf:"topic"`       // {source} stands for the source's NAME
	Compression string    `koanf:"compression"` // none, gzip, snappy, lz4 or zstd
	Timestamp   string    `koanf:"timestamp"`   // record time: now, or updated_at (the threat's)
	TLS         TLS       `koanf:"tls"`
	SASL        KafkaSASL `koanf:"sasl"`
	// AllowCleartextAuth permits SASL PLAIN without TLS to a broker beyond loopback.
	AllowCleartextAuth bool `koanf:"allow_cleartext_auth"`
}

// KafkaSASL is how the sink authenticates. Without a mechanism it does not.
type KafkaSASL struct {
	Mechanism    string      `koanf:"mechanism"` // PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512
	Username     string      `koanf:"username"`
	Password     safe.Secret `koanf:"password"`
	PasswordFile string      `koanf:"password_file"` // read again at every connection, so that it can be rotated
}

var _ Config = (*KafkaConfig)(nil)

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
			bad("brokers: %q must be host:port, without a scheme; IPv6 in brackets", safe.Text(b))
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
	if err := c.SASL.validate(); err != nil {
		errs = append(errs, err)
	}
	if c.cleartext() && !c.AllowCleartextAuth {
		for _, b := range c.Brokers {
			if !kafkaLoopback(b) {
				bad("sasl.mechanism: PLAIN without TLS sends the password to %s in clear text: "+
					"set tls.enabled = true, use SCRAM-SHA-512, or set allow_cleartext_auth = true", safe.Text(b))
				break
			}
		}
	}
	return errors.Join(errs...)
}

func (s *KafkaSASL) validate() error {
	var errs []error
	switch s.Mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if s.Username == "" {
			errs = append(errs, fmt.Errorf("sasl.username: must not be empty with sasl.mechanism = %q", s.Mechanism))
		}
		if s.Password == "" && s.PasswordFile == "" {
			errs = append(errs, fmt.Errorf("sasl.password_file: must be given with sasl.mechanism = %q (or sasl.password)", s.Mechanism))
		}
	case "":
		if s.Username != "" || s.Password != "" || s.PasswordFile != "" {
			errs = append(errs, errors.New("sasl.mechanism: must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 where another sasl key is set"))
		}
	default:
		errs = append(errs, fmt.Errorf("sasl.mechanism: %q must be PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512", safe.Text(s.Mechanism)))
	}
	if s.Password != "" && s.PasswordFile != "" {
		errs = append(errs, errors.New("sasl.password: must not be given together with sasl.password_file"))
	}
	return errors.Join(errs...)
}

// MaxBytes implements Config. max_message_bytes is compared with what Kafka counts, the record with its key and
// headers, so it is to be the topic's max.message.bytes or less; 1 KiB of it is kept free for those.
func (c *KafkaConfig) MaxBytes(configured int) int {
	return max(1, kafkaRecordLimit(configured)-kafkaOverhead)
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
	for _, f := range []string{c.SASL.PasswordFile, c.TLS.KeyFile} {
		if f != "" {
			files = append(files, f)
		}
	}
	return files
}

func (c *KafkaConfig) topicFor(source string) string {
	return strings.ReplaceAll(c.Topic, "{source}", source)
}

// cleartext reports whether a password would cross the wire as it is.
func (c *KafkaConfig) cleartext() bool { return c.SASL.Mechanism == "PLAIN" && !c.TLS.On() }

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
