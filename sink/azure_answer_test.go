package sink

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"s1stream/internal/testpeer"
)

func azureTestTLS(t *testing.T, certs testpeer.Certs) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certs.Server.Cert, certs.Server.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

func TestAzure_JudgesEveryAnswer(t *testing.T) {
	for _, tt := range []struct {
		fault testpeer.AzureFault
		want  string
		says  string
	}{
		{testpeer.AzureFault{Status: 204}, "taken", ""},
		{testpeer.AzureFault{Status: 200}, "failed", "200 OK: the service says 204"},
		{testpeer.AzureFault{Status: 202}, "failed", "202 Accepted: the service says 204"},
		{testpeer.AzureFault{Status: 202, Body: `{"error":{"code":"Gateway"}}`}, "failed", "202 Accepted: Gateway: the service says 204"},
		{testpeer.AzureFault{Status: 200, Body: "<html>Sign in</html>"}, "failed", "check what stands between"},
		{testpeer.AzureFault{Status: 201}, "failed", "201"},
		{testpeer.AzureFault{Status: 206, Body: "{}"}, "failed", "206"},
		{testpeer.AzureFault{Status: 302}, "denied", "https://elsewhere.example.com"},
		{testpeer.AzureFault{Status: 307}, "denied", "redirect"},
		{testpeer.AzureFault{Status: 400, Code: "InvalidPayload", Message: "malformed JSON"}, "refused", "400 Bad Request: InvalidPayload: malformed JSON"},
		{testpeer.AzureFault{Status: 400, Body: "<html>"}, "refused", "400"},
		{testpeer.AzureFault{Status: 400, Code: "RecordsTimeRangeIsMoreThan30Minutes"}, "refused", "RecordsTimeRange"},
		{testpeer.AzureFault{Status: 400, Code: "InvalidStream", Message: "no such stream"}, "denied", "check stream"},
		{testpeer.AzureFault{Status: 400, Code: "InvalidDcrImmutableId"}, "denied", "region"},
		{testpeer.AzureFault{Status: 401, Code: "InvalidToken"}, "denied", "tenant_id"},
		{testpeer.AzureFault{Status: 403, Code: "OperationFailed", Message: "does not have access"}, "denied", "Monitoring Metrics Publisher"},
		{testpeer.AzureFault{Status: 403, Code: "NotFound"}, "denied", "30 minutes"},
		{testpeer.AzureFault{Status: 404, Code: "NotFound", Message: "rule not found"}, "denied", "immutableId"},
		{testpeer.AzureFault{Status: 404}, "denied", "check endpoint, rule_id and stream"},
		{testpeer.AzureFault{Status: 405}, "denied", "check endpoint"},
		{testpeer.AzureFault{Status: 407}, "denied", "proxy"},
		{testpeer.AzureFault{Status: 408}, "failed", "408"},
		{testpeer.AzureFault{Status: 413, Code: "ContentLengthLimitExceeded", Message: "1 MB"}, "refused", "ContentLengthLimitExceeded: 1 MB"},
		{testpeer.AzureFault{Status: 415}, "denied", "check endpoint"},
		{testpeer.AzureFault{Status: 422}, "refused", "422"},
		{testpeer.AzureFault{Status: 429, RetryAfter: "17"}, "wait 17s", "429"},
		{testpeer.AzureFault{Status: 429}, "failed", "429"},
		{testpeer.AzureFault{Status: 500}, "failed", "500"},
		{testpeer.AzureFault{Status: 500, Code: "InvalidStream"}, "failed", "500"},
		{testpeer.AzureFault{Status: 502, Body: "<html>"}, "failed", "502"},
		{testpeer.AzureFault{Status: 503, RetryAfter: "30"}, "wait 30s", "503"},
		{testpeer.AzureFault{Status: 504}, "failed", "504"},
		{testpeer.AzureFault{HangUp: true}, "failed", "send to"},
	} {
		peer := testpeer.StartAzure(t)
		fault := tt.fault
		peer.Fault(func(int) *testpeer.AzureFault { return &fault })
		a := azureTestSink(t, azureTestConfig(peer), Deps{})
		err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10))
		if httpKind(err) != tt.want {
			t.Errorf("%+v: %s (%v), want %s", tt.fault, httpKind(err), err, tt.want)
		}
		if err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%+v: %v, want %q in it", tt.fault, err, tt.says)
		}
		if err != nil && (strings.Contains(err.Error(), "secret-path") || strings.Contains(err.Error(), "<html>")) {
			t.Errorf("%+v: quotes what no service says: %v", tt.fault, err)
		}
	}
}

