package sink

import (
	"errors"
	"fmt"
	"os"
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

// kafkaSession is how long the broker's listener of SCRAM lets a session of OAUTHBEARER last.
const kafkaSession = 3 * time.Second

// One broker, whose own validator checks signature, issuer, audience and times, and whose authorizer refuses what was
// not granted.
func TestKafka_OAuthWithARealBroker(t *testing.T) {
	testpeer.Long(t, "starts a JVM")
	issuer := testpeer.StartKafkaIssuer(t)
	b := testpeer.StartKafka(t, append(issuer.Lines(kafkaSession), testpeer.KafkaACLs()...)...)
	for _, row := range []struct {
		name string
		run  func(*testing.T, *testpeer.Kafka, *testpeer.KafkaIssuer)
	}{
		{"a valid token delivers, over TLS and without", kafkaOAuthDelivers},
		{"each refusal says what to do", kafkaOAuthRefuses},
		{"a rotated secret is used by the next token", kafkaOAuthRotates},
		{"no write notices that sessions end", kafkaOAuthSessions},
		{"a session that ended is made anew by a late write", kafkaOAuthLate},
		{"a token endpoint that is down stops nothing while sessions last", kafkaOAuthEndpointDown},
		{"check says what it found", kafkaOAuthProbe},
		{"what is not granted is named", kafkaBrokerACLs},
	} {
		t.Run(row.name, func(t *testing.T) {
			issuer.Grant(time.Hour, nil)
			issuer.Answer(nil)
			row.run(t, b, issuer)
		})
	}
}

func kafkaOAuthConfig(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer, overTLS bool, partitions int) KafkaConfig {
	t.Helper()
	cfg := kafkaTestConfig(b.SASL)
	if overTLS {
		cfg = kafkaTestConfig(b.SCRAM)
		cfg.TLS.CAFile = b.Certs.CA
	}
	cfg.Topic = strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(t.Name(), "TestKafka_OAuthWithARealBroker/")), "/", ".")
	cfg.Topic = strings.ReplaceAll(cfg.Topic, ",", "")
	cfg.SASL = KafkaSASL{
		Mechanism: kafkaBearerName, TokenURL: issuer.URL, ClientID: issuer.ClientID, ClientSecret: safe.Secret(issuer.Secret), Scope: issuer.Scope,
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	b.CreateTopic(t, cfg.Topic, partitions)
	b.Allow(t, testpeer.KafkaTokenUser, cfg.Topic, kafka.ACLOperationTypeWrite, kafka.ACLOperationTypeDescribe, kafka.ACLOperationTypeDescribeConfigs)
	return cfg
}

func kafkaOAuthDelivers(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer) {
	for _, overTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", overTLS), func(t *testing.T) {
			cfg := kafkaOAuthConfig(t, b, issuer, overTLS, 3)
			before, _ := issuer.Asked()
			k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
			records := kafkaTestRecords(200)
			if err := k.Write(t.Context(), records); err != nil {
				t.Fatal(err)
			}
			kafkaWantStored(t, b, cfg.Topic, records)
			if after, _ := issuer.Asked(); after != before+1 {
				t.Errorf("the token endpoint was asked %d times, want once for all connections", after-before)
			}
		})
	}
}

