package sink

import (
	"context"
	"errors"
	"fmt"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"s1stream/internal/safe"
)

// KafkaSASL is how the sink authenticates. Without a mechanism it does not.
type KafkaSASL struct {
	Mechanism    string      `koanf:"mechanism"` // PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER
	Username     string      `koanf:"username"`  // of all but OAUTHBEARER
	Password     safe.Secret `koanf:"password"`
	PasswordFile string      `koanf:"password_file"` // read again at every connection, so that it can be rotated

	// OAUTHBEARER: the client credentials grant of RFC 6749, section 4.4.
	TokenURL         string      `koanf:"token_url"`
	ClientID         string      `koanf:"client_id"`
	ClientSecret     safe.Secret `koanf:"client_secret"`
	ClientSecretFile string      `koanf:"client_secret_file"` // read again for every token
	Scope            string      `koanf:"scope"`
}

const (
	kafkaBearerName = "OAUTHBEARER"
	kafkaMechanisms = "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or " + kafkaBearerName

	kafkaCleartextRemedy = "set tls.enabled = true, use SCRAM-SHA-512, or set allow_cleartext_auth = true"
)

func (s *KafkaSASL) oauth() oauthKeys {
	return oauthKeys{
		prefix: "sasl.", tokenURL: s.TokenURL, clientID: s.ClientID, secret: s.ClientSecret, secretFile: s.ClientSecretFile, scope: s.Scope,
	}
}

// mistakes checks the table alone: every key that its mechanism needs, and none of another.
func (s *KafkaSASL) mistakes(cleartext bool) []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	password := s.Username != "" || s.Password != "" || s.PasswordFile != ""
	oauth := s.oauth()
	switch s.Mechanism {
	case "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512":
		if s.Username == "" {
			bad("sasl.username: must not be empty with sasl.mechanism = %q", s.Mechanism)
		}
		if s.Password == "" && s.PasswordFile == "" {
			bad("sasl.password_file: must be given with sasl.mechanism = %q (or sasl.password)", s.Mechanism)
		}
		if oauth.given() {
			bad("sasl.token_url: it, client_id, client_secret and scope are for sasl.mechanism = %q", kafkaBearerName)
		}
	case kafkaBearerName:
		errs = append(errs, oauth.mistakes(cleartext)...)
		if password {
			bad("sasl.username: it and the password are not for sasl.mechanism = %q, which has sasl.client_id and sasl.client_secret", kafkaBearerName)
		}
	case "":
		if password || oauth.given() {
			bad("sasl.mechanism: must be %s where another sasl key is set", kafkaMechanisms)
		}
	default:
		bad("sasl.mechanism: %q must be %s", safe.Text(s.Mechanism), kafkaMechanisms)
	}
	if s.Password != "" && s.PasswordFile != "" {
		bad("sasl.password: must not be given together with sasl.password_file")
	}
	return errs
}

// cleartext names the secret that would cross the wire as it is, "" where none does or it is allowed to.
func (c *KafkaConfig) cleartext() string {
	switch {
	case c.TLS.On() || c.AllowCleartextAuth:
	case c.SASL.Mechanism == "PLAIN":
		return "the password"
	case c.SASL.Mechanism == kafkaBearerName:
		return "the token"
	}
	return ""
}

// mechanism returns how to authenticate, nil for not at all. tokens are for OAUTHBEARER.
func (c *KafkaConfig) mechanism(tokens *kafkaTokens) sasl.Mechanism {
	switch c.SASL.Mechanism {
	case "":
		return nil
	case kafkaBearerName:
		return kafkaOAuth{tokens}
	}
	return kafkaPassword{c.SASL}
}

// kafkaPassword is PLAIN and SCRAM. It reads the password at each handshake, so that a rotated file is used by the
// next connection.
type kafkaPassword struct{ cfg KafkaSASL }

func (m kafkaPassword) Name() string { return m.cfg.Mechanism }

func (m kafkaPassword) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	pass, err := safe.ReadSecret(m.cfg.Password, m.cfg.PasswordFile)
	if err != nil {
		return nil, nil, &DeniedError{Err: fmt.Errorf("sasl.password_file: %w", err)}
	}
	var mech sasl.Mechanism
	switch m.cfg.Mechanism {
	case "SCRAM-SHA-256":
		mech, err = scram.Mechanism(scram.SHA256, m.cfg.Username, pass.Reveal())
	case "SCRAM-SHA-512":
		mech, err = scram.Mechanism(scram.SHA512, m.cfg.Username, pass.Reveal())
	default:
		mech = plain.Mechanism{Username: m.cfg.Username, Password: pass.Reveal()}
	}
	if err != nil { // the text of the library's error may quote what it could not prepare
		return nil, nil, &DeniedError{Err: errors.New("sasl.username, sasl.password: hold characters that SCRAM does not allow (RFC 4013)")}
	}
	machine, first, err := mech.Start(ctx)
	return kafkaExchange{machine, pass}, first, err
}

// kafkaExchange is one exchange by a password.
type kafkaExchange struct {
	sasl.StateMachine

	password safe.Secret
}

// hide takes the password out of what the broker says.
func (e kafkaExchange) hide(s string) string {
	return safe.Hider(e.password.Reveal()).Replace(s)
}