// One answer that speaks for the whole service is enough.
func TestAzure_AsksAThrottledServiceNoMore(t *testing.T) {
	for _, fault := range []testpeer.AzureFault{{Status: 429, RetryAfter: "5"}, {Status: 403}, {HangUp: true}} {
		peer := testpeer.StartAzure(t)
		peer.Fault(func(int) *testpeer.AzureFault { return &fault })
		a := azureTestSink(t, azureTestConfig(peer), Deps{})
		if err := a.Write(t.Context(), azureTestRecords(t, a, 400, 20_000)); err == nil {
			t.Errorf("%+v: taken", fault)
		}
		if n := peer.Requests(); n > 2*azureSide { // net/http may try a connection twice that is closed without an answer
			t.Errorf("%+v: %d requests", fault, n)
		}
	}
}

func TestAzure_HidesItsTokenInWhatTheServiceSays(t *testing.T) {
	for _, status := range []int{400, 401, 403, 404, 413, 429, 500, 503} {
		peer := testpeer.StartAzure(t)
		peer.Tokens.Mint(func() (string, any) { return "canary.token-value", 3599 })
		peer.Fault(func(int) *testpeer.AzureFault {
			return &testpeer.AzureFault{Status: status, Code: "x-canary.token-value", Message: "Bearer canary.token-value\x1b[2J\nis bad"}
		})
		a := azureTestSink(t, azureTestConfig(peer), Deps{})
		err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10))
		if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "Bearer ***") || strings.ContainsAny(err.Error(), "\x1b\n") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// net/http quotes a line that is no HTTP.
func TestAzure_HidesItsTokenInWhatIsNoAnswer(t *testing.T) {
	peer := testpeer.StartAzure(t)
	peer.Tokens.Mint(func() (string, any) { return "canary.token-value", 3599 })
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")+"\r\n")
		_ = conn.Close()
	}))
	t.Cleanup(echo.Close)
	cfg := azureTestConfig(peer)
	cfg.Endpoint = echo.URL
	a := azureTestSink(t, cfg, Deps{})
	err := a.Write(t.Context(), azureTestRecords(t, a, 1, 10))
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), `"***"`) {
		t.Errorf("error is %v, want the token hidden", err)
	}
}

func FuzzAzureAnswer(f *testing.F) {
	f.Add(400, []byte(`{"error":{"code":"InvalidStream","message":"Stream 'x' was not found"}}`))
	f.Add(403, []byte(`{"error":{"code":"OperationFailed","message":"\u202etoken kept-token\n"}}`))
	f.Add(413, []byte(`{"error":{"code":7}}`))
	f.Add(200, []byte(`<html>`))
	f.Add(204, []byte(nil))
	target, err := (&AzureConfig{Endpoint: "https://x.ingest.monitor.azure.com", RuleID: "dcr-1", Stream: "Custom-S"}).target()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		if status < 200 || status > 599 {
			status = 200 + (status%400+400)%400
		}
		answer := &azureAnswer{status: status, body: body}
		if answer.taken() {
			if status > 299 {
				t.Errorf("%d is taken", status)
			}
			return
		}
		err, _ := target.judgeAzure(answer, "kept-token")
		if err == nil {
			t.Fatalf("%d with %q is neither taken nor an error", status, body)
		}
		text := err.Error()
		if strings.Contains(text, "kept-token") || strings.ContainsAny(text, "\n\r\x00\x1b") || len(text) > 4_000 {
			t.Errorf("%q is not fit for a log", text)
		}
		if !strings.Contains(text, fmt.Sprint(status)) {
			t.Errorf("%q does not name the status %d", text, status)
		}
	})
}