func kafkaOAuthRefuses(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer) {
	past := time.Now().Add(-time.Hour).Unix()
	forged := func() (string, any) {
		token, seconds := issuer.MintNow()
		cut := strings.LastIndexByte(token, '.')
		return token[:cut+1] + strings.Repeat("A", len(token)-cut-1), seconds
	}
	for name, row := range map[string]struct {
		claims map[string]any
		mint   func() (string, any)
		set    func(*KafkaConfig)
		denied bool
		want   string
	}{
		"another audience":    {claims: map[string]any{"aud": "billing"}, denied: true, want: `aud "billing"`},
		"another issuer":      {claims: map[string]any{"iss": "https://evil.example.com/"}, denied: true, want: `iss "https://evil.example.com/"`},
		"a token that ended":  {claims: map[string]any{"exp": past, "iat": past - 60}, denied: true, want: "exp " + time.Unix(past, 0).UTC().Format(time.RFC3339)},
		"a token without end": {claims: map[string]any{"exp": nil}, denied: true, want: "the broker refuses the token (invalid_token)"},
		"a forged signature":  {mint: forged, denied: true, want: "the broker refuses the token (invalid_token)"},
		"a token that is none": {mint: func() (string, any) { return "CANARYTOKEN", 3600 }, denied: true,
			want: "the broker refuses the token (invalid_token)"},
		"a wrong secret": {set: func(c *KafkaConfig) { c.SASL.ClientSecret = "CANARYSECRET" }, denied: true, want: "check client_id and client_secret"},
		"a wrong scope":  {set: func(c *KafkaConfig) { c.SASL.Scope = "other" }, denied: true, want: "check scope"},
		"a token endpoint that is not there": {set: func(c *KafkaConfig) {
			c.SASL.TokenURL = fmt.Sprintf("http://127.0.0.1:%d/token", testpeer.Port(t))
		}, want: "sasl.token_url: ask http://127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := kafkaOAuthConfig(t, b, issuer, false, 1)
			if row.set != nil {
				row.set(&cfg)
			}
			issuer.Grant(time.Hour, row.claims)
			issuer.Forge(row.mint)
			defer issuer.Forge(nil)
			before, _ := issuer.Asked()
			var log kafkaLog
			k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
			k.deps.Log = log.logger()
			err := k.Write(t.Context(), kafkaTestRecords(2))
			var denied *DeniedError
			if err == nil || errors.As(err, &denied) != row.denied || !strings.Contains(err.Error(), row.want) {
				t.Errorf("the error is %v; want denied %v, with %q in it", err, row.denied, row.want)
			}
			p := cfg.Probe(t.Context(), Deps{Source: "emea"})
			if len(p.Problems) != 1 || row.denied && !strings.Contains(p.Problems[0].Remedy, row.want) {
				t.Errorf("check finds %+v, want one problem with the remedy %q", p.Problems, row.want)
			}
			after, given := issuer.Asked()
			if after > before+4 { // once or, with another way to send the secret, twice each by Write and check
				t.Errorf("the token endpoint was asked %d times", after-before)
			}
			shown := fmt.Sprint(err, p, log.String())
			for _, secret := range append(given[max(0, len(given)-4):], issuer.Secret, "CANARYSECRET", "CANARYTOKEN") {
				if strings.Contains(shown, secret) {
					t.Errorf("%q is shown in %s", secret, shown)
				}
			}
		})
	}
}

