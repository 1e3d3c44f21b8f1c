package sink

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
)

// kafka-go connects every second while no broker lets it in: the token endpoint must not hear of each time.
func TestKafkaTokens_AreNotAskedForAtEachConnection(t *testing.T) {
	for name, row := range map[string]struct {
		status int
		kind   any
	}{
		"down":      {http.StatusServiceUnavailable, new(*RetryAfterError)},
		"throttled": {http.StatusTooManyRequests, new(*RetryAfterError)},
		"denied":    {http.StatusForbidden, new(*DeniedError)},
	} {
		t.Run(name, func(t *testing.T) {
			tokens, issuer := kafkaTestTokens(t)
			tokens.pause = time.Hour
			issuer.Answer(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Retry-After", "7")
				w.WriteHeader(row.status)
				return true
			})
			for range 5 {
				_, _, err := kafkaOAuth{tokens}.Start(t.Context())
				if err = kafkaClassify("t", err); !errors.As(err, row.kind) || !strings.HasPrefix(err.Error(), "sasl.token_url: ") {
					t.Errorf("the error is %v, want %T", err, row.kind)
				}
			}
			if asked, _ := issuer.Asked(); asked != 1 {
				t.Errorf("asked %d times, want once", asked)
			}
			issuer.Answer(nil)
			tokens.after = time.Now() // the pause is over
			if _, err := tokens.get(t.Context()); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

func TestKafkaTokens_ReplaceARefusedOneAtOnceUnlessItIsNew(t *testing.T) {
	tokens, issuer := kafkaTestTokens(t)
	tokens.pause = time.Hour
	first, err := tokens.get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tokens.since = time.Now().Add(-2 * time.Hour) // it was taken for a while, and revoked then
	tokens.refused(first, errors.New("revoked"))
	second, err := tokens.get(t.Context())
	if err != nil || second == first {
		t.Fatalf("after a token that was used: %q, %v", second, err)
	}
	why := errors.New("another audience")
	tokens.refused(second, why)
	if _, err := tokens.get(t.Context()); !errors.Is(err, why) {
		t.Errorf("after a new token: %v, want why it was refused", err)
	}
	if asked, _ := issuer.Asked(); asked != 2 {
		t.Errorf("asked %d times, want twice", asked)
	}
}

func TestKafkaTokens_TrustTheAuthorityOfTheBrokersToo(t *testing.T) {
	issuer := testpeer.StartTokens(t, true)
	u, err := url.Parse(issuer.URL)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true}) // to learn which authority that is
	if err != nil {
		t.Fatal(err)
	}
	ca := conn.ConnectionState().PeerCertificates[0].Raw
	_ = conn.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca}), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		tls   TLS
		known bool
	}{
		"by tls.ca_file, and by its own name": {TLS{CAFile: file, ServerName: "kafka.internal"}, true},
		"by this machine alone":               {TLS{Enabled: true}, false},
	} {
		cfg := kafkaTestConfig("127.0.0.1:1")
		cfg.TLS = row.tls
		cfg.SASL = KafkaSASL{Mechanism: kafkaBearerName, TokenURL: issuer.URL, ClientID: issuer.ClientID, ClientSecret: safe.Secret(issuer.Secret), Scope: issuer.Scope}
		tokens, err := newKafkaTokens(&cfg, kafkaTestTimes(), Deps{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(tokens.close)
		_, err = tokens.get(t.Context())
		var denied *DeniedError
		if row.known != (err == nil) || err != nil && (!errors.As(err, &denied) || !strings.Contains(err.Error(), "tls.ca_file")) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKafkaClaims_AreWhatABrokerChecks(t *testing.T) {
	escape := "\\" + "u001b" // JSON's way to write ESC
	for claims, want := range map[string]string{
		`{"iss":"i","aud":["a","b"],"sub":"s","scope":"x y","exp":1767693600}`: `iss "i", aud ["a","b"], sub "s", scope "x y", exp 2026-01-06T10:00:00Z`,
		`{"aud":"` + escape + `[31m","exp":"soon"}`:                            `aud "` + escape + `[31m"`,
		`{"exp":1e300}`: "", `{"jti":"1"}`: "", `[]`: "", `{`: "",
	} {
		token := "h." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".s"
		if got := kafkaClaims(token); got != want {
			t.Errorf("%s: %q, want %q", claims, got, want)
		}
	}
	for _, token := range []string{"", "opaque", "a.b", "a.*.c", "a.b.c.d"} {
		if got := kafkaClaims(token); got != "" {
			t.Errorf("%q has %q", token, got)
		}
	}
}
