package sink

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"s1stream/internal/proxyenv"
	"s1stream/internal/safe"
)

// httpTarget is where requests go and what they carry, as the secrets were last read.
type httpTarget struct {
	url     string
	origin  string // scheme and host: what may be shown
	header  http.Header
	signer  httpSigner
	secrets []string // longest first
	hide    *strings.Replacer
}

// readTarget reads the secret files. contentType is that of one record.
func (c *HTTPConfig) readTarget(contentType string) (*httpTarget, error) {
	raw, err := safe.ReadSecret(c.URL, c.URLFile)
	if err != nil {
		return nil, fmt.Errorf("url_file: %w", err)
	}
	key := "url"
	if c.URLFile != "" {
		key = "url_file"
	}
	u, err := httpParseURL(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	if err := c.httpCleartext(u); err != nil {
		return nil, err
	}
	credentials, secrets, err := c.Auth.credentials()
	if err != nil {
		return nil, err
	}
	signer, own, err := c.Signing.read()
	if err != nil {
		return nil, err
	}
	secrets = append(secrets, own...)
	t := &httpTarget{url: u.String(), origin: safe.Origin(u.String()), header: http.Header{}, signer: signer}
	t.header.Set("User-Agent", "s1stream")
	t.header.Set("Content-Type", c.httpContentType(contentType))
	if c.Gzip {
		t.header.Set("Content-Encoding", "gzip")
	}
	for name, value := range c.Headers {
		t.header.Set(name, value)
		secrets = append(secrets, value)
	}
	if name := c.Auth.authHeader(); name != "" && credentials != "" { // an OAuth2 token comes with each request
		t.header.Set(name, credentials)
	}
	secrets = append(secrets, httpProxySecrets(c.Proxy)...)
	t.setSecrets(append(secrets, httpURLSecrets(u)...))
	return t, nil
}

// httpProxySecrets returns the passwords in a proxy's URL, in each way that a proxy may echo them: the configured one's or,
// without, those of the environment's.
func httpProxySecrets(proxy safe.Secret) (secrets []string) {
	var users []*url.Userinfo
	if p, err := httpProxyURL(proxy); err == nil && p != nil && p.User != nil {
		users = append(users, p.User)
	}
	if proxy == "" {
		users = proxyenv.Users(os.Environ())
	}
	for _, u := range users {
		if password, ok := u.Password(); ok {
			_, escaped, _ := strings.Cut(u.String(), ":")
			secrets = append(secrets, password, escaped, base64.StdEncoding.EncodeToString([]byte(u.Username()+":"+password)))
		}
	}
	return secrets
}

// httpURLSecrets lists the parts of a URL that are not its origin, in each way that a server may echo them.
func httpURLSecrets(u *url.URL) []string {
	out := []string{u.RequestURI(), u.EscapedPath(), u.Path, u.RawQuery}
	for _, part := range append(strings.Split(u.Path, "/"), strings.Split(u.EscapedPath(), "/")...) {
		if len(part) >= 8 { // shorter ones are words, as in /api/v2
			out = append(out, part)
		}
	}
	for _, values := range u.Query() {
		out = append(out, values...)
	}
	for pair := range strings.SplitSeq(u.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		out = append(out, value)
	}
	return out
}

func (t *httpTarget) setSecrets(secrets []string) {
	t.secrets = safe.Hideable(secrets)
	t.hide = safe.Hider(t.secrets...)
}

func (t *httpTarget) equal(o *httpTarget) bool {
	return t.url == o.url && t.signer.equal(o.signer) && maps.EqualFunc(t.header, o.header, slices.Equal[[]string])
}

// hiding is t for one request that carries a secret of its own.
func (t *httpTarget) hiding(secret string) *httpTarget {
	if secret == "" {
		return t
	}
	own := *t
	own.setSecrets(append(slices.Clone(t.secrets), secret))
	return &own
}

// scrub takes the secrets out of the beginning of what a server said: it may echo what it was sent.
func (t *httpTarget) scrub(b []byte) string {
	text := t.hide.Replace(string(b))
	if len(b) > httpQuoteRead && len(t.secrets) > 0 {
		// There was more: the end may be the beginning of a secret, which is not recognised.
		text = text[:max(len(text)-len(t.secrets[0]), 0)]
	}
	return text
}

// scrubError takes URL and secrets out of an error of net/http, which quotes what it can't parse.
func (t *httpTarget) scrubError(err error) error {
	err = safe.URLError(err)
	text := err.Error()
	if clean := safe.Snippet([]byte(t.hide.Replace(text)), 2*httpQuote); clean != text {
		return errors.New(clean)
	}
	return err
}
