package sink

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"s1stream/internal/pki"
	"s1stream/internal/safe"
	"s1stream/sink/oauth2"
)

// kafkaTokens gets the tokens of OAUTHBEARER. kafka-go connects every second where no broker lets it in, so a token that
// can't be had is not asked for each time.
type kafkaTokens struct {
	client    *oauth2.Client
	transport *http.Transport
	pause     time.Duration

	mu    sync.Mutex
	token string    // the last one
	since time.Time // when it was first used
	last  error     // why there is none
	after time.Time // not asked before, where there is none
}

// newKafkaTokens makes no request. The endpoint's certificate may be signed by an authority of this machine or by that of
// tls.ca_file: brokers have a private one more often than token endpoints do. The other tls keys are the brokers' alone.
func newKafkaTokens(cfg *KafkaConfig, t kafkaTimes, d Deps) (*kafkaTokens, error) {
	d.Metrics = nil // no connection to a broker
	transport, err := httpTransport(d, TLS{}, "", 1)
	if err != nil {
		return nil, &DeniedError{Err: err}
	}
	if cfg.TLS.CAFile != "" {
		if transport.TLSClientConfig.RootCAs, err = kafkaRoots(cfg.TLS.CAFile); err != nil {
			return nil, &DeniedError{Err: fmt.Errorf("tls.ca_file: %w", err)}
		}
	}
	client, err := cfg.SASL.oauth().client(transport, d.Log)
	if err != nil {
		return nil, &DeniedError{Err: err}
	}
	return &kafkaTokens{client: client, transport: transport, pause: t.asking}, nil
}

func kafkaRoots(file string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil { // a container may have none
		return pki.Pool(file)
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s: holds no PEM certificate", file)
	}
	return roots, nil
}

// get returns a token that holds. Its errors are classified as Write's are; one of ctx is its own.
func (k *kafkaTokens) get(ctx context.Context) (string, error) {
	if err := k.paused(); err != nil {
		return "", err
	}
	token, err := k.client.Token(ctx)
	if err == nil {
		k.note(token)
		return token, nil
	}
	var failed *oauth2.Error
	if !errors.As(err, &failed) {
		return "", err
	}
	err = fmt.Errorf("sasl.token_url: %w", failed.Err)
	_, operator := httpRemedyFor(failed.Err)
	wait := k.pause
	switch {
	case failed.Denied:
		err = &DeniedError{Err: err}
	case operator:
		err = &DeniedError{Err: fmt.Errorf("%w: check its address and certificate, HTTPS_PROXY, and that tls.ca_file or this machine knows the authority", err)}
	case failed.RetryAfter > 0:
		wait = max(wait, min(failed.RetryAfter, time.Minute))
		err = &RetryAfterError{After: failed.RetryAfter, Err: err}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last, k.after = err, time.Now().Add(wait)
	return "", err
}

// paused returns why there is no token, while it is too soon to ask for one.
func (k *kafkaTokens) paused() error {
	now := time.Now()
	if now.Before(k.client.Ends()) {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Before(k.after) {
		return k.last
	}
	return nil
}

func (k *kafkaTokens) note(token string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if token != k.token {
		k.token, k.since = token, time.Now()
	}
}

// refused gives a token up for the reason why. One that was used for a while is replaced at once.
func (k *kafkaTokens) refused(token string, why error) {
	k.client.Reject(token)
	k.mu.Lock()
	defer k.mu.Unlock()
	if token == k.token {
		k.last, k.after = why, k.since.Add(k.pause)
	}
}

// close ends the connections to the endpoint.
func (k *kafkaTokens) close() {
	if k != nil {
		k.transport.CloseIdleConnections()
	}
}

// kafkaTokenError is an error of get on its way through kafka-go.
type kafkaTokenError struct{ err error }

func (e *kafkaTokenError) Error() string { return e.err.Error() }
func (e *kafkaTokenError) Unwrap() error { return e.err }

// kafkaOAuth is the mechanism OAUTHBEARER (RFC 7628, and KIP-255 for Kafka).
type kafkaOAuth struct{ tokens *kafkaTokens }

var _ sasl.Mechanism = kafkaOAuth{}

func (kafkaOAuth) Name() string { return kafkaBearerName }

// Start implements sasl.Mechanism with the client's first words (RFC 7628, section 3.1). A token holds neither control
// characters nor spaces: package oauth2 sees to that.
func (m kafkaOAuth) Start(ctx context.Context) (sasl.StateMachine, []byte, error) {
	token, err := m.tokens.get(ctx)
	if err != nil {
		return nil, nil, &kafkaTokenError{err}
	}
	return &kafkaBearer{tokens: m.tokens, token: token}, []byte("n,,\x01auth=Bearer " + token + "\x01\x01"), nil
}

// kafkaBearer is one exchange.
type kafkaBearer struct {
	tokens  *kafkaTokens
	token   string
	refused bool
	status  string // what the broker said of the token
}

// Next implements sasl.StateMachine. What a server answers to a token it refuses is JSON, which the client has to
// acknowledge before the server ends the exchange (RFC 7628, section 3.2.3).
func (b *kafkaBearer) Next(_ context.Context, challenge []byte) (done bool, response []byte, err error) {
	switch {
	case b.refused:
		return false, nil, b.failed(errors.New("the broker goes on after it refused the token"))
	case len(challenge) == 0:
		return true, nil, nil
	}
	b.refused = true
	var said struct{ Status, Scope string }
	_ = json.Unmarshal(challenge, &said) // what is no JSON says no more than that it is a refusal
	b.status = said.Status
	if said.Scope != "" {
		b.status += ", scope " + said.Scope
	}
	return false, []byte{1}, nil
}

// failed makes an error of the broker's refusal, and gives the token up. A network that broke is no refusal.
func (b *kafkaBearer) failed(err error) error {
	if !b.refused && !errors.Is(err, kafka.SASLAuthenticationFailed) {
		return err
	}
	text := "the broker refuses the token"
	if b.status != "" {
		text += " (" + safe.Snippet([]byte(b.hide(b.status)), 100) + ")"
	}
	text += ": " + safe.Snippet([]byte(b.hide(err.Error())), 200) + ": check sasl.scope, that the listener expects this issuer and audience, and both clocks"
	if claims := kafkaClaims(b.token); claims != "" {
		text += "; the token has " + claims
	}
	denied := &DeniedError{Err: &kafkaError{text: text, err: err}}
	b.tokens.refused(b.token, denied)
	return denied
}

// hide takes the token out of what the broker says: it may echo what it was sent.
func (b *kafkaBearer) hide(s string) string { return strings.ReplaceAll(s, b.token, "***") }

// kafkaClaims describes a token that is a JWT by what brokers check (RFC 7519, section 4.1), so that the two can be
// compared; "" for any other. Nothing is verified: that is the broker's part.
func kafkaClaims(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims map[string]any
	if json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	var out []string
	for _, name := range []string{"iss", "aud", "sub", "scope"} {
		if v, ok := claims[name]; ok {
			text, _ := json.Marshal(v) // it came from JSON
			out = append(out, name+" "+safe.Snippet(text, 100))
		}
	}
	if exp, ok := claims["exp"].(float64); ok && exp > 0 && exp < 1e11 {
		out = append(out, "exp "+time.Unix(int64(exp), 0).UTC().Format(time.RFC3339))
	}
	return strings.Join(out, ", ")
}
