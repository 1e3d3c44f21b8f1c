package sink

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"s1stream/internal/safe"
)

// elasticMaxBytes is the largest document, and the largest request, where max_message_bytes is not set: what the
// smallest hosted nodes take as http.max_content_length (10 MiB), less the action line. The default of a node is 100 MB.
const elasticMaxBytes = 10_000_000

// ElasticConfig is a sink of type "elastic": Elasticsearch 7.10 and later, OpenSearch 1 and later.
type ElasticConfig struct {
	URLs    []string      `koanf:"urls"`    // nodes of one cluster, https://host:port; one is used at a time
	Target  string        `koanf:"target"`  // data stream, index or write alias; {source} stands for the source's NAME
	Op      string        `koanf:"op"`      // "create" or "index": what _bulk does with a document
	Gzip    bool          `koanf:"gzip"`    // Content-Encoding of requests
	Timeout time.Duration `koanf:"timeout"` // of one request, from dialling to the last byte of its answer
	Proxy   safe.Secret   `koanf:"proxy"`   // as of HTTPConfig
	TLS     TLS           `koanf:"tls"`
	Auth    ElasticAuth   `koanf:"auth"`
	// AllowCleartextAuth lets credentials travel over http:// to a host other than this one.
	AllowCleartextAuth bool `koanf:"allow_cleartext_auth"`
}

// ElasticAuth says how requests prove who sends them. With a client certificate alone it stays empty.
type ElasticAuth struct {
	Type         string      `koanf:"type"`    // "", "api_key" or "basic"
	APIKey       safe.Secret `koanf:"api_key"` // as the cluster gives it: encoded, or id:api_key
	APIKeyFile   string      `koanf:"api_key_file"`
	Username     string      `koanf:"username"`
	Password     safe.Secret `koanf:"password"`
	PasswordFile string      `koanf:"password_file"`
}

var (
	_ Config  = (*ElasticConfig)(nil)
	_ Proxied = (*ElasticConfig)(nil)
)

// DefaultElastic returns a configuration that lacks its nodes and its target.
func DefaultElastic() *ElasticConfig {
	return &ElasticConfig{Op: "create", Gzip: true, Timeout: time.Minute}
}

// New implements Config.
func (c *ElasticConfig) New(d Deps) (Sink, error) {
	e, err := NewElastic(*c, d)
	if err != nil {
		return nil, err
	}
	return e, nil
}

// MaxBytes implements Config.
func (c *ElasticConfig) MaxBytes(configured int) int {
	if configured <= 0 {
		return elasticMaxBytes
	}
	return configured
}

// Secrets implements Config.
func (c *ElasticConfig) Secrets() []string {
	files := []string{c.Auth.APIKeyFile, c.Auth.PasswordFile, c.TLS.KeyFile}
	return slices.DeleteFunc(files, func(f string) bool { return f == "" })
}

// ByEnvironment implements Proxied.
func (c *ElasticConfig) ByEnvironment() (key string, urls []safe.Secret) {
	if c.Proxy != "" {
		return "", nil
	}
	for _, node := range c.URLs {
		urls = append(urls, safe.Secret(node))
	}
	return "proxy", urls
}

// Validate implements Config. What lies in files is checked by New.
func (c *ElasticConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.URLs) == 0 {
		bad("urls: must name a node at least, as in [\"https://elastic-1.example.com:9200\"]")
	}
	for _, raw := range c.URLs {
		if _, err := c.node(raw); err != nil {
			errs = append(errs, err)
		}
	}
	if err := elasticTarget(strings.ReplaceAll(c.Target, "{source}", "source")); err != nil {
		errs = append(errs, err)
	}
	if c.Op != "create" && c.Op != "index" {
		bad("op: must be \"create\" or \"index\", is %q", c.Op)
	}
	if c.Timeout <= 0 {
		bad("timeout: must be longer than 0, as in \"1m\"")
	}
	if _, err := httpProxyURL(c.Proxy); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, c.TLS.Validate())
	return errors.Join(append(errs, c.Auth.mistakes()...)...)
}

