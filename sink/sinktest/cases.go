package sinktest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"s1stream/sink"
	"s1stream/sink/format"
)

func emptyBatch(c *testCase) {
	if c.rig.Net != nil {
		c.rig.Net.Set(Down)
	}
	for _, records := range [][]sink.Record{nil, {}} {
		if err := c.write(c.t.Context(), records); err != nil {
			c.t.Errorf("Write of no records: %v", err)
		}
	}
	if got := len(c.rig.Received()); got != 0 {
		c.t.Errorf("the peer took %d records", got)
	}
}

func everyRecordArrives(c *testCase) {
	var all []sink.Record
	for _, n := range []int{1, 7, 300} {
		records := c.batch(n, 1000)
		ctx, cancel := context.WithTimeout(c.t.Context(), c.subject.Patience)
		if err := c.write(ctx, records); err != nil {
			c.t.Fatalf("Write of %d records: %v", n, err)
		}
		cancel()
		c.eventually(records)
		all = append(all, records...)
	}
	count := map[string]int{}
	for _, r := range c.rig.Received() {
		count[keyOf(c.t, r)]++
	}
	for _, r := range all {
		if count[key(r)] != 1 {
			c.t.Errorf("%s arrived %d times, want once", key(r), count[key(r)])
		}
	}
	if len(count) != len(all) {
		c.t.Errorf("%d versions arrived, want %d", len(count), len(all))
	}
}

func byteForByte(c *testCase) {
	at := time.Date(2026, 1, 6, 10, 0, 0, 0, time.UTC)
	const head = `{"id":"1","threatInfo":{"updatedAt":"2026-01-06T10:00:00Z"},`
	for _, raw := range []string{
		head + `"a":"\u0041 \/ \u2028 é 😀","n":1.0e2,"big":12345678901234567890}`,
		head + "\"invalid utf-8\":\"\xff\xfe\xc3\"}",
		head + `"spaces" :  [ 1 ,2 ]  }`,
		head + "\r\n\t\"lines\":\n1\r}",
		head + `"quotes":"\"\\]\"","template":"{{ %s %d ${x} }}"}`,
	} {
		r := c.recordOf("1", at, []byte(raw))
		r.Event.Version[0]++ // its own, so that keyOf is not asked to recompute it
		c.deliver1(r)
		want := []byte(raw)
		if c.subject.OneLine {
			want = format.OneLine(want)
		}
		if c.subject.UTF8 {
			want = bytes.ToValidUTF8(want, []byte("\uFFFD"))
		}
		if !c.received(func(got Received) bool { return bytes.Equal(got.Body, want) }) {
			c.t.Errorf("the peer has not taken %q as it is, but %.300q", want, c.rig.Received())
		}
	}
}

// deliver1 delivers one record without looking at what arrives.
func (c *testCase) deliver1(r sink.Record) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), c.subject.Patience)
	defer cancel()
	if err := c.sink.Write(ctx, []sink.Record{r}); err != nil {
		c.t.Fatalf("Write: %v", err)
	}
}

// received waits until the peer has something like it.
func (c *testCase) received(like func(Received) bool) bool {
	limit := c.subject.Patience
	if c.subject.Grade == sink.Acknowledged {
		limit = 0
	}
	for end := time.Now().Add(limit); ; time.Sleep(5 * time.Millisecond) {
		if slices.ContainsFunc(c.rig.Received(), like) {
			return true
		}
		if !time.Now().Before(end) {
			return false
		}
	}
}

func neitherChangedNorKept(c *testCase) {
	records := c.batch(20, 500)
	var want [][]byte
	for i := range records {
		records[i].Body = bytes.Clone(records[i].Body)
		want = append(want, bytes.Clone(records[i].Body))
	}
	c.deliver(records)
	for i, r := range records {
		if !bytes.Equal(r.Body, want[i]) {
			c.t.Errorf("Write changed record %d", i)
		}
	}
	c.eventually(records)
	for _, r := range records {
		for i := range r.Body {
			r.Body[i] = '!' // the line uses the bytes again
		}
	}
	more := c.batch(20, 500)
	c.deliver(more)
	c.eventually(more)
	for _, r := range c.rig.Received() {
		if bytes.Contains(r.Body, []byte("!!!!")) {
			c.t.Fatalf("a record was sent after its Write had returned: %.200q", r.Body)
		}
	}
}

func versionsStayInOrder(c *testCase) {
	var last []sink.Record
	for rev := 1; rev <= 6; rev++ {
		last = nil
		for _, id := range []string{"11", "12", "13", "14", "15", "16", "17", "18", "19"} {
			last = append(last, c.record(id, rev, 300))
		}
		c.deliver(last)
	}
	c.eventually(last)
	c.checkOrder()
}

func constantGrade(c *testCase) {
	c.deliver(c.batch(1, 10))
	if got := c.sink.Grade(); got != c.subject.Grade {
		c.t.Errorf("Grade() after a Write = %q, want %q", got, c.subject.Grade)
	}
}

func closeWithoutWrite(c *testCase) {
	c.close()
	c.close()
}

func endedContext(c *testCase) {
	ctx, cancel := context.WithCancel(c.t.Context())
	cancel()
	records := c.batch(5, 100)
	start := time.Now()
	err := c.write(ctx, records) // which holds any ack against the peer
	if took := time.Since(start); took > c.subject.Soon {
		c.t.Errorf("Write took %v, want at most %v", took, c.subject.Soon)
	}
	c.checkUnknown(err)
	c.deliver(records)
	c.eventually(records)
}

// checkUnknown sees that an error blames neither a record nor the operator.
func (c *testCase) checkUnknown(err error) {
	c.t.Helper()
	var batch *sink.BatchError
	var denied *sink.DeniedError
	all := []error{err}
	if errors.As(err, &batch) {
		all = nil
		for _, f := range batch.Failed {
			all = append(all, f.Err)
		}
	}
	for _, e := range all {
		if isRefused(e) || errors.As(e, &denied) {
			c.t.Errorf("an unknown outcome is called refused or denied: %v", e)
		}
	}
}
