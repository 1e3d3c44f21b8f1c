package sink

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

func azureTestConfig(peer *testpeer.Azure) *AzureConfig {
	cfg := DefaultAzure()
	cfg.Endpoint, cfg.RuleID, cfg.Authority, cfg.TenantID = peer.URL, peer.Rule, peer.Authority(), peer.Tenant
	cfg.ClientID, cfg.ClientSecret = peer.Tokens.ClientID, safe.Secret(peer.Tokens.Secret)
	return cfg
}

// azureTestSink is a sink on a service of the test.
func azureTestSink(t *testing.T, cfg *AzureConfig, d Deps) *Azure {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	d.Name, d.Source, d.Host = "sentinel", "emea", "example.sentinelone.net"
	a, err := NewAzure(*cfg, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// azureTestRecords makes rows of n threats, a second apart, of about size bytes each.
func azureTestRecords(t *testing.T, a *Azure, n, size int) []Record {
	t.Helper()
	start := time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond)
	var out []Record
	for i := range n {
		at := start.Add(time.Duration(i) * time.Second)
		raw := fmt.Appendf(nil, `{"id":"id-%d","threatInfo":{"updatedAt":%q,"maliciousProcessArguments":%q}}`,
			i, at.Format(time.RFC3339Nano), strings.Repeat("x", size))
		out = append(out, azureTestRecord(t, a, format.JSON, fmt.Sprintf("id-%d", i), at, raw))
	}
	return out
}

func azureTestRecord(t *testing.T, a *Azure, encode Encode, id string, at time.Time, raw []byte) Record {
	t.Helper()
	ev := &event.Event{Raw: raw, ID: id, UpdatedAt: at, Version: event.NewVersion("h", id, at.String(), raw)}
	body, _, err := a.Wrap(encode)(nil, ev, a.cfg.MaxBytes(0))
	if err != nil {
		t.Fatal(err)
	}
	return Record{Event: ev, Body: body}
}

func TestAzure_RequestsStayBelowTheLimit(t *testing.T) {
	peer := testpeer.StartAzure(t)
	a := azureTestSink(t, azureTestConfig(peer), Deps{})
	for _, size := range []int{10, 5_000, 63_000} {
		before, asked := len(peer.Rows()), peer.Requests()
		records := azureTestRecords(t, a, 150, size)
		total := 0
		for _, r := range records {
			total += len(r.Body)
		}
		if err := a.Write(t.Context(), records); err != nil { // the service refuses what is larger
			t.Fatal(err)
		}
		if n := len(peer.Rows()) - before; n != len(records) {
			t.Errorf("size %d: %d rows", size, n)
		}
		if n, most := peer.Requests()-asked, 4+total*11/10/azureMaxBody; n > most {
			t.Errorf("size %d: %d requests for %d bytes, want at most %d", size, n, total, most)
		}
	}
	tight := azureTestConfig(peer)
	b := azureTestSink(t, tight, Deps{MaxMessageBytes: 3_000})
	asked := peer.Requests()
	if err := b.Write(t.Context(), azureTestRecords(t, b, 20, 1_000)); err != nil {
		t.Fatal(err)
	}
	if n := peer.Requests() - asked; n < 10 {
		t.Errorf("max_message_bytes = 3000: %d requests", n)
	}
}

// A table of the Auxiliary plan takes no call whose rows are more than half an hour apart.
func TestAzure_DividesWhatSpansTooLong(t *testing.T) {
	peer := testpeer.StartAzure(t)
	peer.Auxiliary = true
	a := azureTestSink(t, azureTestConfig(peer), Deps{})
	var records []Record
	for i := range 20 {
		at := time.Now().Add(-time.Duration(20-i) * 10 * time.Minute)
		records = append(records, azureTestRecord(t, a, format.JSON, fmt.Sprint(i), at, []byte(`{"id":"1"}`)))
	}
	if err := a.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if n := len(peer.Rows()); n != len(records) {
		t.Errorf("%d rows, want %d", n, len(records))
	}
}

func TestAzure_NamesTheGuiltyRowsAlone(t *testing.T) {
	peer := testpeer.StartAzure(t)
	a := azureTestSink(t, azureTestConfig(peer), Deps{})
	peer.Refuse("id-3", "id-17", "id-39")
	err := a.Write(t.Context(), azureTestRecords(t, a, 40, 10))
	var batch *BatchError
	if !errors.As(err, &batch) || len(batch.Failed) != 3 {
		t.Fatalf("Write: %v, want three refused", err)
	}
	for i, want := range []int{3, 17, 39} {
		if f := batch.Failed[i]; f.Index != want || !httpRefused(f.Err) {
			t.Errorf("record %d: %v, want record %d refused", f.Index, f.Err, want)
		}
	}
	if n := len(peer.Rows()); n != 37 {
		t.Errorf("%d rows, want 37", n)
	}
}

// What the service says yes to is there; what it says no to, or nothing, is sent until it is.
func TestAzure_LosesNothingThroughEveryFault(t *testing.T) {
	faults := []*testpeer.AzureFault{
		nil, nil, nil, nil,
		{Status: 429, Code: "TooManyRequests", RetryAfter: "1"}, {Status: 503, RetryAfter: "1"}, {Status: 500}, {Status: 500, Keep: true}, {Status: 502, Body: "<html>"},
		{HangUp: true}, {HangUp: true, Keep: true}, {Status: 401}, {Status: 403, Code: "OperationFailed"}, {Status: 404}, {Status: 200, Body: "<html>Sign in</html>"},
		{Status: 408}, {Status: 302}, {Status: 413, Code: "ContentLengthLimitExceeded"}, {Status: 204, Keep: true}, {Status: 202, Keep: true},
	}
	for seed := range uint64(20) {
		rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test that can be repeated
		peer := testpeer.StartAzure(t)
		peer.Fault(func(int) *testpeer.AzureFault { return faults[rng.IntN(len(faults))] })
		a := azureTestSink(t, azureTestConfig(peer), Deps{})
		left, acked := azureTestRecords(t, a, 60, 3_000), 0
		for try := 0; len(left) > 0; try++ {
			if try == 200 {
				t.Fatalf("seed %d: %d records are left after %d tries", seed, len(left), try)
			}
			err := a.Write(t.Context(), left)
			var batch *BatchError
			var again []Record
			if errors.As(err, &batch) {
				for _, f := range batch.Failed {
					again = append(again, left[f.Index])
				}
			} else if err != nil {
				again = left
			}
			acked += len(left) - len(again)
			left = again
			has := map[string]bool{}
			for _, row := range peer.Rows() {
				has[row.ThreatID] = true
			}
			if len(has) < acked {
				t.Fatalf("seed %d: %d rows are acknowledged, and the table has %d", seed, acked, len(has))
			}
		}
	}
}

func TestAzure_ReplacesATokenOnceThatIsNotAccepted(t *testing.T) {
	peer := testpeer.StartAzure(t)
	a := azureTestSink(t, azureTestConfig(peer), Deps{})
	other := azureTestSink(t, azureTestConfig(peer), Deps{})
	for i, s := range []*Azure{a, other, a, a} { // a new token ends the one before
		if err := s.Write(t.Context(), azureTestRecords(t, s, 300, 3_000)); err != nil {
			t.Fatalf("Write %d: %v", i, err)
		}
	}
	if asked, _ := peer.Tokens.Asked(); asked != 3 {
		t.Errorf("asked for %d tokens, want 3", asked)
	}
	peer.Revoke(true)
	if err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10)); httpKind(err) != "denied" {
		t.Errorf("a service that accepts no token: %v", err)
	}
	if asked, _ := peer.Tokens.Asked(); asked != 4 {
		t.Errorf("asked for %d tokens, want 4", asked)
	}
	peer.Revoke(false)
	if err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10)); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

