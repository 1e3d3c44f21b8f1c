package testpeer

import (
	"encoding/json"
	"sync"
	"time"
)

// FakeSplunk is a collector as Splunk documents it, in process: no Splunk that gives indexer acks can be installed. It
// holds clients to the rules: the token and how it is sent, a channel where there are acks, envelopes one behind the
// other, an event in each. What it takes is in memory until it is indexed, IndexAfter later, and lost if it crashes
// before. It acknowledges what is indexed, once. Serve it with httptest; set its fields before the first request.
// https://docs.splunk.com/Documentation/Splunk/latest/Data/AboutHECIDXAck
type FakeSplunk struct {
	Token      string
	Acks       bool          // indexer acknowledgment is on for the token
	IndexAfter time.Duration // from an answer to its event being indexed
	MaxBytes   int           // of a request, unzipped
	Sticky     bool          // a load balancer in front, which wants its cookie back

	mu       sync.Mutex
	channels map[string]*splunkChannel
	indexed  []SplunkEvent
	memory   []*splunkRequest
	refuse   map[string]bool // by threat id
	deny     bool
	answer   func(path string) (status int, body string)
	requests int // to /event
}

// SplunkEvent is one envelope.
type SplunkEvent struct {
	Time       json.Number
	Host       string
	Source     string
	SourceType string
	Index      string
	Fields     map[string]string
	Event      json.RawMessage
}

// splunkRequest is what one request brought that is not indexed yet.
type splunkRequest struct {
	events []SplunkEvent
	at     time.Time
	owner  *splunkChannel // nil where nothing is acknowledged
	id     int64
}

type splunkChannel struct {
	next  int64
	acked map[int64]bool // indexed, and not yet told
}

// Indexed lists what is indexed by now, in order.
func (f *FakeSplunk) Indexed() []SplunkEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index()
	return append([]SplunkEvent(nil), f.indexed...)
}

// Count returns how many events are indexed by now, and how many wait in memory.
func (f *FakeSplunk) Count() (indexed, waiting int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index()
	for _, r := range f.memory {
		waiting += len(r.events)
	}
	return len(f.indexed), waiting
}

// index moves what is due. The caller holds the lock.
func (f *FakeSplunk) index() {
	var rest []*splunkRequest
	for _, r := range f.memory {
		if time.Since(r.at) < f.IndexAfter {
			rest = append(rest, r)
			continue
		}
		f.indexed = append(f.indexed, r.events...)
		if r.owner != nil {
			r.owner.acked[r.id] = true
		}
	}
	f.memory = rest
}

// Crash ends the collector and starts it again. Of each event in memory survives decides whether it came to be indexed
// (nil: none did), and nobody will ever hear which: channels and acks are forgotten. It returns how many are lost.
func (f *FakeSplunk) Crash(survives func() bool) (lost int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index()
	for _, r := range f.memory {
		for _, e := range r.events {
			if survives != nil && survives() {
				f.indexed = append(f.indexed, e)
			} else {
				lost++
			}
		}
	}
	f.memory, f.channels = nil, nil
	return lost
}

// Refuse makes it call these threats malformed.
func (f *FakeSplunk) Refuse(ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil {
		f.refuse = map[string]bool{}
	}
	for _, id := range ids {
		f.refuse[id] = true
	}
}

// Deny makes it call the token invalid.
func (f *FakeSplunk) Deny(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deny = on
}

// Answer lets answer speak for it, by the path below /services/collector, where it returns a status; nil ends that.
func (f *FakeSplunk) Answer(answer func(path string) (status int, body string)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer = answer
}

// SetIndexAfter changes how long indexing takes, of what is in memory too.
func (f *FakeSplunk) SetIndexAfter(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.IndexAfter = d
}

// Acknowledge makes it owe a channel these acks, as if that had sent events before.
func (f *FakeSplunk) Acknowledge(channel string, ids ...int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range ids {
		f.channel(channel).acked[id] = true
	}
}

// Channels returns how many channels have sent events to how many nodes.
func (f *FakeSplunk) Channels() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.channels)
}

// channel returns the one of that name, made where it is new. The caller holds the lock.
func (f *FakeSplunk) channel(name string) *splunkChannel {
	if f.channels == nil {
		f.channels = map[string]*splunkChannel{}
	}
	if f.channels[name] == nil {
		f.channels[name] = &splunkChannel{acked: map[int64]bool{}}
	}
	return f.channels[name]
}
