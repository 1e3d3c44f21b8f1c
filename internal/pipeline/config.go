package pipeline

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"s1stream/sink"
	"s1stream/sink/format"
)

// LineConfig is what every [sink.NAME] table has, whatever its type: how its lines queue, batch and retry.
type LineConfig struct {
	Format          string        `koanf:"format"`            // what a record's body is made of: one of Formats
	Sources         []string      `koanf:"sources"`           // NAMEs of the sources it takes; none or "all": every one
	QueueEvents     int           `koanf:"queue_events"`      // most events that wait, a line
	QueueBytes      sink.Size     `koanf:"queue_bytes"`       // most bytes that wait, a line
	BatchEvents     int           `koanf:"batch_events"`      // most records of one Write
	BatchBytes      sink.Size     `koanf:"batch_bytes"`       // most bytes of one Write
	BatchWait       time.Duration `koanf:"batch_wait"`        // how long a batch waits for more; 0: not at all
	MaxMessageBytes sink.Size     `koanf:"max_message_bytes"` // largest body; 0: what the type of sink allows
	RetryMaxWait    time.Duration `koanf:"retry_max_wait"`    // longest pause between two tries
	DeadLetter      string        `koanf:"dead_letter"`       // file of what the destination will never take

	FormatOptions format.Options `koanf:"format_options"` // those that Format has
	format.Choice `koanf:",squash"`
}

// Formats lists what format may be.
func Formats() []string { return format.Names() }

// DefaultLineConfig returns what an absent key means, before a type of sink has its own say about batches.
func DefaultLineConfig() LineConfig {
	return LineConfig{
		Format:       "json",
		QueueEvents:  10_000,
		QueueBytes:   32 << 20,
		BatchEvents:  500,
		BatchBytes:   900_000,
		BatchWait:    200 * time.Millisecond,
		RetryMaxWait: time.Minute,
	}
}

// The most that is allowed, so that a mistyped zero is caught before memory is.
const (
	configMaxEvents = 1_000_000
	configMaxBytes  = 4 << 30
)

// Validate returns every mistake at once, each "key: what would be right".
func (c LineConfig) Validate() error {
	var mistakes []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			mistakes = append(mistakes, fmt.Errorf(format, args...))
		}
	}
	wrong(!slices.Contains(Formats(), c.Format), "format: unknown format %q; known: %q", c.Format, Formats())
	for _, n := range []struct {
		key string
		n   int
	}{{"queue_events", c.QueueEvents}, {"batch_events", c.BatchEvents}} {
		wrong(n.n < 1 || n.n > configMaxEvents, "%s: must be from 1 to %d", n.key, configMaxEvents)
	}
	for _, b := range []struct {
		key string
		n   sink.Size
	}{{"queue_bytes", c.QueueBytes}, {"batch_bytes", c.BatchBytes}} {
		wrong(b.n < 1 || b.n > configMaxBytes, "%s: must be from \"1B\" to %q", b.key, sink.Size(configMaxBytes))
	}
	wrong(c.MaxMessageBytes < 0 || c.MaxMessageBytes > configMaxBytes,
		"max_message_bytes: must be at most %q", sink.Size(configMaxBytes))
	wrong(c.BatchWait < 0 || c.BatchWait > time.Hour, "batch_wait: must be from 0s to 1h")
	wrong(c.RetryMaxWait <= 0, "retry_max_wait: must be longer than 0s")
	if slices.Contains(Formats(), c.Format) {
		_, err := format.New(c.Format, c.FormatOptions, "", nil)
		mistakes = append(mistakes, err)
	}
	_, err := c.Compile()
	mistakes = append(mistakes, err)
	return errors.Join(mistakes...)
}
