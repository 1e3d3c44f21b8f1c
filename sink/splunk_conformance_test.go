package sink_test

import (
	"testing"

	"s1stream/internal/testpeer"
	"s1stream/sink"
	"s1stream/sink/sinktest"
)

const splunkCanary = "CANARYTOKENVALUE"

func splunkRig(t *testing.T, secure, acks bool, change func(*sink.SplunkConfig)) *sinktest.Rig {
	t.Helper()
	net, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	peer := &testpeer.FakeSplunk{Token: splunkCanary, Acks: acks, MaxBytes: 1_000_000}
	cfg := sink.DefaultSplunk()
	base, ca := serveOn(t, net, peer, secure, false)
	cfg.TLS.CAFile = ca
	cfg.URL, cfg.Token = base, splunkCanary
	change(cfg)
	return &sinktest.Rig{
		Config: cfg,
		Received: func() (out []sinktest.Received) {
			for _, e := range peer.Indexed() {
				out = append(out, sinktest.Received{ID: e.Fields["threat_id"], Version: e.Fields["version"], Body: e.Event})
			}
			return out
		},
		Net:     net,
		Refuse:  peer.Refuse,
		Deny:    peer.Deny,
		Secrets: []string{splunkCanary},
	}
}

func TestSplunk_PassesTheSuite(t *testing.T) {
	for _, v := range []struct {
		name         string
		secure, acks bool
		grade        sink.Grade
		change       func(*sink.SplunkConfig)
	}{
		{"acks required", false, true, sink.Acknowledged, func(c *sink.SplunkConfig) { c.Ack = "required" }},
		{"acks required, over TLS, without gzip", true, true, sink.Acknowledged, func(c *sink.SplunkConfig) { c.Ack, c.Gzip = "required", false }},
		{"no acks to be had", false, false, sink.BestEffort, func(*sink.SplunkConfig) {}},
		{"acks not wanted", false, true, sink.BestEffort, func(c *sink.SplunkConfig) { c.Ack = "off" }},
	} {
		t.Run(v.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Subject{
				Grade: v.grade,
				Start: func(t *testing.T) *sinktest.Rig { return splunkRig(t, v.secure, v.acks, v.change) },
			})
		})
	}
}
