package sink

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"s1stream/internal/safe"
	"s1stream/sink/format"
)

// httpMaxBytes is the largest request body where max_message_bytes is not set: what hosted collectors
// commonly take (Microsoft's Logs Ingestion API, Splunk HEC, most API gateways).
const httpMaxBytes = 1_000_000

// The values of `body`.
const (
	httpSingle     = "single"             // an event a request
	httpArray      = "array"              // a JSON array
	httpNDJSON     = "ndjson"             // a line an event
	httpStructured = "cloudevents"        // CloudEvents' structured content mode: an event in its envelope
	httpBatched    = "cloudevents-batch"  // the batched one: an array of those
	httpBinary     = "cloudevents-binary" // the binary one: an event whose envelope is in headers
)

var httpBodies = []string{httpSingle, httpArray, httpNDJSON, httpStructured, httpBatched, httpBinary}

// HTTPConfig is a sink of type "http".
type HTTPConfig struct {
	URL         safe.Secret       `koanf:"url"`      // http:// or https://; a webhook's path is a secret
	URLFile     string            `koanf:"url_file"` // a file that holds it
	Method      string            `koanf:"method"`   // POST or PUT
	Body        string            `koanf:"body"`     // one of httpBodies
	Concurrency int               `koanf:"concurrency"`
	Headers     map[string]string `koanf:"headers"` // added to every request; each value is treated as a secret
	Gzip        bool              `koanf:"gzip"`    // Content-Encoding of requests
	Timeout     time.Duration     `koanf:"timeout"` // of one request, from dialling to the last byte of its answer
	Proxy       safe.Secret       `koanf:"proxy"`   // URL, "direct", or "" for HTTPS_PROXY, HTTP_PROXY and NO_PROXY
	TLS         TLS               `koanf:"tls"`
	Auth        HTTPAuth          `koanf:"auth"`
	Signing     HTTPSigning       `koanf:"signing"`
	// AllowCleartextAuth lets credentials travel over http:// to a host other than this one.
	AllowCleartextAuth bool `koanf:"allow_cleartext_auth"`
}

var (
	_ Config  = (*HTTPConfig)(nil)
	_ Carrier = (*HTTPConfig)(nil)
	_ Proxied = (*HTTPConfig)(nil)
)

// DefaultHTTP returns the defaults.
func DefaultHTTP() *HTTPConfig {
	return &HTTPConfig{Method: http.MethodPost, Body: httpSingle, Concurrency: 4, Timeout: 30 * time.Second}
}

// New implements Config.
func (c *HTTPConfig) New(d Deps) (Sink, error) {
	h, err := NewHTTP(*c, d)
	if err != nil {
		return nil, err
	}
	return h, nil
}

// MaxBytes implements Config: the limit is on a request's body before gzip, brackets and line ends included.
func (c *HTTPConfig) MaxBytes(configured int) int {
	if configured <= 0 {
		configured = httpMaxBytes
	}
	switch c.Body {
	case httpArray, httpBatched:
		return max(configured-2, 1)
	case httpNDJSON:
		return max(configured-1, 1)
	}
	return configured
}

// alone reports whether a request holds one event.
func (c *HTTPConfig) alone() bool {
	return c.Body == httpSingle || c.Body == httpStructured || c.Body == httpBinary
}

