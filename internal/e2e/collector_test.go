package e2e

import (
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"testing"
	"time"

	"s1stream/internal/console"
	"s1stream/internal/testpeer"
)

// A collector that crashes loses what it has not acknowledged, all of it or some. With indexer acks that comes again
// while the program lives on; without them it is gone, which shows that the collector does lose, and that it would be seen.
func TestCollector_WhatItLosesInACrashComesAgainIfItGivesAcks(t *testing.T) {
	t.Parallel()
	const crashes, batch = 8, 100
	c := serve(t, console.Config{Token: "a-token", Seed: 11, Tiny: true, Ledger: true}, false)
	c.Store.Fill(2000, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	collect := func() (*testpeer.FakeSplunk, string) {
		fake := &testpeer.FakeSplunk{Token: "hec-token", Acks: true, IndexAfter: 300 * time.Millisecond}
		srv := httptest.NewServer(fake)
		t.Cleanup(srv.Close)
		return fake, srv.URL
	}
	acks, acksURL := collect()
	front, frontURL := collect()
	dir := t.TempDir()
	file := c.config(t, dir, fileSource("all"), fmt.Sprintf(`[sink.acks]
type = "splunk"
url = %q
token = "hec-token"
ack_timeout = "1s"
batch_events = %d
max_message_bytes = "10KB" # several requests a batch
[sink.front]
type = "splunk"
url = %q
token = "hec-token"
ack = "off"
batch_events = %d
`, acksURL, batch, frontURL, batch))

	rest := c.live(t, 20, 40)
	p := start(t, watched, file)
	rng := rand.New(rand.NewPCG(11, 0)) //nolint:gosec // as the console's seed
	lost := 0
	for i := range crashes {
		for name, fake := range map[string]*testpeer.FakeSplunk{"acks": acks, "front": front} {
			eventually(t, p, name+" has something in memory", func() bool { _, waiting := fake.Count(); return waiting > 0 })
		}
		survive := float64(i%3) / 2
		lost += acks.Crash(func() bool { return rng.Float64() < survive })
		front.Crash(nil)
	}
	rest()
	c.delivered(t, p, dir, "acks", "front")
	p.stop(t)
	noDeadLetters(t, dir)

	if lost == 0 {
		t.Error("the collector lost nothing: nothing is shown")
	}
	tr := truthOf(t, c.Console)
	n := tr.compare(t, "acks", identifySplunk(t, c.Host(), acks.Indexed()), true)
	if n.repeated > crashes*batch {
		t.Errorf("%d copies too many, want at most the batch of each of %d crashes", n.repeated, crashes)
	}
	eventually(t, nil, "the front door has indexed what it took", func() bool { _, waiting := front.Count(); return waiting == 0 })
	if tr.holds(identifySplunk(t, c.Host(), front.Indexed())) {
		t.Error("a collector without acks lost nothing that matters: this oracle would approve of everything")
	}
	reportf(t, "%d crashes of a collector lost %d events that it had not acknowledged: %v", crashes, lost, n)
}
