package testpeer

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// KafkaIssuer makes tokens that a broker holds against its key, issuer and audience: Kafka's own validator does, with
// jose4j (org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler).
type KafkaIssuer struct {
	*Tokens
	key  *rsa.PrivateKey
	jwks string // URL of a file

	mu     sync.Mutex
	life   time.Duration
	claims map[string]any
}

// Who issues tokens, for whom, and the user that the broker takes their bearer for.
const (
	KafkaTokenIssuer   = "https://login.example.com/"
	KafkaTokenAudience = "kafka"
	KafkaTokenUser     = "s1stream"
)

// StartKafkaIssuer serves a token endpoint, and has the brokers that the test starts afterwards trust it, given Lines.
func StartKafkaIssuer(t testing.TB) *KafkaIssuer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i := &KafkaIssuer{Tokens: StartTokens(t, false), key: key, life: time.Hour}
	b64 := base64.RawURLEncoding.EncodeToString
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "kid": "1", "alg": "RS256", "use": "sig",
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes()),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	i.jwks = "file://" + file
	i.Forge(nil)
	// Kafka 4 reads a key set from no address that this property does not name.
	t.Setenv("JAVA_TOOL_OPTIONS", os.Getenv("JAVA_TOOL_OPTIONS")+" -Dorg.apache.kafka.sasl.oauthbearer.allowed.urls="+i.jwks)
	return i
}

// Lines are those of server.properties that add OAUTHBEARER to both SASL listeners. On that of Kafka.SASL a session ends
// with its token, on that of Kafka.SCRAM after short at the latest; so do those of PLAIN on Kafka.SASL.
func (i *KafkaIssuer) Lines(short time.Duration) []string {
	const (
		login   = ".oauthbearer.sasl.jaas.config=org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;"
		handler = ".oauthbearer.sasl.server.callback.handler.class=org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
		plain   = "listener.name.saslplain"
		scram   = "listener.name.scram"
	)
	ms := "=" + big.NewInt(short.Milliseconds()).String()
	lines := []string{
		plain + ".sasl.enabled.mechanisms=PLAIN,OAUTHBEARER",
		plain + ".oauthbearer.connections.max.reauth.ms=3600000",
		plain + ".plain.connections.max.reauth.ms" + ms,
		scram + ".sasl.enabled.mechanisms=SCRAM-SHA-512,OAUTHBEARER",
		scram + ".oauthbearer.connections.max.reauth.ms" + ms,
	}
	for _, listener := range []string{plain, scram} {
		lines = append(lines, listener+login, listener+handler)
	}
	return append(lines,
		// Not the default: on a broker of 4.1 that one looks at no signature. Nor is it seen with a listener's prefix.
		"sasl.oauthbearer.jwt.validator.class=org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator",
		"sasl.oauthbearer.jwks.endpoint.url="+i.jwks,
		"sasl.oauthbearer.expected.issuer="+KafkaTokenIssuer,
		"sasl.oauthbearer.expected.audience="+KafkaTokenAudience,
		"sasl.oauthbearer.clock.skew.seconds=1",
	)
}

// Grant says how long the next tokens live, and which claims they have beside or instead of the right ones.
func (i *KafkaIssuer) Grant(life time.Duration, claims map[string]any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.life, i.claims = life, claims
}

// Forge has f make the tokens and their expires_in; nil takes it away.
func (i *KafkaIssuer) Forge(f func() (token string, seconds any)) {
	if f == nil {
		f = i.MintNow
	}
	i.Mint(f)
}

// Down has the endpoint answer 503, until Answer(nil).
func (i *KafkaIssuer) Down() {
	i.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
}

// MintNow makes a token as Grant says.
func (i *KafkaIssuer) MintNow() (token string, seconds any) {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := time.Now()
	exp := now.Add(i.life).Truncate(time.Second) // a claim has whole seconds, and expires_in promises no more
	claims := map[string]any{
		"iss": KafkaTokenIssuer, "aud": KafkaTokenAudience, "sub": KafkaTokenUser, "scope": "siem.write",
		"iat": now.Unix(), "exp": exp.Unix(), "jti": rand.Text(),
	}
	maps.Copy(claims, i.claims)
	return i.sign(claims), int(exp.Sub(now).Seconds())
}

// sign makes a JWT (RFC 7519) by RS256.
func (i *KafkaIssuer) sign(claims map[string]any) string {
	body, _ := json.Marshal(claims)
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(`{"alg":"RS256","typ":"JWT","kid":"1"}`)) + "." + b64(body)
	sum := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err) // a key of 2048 bits signs 32 bytes
	}
	return signed + "." + b64(signature)
}

// KafkaACLs are lines that let nobody do anything but those who are granted it, and the users of Kafka.Plain, who may do
// everything.
func KafkaACLs() []string {
	return []string{
		"authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users=User:ANONYMOUS",
		"allow.everyone.if.no.acl.found=false",
	}
}

// Allow lets a user do these things to a topic.
func (k *Kafka) Allow(t testing.TB, user, topic string, operations ...kafka.ACLOperationType) {
	t.Helper()
	req := &kafka.CreateACLsRequest{}
	for _, op := range operations {
		req.ACLs = append(req.ACLs, kafka.ACLEntry{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ResourcePatternType: kafka.PatternTypeLiteral,
			Principal: "User:" + user, Host: "*", Operation: op, PermissionType: kafka.ACLPermissionTypeAllow,
		})
	}
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	res, err := (&kafka.Client{Addr: kafka.TCP(k.Plain), Transport: tr}).CreateACLs(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range res.Errors {
		if err != nil {
			t.Fatal(err)
		}
	}
}
