package sink

import (
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/testpeer"
)

func kafkaOAuthProbe(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer) {
	cfg := kafkaOAuthConfig(t, b, issuer, true, 1)
	p := cfg.Probe(t.Context(), Deps{Source: "emea"})
	if len(p.Problems) > 0 {
		t.Errorf("problems: %+v", p.Problems)
	}
	found := strings.Join(p.Found, "\n")
	for _, want := range []string{
		`(?m)^token from http://127\.0\.0\.1:\d+: for (1h0m0s|59m5[89]s), iss "https://login\.example\.com/", aud "kafka", sub "s1stream", scope "siem\.write", exp \S+$`,
		`(?m)^authenticated by OAUTHBEARER; a session lasts 3s, and is renewed before$`,
	} {
		if !regexp.MustCompile(want).MatchString(found) {
			t.Errorf("check finds %s, want %s", found, want)
		}
	}
}

// Least privilege: Write and Describe are enough to deliver; what check can't read then is a warning.
func kafkaBrokerACLs(t *testing.T, b *testpeer.Kafka, _ *testpeer.KafkaIssuer) {
	cfg := kafkaBrokerWith(b.SASL, func(c *KafkaConfig) { c.SASL = kafkaPlain(testpeer.KafkaPlainPassword) })
	cfg.Topic = "granted"
	b.CreateTopic(t, cfg.Topic, 1)
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	unknown := func(p Probe) bool {
		for _, w := range p.Warnings {
			if strings.Contains(w.What, "are unknown") && strings.Contains(w.Remedy, "DescribeConfigs") {
				return true
			}
		}
		return false
	}
	var denied *DeniedError
	if err := k.Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) || !strings.Contains(err.Error(), "grant this user") {
		t.Errorf("with nothing granted: %v", err)
	}
	b.Allow(t, testpeer.KafkaPlainUser, cfg.Topic, kafka.ACLOperationTypeDescribe)
	if err := k.Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) || !strings.Contains(err.Error(), "grant this user Write") {
		t.Errorf("without Write: %v", err)
	}
	b.Allow(t, testpeer.KafkaPlainUser, cfg.Topic, kafka.ACLOperationTypeWrite)
	kafkaEventually(t, k, kafkaTestRecords(1))
	if p := cfg.Probe(t.Context(), Deps{Source: "emea"}); len(p.Problems) > 0 || !unknown(p) {
		t.Errorf("without DescribeConfigs check finds %+v, want no problem and a warning", p)
	}
	b.Allow(t, testpeer.KafkaPlainUser, cfg.Topic, kafka.ACLOperationTypeDescribeConfigs)
	if p := cfg.Probe(t.Context(), Deps{Source: "emea"}); len(p.Problems) > 0 || unknown(p) {
		t.Errorf("with DescribeConfigs check finds %+v", p)
	}
}
