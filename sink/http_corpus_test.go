package sink

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"s1stream/internal/corpus"
	"s1stream/internal/safe"
	"s1stream/sink/format"
)

var corpusDir = flag.String("corpus.dir", "", "where TestCorpus writes requests for .ci/judges")

// httpDump is one request as a receiver had it, and what it was meant to say: a line of webhook.ndjson, which
// .ci/judges/webhook reads.
type httpDump struct {
	Name    string            `json:"name"`
	Mode    string            `json:"mode"` // `body`
	Format  string            `json:"format"`
	Limit   int               `json:"limit"` // of the body, 0 for none
	Secrets []string          `json:"secrets"`
	Headers map[string]string `json:"headers"` // by lower-case name
	Body    []byte            `json:"body"`    // decompressed
	Events  []httpDumpEvent   `json:"events"`
}

type httpDumpEvent struct {
	Name    string `json:"name"`
	ID      string `json:"id"`
	Version string `json:"version"`
	At      int64  `json:"at"`     // updatedAt, in milliseconds
	Digest  string `json:"digest"` // SHA-256 of what the format alone makes of it, without a limit
}

// httpDumper sends the corpus through sinks, in groups of ten threats: each group in one format and in every mode.
type httpDumper struct {
	t     *testing.T
	url   string
	rec   *httpRecorder
	write *json.Encoder
	lines int
}

// TestCorpus_IsWrittenForTheJudgesOfWebhooks sends the corpus and writes every request, for a package that verifies
// signatures and for a CloudEvents SDK. Where no judge asks, it does so for a few threats.
func TestCorpus_IsWrittenForTheJudgesOfWebhooks(t *testing.T) {
	dir, size := *corpusDir, corpus.Size
	if dir == "" {
		dir, size = t.TempDir(), 100
	}
	f, err := os.Create(filepath.Join(dir, "webhook.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	rec := &httpRecorder{}
	srv := httptest.NewServer(rec)
	defer srv.Close()
	d := httpDumper{t: t, url: srv.URL, rec: rec, write: json.NewEncoder(w)}
	d.write.SetEscapeHTML(false)
	var group []corpus.Case
	groups := 0
	for c := range corpus.Threats(1, size) {
		if group = append(group, c); len(group) == 10 {
			d.group(groups, group)
			group, groups = nil, groups+1
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if groups != size/10 || d.lines < groups*21 { // 10 structured, 10 binary and a batch at least
		t.Errorf("%d groups and %d requests", groups, d.lines)
	}
}

// group sends ten threats in every mode.
func (d *httpDumper) group(n int, cases []corpus.Case) {
	d.t.Helper()
	names := format.Names()
	name := names[n%len(names)]
	secrets := []safe.Secret{httpTestSecret2, httpTestSecret}[:1+n%2]
	limit := 0
	if n%7 == 3 {
		limit = 4000
	}
	for _, mode := range httpBodies {
		switch {
		case mode == httpArray && format.ContentType(name) != format.JSONType:
			continue // no array holds it
		case mode != httpStructured && mode != httpBatched && mode != httpBinary && n%4 > 0:
			continue // signatures alone are judged there
		}
		d.send(mode, name, n%3 == 0, limit, secrets, cases)
	}
}

func (d *httpDumper) send(mode, name string, zip bool, limit int, secrets []safe.Secret, cases []corpus.Case) {
	d.t.Helper()
	cfg := DefaultHTTP()
	cfg.URL, cfg.Body, cfg.Gzip, cfg.Concurrency = safe.Secret(d.url), mode, zip, 1
	cfg.Signing = HTTPSigning{Secrets: secrets, HubSignature: true}
	s, err := NewHTTP(*cfg, Deps{Host: "console.example", ContentType: format.ContentType(name), MaxMessageBytes: limit})
	if err != nil {
		d.t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	encode, err := format.New(name, format.Options{}, "console.example", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	max := 0
	if limit > 0 {
		max = cfg.MaxBytes(limit)
	}
	records, events := make([]Record, len(cases)), map[string]httpDumpEvent{}
	for i := range cases {
		ev := &cases[i].Event
		body, _, err := s.Wrap(encode)(nil, ev, max)
		if err != nil {
			d.t.Fatalf("%s: %v", cases[i].Name, err)
		}
		records[i] = Record{Event: ev, Body: body}
		whole, _, err := encode(nil, ev, 0)
		if err != nil {
			d.t.Fatal(err)
		}
		digest := sha256.Sum256(bytes.ToValidUTF8(whole, []byte("\uFFFD")))
		events[ev.Version.String()] = httpDumpEvent{
			Name: cases[i].Name, ID: ev.ID, Version: ev.Version.String(), At: ev.UpdatedAt.UnixMilli(), Digest: hex.EncodeToString(digest[:]),
		}
	}
	if err := s.Write(d.t.Context(), records); err != nil {
		d.t.Fatal(err)
	}
	keys := map[string][]Record{}
	for _, r := range s.split(records) {
		keys[s.key(records[r[0]:r[1]])] = records[r[0]:r[1]]
	}
	for _, seen := range d.rec.take() {
		dump := httpDump{Name: mode + " of " + name, Mode: mode, Format: name, Limit: limit, Headers: map[string]string{}, Body: seen.body}
		for header, values := range seen.header {
			dump.Headers[strings.ToLower(header)] = strings.Join(values, ", ")
		}
		for _, one := range secrets {
			dump.Secrets = append(dump.Secrets, one.Reveal())
		}
		for _, r := range keys[seen.header.Get("Idempotency-Key")] {
			dump.Events = append(dump.Events, events[r.Event.Version.String()])
		}
		if len(dump.Events) == 0 {
			d.t.Fatalf("%s: a request without its events: %v", dump.Name, seen.header)
		}
		if err := d.write.Encode(dump); err != nil {
			d.t.Fatal(err)
		}
		d.lines++
	}
}
