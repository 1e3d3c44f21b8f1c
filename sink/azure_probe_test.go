package sink

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"s1stream/internal/testpeer"
)

func TestAzureProbe_SaysWhatItFound(t *testing.T) {
	for _, tt := range []struct {
		name             string
		change           func(*AzureConfig, *testpeer.Azure)
		found, says, ask string // says is in the one problem there is; ask in a warning
	}{
		{"all is well", nil, "lets the application write to stream Custom-SentinelOneThreats", "", ""},
		{"a token", nil, "a token, which holds until ", "", ""},
		{"clear text", nil, "clear text", "", ""},
		{"no role", func(_ *AzureConfig, p *testpeer.Azure) { p.Deny(true) }, "token", "Monitoring Metrics Publisher", ""},
		{"another stream", func(c *AzureConfig, _ *testpeer.Azure) { c.Stream = "Custom-Else" }, "token", "check stream", ""},
		{"another rule", func(c *AzureConfig, _ *testpeer.Azure) { c.RuleID = "dcr-" + strings.Repeat("0", 32) }, "token", "immutableId", ""},
		{"another tenant", func(c *AzureConfig, _ *testpeer.Azure) { c.TenantID = "example.com" }, "connected", "gives no token", ""},
		{"another secret", func(c *AzureConfig, _ *testpeer.Azure) { c.ClientSecret = "canary" }, "connected", "client_secret", ""},
		{"another scope", func(c *AzureConfig, _ *testpeer.Azure) { c.Scope = "https://vault.azure.net/.default" }, "connected", "check scope", ""},
		{"a token of another cloud", func(_ *AzureConfig, p *testpeer.Azure) { p.Revoke(true) }, "token", "authority and scope", ""},
		{"a service that takes no empty list", func(_ *AzureConfig, p *testpeer.Azure) {
			p.Fault(func(int) *testpeer.AzureFault { return &testpeer.AzureFault{Status: 500} })
		}, "answers 500 Internal Server Error: whether rule_id, stream", "", ""},
		{"a client without a GUID", func(c *AzureConfig, p *testpeer.Azure) { c.ClientID, p.Tokens.ClientID = "s1stream", "s1stream" }, "lets", "", "client_id is no GUID"},
		{"no endpoint", func(c *AzureConfig, _ *testpeer.Azure) { c.Endpoint = "http://" + azureClosed(t) }, "token", "nothing listens there", ""},
		{"no authority", func(c *AzureConfig, _ *testpeer.Azure) { c.Authority = "http://" + azureClosed(t) }, "connected", "refused", ""},
	} {
		peer := testpeer.StartAzure(t)
		cfg := azureTestConfig(peer)
		if tt.change != nil {
			tt.change(cfg, peer)
		}
		p := cfg.Probe(t.Context(), Deps{Source: "emea"})
		if p.Grade != Acknowledged || p.Connections != azureSide+1 {
			t.Errorf("%s: %+v", tt.name, p)
		}
		all := fmt.Sprintf("%+v", p)
		if !strings.Contains(strings.Join(p.Found, "\n"), tt.found) || (len(p.Problems) > 0) != (tt.says != "") || len(p.Problems) > 1 ||
			tt.says != "" && !strings.Contains(fmt.Sprint(p.Problems), tt.says) || !strings.Contains(fmt.Sprint(p.Warnings), tt.ask) {
			t.Errorf("%s: %s", tt.name, all)
		}
		if strings.Contains(all, "canary") || strings.Contains(all, "token-1") {
			t.Errorf("%s: shows a secret: %s", tt.name, all)
		}
		if n := len(peer.Rows()); n != 0 {
			t.Errorf("%s: a probe sent %d rows", tt.name, n)
		}
	}
}

// azureClosed is an address where nothing listens.
func azureClosed(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestAzureProbe_DoubtsWhatDoesNotFitTogether(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*AzureConfig)
		want   string // "" for no doubt
	}{
		{"the public cloud", func(*AzureConfig) {}, ""},
		{"another name of its authority", func(c *AzureConfig) { c.Authority = "https://LOGIN.windows.net" }, ""},
		{"a scope with two slashes", func(c *AzureConfig) { c.Scope = "https://monitor.azure.com//.default" }, ""},
		{"US Government", func(c *AzureConfig) {
			c.Endpoint, c.Authority, c.Scope = "https://s1.usgovvirginia-1.ingest.monitor.azure.us", "https://login.microsoftonline.us", "https://monitor.azure.us/.default"
		}, ""},
		{"21Vianet", func(c *AzureConfig) {
			c.Endpoint, c.Authority, c.Scope = "https://s1.chinaeast2-1.ingest.monitor.azure.cn", "https://login.chinacloudapi.cn", "https://monitor.azure.cn/.default"
		}, ""},
		{"an endpoint of US Government alone", func(c *AzureConfig) { c.Endpoint = "https://s1.usgovvirginia-1.ingest.monitor.azure.us" }, "https://login.microsoftonline.us"},
		{"a scope of another cloud", func(c *AzureConfig) { c.Scope = "https://monitor.azure.us/.default" }, "https://monitor.azure.com/.default"},
		{"somebody's endpoint", func(c *AzureConfig) { c.Endpoint = "https://monitor.azure.com.example.net" }, "no host of Azure Monitor"},
	} {
		c := azureWhole()
		tt.change(c)
		doubts := c.doubts(0)
		if (len(doubts) > 0) != (tt.want != "") || !strings.Contains(fmt.Sprint(doubts), tt.want) {
			t.Errorf("%s: %v", tt.name, doubts)
		}
	}
	if d := azureWhole().doubts(2_000_000); len(d) != 1 || !strings.Contains(d[0].What, `"2MB"`) {
		t.Errorf("max_message_bytes of 2 MB: %v", d)
	}
}
