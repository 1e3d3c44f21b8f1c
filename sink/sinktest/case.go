package sinktest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/sink"
	"s1stream/sink/format"
)

// testCase is one sink, its peer, and what the suite knows of both.
type testCase struct {
	t       *testing.T
	subject Subject
	rig     *Rig
	sink    sink.Sink
	encode  sink.Encode
	log     *logBuffer
	errs    []error         // everything that Write returned
	acked   map[string]bool // by key
	refused map[string]bool // by key
	next    int
}

func newCase(t *testing.T, s Subject) *testCase {
	t.Helper()
	c := &testCase{t: t, subject: s, rig: s.start(t), log: &logBuffer{}, acked: map[string]bool{}, refused: map[string]bool{}}
	if (c.rig.Net == nil) != s.Local || c.rig.New == nil || c.rig.Received == nil {
		t.Fatal("a rig needs New, Received, and a Net unless its subject is Local")
	}
	if c.rig.Net != nil {
		t.Cleanup(func() { c.rig.Net.Set(Flow) })
	}
	c.sink = c.rig.New(t, sink.Deps{Name: "subject", Source: "console-1", Host: "console.example.com", Log: c.log.logger()})
	t.Cleanup(func() { _ = c.sink.Close() })
	c.encode = format.JSON
	if w, ok := c.sink.(sink.Wrapper); ok {
		c.encode = w.Wrap(format.JSON)
	}
	if got := c.sink.Grade(); got != s.Grade {
		t.Errorf("Grade() = %q, want %q", got, s.Grade)
	}
	return c
}

// close ends the sink and measures it.
func (c *testCase) close() {
	c.t.Helper()
	start := time.Now()
	if err := c.sink.Close(); err != nil {
		c.t.Logf("Close: %v", err) // allowed; what counts is that it ends
		c.errs = append(c.errs, err)
	}
	if took := time.Since(start); took > c.subject.CloseWithin {
		c.t.Errorf("Close took %v, want at most %v", took, c.subject.CloseWithin)
	}
}

// record makes version rev of the threat id, padded to about size bytes.
func (c *testCase) record(id string, rev, size int) sink.Record {
	c.t.Helper()
	at := time.Date(2026, 1, 6, 10, 0, 0, 0, time.UTC).Add(time.Duration(rev) * time.Second)
	raw := fmt.Sprintf(`{"id":%q,"rev":%d,"threatInfo":{"updatedAt":%q},"pad":"%s"}`, id, rev, at.Format(time.RFC3339), strings.Repeat("x", size))
	return c.recordOf(id, at, []byte(raw))
}

func (c *testCase) recordOf(id string, at time.Time, raw []byte) sink.Record {
	c.t.Helper()
	ev := &event.Event{Raw: raw, ID: id, UpdatedAt: at, CreatedAt: at, Source: "console-1",
		Version: event.NewVersion("console.example.com", id, at.Format(time.RFC3339), raw)}
	body, _, err := c.encode(nil, ev, c.rig.MaxBytes)
	if err != nil {
		c.t.Fatalf("encode: %v", err)
	}
	return sink.Record{Event: ev, Body: body}
}

// batch makes the first version of n threats that no batch had before.
func (c *testCase) batch(n, size int) []sink.Record {
	c.t.Helper()
	var out []sink.Record
	for range n {
		c.next++
		out = append(out, c.record(fmt.Sprintf("20000000000000%05d", c.next), 1, size))
	}
	return out
}

// write is one Write, whose answer is checked against the peer and the interface.
func (c *testCase) write(ctx context.Context, records []sink.Record) error {
	c.t.Helper()
	err := c.sink.Write(ctx, records)
	if err != nil {
		c.errs = append(c.errs, err)
	}
	failed := map[int]bool{}
	var batch *sink.BatchError
	switch {
	case errors.As(err, &batch):
		last := -1
		for _, f := range batch.Failed {
			if f.Index <= last || f.Index >= len(records) || f.Err == nil {
				c.t.Fatalf("a BatchError names indices in ascending order, in range, with a reason: %d after %d of %d, %v", f.Index, last, len(records), f.Err)
			}
			last = f.Index
			failed[f.Index] = true
			if isRefused(f.Err) {
				c.refused[key(records[f.Index])] = true
			}
		}
		if len(failed) == 0 {
			c.t.Fatal("a BatchError names at least one record")
		}
	case err != nil:
		for i := range records {
			failed[i] = true
		}
		if isRefused(err) && len(records) == 1 {
			c.refused[key(records[0])] = true
		}
	}
	for i, r := range records {
		if !failed[i] {
			c.acked[key(r)] = true
		}
	}
	c.checkAcked()
	return err
}

