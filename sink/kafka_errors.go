package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/safe"
)

// kafkaError is an error of the client or the broker, fit to be shown and with what to do about it.
type kafkaError struct {
	text string
	err  error
}

func (e *kafkaError) Error() string { return e.text }
func (e *kafkaError) Unwrap() error { return e.err }

// kafkaFault is whose fault an error is.
type kafkaFault int

const (
	kafkaPassing  kafkaFault = iota // an election, a restart, the network: it may pass by itself
	kafkaOperator                   // it lasts until somebody acts
	kafkaContent                    // the broker blames the records; of which batch it is known, of which record not
)

// kafkaClassify makes a Write's error of a client's error. topic is named in it.
func kafkaClassify(topic string, err error) error {
	var denied *DeniedError
	if errors.As(err, &denied) {
		return denied
	}
	var token *kafkaTokenError
	if errors.As(err, &token) {
		return token.err
	}
	fault, remedy := kafkaDiagnose(err)
	text := "topic " + topic + ": " + kafkaText(err)
	if remedy != "" {
		text += ": " + remedy
	}
	e := &kafkaError{text: text, err: err}
	switch fault {
	case kafkaOperator:
		return &DeniedError{Err: e}
	case kafkaContent:
		return &RefusedError{Err: e}
	}
	return e
}

// kafkaText is the error's own words without the client's internals; brokers add text of their own.
func kafkaText(err error) string {
	s := err.Error()
	for _, inner := range []string{"kafka.(*Client).Produce: ", "kafka.(*Client).Metadata: ", "kafka.(*Client).DescribeConfigs: "} {
		s = strings.ReplaceAll(s, inner, "")
	}
	return safe.Snippet([]byte(s), 300)
}

// kafkaDiagnose says whose fault an error is and what to do about it, "" where there is nothing better to do than
// to wait. What a real broker answers in each case is in the tests against one.
func kafkaDiagnose(err error) (kafkaFault, string) {
	var code kafka.Error
	if errors.As(err, &code) {
		return kafkaDiagnoseCode(code)
	}
	var (
		op     *net.OpError
		dns    *net.DNSError
		record tls.RecordHeaderError
		verify *tls.CertificateVerificationError
		name   x509.HostnameError
		bad    x509.CertificateInvalidError
		path   *os.PathError
	)
	switch {
	case errors.As(err, &name):
		return kafkaOperator, "the broker's certificate is for another name: set tls.server_name, or correct the certificate"
	case errors.As(err, &bad) && bad.Reason == x509.Expired:
		return kafkaOperator, "renew the broker's certificate, or correct this machine's clock"
	case errors.As(err, &verify):
		return kafkaOperator, "the broker's certificate is not trusted: set tls.ca_file to the authority that signed it"
	case errors.As(err, &record):
		return kafkaOperator, "the broker does not speak TLS on this port: use its TLS port, or drop the tls keys"
	case errors.As(err, &op) && op.Op == "remote error":
		return kafkaOperator, "the broker ended the TLS handshake: it may want a client certificate (tls.cert_file, tls.key_file) of an authority that it trusts"
	case strings.Contains(err.Error(), "appears to be expecting TLS"): // kafka-go has no type for it
		return kafkaOperator, "the broker speaks TLS on this port: set tls.enabled = true"
	case errors.As(err, &path):
		return kafkaOperator, "" // a certificate or key file that went missing
	case errors.As(err, &dns):
		return kafkaPassing, "check the host names in brokers, and the brokers' advertised.listeners"
	case errors.Is(err, syscall.ECONNREFUSED):
		return kafkaPassing, "nothing listens there: is the broker running, and are brokers and advertised.listeners right?"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return kafkaPassing, "the broker closed the connection: it restarts, or its port wants TLS or SASL where none is configured, or none where one is"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return kafkaPassing, "the broker did not answer in time"
	}
	return kafkaPassing, ""
}

func kafkaDiagnoseCode(code kafka.Error) (kafkaFault, string) {
	switch code {
	case kafka.MessageSizeTooLarge, kafka.RecordListTooLarge:
		return kafkaContent, "set max_message_bytes to the topic's max.message.bytes"
	case kafka.InvalidTimestamp:
		return kafkaContent, `the topic limits record times: set timestamp = "now"`
	case kafka.InvalidMessage, kafka.InvalidMessageSize, kafka.Error(87): // 87 INVALID_RECORD, unnamed in kafka-go
		return kafkaContent, ""

	case kafka.SASLAuthenticationFailed:
		return kafkaOperator, "check sasl.username and the password"
	case kafka.UnsupportedSASLMechanism:
		return kafkaOperator, "the listener does not offer this sasl.mechanism"
	case kafka.IllegalSASLState:
		return kafkaOperator, "the listener and the sasl keys do not fit each other"
	case kafka.TopicAuthorizationFailed:
		return kafkaOperator, "grant this user Write and Describe on the topic"
	case kafka.ClusterAuthorizationFailed:
		return kafkaOperator, "grant this user access to the cluster"
	case kafka.UnknownTopicOrPartition:
		return kafkaOperator, "create the topic (s1stream never does), or grant this user Describe on it"
	case kafka.InvalidTopic:
		return kafkaOperator, "the broker does not allow this topic's name"
	case kafka.PolicyViolation, kafka.InvalidRequiredAcks, kafka.UnsupportedVersion, kafka.UnsupportedForMessageFormat:
		return kafkaOperator, "the broker or its policy does not allow such writes"
	case kafka.UnsupportedCompressionType:
		return kafkaOperator, "the broker does not know this compression: choose another"

	case kafka.NotEnoughReplicas, kafka.NotEnoughReplicasAfterAppend:
		return kafkaPassing, "fewer replicas are in sync than the topic's min.insync.replicas"
	}
	return kafkaPassing, ""
}
