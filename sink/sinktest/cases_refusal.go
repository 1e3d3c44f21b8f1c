package sinktest

import (
	"context"
	"errors"

	"s1stream/sink"
)

func exactlyTheRefused(c *testCase) {
	if c.rig.Refuse == nil {
		c.t.Log("does not apply: this peer refuses no record")
		return
	}
	records := c.batch(40, 300)
	guilty := map[string]bool{}
	var ids []string
	for _, i := range []int{0, 17, 18, 39} {
		guilty[key(records[i])] = true
		ids = append(ids, records[i].Event.ID)
	}
	c.rig.Refuse(ids...)
	c.deliver(records)
	for _, r := range records {
		if got, want := c.refused[key(r)], guilty[key(r)]; got != want {
			c.t.Errorf("threat %s: refused = %v, want %v", r.Event.ID, got, want)
		}
		if got, want := c.acked[key(r)], !guilty[key(r)]; got != want {
			c.t.Errorf("threat %s: acknowledged = %v, want %v", r.Event.ID, got, want)
		}
	}
	for _, got := range c.rig.Received() {
		if guilty[keyOf(c.t, got)] {
			c.t.Errorf("the peer says that it refused %s, and has it", keyOf(c.t, got))
		}
	}
	after := c.batch(3, 100)
	c.deliver(after)
	c.eventually(after)
}

func allRefused(c *testCase) {
	if c.rig.Refuse == nil {
		c.t.Log("does not apply: this peer refuses no record")
		return
	}
	records := c.batch(5, 100)
	var ids []string
	for _, r := range records {
		ids = append(ids, r.Event.ID)
	}
	c.rig.Refuse(ids...)
	c.deliver(records)
	if len(c.refused) != len(records) || len(c.acked) != 0 {
		c.t.Errorf("%d refused and %d acknowledged, want %d and 0", len(c.refused), len(c.acked), len(records))
	}
}

func denied(c *testCase) {
	if c.rig.Deny == nil {
		c.t.Log("does not apply: this peer denies nobody")
		return
	}
	c.rig.Deny(true)
	records := c.batch(10, 100)
	ctx, cancel := context.WithTimeout(c.t.Context(), c.subject.Patience)
	defer cancel()
	err := c.write(ctx, records)
	var d *sink.DeniedError
	if !errors.As(err, &d) {
		c.t.Errorf("Write to a peer that denies us: %v, want a DeniedError", err)
	}
	if len(c.acked) != 0 || len(c.rig.Received()) != 0 {
		c.t.Error("records were taken by a peer that denies us")
	}
	c.rig.Deny(false)
	c.deliver(records)
	c.eventually(records)
	if len(c.refused) != 0 {
		c.t.Error("a denial refused records")
	}
}
