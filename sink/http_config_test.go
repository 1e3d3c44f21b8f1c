package sink

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/safe"
	"s1stream/sink/format"
)

// httpKeys returns the keys that an error's lines begin with.
func httpKeys(err error) []string {
	if err == nil {
		return nil
	}
	var keys []string
	for line := range strings.Lines(err.Error()) {
		key, _, _ := strings.Cut(line, ":")
		keys = append(keys, key)
	}
	return keys
}

func TestHTTPConfig_NamesEveryMistake(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*HTTPConfig)
		want   []string
	}{
		{"the defaults with a url", func(*HTTPConfig) {}, nil},
		{"no url", func(c *HTTPConfig) { c.URL = "" }, []string{"url"}},
		{"url and url_file", func(c *HTTPConfig) { c.URLFile = "f" }, []string{"url"}},
		{"url_file alone", func(c *HTTPConfig) { c.URL, c.URLFile = "", "f" }, nil},
		{"no scheme", func(c *HTTPConfig) { c.URL = "siem.example.com/in" }, []string{"url"}},
		{"other scheme", func(c *HTTPConfig) { c.URL = "ftp://siem.example.com" }, []string{"url"}},
		{"no host", func(c *HTTPConfig) { c.URL = "https:///in" }, []string{"url"}},
		{"unreadable", func(c *HTTPConfig) { c.URL = "https://siem.example.com/%zz" }, []string{"url"}},
		{"user in url", func(c *HTTPConfig) { c.URL = "https://u:p@siem.example.com/" }, []string{"url"}},
		{"method", func(c *HTTPConfig) { c.Method = "GET" }, []string{"method"}},
		{"everything", func(c *HTTPConfig) {
			*c = HTTPConfig{Body: "xml", Concurrency: 65, Proxy: "::", Auth: HTTPAuth{Type: "digest"}, TLS: TLS{CertFile: "c"}}
		}, []string{"url", "method", "body", "concurrency", "timeout", "proxy", "tls.cert_file", "auth.type"}},
		{"direct", func(c *HTTPConfig) { c.Proxy = "direct" }, nil},
		{"bearer", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "bearer", Token: "t"} }, nil},
		{"bearer without token", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "bearer"} }, []string{"auth.token"}},
		{"token and token_file", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "bearer", Token: "t", TokenFile: "f"} }, []string{"auth.token"}},
		{"token without type", func(c *HTTPConfig) { c.Auth.TokenFile = "f" }, []string{"auth.token"}},
		{"basic", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "basic", Username: "u", PasswordFile: "f"} }, nil},
		{"basic without anything", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "basic"} }, []string{"auth.password", "auth.username"}},
		{"colon in username", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "basic", Username: "u:v", Password: "p"} }, []string{"auth.username"}},
		{"header", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "header", Header: "X-Key", Value: "v"} }, nil},
		{"header without anything", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "header"} }, []string{"auth.value", "auth.header"}},
		{"a header of ours", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "header", Header: "host", Value: "v"} }, []string{"auth.header"}},
		{"line break in a token", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "bearer", Token: "t\r\nX: y"} }, []string{"auth.token"}},
		{"headers", func(c *HTTPConfig) {
			c.Headers = map[string]string{"A": "x\r\nB: y", "Content-Length": "1", "X-a": "1", "x-A": "2", "sp ace": "v", "Content-Type": "application/json"}
		}, []string{"headers.A", "headers.Content-Length", "headers", "headers.x-A"}},
		{"Authorization twice", func(c *HTTPConfig) {
			c.Headers = map[string]string{"authorization": "x"}
			c.Auth = HTTPAuth{Type: "bearer", Token: "t"}
		}, []string{"headers.authorization"}},
		{"headers of a signature", func(c *HTTPConfig) {
			c.Headers = map[string]string{"webhook-signature": "v1,x", "Webhook-ID": "1", "x-hub-signature-256": "2", "webhook-timestamp": "3"}
		}, []string{"headers.Webhook-ID", "headers.webhook-signature", "headers.webhook-timestamp", "headers.x-hub-signature-256"}},
		{"headers of CloudEvents", func(c *HTTPConfig) {
			c.Body, c.Headers = "cloudevents", map[string]string{"content-type": "text/plain", "ce-dataschema": "x", "cert": "mine"}
			c.Auth = HTTPAuth{Type: "header", Header: "Ce-Id", Value: "v"}
		}, []string{"auth.header", "headers.ce-dataschema", "headers.content-type"}},
		{"the same where nothing is a CloudEvent", func(c *HTTPConfig) {
			c.Headers = map[string]string{"content-type": "text/plain", "ce-dataschema": "x"}
		}, nil},
		{"oauth2", func(c *HTTPConfig) {
			c.Auth = HTTPAuth{Type: "oauth2", TokenURL: "https://login.example.com/token", ClientID: "c", ClientSecretFile: "f", Scope: "s"}
		}, nil},
		{"oauth2 without anything", func(c *HTTPConfig) { c.Auth = HTTPAuth{Type: "oauth2"} },
			[]string{"auth.token_url", "auth.client_id", "auth.client_secret"}},
		{"keys of oauth2 without it", func(c *HTTPConfig) {
			c.Auth = HTTPAuth{TokenURL: "https://login.example.com", ClientID: "c", ClientSecret: "s", Scope: "s"}
		}, []string{"auth.type"}},
		{"a client's secret in clear text", func(c *HTTPConfig) {
			c.Auth = HTTPAuth{Type: "oauth2", TokenURL: "http://login.example.com/token", ClientID: "c", ClientSecret: "s"}
		}, []string{"auth.token_url"}},
		{"a client's secret in clear text, allowed", func(c *HTTPConfig) {
			c.Auth = HTTPAuth{Type: "oauth2", TokenURL: "http://login.example.com/token", ClientID: "c", ClientSecret: "s"}
			c.AllowCleartextAuth = true
		}, nil},
		{"a token over clear text", func(c *HTTPConfig) {
			c.URL = "http://siem.example.com/in"
			c.Auth = HTTPAuth{Type: "oauth2", TokenURL: "https://login.example.com/token", ClientID: "c", ClientSecret: "s"}
		}, []string{"auth.type"}},
		{"Authorization beside oauth2", func(c *HTTPConfig) {
			c.Headers = map[string]string{"authorization": "x"}
			c.Auth = HTTPAuth{Type: "oauth2", TokenURL: "https://login.example.com/token", ClientID: "c", ClientSecret: "s"}
		}, []string{"headers.authorization"}},
		{"signing", func(c *HTTPConfig) {
			c.Signing = HTTPSigning{Secrets: []safe.Secret{httpTestSecret, httpTestSecret2}, HubSignature: true}
		}, nil},
		{"signing by a file and a list", func(c *HTTPConfig) {
			c.Signing = HTTPSigning{Secrets: []safe.Secret{httpTestSecret}, SecretsFile: "f"}
		}, []string{"signing.secrets"}},
		{"signing by nothing", func(c *HTTPConfig) {
			c.Signing = HTTPSigning{Secrets: []safe.Secret{}, HubSignature: true}
		}, []string{"signing.secrets", "signing.hub_signature"}},
		{"signing by eleven", func(c *HTTPConfig) {
			c.Signing.Secrets = slices.Repeat([]safe.Secret{httpTestSecret}, 11)
		}, []string{"signing.secrets"}},
		{"clear text, nothing to hide", func(c *HTTPConfig) { c.URL = "http://siem.example.com/in" }, nil},
		{"clear text auth", func(c *HTTPConfig) {
			c.URL, c.Auth = "http://siem.example.com/in", HTTPAuth{Type: "bearer", Token: "t"}
		}, []string{"auth.type"}},
		{"clear text Authorization header", func(c *HTTPConfig) {
			c.URL, c.Headers = "http://siem.example.com/in", map[string]string{"authorization": "t"}
		}, []string{"headers.authorization"}},
		{"clear text auth, allowed", func(c *HTTPConfig) {
			c.URL, c.Auth, c.AllowCleartextAuth = "http://siem.example.com/in", HTTPAuth{Type: "bearer", Token: "t"}, true
		}, nil},
		{"clear text auth on loopback", func(c *HTTPConfig) {
			c.URL, c.Auth = "http://[::1]:8088/in", HTTPAuth{Type: "bearer", Token: "t"}
		}, nil},
		{"a name that only looks like loopback", func(c *HTTPConfig) {
			c.URL, c.Auth = "http://127.0.0.1.example.com/in", HTTPAuth{Type: "bearer", Token: "t"}
		}, []string{"auth.type"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultHTTP()
			cfg.URL = "https://siem.example.com/in"
			tt.change(cfg)
			err := cfg.Validate()
			if d := cmp.Diff(tt.want, httpKeys(err)); d != "" {
				t.Errorf("keys (-want +got):\n%s\n%v", d, err)
			}
		})
	}
}

