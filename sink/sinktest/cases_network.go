package sinktest

import (
	"context"
	"errors"
	"time"

	"s1stream/sink"
)

// within fails if Write goes on for long after its ctx ended.
func (c *testCase) within(ended time.Time) {
	c.t.Helper()
	if took := time.Since(ended); took > c.subject.Soon {
		c.t.Errorf("Write returned %v after its ctx had ended, want at most %v", took, c.subject.Soon)
	}
}

// noAck fails if a record was acknowledged, which for a best-effort sink proves nothing.
func (c *testCase) noAck(err error, records []sink.Record) {
	c.t.Helper()
	if c.subject.Grade == sink.BestEffort {
		return
	}
	if err == nil {
		c.t.Error("Write returned nil, and the peer answered nothing")
	}
	for _, r := range records {
		if c.acked[key(r)] {
			c.t.Errorf("threat %s was acknowledged, and the peer answered nothing", r.Event.ID)
		}
	}
	c.checkUnknown(err)
}

func deadlineAgainstDeafPeer(c *testCase) {
	before := c.batch(3, 100)
	c.deliver(before)
	c.eventually(before) // a best-effort peer is behind, and Deaf would swallow it
	c.rig.Net.Set(Deaf)
	ctx, cancel := context.WithTimeout(c.t.Context(), 300*time.Millisecond)
	defer cancel()
	deadline, _ := ctx.Deadline()
	// A best-effort sink goes on until the kernel's buffers are full: at most a few dozen megabytes.
	var err error
	var records []sink.Record
	for i := 0; i < 100 && err == nil && ctx.Err() == nil; i++ {
		records = c.batch(200, 3000)
		err = c.write(ctx, records)
		if c.subject.Grade == sink.Acknowledged {
			break
		}
	}
	c.within(deadline)
	c.noAck(err, records)
	c.rig.Net.Set(Flow)
	c.recover(records)
}

// recover delivers what is not acknowledged, and then a newer version of it. A best-effort sink may lose what
// it wrote around the break, so it is only asked to arrive again.
func (c *testCase) recover(records []sink.Record) {
	c.t.Helper()
	if c.subject.Grade == sink.Acknowledged {
		c.deliver(records)
		c.eventually(records)
	}
	for rev := 2; rev < 200; rev++ {
		var newer []sink.Record
		for _, r := range records[:min(3, len(records))] {
			newer = append(newer, c.record(r.Event.ID, rev, 100))
		}
		c.deliver(newer)
		arrived := true
		for _, r := range newer {
			arrived = arrived && c.has(r)
		}
		if arrived {
			c.checkOrder()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.t.Error("nothing arrives any more after the fault has gone")
}

func (c *testCase) has(r sink.Record) bool {
	for _, got := range c.rig.Received() {
		if keyOf(c.t, got) == key(r) {
			return true
		}
	}
	return false
}

func cancelAgainstMutePeer(c *testCase) {
	c.deliver(c.batch(3, 100))
	c.rig.Net.Set(Mute)
	held := c.rig.Net.Held()
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	var ended time.Time
	done := make(chan struct{})
	go func() {
		defer close(done)
		select {
		case <-held: // the peer has taken something, and its answer is on the way
		case <-time.After(c.subject.Patience):
		}
		ended = time.Now()
		cancel()
	}()
	records := c.batch(10, 300)
	err := c.write(ctx, records)
	cancel()
	<-done
	c.within(ended)
	c.noAck(err, records)
	if err != nil && ctx.Err() == nil {
		c.t.Errorf("Write ended by itself: %v", err)
	}
	c.rig.Net.Set(Flow)
	c.recover(records)
}

func brokenBefore(c *testCase) { broken(c, CutBefore) }
func brokenAfter(c *testCase)  { broken(c, CutAfter) }

func broken(c *testCase, mode Mode) {
	before := c.batch(3, 100)
	c.deliver(before)
	c.eventually(before)
	c.rig.Net.Set(mode)
	records := c.batch(10, 300)
	for range 2 { // with the connection of before, and with a new one
		ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
		err := c.write(ctx, records)
		deadline, _ := ctx.Deadline()
		cancel()
		c.within(deadline)
		c.noAck(err, records)
	}
	c.rig.Net.Set(Flow)
	c.recover(records)
}

func restart(c *testCase) {
	before := c.batch(3, 100)
	c.deliver(before)
	c.eventually(before)
	c.rig.Net.Set(Down)
	records := c.batch(10, 300)
	ctx, cancel := context.WithTimeout(c.t.Context(), time.Second)
	err := c.write(ctx, records)
	deadline, _ := ctx.Deadline()
	cancel()
	c.within(deadline)
	c.noAck(err, records)
	c.rig.Net.Set(Flow)
	c.recover(records)
}

func closeAgainstDeafPeer(c *testCase) {
	c.deliver(c.batch(3, 100))
	c.rig.Net.Set(Deaf)
	ctx, cancel := context.WithTimeout(c.t.Context(), 200*time.Millisecond)
	defer cancel()
	records := c.batch(10, 300)
	if err := c.write(ctx, records); err != nil {
		var batch *sink.BatchError
		if !errors.As(err, &batch) {
			c.checkUnknown(err)
		}
	}
	c.close()
}