// node checks the URL of one node.
func (c *ElasticConfig) node(raw string) (*url.URL, error) {
	u, err := httpParseURL(safe.Secret(raw))
	switch {
	case err != nil:
		return nil, fmt.Errorf("urls: %w", err)
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("urls: must have no query, as in \"https://elastic-1.example.com:9200\"")
	case c.Auth.Type != "" && u.Scheme == "http" && !httpLoopback(u.Hostname()) && !c.AllowCleartextAuth:
		return nil, fmt.Errorf("auth.type: would send credentials in clear text to %s: use https://, or set allow_cleartext_auth = true",
			safe.Origin(u.String()))
	}
	return u, nil
}

// elasticTarget checks a name by the rules of both products, so that a mistake is not first found by an event.
// https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create
func elasticTarget(name string) error {
	switch {
	case name == "":
		return errors.New("target: must name a data stream or an index, as in \"logs-sentinel_one.threat-default\"")
	case len(name) > 255, name == ".", name == "..", strings.ContainsAny(name[:1], "-_+"),
		name != strings.ToLower(name), strings.ContainsAny(name, "\\/*?\"<>| ,#:") || !httpFieldValue(name):
		return fmt.Errorf("target: %q is no name of a data stream or an index: use up to 255 lower-case letters, digits, dots, hyphens and underscores, "+
			"a letter or a digit first", name)
	}
	return nil
}

// mistakes checks the auth table alone: every key that its type needs, and none of another type.
func (a ElasticAuth) mistakes() []error {
	if !slices.Contains([]string{"", "api_key", "basic"}, a.Type) {
		return []error{fmt.Errorf("auth.type: must be \"api_key\" or \"basic\", is %q", a.Type)}
	}
	return httpKeysOfType(a.Type, a.Username,
		httpTypeSecret{"api_key", "api_key", a.APIKey, a.APIKeyFile},
		httpTypeSecret{"basic", "password", a.Password, a.PasswordFile})
}

// credentials reads the secrets and returns the Authorization header, "" for none.
func (a ElasticAuth) credentials() (value string, secrets []string, err error) {
	switch a.Type {
	case "api_key":
		key, err := httpSecret("auth.api_key", a.APIKey, a.APIKeyFile)
		secrets = append(secrets, key)
		if id, secret, plain := strings.Cut(key, ":"); plain { // base64 has no colon
			key = base64.StdEncoding.EncodeToString([]byte(id + ":" + secret))
			secrets = append(secrets, secret, key)
		}
		return "ApiKey " + key, secrets, err
	case "basic":
		return httpBasic(a.Username, a.Password, a.PasswordFile)
	}
	return "", nil, nil
}

// readNodes reads the secret files and returns the nodes, each without the path of a request.
func (c *ElasticConfig) readNodes() ([]*httpTarget, error) {
	credentials, secrets, err := c.Auth.credentials()
	if err != nil {
		return nil, err
	}
	secrets = append(secrets, httpProxySecrets(c.Proxy)...)
	var nodes []*httpTarget
	for _, raw := range c.URLs {
		u, err := c.node(raw)
		if err != nil {
			return nil, err
		}
		t := &httpTarget{url: strings.TrimRight(u.String(), "/"), origin: safe.Origin(u.String()), header: http.Header{}}
		t.header.Set("User-Agent", "s1stream")
		if credentials != "" {
			t.header.Set("Authorization", credentials)
		}
		own := slices.Clone(secrets)
		if strings.Trim(u.Path, "/") != "" {
			own = append(own, httpURLSecrets(u)...)
		}
		t.setSecrets(own)
		nodes = append(nodes, t)
	}
	if len(nodes) == 0 {
		return nil, errors.New("urls: must name a node at least")
	}
	return nodes, nil
}
