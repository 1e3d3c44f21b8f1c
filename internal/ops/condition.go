package ops

import (
	"log/slog"
	"sort"
	"sync"
	"time"

	"s1stream/internal/safe"
)

// repeatEvery is how often an error that lasts is said again.
const repeatEvery = time.Hour

// Conditions collects what keeps the process from being ready. The zero value works; a nil *Conditions
// takes everything and keeps nothing.
type Conditions struct {
	mu   sync.Mutex
	list []*Condition
}

// New adds a condition, named by its part and NAME as in "sink siem". It starts good.
func (c *Conditions) New(name string, log *slog.Logger) *Condition {
	cond := &Condition{name: name, log: log}
	if c != nil {
		c.mu.Lock()
		c.list = append(c.list, cond)
		c.mu.Unlock()
	}
	return cond
}

// Reasons returns "name: reason" of every condition that fails, sorted. Empty means ready.
func (c *Conditions) Reasons() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, cond := range c.list {
		if r := cond.Reason(); r != "" {
			out = append(out, cond.name+": "+r)
		}
	}
	sort.Strings(out)
	return out
}

// Condition is one thing that works or fails. A failure that lasts is logged once, then hourly, then its end.
type Condition struct {
	name string
	log  *slog.Logger

	mu     sync.Mutex
	reason string
	msg    string
	since  time.Time
	said   time.Time
	times  int
}

// Fail says that it fails, and why. msg is constant text; the error carries the rest. Another msg than before is
// said at once.
func (c *Condition) Fail(msg string, err error, args ...any) {
	now := time.Now()
	c.mu.Lock()
	reason := msg
	if err != nil {
		reason += ": " + safe.Text(err.Error())
	}
	first := c.reason == ""
	say := first || c.msg != msg || now.Sub(c.said) >= repeatEvery
	if first {
		c.since = now
	}
	c.times++
	c.reason, c.msg = reason, msg
	if say {
		c.said = now
	}
	since, times := c.since, c.times
	c.mu.Unlock()
	if !say {
		return
	}
	args = append([]any{"condition", c.name}, args...)
	if err != nil {
		args = append(args, "err", safe.Text(err.Error()))
	}
	if !first {
		args = append(args, "since", since.UTC().Format(time.RFC3339), "times", times)
	}
	c.log.Error(msg, args...)
}

// OK says that it works. Only the end of a failure is logged.
func (c *Condition) OK() {
	c.mu.Lock()
	if c.reason == "" {
		c.mu.Unlock()
		return
	}
	since, times := c.since, c.times
	c.reason, c.times = "", 0
	c.mu.Unlock()
	c.log.Info("recovered", "condition", c.name, "after", time.Since(since).Round(time.Millisecond).String(), "times", times)
}

// Reason returns why it fails, or "".
func (c *Condition) Reason() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}
