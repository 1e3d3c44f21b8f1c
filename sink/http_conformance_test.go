package sink_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
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
)

// httpPeer takes events as configured and is as unhelpful with secrets as a server can be: it echoes them.
type httpPeer struct {
	mu       sync.Mutex
	received []sinktest.Received
	refuse   map[string]bool
	deny     bool
	requests int
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
	if p.deny || r.Header.Get("Authorization") != "Bearer "+canaryToken || r.Header.Get("X-Extra") != canaryHeader ||
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
		if len(parts) == 1 && len(r.Header.Get("Idempotency-Key")) == 32 {
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

func httpRig(t *testing.T, secure bool, change func(*sink.HTTPConfig)) *sinktest.Rig {
	t.Helper()
	net, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	peer := &httpPeer{refuse: map[string]bool{}}
	srv := &httptest.Server{Listener: net, Config: &http.Server{Handler: peer, ErrorLog: log.New(io.Discard, "", 0)}, EnableHTTP2: secure}
	cfg := sink.DefaultHTTP()
	scheme := "http://"
	if secure {
		certs := testpeer.NewCerts(t)
		srv.TLS = serverTLS(t, certs)
		srv.StartTLS()
		scheme, cfg.TLS.CAFile = "https://", certs.CA
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		net.Set(sinktest.Flow)
		srv.Close()
	})
	cfg.URL = safe.Secret(scheme + net.Addr().String() + canaryPath + "?key=" + canaryQuery)
	cfg.Auth.Type, cfg.Auth.Token = "bearer", canaryToken
	cfg.Headers = map[string]string{"X-Extra": canaryHeader}
	change(cfg)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	return &sinktest.Rig{
		New: func(t *testing.T, d sink.Deps) sink.Sink {
			t.Helper()
			s, err := cfg.New(d)
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		MaxBytes: cfg.MaxBytes(0),
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
		Secrets: []string{canaryPath, "T0CANARYPATH", canaryQuery, canaryToken, canaryHeader},
	}
}

func TestHTTP_PassesTheSuite(t *testing.T) {
	for _, v := range []struct {
		name    string
		secure  bool
		oneLine bool
		change  func(*sink.HTTPConfig)
	}{
		{"single", false, false, func(*sink.HTTPConfig) {}},
		{"array", false, false, func(c *sink.HTTPConfig) { c.Body = "array" }},
		{"ndjson in gzip", false, true, func(c *sink.HTTPConfig) { c.Body, c.Gzip = "ndjson", true }},
		{"ndjson over HTTP/2", true, true, func(c *sink.HTTPConfig) { c.Body = "ndjson" }},
	} {
		t.Run(v.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Subject{
				Grade:   sink.Acknowledged,
				OneLine: v.oneLine,
				Start:   func(t *testing.T) *sinktest.Rig { return httpRig(t, v.secure, v.change) },
			})
		})
	}
}
