package sink

import "time"

// Type is one kind of destination, as named by a sink's `type` key.
type Type struct {
	Name string
	// Default returns a new config, a pointer, with every default set: what TOML is decoded onto.
	Default func() Config
	// Line is what a line of this type uses where batch_events, batch_bytes and batch_wait are not configured.
	Line LineDefaults
}

// LineDefaults says when a batch is full: at so many events, so many bytes, or so long after its first event. A queue
// of 0 is that of every sink.
type LineDefaults struct {
	BatchEvents int
	BatchBytes  Size
	BatchWait   time.Duration
	QueueEvents int
	QueueBytes  Size
}

// Types lists every type of sink. A new sink is one file and one line here.
func Types() []Type {
	usual := LineDefaults{BatchEvents: 500, BatchBytes: 900e3, BatchWait: 200 * time.Millisecond}
	// A batch of the file sink costs one fsync, whatever it holds.
	large := LineDefaults{BatchEvents: 1000, BatchBytes: 4 << 20, BatchWait: 200 * time.Millisecond}
	// One request is one batch, and a node likes some megabytes.
	bulk := LineDefaults{BatchEvents: 1000, BatchBytes: 5e6, BatchWait: 200 * time.Millisecond}
	// Four requests of up to 1 MB go side by side.
	calls := LineDefaults{BatchEvents: 1000, BatchBytes: 3600e3, BatchWait: 200 * time.Millisecond}
	// A batch waits for its acks as a whole. With an indexer that takes 10 s for them, and some 4 s to send and to ask, it
	// must hold 14,000 events to carry 1,000 a second, and the queue what comes meanwhile: 16,000 of 5 KB are 80 MiB
	// each, and half as much again for the garbage collector. docs/benchmarks.md measures both.
	patient := LineDefaults{BatchEvents: 16_000, BatchBytes: 80 << 20, BatchWait: 200 * time.Millisecond, QueueEvents: 16_000, QueueBytes: 80 << 20}
	return []Type{
		{"kafka", func() Config { return DefaultKafka() }, usual},
		{"syslog", func() Config { return DefaultSyslog() }, usual},
		{"http", func() Config { return DefaultHTTP() }, usual},
		{"file", func() Config { return DefaultFile() }, large},
		{"relp", func() Config { return DefaultRELP() }, usual},
		{"elastic", func() Config { return DefaultElastic() }, bulk},
		{"splunk", func() Config { return DefaultSplunk() }, patient},
		{"azure", func() Config { return DefaultAzure() }, calls},
	}
}

// Lookup returns the type of that name.
func Lookup(name string) (Type, bool) {
	for _, t := range Types() {
		if t.Name == name {
			return t, true
		}
	}
	return Type{}, false
}