func TestHTTPConfig_ShowsNoSecretInItsMistakes(t *testing.T) {
	const canary = "CANARY"
	cfg := HTTPConfig{
		URL: "https://user:CANARY@siem.example.com/CANARY%zz?CANARY", Proxy: "gopher://u:CANARY@proxy.example.com",
		Headers: map[string]string{"A": "CANARY\n"},
		Auth: HTTPAuth{
			Type: "bearer", Token: "CANARY\n", Password: "CANARY", Value: "CANARY", TokenURL: "http://u:CANARY@login.example.com/CANARY", ClientSecret: "CANARY",
		},
		Signing: HTTPSigning{Secrets: []safe.Secret{"CANARY"}},
	}
	err := cfg.Validate()
	if err == nil || strings.Contains(err.Error(), canary) {
		t.Errorf("Validate: %v", err)
	}
}

func TestHTTPConfig_ChecksSecretFilesWhenASinkIsMade(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, tt := range []struct {
		name   string
		change func(*HTTPConfig)
		want   string // the key; "" for no error
	}{
		{"a url in a file", func(c *HTTPConfig) { c.URLFile = write("url", "https://siem.example.com/CANARY\n") }, ""},
		{"no url in the file", func(c *HTTPConfig) { c.URLFile = write("bad", "CANARY\n") }, "url_file"},
		{"no file", func(c *HTTPConfig) { c.URLFile = filepath.Join(dir, "none") }, "url_file"},
		{"auth over a clear text url of a file", func(c *HTTPConfig) {
			c.URLFile, c.Auth = write("clear", "http://siem.example.com/CANARY"), HTTPAuth{Type: "bearer", Token: "CANARY"}
		}, "auth.type"},
		{"an empty token file", func(c *HTTPConfig) {
			c.URL, c.Auth = "https://siem.example.com", HTTPAuth{Type: "bearer", TokenFile: write("empty", "")}
		}, "auth.token_file"},
		{"a secret of the wrong kind in the file of the signing secrets", func(c *HTTPConfig) {
			c.URL, c.Signing.SecretsFile = "https://siem.example.com", write("secrets", httpTestSecret+"\nwhsk_CANARY\n")
		}, "signing.secrets_file"},
		{"no file of the client's secret", func(c *HTTPConfig) {
			c.URL = "https://siem.example.com"
			c.Auth = HTTPAuth{Type: "oauth2", TokenURL: "https://login.example.com/token", ClientID: "c", ClientSecretFile: filepath.Join(dir, "none")}
		}, "auth.client_secret_file"},
		{"no ca file", func(c *HTTPConfig) {
			c.URL, c.TLS = "https://siem.example.com", TLS{CAFile: filepath.Join(dir, "none")}
		}, "tls.ca_file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := DefaultHTTP()
			tt.change(cfg)
			s, err := cfg.New(Deps{})
			if err == nil {
				_ = s.Close()
			} else if s != nil || strings.Contains(err.Error(), "CANARY") {
				t.Errorf("New: %v, %v", s, err)
			}
			if keys := strings.Join(httpKeys(err), " "); keys != tt.want {
				t.Errorf("New: %v, want the key %q", err, tt.want)
			}
		})
	}
}

