package sink

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"s1stream/internal/safe"
)

const (
	// splunkMaxBytes is the largest request before gzip where max_message_bytes is not set: what Splunk Cloud takes.
	splunkMaxBytes = 1_000_000
	// splunkSide is how many requests of a batch are on their way at a time.
	splunkSide = 4
)

// SplunkConfig is a sink of type "splunk": an HTTP Event Collector (HEC).
type SplunkConfig struct {
	URL        string        `koanf:"url"` // https://host:port; the collector's path is added
	Token      safe.Secret   `koanf:"token"`
	TokenFile  string        `koanf:"token_file"`
	Ack        string        `koanf:"ack"`         // "auto", "required" or "off": whether to wait for indexer acks
	AckTimeout time.Duration `koanf:"ack_timeout"` // how long to wait for them before a batch is sent again
	Index      string        `koanf:"index"`       // "": the token's default
	Source     string        `koanf:"source"`
	SourceType string        `koanf:"sourcetype"`
	Host       string        `koanf:"host"`    // "": the name of the computer that the threat was found on
	Channel    string        `koanf:"channel"` // GUID; every channel of ours begins as it does. "": random
	Gzip       bool          `koanf:"gzip"`    // Content-Encoding of requests
	Timeout    time.Duration `koanf:"timeout"` // of one request, from dialling to the last byte of its answer
	Proxy      safe.Secret   `koanf:"proxy"`   // as of HTTPConfig
	TLS        TLS           `koanf:"tls"`
	// AllowCleartextAuth lets the token travel over http:// to a host other than this one.
	AllowCleartextAuth bool `koanf:"allow_cleartext_auth"`
}

var (
	_ Config  = (*SplunkConfig)(nil)
	_ Proxied = (*SplunkConfig)(nil)
)

// DefaultSplunk returns a configuration that lacks its collector and its token. Five minutes for an ack is what
// Splunk advises its clients to wait.
func DefaultSplunk() *SplunkConfig {
	return &SplunkConfig{
		Ack: "auto", AckTimeout: 5 * time.Minute, Source: "sentinelone:api:threats", SourceType: "sentinelone:channel:threats",
		Gzip: true, Timeout: 30 * time.Second,
	}
}

// New implements Config.
func (c *SplunkConfig) New(d Deps) (Sink, error) {
	s, err := NewSplunk(*c, d)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// MaxBytes implements Config: the limit is on a request, envelope included.
func (c *SplunkConfig) MaxBytes(configured int) int {
	if configured <= 0 {
		configured = splunkMaxBytes
	}
	return max(configured-c.envelope().max(), 1)
}

// Secrets implements Config.
func (c *SplunkConfig) Secrets() []string {
	files := []string{c.TokenFile, c.TLS.KeyFile}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// ByEnvironment implements Proxied.
func (c *SplunkConfig) ByEnvironment() (key string, urls []safe.Secret) {
	if c.Proxy != "" {
		return "", nil
	}
	return "proxy", []safe.Secret{safe.Secret(c.URL)}
}

var splunkGUID = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// Validate implements Config. What lies in files is checked by New.
func (c *SplunkConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := c.collector(); err != nil {
		errs = append(errs, err)
	}
	if (c.Token == "") == (c.TokenFile == "") {
		bad("token: give it, or token_file, and not both")
	}
	if !httpFieldValue(c.Token.Reveal()) {
		bad("token: must hold no line break or other control character")
	}
	if !slices.Contains([]string{"auto", "required", "off"}, c.Ack) {
		bad("ack: must be \"auto\", \"required\" or \"off\", is %q", c.Ack)
	}
	if c.AckTimeout <= 0 {
		bad("ack_timeout: must be longer than 0, as in \"5m\"")
	}
	if c.Timeout <= 0 {
		bad("timeout: must be longer than 0, as in \"30s\"")
	}
	for _, k := range []struct{ key, value string }{{"index", c.Index}, {"source", c.Source}, {"sourcetype", c.SourceType}, {"host", c.Host}} {
		if len(k.value) > 1024 || !httpFieldValue(k.value) {
			bad("%s: must be up to 1024 bytes without a control character", k.key)
		}
	}
	if c.Channel != "" && !splunkGUID.MatchString(c.Channel) {
		bad("channel: must be a GUID, as in \"6a3c0f5e-8f0b-4a58-9d0e-3d3f7f1c2b10\", or left out")
	}
	if _, err := httpProxyURL(c.Proxy); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.TLS.Validate())...)
}

// collector returns the URL of the collector: what comes before /event and /ack. The path of the event endpoint, with
// which many write it, may be there.
func (c *SplunkConfig) collector() (*url.URL, error) {
	u, err := httpParseURL(safe.Secret(c.URL))
	switch {
	case c.URL == "":
		return nil, errors.New("url: must be given, as in \"https://splunk.example.com:8088\"")
	case errors.Is(err, errHTTPUser):
		return nil, errors.New("url: must hold no user and password: a collector takes a token, in token or token_file")
	case err != nil:
		return nil, fmt.Errorf("url: %w", err)
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("url: must have no query: the token goes into token or token_file")
	case u.Scheme == "http" && !httpLoopback(u.Hostname()) && !c.AllowCleartextAuth:
		return nil, fmt.Errorf("url: would send the token in clear text to %s: use https://, or set allow_cleartext_auth = true", safe.Origin(u.String()))
	}
	path := strings.TrimRight(u.Path, "/")
	for _, end := range []string{"/event/1.0", "/event", "/services/collector"} {
		path = strings.TrimSuffix(path, end)
	}
	u.Path, u.RawPath = path+"/services/collector", ""
	return u, nil
}

// readTarget reads the token.
func (c *SplunkConfig) readTarget() (*httpTarget, error) {
	u, err := c.collector()
	if err != nil {
		return nil, err
	}
	token, err := httpSecret("token", c.Token, c.TokenFile)
	if err != nil {
		return nil, err
	}
	t := &httpTarget{url: u.String(), origin: safe.Origin(u.String()), header: http.Header{}}
	t.header.Set("User-Agent", "s1stream")
	t.header.Set("Content-Type", "application/json")
	t.header.Set("Authorization", "Splunk "+token)
	t.setSecrets(append(httpProxySecrets(c.Proxy), token))
	return t, nil
}