// checkAcked holds every ack against what the peer has. A best-effort peer may be a moment behind.
func (c *testCase) checkAcked() {
	c.t.Helper()
	if c.subject.Grade == sink.BestEffort {
		return
	}
	has := map[string]bool{}
	for _, r := range c.rig.Received() {
		has[keyOf(c.t, r)] = true
	}
	for k := range c.acked {
		if !has[k] {
			c.t.Fatalf("%s was acknowledged, and the peer has not taken it", k)
		}
	}
}

// deliver writes as a line does, until each record is taken or refused.
func (c *testCase) deliver(records []sink.Record) {
	c.t.Helper()
	for end := time.Now().Add(c.subject.Patience); len(records) > 0; {
		if time.Now().After(end) {
			c.t.Fatalf("%d records are not taken after %v, last for: %v", len(records), c.subject.Patience, c.errs[len(c.errs)-1])
		}
		ctx, cancel := context.WithTimeout(c.t.Context(), c.subject.Patience/2)
		err := c.write(ctx, records)
		cancel()
		if isRefused(err) && len(records) > 1 {
			c.deliver(records[:len(records)/2])
			records = records[len(records)/2:]
			continue
		}
		var rest []sink.Record
		for _, r := range records {
			if !c.acked[key(r)] && !c.refused[key(r)] {
				rest = append(rest, r)
			}
		}
		if records = rest; len(records) > 0 {
			time.Sleep(20 * time.Millisecond) // a line backs off longer
		}
	}
}

// eventually waits until the peer has every one of these records.
func (c *testCase) eventually(records []sink.Record) {
	c.t.Helper()
	for end := time.Now().Add(c.subject.Patience); ; time.Sleep(5 * time.Millisecond) {
		has := map[string]bool{}
		for _, r := range c.rig.Received() {
			has[keyOf(c.t, r)] = true
		}
		missing := ""
		for _, r := range records {
			if !has[key(r)] {
				missing = key(r)
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(end) {
			c.t.Fatalf("the peer has not taken %s after %v", missing, c.subject.Patience)
		}
	}
}

// checkOrder sees that for no threat an older version is the last that arrived, nor came first to arrive
// behind a newer one.
func (c *testCase) checkOrder() {
	c.t.Helper()
	newest, last := map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for _, r := range c.rig.Received() {
		k := keyOf(c.t, r)
		id, rev := parse(c.t, r.Body)
		if !seen[k] && rev < newest[id] {
			c.t.Errorf("threat %s: version %d arrived first behind version %d", id, rev, newest[id])
		}
		seen[k] = true
		newest[id], last[id] = max(newest[id], rev), rev
	}
	for id, rev := range last {
		if rev != newest[id] {
			c.t.Errorf("threat %s: the last copy is version %d, want %d", id, rev, newest[id])
		}
	}
}

func isRefused(err error) bool {
	var r *sink.RefusedError
	return errors.As(err, &r)
}

// key names one version of one threat.
func key(r sink.Record) string { return r.Event.ID + " " + r.Event.Version.String() }

// keyOf is key for what arrived; the version is recomputed from the body, and compared with what the protocol
// carried beside it.
func keyOf(t *testing.T, r Received) string {
	t.Helper()
	var doc struct {
		ID   string `json:"id"`
		Info struct {
			At string `json:"updatedAt"`
		} `json:"threatInfo"`
	}
	if err := json.Unmarshal(r.Body, &doc); err != nil {
		t.Fatalf("the peer took what is no JSON: %v\n%.200q", err, r.Body)
	}
	version := r.Version
	if version == "" {
		version = event.NewVersion("console.example.com", doc.ID, doc.Info.At, r.Body).String()
	}
	if r.ID != "" && r.ID != doc.ID {
		t.Fatalf("the protocol says threat %s, the body %s", r.ID, doc.ID)
	}
	return doc.ID + " " + version
}

func parse(t *testing.T, body []byte) (id string, rev int) {
	t.Helper()
	var doc struct {
		ID  string `json:"id"`
		Rev int    `json:"rev"`
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(&doc); err != nil {
		t.Fatalf("the peer took what is no JSON: %v", err)
	}
	return doc.ID, doc.Rev
}