// Secrets implements Config.
func (c *HTTPConfig) Secrets() []string {
	files := []string{c.URLFile, c.Auth.PasswordFile, c.Auth.TokenFile, c.Auth.ValueFile, c.Auth.ClientSecretFile, c.Signing.SecretsFile, c.TLS.KeyFile}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// ByEnvironment implements Proxied.
func (c *HTTPConfig) ByEnvironment() (key string, urls []safe.Secret) {
	if c.Proxy != "" {
		return "", nil
	}
	if to, err := safe.ReadSecret(c.URL, c.URLFile); err == nil {
		urls = append(urls, to)
	}
	if c.Auth.Type == "oauth2" {
		urls = append(urls, safe.Secret(c.Auth.TokenURL))
	}
	return "proxy", urls
}

// Validate implements Config. What lies in files is checked by New.
func (c *HTTPConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if (c.URL == "") == (c.URLFile == "") {
		bad("url: give it, or url_file, and not both")
	}
	if c.URL != "" {
		if u, err := httpParseURL(c.URL); err != nil {
			bad("url: %w", err)
		} else if err := c.httpCleartext(u); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Method != http.MethodPost && c.Method != http.MethodPut {
		bad("method: must be \"POST\" or \"PUT\", is %q", c.Method)
	}
	if !slices.Contains(httpBodies, c.Body) {
		bad("body: must be one of \"%s\", is %q", strings.Join(httpBodies, `", "`), c.Body)
	}
	if c.Concurrency < 1 || c.Concurrency > 64 {
		bad("concurrency: must be from 1 to 64, is %d", c.Concurrency)
	}
	if c.Timeout <= 0 {
		bad("timeout: must be longer than 0, as in \"30s\"")
	}
	if _, err := httpProxyURL(c.Proxy); err != nil {
		errs = append(errs, err)
	}
	if err := c.TLS.Validate(); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.Auth.mistakes(c.AllowCleartextAuth, c.writes)...)
	errs = append(errs, c.Signing.mistakes()...)
	errs = append(errs, c.headerMistakes()...)
	return errors.Join(errs...)
}

// Carries implements Carrier: a JSON array holds JSON alone.
func (c *HTTPConfig) Carries(name string) error {
	if c.Body == httpArray && format.ContentType(name) != format.JSONType {
		return fmt.Errorf("body: \"array\" is a JSON array, and the format %q is lines of text: use \"ndjson\", a line an event, or \"single\"", name)
	}
	return nil
}

// httpOurs are the headers that the sink or the transport writes itself.
var httpOurs = []string{"Connection", "Content-Encoding", "Content-Length", "Expect", "Host", "Idempotency-Key", "Keep-Alive",
	"Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Webhook-Id", "Webhook-Signature", "Webhook-Timestamp", "X-Hub-Signature-256"}

// writes reports whether a header is ours, so that no key may set it: with CloudEvents, whose modes are told apart by
// Content-Type, the headers of that binding too.
func (c *HTTPConfig) writes(canon string) bool {
	return slices.Contains(httpOurs, canon) || c.cloudEvents() && (canon == "Content-Type" || strings.HasPrefix(canon, "Ce-"))
}

// headerMistakes checks the headers table. No value is ever quoted.
func (c *HTTPConfig) headerMistakes() []error {
	var errs []error
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		canon := http.CanonicalHeaderKey(name)
		switch {
		case !httpToken(name):
			errs = append(errs, fmt.Errorf("headers: %q is not the name of a header", name))
			continue
		case c.writes(canon):
			errs = append(errs, fmt.Errorf("headers.%s: is written by s1stream itself and can't be set", name))
		case seen[canon] != "":
			errs = append(errs, fmt.Errorf("headers.%s: is the same header as %s: give one", name, seen[canon]))
		case canon == c.Auth.authHeader():
			errs = append(errs, fmt.Errorf("headers.%s: is set by auth.type = %q too: give one", name, c.Auth.Type))
		}
		seen[canon] = name
		if !httpFieldValue(c.Headers[name]) {
			errs = append(errs, fmt.Errorf("headers.%s: must hold no line break or other control character", name))
		}
	}
	return errs
}

var errHTTPUser = errors.New("must hold no user and password: set auth.type = \"basic\" with auth.username and auth.password")

// httpParseURL checks a destination. Its errors never quote it.
func httpParseURL(s safe.Secret) (*url.URL, error) {
	u, err := url.Parse(s.Reveal())
	switch {
	case err != nil:
		return nil, errors.New("is not a URL: write it as in \"https://siem.example.com/ingest\"")
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return nil, errors.New("must begin with https:// or http:// and name a host")
	case u.User != nil:
		return nil, errHTTPUser
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// httpCleartext refuses credentials in clear text. Headers that commonly carry some count too.
func (c *HTTPConfig) httpCleartext(u *url.URL) error {
	if u.Scheme != "http" || httpLoopback(u.Hostname()) || c.AllowCleartextAuth {
		return nil
	}
	key := ""
	if c.Auth.Type != "" {
		key = "auth.type"
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		if canon := http.CanonicalHeaderKey(name); canon == "Authorization" || canon == "Cookie" {
			key = "headers." + name
		}
	}
	if key == "" {
		return nil
	}
	return fmt.Errorf("%s: would send credentials in clear text to %s: use https://, or set allow_cleartext_auth = true",
		key, safe.Origin(u.String()))
}

// httpProxyURL returns the proxy that is configured by URL, or nil.
func httpProxyURL(proxy safe.Secret) (*url.URL, error) {
	if proxy == "" || proxy == "direct" {
		return nil, nil //nolint:nilnil // no proxy, no mistake
	}
	u, err := url.Parse(proxy.Reveal())
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil, errors.New("proxy: must be \"direct\" or a URL as in \"http://proxy.example.com:3128\" (http, https or socks5)")
	}
	return u, nil
}

// httpLoopback reports whether a host is this machine by its name or address alone.
func httpLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// httpToken reports whether s is a token of RFC 9110, section 5.6.2: what names a header.
func httpToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alnum := c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !alnum && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// httpFieldValue reports whether s may be the value of a header (RFC 9110, section 5.5).
func httpFieldValue(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}
