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

// LineDefaults says when a batch is full: at so many events, so many bytes, or so long after its first event.
type LineDefaults struct {
	BatchEvents int
	BatchBytes  Size
	BatchWait   time.Duration
}

// Types lists every type of sink. A new sink is one file and one line here.
func Types() []Type {
	usual := LineDefaults{BatchEvents: 500, BatchBytes: 900e3, BatchWait: 200 * time.Millisecond}
	// A batch of the file sink costs one fsync, whatever it holds.
	large := LineDefaults{BatchEvents: 1000, BatchBytes: 4 << 20, BatchWait: 200 * time.Millisecond}
	return []Type{
		{"kafka", func() Config { return DefaultKafka() }, usual},
		{"syslog", func() Config { return DefaultSyslog() }, usual},
		{"http", func() Config { return DefaultHTTP() }, usual},
		{"file", func() Config { return DefaultFile() }, large},
		{"relp", func() Config { return DefaultRELP() }, usual},
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
