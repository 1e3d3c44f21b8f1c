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
	"s1stream/sink/format"
)

const (
	// azureMaxBody is the largest request before gzip, brackets included. The limit is "1 MB, both compressed and
	// uncompressed data"; the service itself counts 1,048,576 bytes, which nobody promises.
	// "Azure Monitor service limits", Logs Ingestion API.
	azureMaxBody = 1_000_000
	// azureMaxField is the most bytes of one column: "fields longer than 64 KB are truncated", without a word about
	// it, and what is left of a JSON value then is no JSON. Whether KB means 1000 or 1024 is not said. Ibid.
	azureMaxField = 64_000
	// azureSide is how many requests of a batch are on their way at a time.
	azureSide = 4
)

// AzureConfig is a sink of type "azure": the Logs Ingestion API of Azure Monitor, which Microsoft Sentinel reads.
type AzureConfig struct {
	Endpoint         string        `koanf:"endpoint"`  // logs ingestion endpoint of the rule, or of a data collection endpoint
	RuleID           string        `koanf:"rule_id"`   // immutableId of the data collection rule (DCR)
	Stream           string        `koanf:"stream"`    // as the rule declares it
	TenantID         string        `koanf:"tenant_id"` // directory of the application: its id, or a domain of it
	ClientID         string        `koanf:"client_id"` // of the application
	ClientSecret     safe.Secret   `koanf:"client_secret"`
	ClientSecretFile string        `koanf:"client_secret_file"`
	Authority        string        `koanf:"authority"` // who gives the tokens: differs between Microsoft's clouds
	Scope            string        `koanf:"scope"`     // what tokens are for: likewise
	Timeout          time.Duration `koanf:"timeout"`   // of one request, from dialling to the last byte of its answer
	Proxy            safe.Secret   `koanf:"proxy"`     // as of HTTPConfig
	TLS              TLS           `koanf:"tls"`
}

var (
	_ Config  = (*AzureConfig)(nil)
	_ Carrier = (*AzureConfig)(nil)
	_ Proxied = (*AzureConfig)(nil)
)

// DefaultAzure returns a configuration for Microsoft's public cloud that lacks the rule and who writes to it.
func DefaultAzure() *AzureConfig {
	return &AzureConfig{
		Stream: "Custom-SentinelOneThreats", Authority: "https://login.microsoftonline.com",
		Scope: "https://monitor.azure.com/.default", Timeout: 30 * time.Second,
	}
}

// New implements Config.
func (c *AzureConfig) New(d Deps) (Sink, error) {
	a, err := NewAzure(*c, d)
	if err != nil {
		return nil, err
	}
	return a, nil
}

// MaxBytes implements Config: the limit is on a request before gzip, and never above the service's own. The limit on
// the event alone is lower, and Wrap's business.
func (c *AzureConfig) MaxBytes(configured int) int { return max(azureLimit(configured)-len("[]"), 1) }

// azureLimit is the most bytes of a request.
func azureLimit(configured int) int {
	if configured <= 0 {
		return azureMaxBody
	}
	return min(configured, azureMaxBody)
}

// Secrets implements Config.
func (c *AzureConfig) Secrets() []string {
	return slices.DeleteFunc([]string{c.ClientSecretFile, c.TLS.KeyFile}, func(f string) bool { return f == "" })
}

// ByEnvironment implements Proxied.
func (c *AzureConfig) ByEnvironment() (key string, urls []safe.Secret) {
	if c.Proxy != "" {
		return "", nil
	}
	return "proxy", []safe.Secret{safe.Secret(c.Endpoint), safe.Secret(c.Authority)}
}

// Carries implements Carrier: the column of the event is of type dynamic, which is JSON.
func (c *AzureConfig) Carries(name string) error {
	if format.ContentType(name) == format.JSONType {
		return nil
	}
	return fmt.Errorf("format: %q is a line of text, and the table's Event column is JSON: use \"json\", \"ecs\" or \"ocsf\"; "+
		"CEF reaches Sentinel's CommonSecurityLog by a sink of type \"syslog\" and the Azure Monitor Agent", name)
}