func TestAzure_SaysWhyThereIsNoToken(t *testing.T) {
	peer := testpeer.StartAzure(t)
	cfg := azureTestConfig(peer)
	cfg.ClientSecret = "an old secret"
	a := azureTestSink(t, cfg, Deps{})
	err := a.Write(t.Context(), azureTestRecords(t, a, 10, 10))
	if httpKind(err) != "denied" || !strings.Contains(err.Error(), "client_secret") || strings.Contains(err.Error(), "an old secret") {
		t.Errorf("Write: %v", err)
	}
	if n := peer.Requests(); n != 0 {
		t.Errorf("%d requests without a token", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Write(ctx, azureTestRecords(t, a, 10, 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled Write: %v", err)
	}
}

// Behind a proxy that looks into TLS, its authority signs what Microsoft would.
func TestAzure_TrustsItsAuthorityForTokensToo(t *testing.T) {
	peer := testpeer.NewAzure(t)
	certs := testpeer.NewCerts(t)
	serve := func(h *httptest.Server) string {
		h.TLS = azureTestTLS(t, certs)
		h.Config.ErrorLog = log.New(io.Discard, "", 0)
		h.StartTLS()
		t.Cleanup(h.Close)
		return h.URL
	}
	cfg := azureTestConfig(peer)
	cfg.Endpoint = serve(httptest.NewUnstartedServer(peer))
	cfg.Authority = serve(httptest.NewUnstartedServer(peer.Tokens))
	cfg.TLS.CAFile = certs.CA
	a := azureTestSink(t, cfg, Deps{})
	if err := a.Write(t.Context(), azureTestRecords(t, a, 3, 10)); err != nil {
		t.Errorf("Write: %v", err)
	}
	cfg.TLS.CAFile = ""
	b := azureTestSink(t, cfg, Deps{})
	if err := b.Write(t.Context(), azureTestRecords(t, b, 3, 10)); httpKind(err) != "denied" || !strings.Contains(err.Error(), "tls.ca_file") {
		t.Errorf("Write to strangers: %v", err)
	}
}