func kafkaOAuthRotates(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer) {
	cfg := kafkaOAuthConfig(t, b, issuer, false, 1)
	file := filepath.Join(t.TempDir(), "secret")
	put := func(s string) {
		if err := os.WriteFile(file, []byte(s+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg.SASL.ClientSecret, cfg.SASL.ClientSecretFile = "", file
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	var denied *DeniedError
	if err := k.Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) || !strings.Contains(err.Error(), "sasl.client_secret_file") {
		t.Errorf("without the file: %v", err)
	}
	put("old")
	if err := k.Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) || !strings.Contains(err.Error(), "client_secret") {
		t.Errorf("with an old secret: %v", err)
	}
	put(issuer.Secret)
	for _, err := range kafkaEventually(t, k, kafkaTestRecords(1)) {
		if !errors.As(err, &denied) {
			t.Errorf("while no new token may be asked for: %v", err)
		}
	}
}

// A stream over several sessions: each Write succeeds, and each record is stored once.
func kafkaOAuthSessions(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer) {
	issuer.Grant(5*time.Second, nil)
	for name, row := range map[string]struct {
		overTLS bool
		set     func(*KafkaConfig)
	}{
		"that end with their token":         {},
		"that the broker limits":            {overTLS: true},
		"that the broker limits with PLAIN": {set: func(c *KafkaConfig) { c.SASL = kafkaPlain(testpeer.KafkaPlainPassword) }},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := kafkaOAuthConfig(t, b, issuer, row.overTLS, 3)
			if row.set != nil {
				row.set(&cfg)
				b.Allow(t, testpeer.KafkaPlainUser, cfg.Topic, kafka.ACLOperationTypeWrite, kafka.ACLOperationTypeDescribe)
			}
			t.Parallel() // it takes its time, not the machine's
			k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
			records, clients := kafkaTestRecords(2000), map[*kafkaClient]bool{}
			sent := 0
			pace := time.NewTicker(25 * time.Millisecond)
			defer pace.Stop()
			for end := time.Now().Add(4 * kafkaSession); time.Now().Before(end) && sent < len(records); sent += 4 {
				if err := k.Write(t.Context(), records[sent:sent+4]); err != nil {
					t.Errorf("a write failed: %v", err)
				}
				clients[k.client] = true
				<-pace.C
			}
			if len(clients) < 3 {
				t.Errorf("%d clients in the time of four sessions: they are not renewed", len(clients))
			}
			var want, got []string
			for _, r := range records[:sent] {
				want = append(want, string(r.Body))
			}
			for _, m := range b.ReadAll(t, cfg.Topic) {
				got = append(got, string(m.Value))
			}
			slices.Sort(want)
			slices.Sort(got)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("sent and stored differ:\n%s", d)
			}
		})
	}
}

// The broker ends the connection, without a look at the request, which is then sent again on a new one.
func kafkaOAuthLate(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer) {
	for _, overTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", overTLS), func(t *testing.T) {
			issuer.Grant(2*time.Second, nil)
			cfg := kafkaOAuthConfig(t, b, issuer, overTLS, 1)
			var log kafkaLog
			k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
			k.deps.Log = log.logger()
			records := kafkaTestRecords(2)
			if err := k.Write(t.Context(), records[:1]); err != nil {
				t.Fatal(err)
			}
			g, client := k.client.guard, k.client
			if s := g.session(); s <= 0 || s > 2*time.Second {
				t.Fatalf("the session lasts %v", s)
			}
			g.mu.Lock()
			g.renew = time.Now().Add(time.Hour) // as if the end had come while a Write was under way
			g.mu.Unlock()
			time.Sleep(2100 * time.Millisecond) // the session's end, by the broker's clock
			if err := k.Write(t.Context(), records[1:]); err != nil {
				t.Errorf("the write after the end: %v", err)
			}
			if !strings.Contains(log.String(), "attempt 0") || k.client != client {
				t.Errorf("the broker did not end the session, so nothing was shown: %s", log.String())
			}
			var got []string
			for _, m := range b.ReadAll(t, cfg.Topic) {
				got = append(got, string(m.Value))
			}
			if d := cmp.Diff([]string{`{"n":0}`, `{"n":1}`}, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func kafkaOAuthEndpointDown(t *testing.T, b *testpeer.Kafka, issuer *testpeer.KafkaIssuer) {
	const life = 5 * time.Second // a second less for whole seconds, and one for expires_in
	issuer.Grant(life, nil)
	cfg := kafkaOAuthConfig(t, b, issuer, false, 1)
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	if err := k.Write(t.Context(), kafkaTestRecords(1)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	issuer.Down()
	pace := time.NewTicker(50 * time.Millisecond)
	defer pace.Stop()
	var failed error
	for ; failed == nil && time.Since(start) < 3*life; <-pace.C {
		failed = k.Write(t.Context(), kafkaTestRecords(1))
	}
	kafkaPassingError(t, failed)
	if lasted := time.Since(start); lasted < life-2*time.Second || failed != nil && !strings.Contains(failed.Error(), "503") {
		t.Errorf("after %v: %v", lasted, failed)
	}
	issuer.Answer(nil)
	kafkaEventually(t, k, kafkaTestRecords(1))
}