func TestHTTPConfig_ListsItsSecretFiles(t *testing.T) {
	cfg := HTTPConfig{URLFile: "u", Auth: HTTPAuth{TokenFile: "t", ClientSecretFile: "s"}, TLS: TLS{KeyFile: "k", CAFile: "c"}, Signing: HTTPSigning{SecretsFile: "w"}}
	if d := cmp.Diff([]string{"u", "t", "s", "w", "k"}, cfg.Secrets()); d != "" {
		t.Error(d)
	}
}

func TestHTTP_HidesThePasswordOfTheEnvironmentsProxy(t *testing.T) {
	t.Setenv("HTTPS_PROXY", "http://u:X%2FCANARY@proxy.example.com")
	cfg := DefaultHTTP()
	cfg.URL = "https://siem.example.com/"
	target, err := cfg.readTarget(format.JSONType)
	if err != nil {
		t.Fatal(err)
	}
	if got := target.scrub([]byte("X/CANARY, X%2FCANARY, Basic dTpYL0NBTkFSWQ==")); got != "***, ***, Basic ***" {
		t.Errorf("the scrubbed text is %q", got)
	}
}

func TestHTTP_HidesSecretsThatTheServerEchoes(t *testing.T) {
	cfg := DefaultHTTP()
	cfg.URL = "https://siem.example.com/services/TCANARY123/BCANARY123?sig=SCANARY&key=ab%2FcdQCANARY%3D"
	cfg.Auth = HTTPAuth{Type: "basic", Username: "user", Password: "PCANARY"}
	cfg.Proxy = safe.Secret("http://u:XCANARY@proxy.example.com")
	target, err := cfg.readTarget(format.JSONType)
	if err != nil {
		t.Fatal(err)
	}
	echo := "Cannot POST /services/TCANARY123/BCANARY123?sig=SCANARY&key=ab%2FcdQCANARY%3D (BCANARY123, SCANARY, ab%2FcdQCANARY%3D) ab/cdQCANARY= PCANARY XCANARY Basic dTpYQ0FOQVJZ " + target.header.Get("Authorization")
	// Longer than what is read, so that each secret in turn is cut in two at the end.
	for shift := range len(echo) {
		got := target.scrub([]byte(strings.Repeat(echo, 100))[shift : shift+httpQuoteRead+1])
		got = got[strings.Index(got, "Cannot"):] // what came before is cut at its front, which no answer is
		for _, piece := range []string{"CANAR", "dXNl", "dTpY", "services"} {
			if strings.Contains(got, piece) {
				t.Fatalf("shift %d: the scrubbed text shows %q: …%s", shift, piece, got[max(len(got)-300, 0):])
			}
		}
	}
}
