package sink

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

// azureWhole is a configuration without a mistake.
func azureWhole() *AzureConfig {
	c := DefaultAzure()
	c.Endpoint, c.RuleID = "https://s1-abcd.eastus-1.ingest.monitor.azure.com", "dcr-000a00a000a00000a000000aa000a0aa"
	c.TenantID, c.ClientID, c.ClientSecret = "aaaabbbb-0000-cccc-1111-dddd2222eeee", "00001111-aaaa-2222-bbbb-3333cccc4444", "secret"
	return c
}

func TestAzureConfig_NamesEveryMistake(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*AzureConfig)
		want   []string
	}{
		{"whole", func(*AzureConfig) {}, nil},
		{"a slash behind", func(c *AzureConfig) { c.Endpoint += "/"; c.Authority += "/" }, nil},
		{"a secret in a file", func(c *AzureConfig) { c.ClientSecret, c.ClientSecretFile = "", "f" }, nil},
		{"a domain", func(c *AzureConfig) { c.TenantID = "example.onmicrosoft.com" }, nil},
		{"a table of Azure's", func(c *AzureConfig) { c.Stream = "Microsoft-ASimAlertEventLogs" }, nil},
		{"loopback", func(c *AzureConfig) { c.Endpoint, c.Authority = "http://127.0.0.1:1", "http://[::1]:2" }, nil},
		{"another cloud", func(c *AzureConfig) {
			c.Authority, c.Scope = "https://login.microsoftonline.us", "https://monitor.azure.us//.default"
		}, nil},
		{"nothing", func(c *AzureConfig) { *c = AzureConfig{} }, []string{
			"endpoint", "rule_id", "stream", "tenant_id", "authority", "client_id", "client_secret", "scope", "timeout",
		}},
		{"clear text", func(c *AzureConfig) { c.Endpoint = "http://s1.ingest.monitor.azure.com" }, []string{"endpoint"}},
		{"the whole address of a request", func(c *AzureConfig) {
			c.Endpoint += "/dataCollectionRules/dcr-000a00a000a00000a000000aa000a0aa/streams/Custom-S?api-version=2023-01-01"
		}, []string{"endpoint"}},
		{"a host alone", func(c *AzureConfig) { c.Endpoint = "s1.ingest.monitor.azure.com" }, []string{"endpoint"}},
		{"a resource's id", func(c *AzureConfig) {
			c.RuleID = "/subscriptions/x/resourceGroups/y/providers/Microsoft.Insights/dataCollectionRules/z"
		}, []string{"rule_id"}},
		{"a rule's name", func(c *AzureConfig) { c.RuleID = "s1stream-rule" }, []string{"rule_id"}},
		{"a table's name", func(c *AzureConfig) { c.Stream = "SentinelOneThreats_CL" }, []string{"stream"}},
		{"a path for a stream", func(c *AzureConfig) { c.Stream = "Custom-../x" }, []string{"stream"}},
		{"a tenant for everybody", func(c *AzureConfig) { c.TenantID = "organizations" }, []string{"tenant_id"}},
		{"a path for a tenant", func(c *AzureConfig) { c.TenantID = "a.example/.." }, []string{"tenant_id"}},
		{"authority with tenant", func(c *AzureConfig) { c.Authority += "/aaaabbbb-0000-cccc-1111-dddd2222eeee" }, []string{"authority"}},
		{"authority in clear text", func(c *AzureConfig) { c.Authority = "http://login.microsoftonline.com" }, []string{"authority"}},
		{"two secrets", func(c *AzureConfig) { c.ClientSecretFile = "f" }, []string{"client_secret"}},
		{"a resource for a scope", func(c *AzureConfig) { c.Scope = "https://monitor.azure.com" }, []string{"scope"}},
		{"proxy, timeout, tls", func(c *AzureConfig) { c.Proxy, c.Timeout, c.TLS.CertFile = "::", -1, "c" }, []string{"timeout", "proxy", "tls.cert_file"}},
	} {
		c := azureWhole()
		tt.change(c)
		if diff := cmp.Diff(tt.want, httpKeys(c.Validate())); diff != "" {
			t.Errorf("%s: %s", tt.name, diff)
		}
	}
	if c := azureWhole(); !strings.HasPrefix(c.oauth().tokenURL, "https://login.microsoftonline.com/aaaabbbb-0000-cccc-1111-dddd2222eeee/oauth2/v2.0/token") {
		t.Errorf("tokens are asked for at %s", c.oauth().tokenURL)
	}
}

func TestAzureConfig_CarriesJSONAlone(t *testing.T) {
	for _, name := range format.Names() {
		err := azureWhole().Carries(name)
		if want := name == "cef" || name == "leef"; (err != nil) != want {
			t.Errorf("%s: %v", name, err)
		} else if want && (!strings.HasPrefix(err.Error(), "format: ") || !strings.Contains(err.Error(), "CommonSecurityLog")) {
			t.Errorf("%v does not say what would be right", err)
		}
	}
}

func TestAzureConfig_LimitIsNeverAboveTheServices(t *testing.T) {
	for configured, want := range map[int]int{0: 999_998, -1: 999_998, 5_000_000: 999_998, 5_000: 4_998, 1: 1} {
		if got := azureWhole().MaxBytes(configured); got != want {
			t.Errorf("MaxBytes(%d) = %d, want %d", configured, got, want)
		}
	}
}

func TestAzureConfig_ReadsItsFilesAtTheStart(t *testing.T) {
	dir := t.TempDir()
	c := azureWhole()
	c.ClientSecret, c.ClientSecretFile, c.TLS.KeyFile = "", filepath.Join(dir, "none"), "k"
	if _, err := c.New(Deps{}); err == nil || !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "client_secret_file: ") {
		t.Errorf("New without its secret: %v", err)
	}
	if diff := cmp.Diff([]string{c.ClientSecretFile, "k"}, c.Secrets()); diff != "" {
		t.Error(diff)
	}
	c.TLS = TLS{CAFile: filepath.Join(dir, "none")}
	if _, err := c.New(Deps{}); err == nil || !strings.HasPrefix(err.Error(), "tls.ca_file: ") {
		t.Errorf("New without its authority: %v", err)
	}
	// A secret that was rotated in its file is read when a token is due.
	peer := testpeer.StartAzure(t)
	rotated := azureTestConfig(peer)
	rotated.ClientSecret, rotated.ClientSecretFile = "", filepath.Join(dir, "secret")
	write := func(secret string) {
		t.Helper()
		if err := os.WriteFile(rotated.ClientSecretFile, []byte(secret+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("old")
	a := azureTestSink(t, rotated, Deps{})
	write(peer.Tokens.Secret)
	if err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10)); err != nil {
		t.Error(err)
	}
	peer.Tokens.Secret = "new one"
	peer.Revoke(true)
	if err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10)); httpKind(err) != "denied" {
		t.Errorf("with the secret of before: %v", err)
	}
	peer.Revoke(false)
	write("new one")
	if err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10)); err != nil {
		t.Error(err)
	}
}