var (
	azureRule   = regexp.MustCompile(`^(?i:dcr)-[0-9A-Fa-f]{32}$`)
	azureStream = regexp.MustCompile(`^(Custom|Microsoft)-[0-9A-Za-z_-]{1,128}$`)
	azureDomain = regexp.MustCompile(`^([0-9A-Za-z]([0-9A-Za-z-]*[0-9A-Za-z])?\.)+[A-Za-z]{2,}$`)
)

// Validate implements Config. What lies in files is checked by New.
func (c *AzureConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := azureOrigin(c.Endpoint); err != nil {
		bad("endpoint: %w, as in \"https://NAME-abcd.eastus-1.ingest.monitor.azure.com\"; rule_id and stream have keys of their own", err)
	}
	if !azureRule.MatchString(c.RuleID) {
		bad("rule_id: must be the immutableId of the data collection rule, \"dcr-\" and 32 hex digits")
	}
	if !azureStream.MatchString(c.Stream) {
		bad("stream: must be the name of a stream that the rule declares, as in \"Custom-SentinelOneThreats\"")
	}
	if !splunkGUID.MatchString(c.TenantID) && !azureDomain.MatchString(c.TenantID) {
		bad("tenant_id: must be the Directory (tenant) ID, a GUID, or a domain of it, as in \"example.onmicrosoft.com\"")
	}
	keys := c.oauth()
	if _, err := azureOrigin(c.Authority); err != nil {
		bad("authority: %w, as in \"https://login.microsoftonline.com\"; tenant_id is added to it", err)
		keys.tokenURL = DefaultAzure().Authority // it has been told what is wrong with it
	}
	errs = append(errs, keys.mistakes(false)...)
	if !strings.HasSuffix(c.Scope, "/.default") {
		bad("scope: must end in \"/.default\", as in \"https://monitor.azure.com/.default\"")
	}
	if c.Timeout <= 0 {
		bad("timeout: must be longer than 0, as in \"30s\"")
	}
	if _, err := httpProxyURL(c.Proxy); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(append(errs, c.TLS.Validate())...)
}

// azureOrigin reads a URL that is nothing but scheme and host. Clear text is for this machine alone.
func azureOrigin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil, u.Hostname() == "", u.User != nil, strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.ForceQuery, u.Fragment != "",
		u.Scheme != "https" && (u.Scheme != "http" || !httpLoopback(u.Hostname())):
		return nil, errors.New("must be https:// and a host, with nothing behind it")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// oauth are the keys of the client credentials grant of Microsoft Entra ID ("OAuth 2.0 client credentials flow on the
// Microsoft identity platform", first case: a shared secret).
func (c *AzureConfig) oauth() oauthKeys {
	return oauthKeys{
		tokenURL: strings.TrimRight(c.Authority, "/") + "/" + c.TenantID + "/oauth2/v2.0/token",
		clientID: c.ClientID, secret: c.ClientSecret, secretFile: c.ClientSecretFile, scope: c.Scope,
	}
}

// target is where requests go. https://learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview
func (c *AzureConfig) target() (*httpTarget, error) {
	u, err := azureOrigin(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	t := &httpTarget{origin: safe.Origin(u.String()), header: http.Header{}}
	t.url = u.JoinPath("dataCollectionRules", c.RuleID, "streams", c.Stream).String() + "?api-version=2023-01-01"
	t.header.Set("User-Agent", "s1stream")
	t.header.Set("Content-Type", "application/json")
	t.header.Set("Content-Encoding", "gzip")
	// With a header of this name, though none is sent, net/http sends a request again whose idle connection the
	// service had just closed. The line would do the same a moment later.
	t.header["Idempotency-Key"] = nil
	t.setSecrets(httpProxySecrets(c.Proxy))
	return t, nil
}
