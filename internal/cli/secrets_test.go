package cli

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"s1stream/internal/config"
	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
)

// TestSecrets_AreShownNowhere lets everything fail that knows a secret, and looks at all that is printed.
func TestSecrets_AreShownNowhere(t *testing.T) {
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer hook.Close()
	sentinel := testpeer.StartAzure(t) // answers with all that it was sent
	sentinel.Tokens.Secret = "canary-client-secret"
	sentinel.Tokens.Mint(func() (string, any) { return "canary-access-token", 3600 })
	sentinel.Deny(true)
	_, server := serve(t, 3)
	s := configure(t, server.URL, "", fmt.Sprintf(`
[source.far]
url = "https://console.invalid"
token = "canary-far-token"
proxy = "http://user:canary-proxy-password@%[2]s"
[sink.hook]
type = "http"
sources = ["prod"]
url = "%[1]s/services/canary-webhook-path?key=canary-webhook-query"
auth.type = "bearer"
auth.token = "canary-bearer"
[sink.dead]
type = "http"
sources = ["prod"]
url = "http://%[2]s/canary-dead-path"
headers = { X-Key = "canary-header" }
[sink.queue]
type = "kafka"
sources = ["prod"]
brokers = ["%[2]s"]
topic = "t"
sasl.mechanism = "SCRAM-SHA-512"
sasl.username = "u"
sasl.password = "canary-sasl-password"
[sink.sentinel]
type = "azure"
sources = ["prod"]
endpoint = "%[3]s"
rule_id = "%[4]s"
tenant_id = "%[5]s"
authority = "%[6]s"
client_id = "%[7]s"
client_secret = "canary-client-secret"
`, hook.URL, closedAddr(t), sentinel.URL, sentinel.Rule, sentinel.Tenant, sentinel.Authority(), sentinel.Tokens.ClientID))
	env := []string{"S1STREAM_OPS__LISTEN=127.0.0.1:0", "S1STREAM_LOG__LEVEL=debug", "S1STREAM_SINK__SIEM__PATH=" + s.out + ".{source}"}

	var shown strings.Builder
	p := begin(t, env, "run", "--config", s.file)
	var addr string
	until(t, "it runs", func() bool {
		m := regexp.MustCompile(`ops=(\S+)`).FindStringSubmatch(p.err.String())
		if m != nil {
			addr = m[1]
		}
		if len(p.done) > 0 {
			t.Fatalf("it ended:\n%s", p.err)
		}
		return m != nil
	})
	until(t, "every sink that can't deliver says so", func() bool {
		_, reasons := httpGet(t, "http://"+addr+"/readyz")
		return strings.Contains(reasons, "sink hook on prod") && strings.Contains(reasons, "sink dead on prod") &&
			strings.Contains(reasons, "sink queue on prod") && strings.Contains(reasons, "sink sentinel on prod") && strings.Contains(reasons, "source far")
	})
	for _, path := range []string{"/readyz", "/metrics"} {
		_, body := httpGet(t, "http://"+addr+path)
		shown.WriteString(body)
	}
	p.signal()
	p.end(t)
	p.wantCode(t, exitDrain)
	shown.WriteString(p.out.String() + p.err.String())

	p = call(t, env, "check", "--config", s.file)
	p.wantCode(t, exitFailed)
	shown.WriteString(p.out.String() + p.err.String())
	p = call(t, env, "threats", "--config", s.file, "--source", "far")
	p.wantCode(t, exitFailed)
	shown.WriteString(p.out.String() + p.err.String())
	p = call(t, env, "checkpoint", "show", "--config", s.file, "--json")
	shown.WriteString(p.out.String() + p.err.String())

	if leak := regexp.MustCompile(`.*canary-.*`).FindString(shown.String()); leak != "" {
		t.Errorf("shows a secret: %s", leak)
	}
	if !strings.Contains(shown.String(), hook.URL) {
		t.Error("does not name the host that refuses: the test looks at nothing")
	}
}

func TestLog_CleansWhatOthersSaidAndHidesSecrets(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		var b strings.Builder
		log := newLog(&b, config.Log{Level: "info", Format: format})
		log.Info("said", "text", "a\u202eb\x1b", "err", fmt.Errorf("c\u2066d: %w", net.ErrClosed), "list", []string{"e\u200bf"},
			"token", safe.Secret("canary"), slog.Group("g", "x", "h\u202ei"), "n", 7)
		log.Debug("not this")
		out := b.String()
		if strings.ContainsAny(out, "\u202e\u2066\u200b\x1b") || strings.Contains(out, "canary") || strings.Contains(out, "not this") {
			t.Errorf("%s: %q", format, out)
		}
		contains(t, out, "a?b?", "c?d", "e?f", "h?i", "7", "INFO")
	}
}

func TestNotify_SaysNothingWithoutASocketAndFailsOnABrokenOne(t *testing.T) {
	a, _ := discardOutput()
	if err := a.notify(context.Background(), "READY=1"); err != nil {
		t.Error(err)
	}
	a.env = []string{"NOTIFY_SOCKET=@s1stream-test-that-nobody-listens-on"}
	if err := a.notify(context.Background(), "READY=1"); err == nil {
		t.Error("a socket that nobody listens on is no error")
	}
}
