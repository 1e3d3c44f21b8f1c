package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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

func TestAzure_SendsRowsAsTheRuleDeclaresThem(t *testing.T) {
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Microsecond)
	raw := []byte("{\"id\":\"7\", \"threatInfo\" : {\"updatedAt\":\"" + at.Format(time.RFC3339Nano) + "\",\"threatName\":\"<é\\u00e9>\"}}")
	for _, name := range []string{"", "json", "ecs", "ocsf"} {
		peer := testpeer.StartAzure(t)
		a := azureTestSink(t, azureTestConfig(peer), Deps{Format: name})
		want := name
		if name == "" {
			want = "json"
		}
		encode, err := format.New(want, format.Options{}, "example.sentinelone.net", nil)
		if err != nil {
			t.Fatal(err)
		}
		r := azureTestRecord(t, a, encode, `7"<`, at, raw)
		event, _, err := encode(nil, r.Event, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Write(t.Context(), []Record{r}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]testpeer.AzureRow{{
			TimeGenerated: at, Version: r.Event.Version.String(), ThreatID: `7"<`, Console: "example.sentinelone.net", SourceName: "emea",
			Format: want, Event: event,
		}}, peer.Rows()); diff != "" {
			t.Errorf("%q: %s", name, diff)
		}
	}
}

func TestAzure_AnOldChangeKeepsItsTimeInTheEvent(t *testing.T) {
	peer := testpeer.StartAzure(t)
	a := azureTestSink(t, azureTestConfig(peer), Deps{})
	at := time.Date(2024, 2, 29, 1, 2, 3, 456789000, time.UTC)
	r := azureTestRecord(t, a, format.JSON, "7", at, []byte(`{"id":"7","threatInfo":{"updatedAt":"2024-02-29T01:02:03.456789Z"}}`))
	if !bytes.Contains(r.Body, []byte(`{"TimeGenerated":"2024-02-29T01:02:03.456789Z",`)) {
		t.Errorf("the row is %s", r.Body)
	}
	if err := a.Write(t.Context(), []Record{r}); err != nil {
		t.Fatal(err)
	}
	row := peer.Rows()[0]
	if time.Since(row.TimeGenerated) > time.Minute || !bytes.Contains(row.Event, []byte("2024-02-29T01:02:03.456789Z")) {
		t.Errorf("the table has %v, %s", row.TimeGenerated, row.Event)
	}
}

func TestAzure_ShrinksWhatTheServiceWouldCut(t *testing.T) {
	long := strings.Repeat("é😀\xff", 20_000)
	for _, name := range []string{"json", "ecs", "ocsf"} {
		peer := testpeer.StartAzure(t)
		a := azureTestSink(t, azureTestConfig(peer), Deps{Format: name})
		yes := true
		options := format.Options{}
		switch name { // the larger, the better
		case "ecs":
			options.EventOriginal = &yes
		case "ocsf":
			options.RawData = &yes
		}
		encode, err := format.New(name, options, "example.sentinelone.net", nil)
		if err != nil {
			t.Fatal(err)
		}
		var records []Record
		at := time.Now().UTC().Truncate(time.Microsecond)
		for i, raw := range []string{
			`{"id":"0","threatInfo":{"threatName":"small"}}`,
			`{"id":"1","threatInfo":{"threatName":"` + long + `"}}`,
			`{"id":"2","threatInfo":{"maliciousProcessArguments":"` + long + `"},"indicators":[{"description":"` + long + `"}]}`,
			`{"id":"3","threatInfo":{"filePath":"` + strings.Repeat("\xffa", 30_000) + `"}}`, // too large once it is mended
		} {
			records = append(records, azureTestRecord(t, a, encode, fmt.Sprint(i), at, []byte(raw)))
		}
		// What the service does to an event that nobody shrank: the judge of this test is awake.
		bad := *records[1].Event
		bad.ID = "bad"
		head := azureHead(&bad, a.columns())
		records = append(records, Record{Event: &bad, Body: append(append(head, `{"s":"`+strings.Repeat("x", 70_000)+`"}`...), azureTail(false)...)})
		if err := a.Write(t.Context(), records); err != nil {
			t.Fatal(err)
		}
		rows := peer.Rows()
		if len(rows) != len(records) {
			t.Fatalf("%s: %d rows, want %d", name, len(rows), len(records))
		}
		for _, row := range rows {
			whole := json.Valid(row.Event) && !row.Cut
			if whole != (row.ThreatID != "bad") {
				t.Errorf("%s: threat %s of %d bytes: cut %v", name, row.ThreatID, len(row.Event), row.Cut)
			}
			if want := row.ThreatID != "0" && row.ThreatID != "bad"; row.Truncated != want {
				t.Errorf("%s: threat %s: Truncated is %v", name, row.ThreatID, row.Truncated)
			}
		}
	}
}

func TestAzure_WrapObeysItsLimit(t *testing.T) {
	a := azureTestSink(t, azureTestConfig(testpeer.StartAzure(t)), Deps{})
	ev := &event.Event{ID: "7", Raw: []byte(`{"id":"7","threatInfo":{"threatName":"` + strings.Repeat("\xffé", 30_000) + `"}}`)}
	for _, limit := range []int{0, 100_000, 20_000, 2_000, 600} {
		body, shrunk, err := a.Wrap(format.JSON)([]byte("before"), ev, limit)
		row, ours := bytes.CutPrefix(body, []byte("before"))
		if err != nil || !ours || !shrunk || !json.Valid(row) || limit > 0 && len(row) > limit || len(row) > azureMaxField+1000 {
			t.Errorf("limit %d: %d bytes, shrunk %v, %v", limit, len(row), shrunk, err)
		}
	}
	for name, ev := range map[string]*event.Event{
		"no room":   {ID: "7", Raw: ev.Raw},
		"a huge id": {ID: strings.Repeat("7", 70_000), Raw: []byte(`{}`)},
	} {
		limit := map[string]int{"no room": 100, "a huge id": 999_998}[name]
		if body, _, err := a.Wrap(format.JSON)(nil, ev, limit); err == nil {
			t.Errorf("%s: %d bytes", name, len(body))
		}
	}
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
