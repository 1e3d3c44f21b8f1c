package sink_test

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
	"s1stream/sink"
	"s1stream/sink/sinktest"
)

const (
	canaryPath   = "/hooks/T0CANARYPATH/B0CANARYPATH"
	canaryQuery  = "CANARYQUERYVALUE"
	canaryToken  = "CANARYTOKENVALUE"
	canaryHeader = "CANARYHEADERVALUE"
	canaryGrant  = "CANARYGRANTEDTOKEN"
	canarySecret = "whsec_CANARYCANARYCANARYCANARYCANARYCA"
	canaryClient = "CANARYCLIENTSECRET"
)

// httpPeer takes events as configured and is as unhelpful with secrets as a server can be: it echoes them.
type httpPeer struct {
	mu       sync.Mutex
	received []sinktest.Received
	refuse   map[string]bool
	deny     bool
	requests int
	token    func(token string) bool // whether it is who we are
	signed   bool                    // requests must be
}

func (p *httpPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return // cut off: the answer would reach nobody
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	echo := fmt.Sprintf("%s %s %v", r.Method, r.URL, r.Header)
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if p.deny || !p.token(token) || p.signed && !signedBy(canarySecret, r.Header, body) || r.Header.Get("X-Extra") != canaryHeader ||
		r.URL.RequestURI() != canaryPath+"?key="+canaryQuery {
		http.Error(w, echo, http.StatusUnauthorized)
		return
	}
	var parts []json.RawMessage
	switch {
	case strings.HasSuffix(r.Header.Get("Content-Type"), "x-ndjson"):
		for _, line := range bytes.SplitAfter(body, []byte("\n")) {
			if len(line) > 0 {
				parts = append(parts, bytes.TrimSuffix(line, []byte("\n")))
			}
		}
	case len(body) > 0 && body[0] == '[':
		if err := json.Unmarshal(body, &parts); err != nil {
			http.Error(w, err.Error(), http.StatusTeapot)
			return
		}
	default:
		parts = append(parts, body)
	}
	var taken []sinktest.Received
	for _, part := range parts {
		rec := sinktest.Received{Body: part}
		switch {
		case strings.HasPrefix(r.Header.Get("Content-Type"), "application/cloudevents"):
			var ce struct {
				ID, Subject string
				Data        json.RawMessage
			}
			if err := json.Unmarshal(part, &ce); err != nil || ce.ID == "" {
				http.Error(w, echo, http.StatusTeapot)
				return
			}
			rec = sinktest.Received{ID: ce.Subject, Version: ce.ID, Body: ce.Data}
			part = ce.Data
		case r.Header.Get("Ce-Id") != "":
			rec.ID, rec.Version = r.Header.Get("Ce-Subject"), r.Header.Get("Ce-Id")
		case len(parts) == 1 && len(r.Header.Get("Idempotency-Key")) == 32:
			rec.Version = r.Header.Get("Idempotency-Key")
		}
		var doc struct{ ID string }
		if err := json.Unmarshal(part, &doc); err != nil || p.refuse[doc.ID] {
			http.Error(w, "can't take "+doc.ID+" of "+echo, http.StatusUnprocessableEntity)
			return
		}
		taken = append(taken, rec)
	}
	p.received = append(p.received, taken...)
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"ok":true}`)
}

// signedBy is what a receiver does by Standard Webhooks.
func signedBy(secret string, h http.Header, body []byte) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%s.%s.%s", h.Get("webhook-id"), h.Get("webhook-timestamp"), body)
	return err == nil && slices.Contains(strings.Split(h.Get("webhook-signature"), " "), "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func httpRig(t *testing.T, secure bool, change func(*sink.HTTPConfig)) *sinktest.Rig {
	t.Helper()
	net, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	peer := &httpPeer{refuse: map[string]bool{}, token: func(token string) bool { return token == canaryToken }}
	cfg := sink.DefaultHTTP()
	base, ca := serveOn(t, net, peer, secure, true)
	cfg.TLS.CAFile = ca
	cfg.URL = safe.Secret(base + canaryPath + "?key=" + canaryQuery)
	cfg.Auth.Type, cfg.Auth.Token = "bearer", canaryToken
	cfg.Headers = map[string]string{"X-Extra": canaryHeader}
	change(cfg)
	if cfg.Auth.Type == "oauth2" {
		tokens := testpeer.StartTokens(t, false)
		n := 0
		tokens.Mint(func() (string, any) { n++; return fmt.Sprintf("%s-%d", canaryGrant, n), 3600 })
		tokens.Secret = canaryClient
		cfg.Auth = sink.HTTPAuth{Type: "oauth2", TokenURL: tokens.URL, ClientID: tokens.ClientID, ClientSecret: canaryClient, Scope: tokens.Scope}
		peer.token = tokens.Valid
	}
	peer.signed = len(cfg.Signing.Secrets) > 0
	return &sinktest.Rig{
		Config: cfg,
		Received: func() []sinktest.Received {
			peer.mu.Lock()
			defer peer.mu.Unlock()
			return slices.Clone(peer.received)
		},
		Net: net,
		Refuse: func(ids ...string) {
			peer.mu.Lock()
			defer peer.mu.Unlock()
			for _, id := range ids {
				peer.refuse[id] = true
			}
		},
		Deny: func(on bool) {
			peer.mu.Lock()
			defer peer.mu.Unlock()
			peer.deny = on
		},
		Secrets: []string{canaryPath, "T0CANARYPATH", canaryQuery, canaryToken, canaryHeader, canaryGrant, canaryClient, canarySecret, canarySecret[len("whsec_"):]},
	}
}

func TestHTTP_PassesTheSuite(t *testing.T) {
	sign := func(c *sink.HTTPConfig) {
		c.Signing = sink.HTTPSigning{Secrets: []safe.Secret{"whsec_" + safe.Secret(strings.Repeat("A", 32)), canarySecret}, HubSignature: true}
	}
	for _, v := range []struct {
		name          string
		secure        bool
		oneLine, utf8 bool
		change        func(*sink.HTTPConfig)
	}{
		{"single", false, false, false, func(*sink.HTTPConfig) {}},
		{"array", false, false, false, func(c *sink.HTTPConfig) { c.Body = "array" }},
		{"ndjson in gzip", false, true, false, func(c *sink.HTTPConfig) { c.Body, c.Gzip = "ndjson", true }},
		{"ndjson over HTTP/2", true, true, false, func(c *sink.HTTPConfig) { c.Body = "ndjson" }},
		{"signed arrays in gzip", false, false, true, func(c *sink.HTTPConfig) { c.Body, c.Gzip = "array", true; sign(c) }},
		{"CloudEvents", false, false, true, func(c *sink.HTTPConfig) { c.Body = "cloudevents" }},
		{"CloudEvents in batches", false, false, true, func(c *sink.HTTPConfig) { c.Body = "cloudevents-batch" }},
		{"binary CloudEvents, signed", false, false, true, func(c *sink.HTTPConfig) { c.Body = "cloudevents-binary"; sign(c) }},
		{"OAuth2", false, false, false, func(c *sink.HTTPConfig) { c.Auth.Type = "oauth2" }},
	} {
		t.Run(v.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Subject{
				Grade:   sink.Acknowledged,
				OneLine: v.oneLine,
				UTF8:    v.utf8,
				Start:   func(t *testing.T) *sinktest.Rig { return httpRig(t, v.secure, v.change) },
			})
		})
	}
}
