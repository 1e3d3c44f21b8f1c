package sink_test

import (
	"fmt"
	"testing"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
	"s1stream/sink"
	"s1stream/sink/sinktest"
)

const (
	azureCanarySecret = "CANARYCLIENTSECRET~1"
	azureCanaryToken  = "eyJ0.CANARYTOKENPAYLOAD.sig"
)

func azureRig(t *testing.T, secure bool, deny func(peer *testpeer.Azure, on bool)) *sinktest.Rig {
	t.Helper()
	net, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	peer := testpeer.NewAzure(t)
	peer.Tokens.Secret = azureCanarySecret
	given := 0
	peer.Tokens.Mint(func() (token string, seconds any) {
		given++
		return fmt.Sprintf("%s%d", azureCanaryToken, given), 3599
	})
	cfg := sink.DefaultAzure()
	base, ca := serveOn(t, net, peer, secure, true)
	cfg.TLS.CAFile = ca
	cfg.Endpoint, cfg.RuleID, cfg.Authority, cfg.TenantID = base, peer.Rule, peer.Authority(), peer.Tenant
	cfg.ClientID, cfg.ClientSecret = peer.Tokens.ClientID, safe.Secret(peer.Tokens.Secret)
	return &sinktest.Rig{
		Config: cfg,
		Received: func() (out []sinktest.Received) {
			for _, row := range peer.Rows() {
				out = append(out, sinktest.Received{ID: row.ThreatID, Version: row.Version, Body: row.Event})
			}
			return out
		},
		Net:     net,
		Refuse:  peer.Refuse,
		Deny:    func(on bool) { deny(peer, on) },
		Secrets: []string{azureCanarySecret, azureCanaryToken},
	}
}

func TestAzure_PassesTheSuite(t *testing.T) {
	for _, v := range []struct {
		name   string
		secure bool
		deny   func(peer *testpeer.Azure, on bool)
	}{
		{"without a role", false, (*testpeer.Azure).Deny},
		{"without a token that is good, over HTTP/2", true, (*testpeer.Azure).Revoke},
	} {
		t.Run(v.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Subject{
				Grade: sink.Acknowledged, UTF8: true,
				Start: func(t *testing.T) *sinktest.Rig { return azureRig(t, v.secure, v.deny) },
			})
		})
	}
}
