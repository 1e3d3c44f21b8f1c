package sink

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
)

func kafkaTestTokens(t testing.TB) (*kafkaTokens, *testpeer.Tokens) {
	t.Helper()
	issuer := testpeer.StartTokens(t, false)
	cfg := kafkaTestConfig("127.0.0.1:1")
	cfg.SASL = KafkaSASL{Mechanism: kafkaBearerName, TokenURL: issuer.URL, ClientID: issuer.ClientID, ClientSecret: safe.Secret(issuer.Secret), Scope: issuer.Scope}
	tokens, err := newKafkaTokens(&cfg, kafkaTestTimes(), Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tokens.close)
	return tokens, issuer
}

// The form of RFC 7628, section 3.1, and the answer to a refusal of section 3.2.3.
func TestKafkaOAuth_SpeaksAsTheRFCSays(t *testing.T) {
	tokens, _ := kafkaTestTokens(t)
	machine, first, err := kafkaOAuth{tokens}.Start(t.Context())
	if err != nil || string(first) != "n,,\x01auth=Bearer token-1\x01\x01" {
		t.Fatalf("the first words are %q, %v", first, err)
	}
	if done, next, err := machine.Next(t.Context(), nil); !done || next != nil || err != nil {
		t.Errorf("taken: %v, %q, %v", done, next, err)
	}

	machine, _, _ = kafkaOAuth{tokens}.Start(t.Context())
	done, next, err := machine.Next(t.Context(), []byte(`{"status":"invalid_token","scope":"kafka"}`))
	if done || string(next) != "\x01" || err != nil {
		t.Fatalf("refused: %v, %q, %v", done, next, err)
	}
	err = machine.(*kafkaBearer).failed(kafka.SASLAuthenticationFailed)
	var denied *DeniedError
	if !errors.As(err, &denied) || !strings.Contains(err.Error(), "invalid_token, scope kafka") {
		t.Errorf("the error is %v", err)
	}
	if !tokens.client.Ends().IsZero() {
		t.Error("the refused token is kept")
	}
}

func TestKafkaOAuth_TakesABrokenNetworkForNoRefusal(t *testing.T) {
	tokens, _ := kafkaTestTokens(t)
	machine, _, err := kafkaOAuth{tokens}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("connection reset by peer")
	if got := machine.(*kafkaBearer).failed(broken); !errors.Is(got, broken) || tokens.client.Ends().IsZero() {
		t.Errorf("the error is %v, and the token ends %v", got, tokens.client.Ends())
	}
}

func FuzzKafkaOAuth_OfAnyChallengeAndToken(f *testing.F) {
	f.Add([]byte(`{"status":"invalid_token"}`), "a.eyJhdWQiOiJrYWZrYSIsImV4cCI6MTc2NzY5MzYwMH0.c")
	f.Add([]byte(""), "opaque-token")
	f.Add([]byte(`{"status":"opaque-token `+"\x1b[31m"+`"}`), "opaque-token")
	tokens, _ := kafkaTestTokens(f)
	f.Fuzz(func(t *testing.T, challenge []byte, token string) {
		tokens.note(token)
		b := &kafkaBearer{tokens: tokens, token: token}
		done, next, err := b.Next(t.Context(), challenge)
		if err != nil || done != (len(challenge) == 0) || !done && string(next) != "\x01" {
			t.Fatalf("%v, %q, %v", done, next, err)
		}
		text := b.failed(kafka.SASLAuthenticationFailed).Error()
		if strings.ContainsAny(text, "\r\n\x00\x1b") || len(text) > 4000 {
			t.Errorf("%q is not fit for a log", text)
		}
		if len(token) > 40 && strings.Contains(text, token) {
			t.Errorf("%q shows the token", text)
		}
		if tokens.after.After(time.Now().Add(time.Minute)) {
			t.Errorf("no token is asked for until %v", tokens.after)
		}
	})
}
