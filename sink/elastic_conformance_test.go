package sink_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"s1stream/sink"
	"s1stream/sink/sinktest"
)

const (
	elasticCanaryID  = "CANARYKEYID"
	elasticCanaryKey = "CANARYKEYVALUE"
	// base64 of CANARYKEYID:CANARYKEYVALUE
	elasticCanaryPair = "Q0FOQVJZS0VZSUQ6Q0FOQVJZS0VZVkFMVUU="
)

// elasticPeer is _bulk of a data stream, as strict as a node, and as unhelpful with secrets as a proxy in front of it
// can be: it echoes them.
type elasticPeer struct {
	mu       sync.Mutex
	received []sinktest.Received
	stored   map[string]bool // by _id
	refuse   map[string]bool
	deny     bool
}

var elasticSplice = regexp.MustCompile(`^\{"@timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",`)

func (p *elasticPeer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
	echo := fmt.Sprintf("%s %s %v", r.Method, r.URL, r.Header)
	switch {
	case p.deny || r.Header.Get("Authorization") != "ApiKey "+elasticCanaryPair:
		http.Error(w, echo, http.StatusUnauthorized)
		return
	case r.Method != http.MethodPost || r.URL.Path != "/logs-test-default/_bulk":
		http.Error(w, echo, http.StatusNotFound)
		return
	case r.Header.Get("Content-Type") != "application/x-ndjson" || !bytes.HasSuffix(body, []byte("\n")):
		http.Error(w, echo, http.StatusNotAcceptable)
		return
	}
	lines := bytes.Split(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	if len(lines)%2 != 0 {
		http.Error(w, echo, http.StatusTeapot)
		return
	}
	var items []string
	for i := 0; i < len(lines); i += 2 {
		var action map[string]struct {
			ID string `json:"_id"`
		}
		if err := json.Unmarshal(lines[i], &action); err != nil || action["create"].ID == "" {
			http.Error(w, echo, http.StatusTeapot)
			return
		}
		id, doc := action["create"].ID, elasticSplice.ReplaceAll(lines[i+1], []byte("{"))
		var threat struct{ ID string }
		switch err := json.Unmarshal(doc, &threat); {
		case err != nil || p.refuse[threat.ID] || len(doc) == len(lines[i+1]):
			items = append(items, fmt.Sprintf(`{"create":{"_id":%q,"status":400,"error":{"type":"mapper_parsing_exception","reason":%q}}}`, id, echo))
		case p.stored[id]:
			items = append(items, fmt.Sprintf(`{"create":{"_id":%q,"status":409,"error":{"type":"version_conflict_engine_exception"}}}`, id))
		default:
			p.stored[id] = true
			p.received = append(p.received, sinktest.Received{ID: threat.ID, Version: id, Body: doc})
			items = append(items, fmt.Sprintf(`{"create":{"_id":%q,"status":201}}`, id))
		}
	}
	_, _ = fmt.Fprintf(w, `{"errors":true,"items":[%s]}`, strings.Join(items, ","))
}

func elasticRig(t *testing.T, secure bool, change func(*sink.ElasticConfig)) *sinktest.Rig {
	t.Helper()
	net, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	peer := &elasticPeer{stored: map[string]bool{}, refuse: map[string]bool{}}
	cfg := sink.DefaultElastic()
	base, ca := serveOn(t, net, peer, secure, true)
	cfg.TLS.CAFile = ca
	cfg.URLs, cfg.Target = []string{base}, "logs-test-default"
	cfg.Auth.Type, cfg.Auth.APIKey = "api_key", elasticCanaryID+":"+elasticCanaryKey
	change(cfg)
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
		Secrets: []string{elasticCanaryKey, elasticCanaryPair},
	}
}

func TestElastic_PassesTheSuite(t *testing.T) {
	for _, v := range []struct {
		name   string
		secure bool
		change func(*sink.ElasticConfig)
	}{
		{"gzip", false, func(*sink.ElasticConfig) {}},
		{"without gzip, over HTTP/2", true, func(c *sink.ElasticConfig) { c.Gzip = false }},
	} {
		t.Run(v.name, func(t *testing.T) {
			sinktest.Run(t, sinktest.Subject{
				Grade: sink.Acknowledged, OneLine: true, UTF8: true,
				Start: func(t *testing.T) *sinktest.Rig { return elasticRig(t, v.secure, v.change) },
			})
		})
	}
}
