// Package sink holds the destinations: one file each, all behind one small interface.
//
// A blocking Write that returns nil means delivered. Batching, retries, queues, dead letters and metrics
// live once, in package pipeline; a sink speaks its protocol and says exactly what became of each record.
package sink

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/safe"
	"s1stream/sink/format"
)

// Sink is one destination of one line. Calls on one Sink are never concurrent, Close included.
type Sink interface {
	// Write delivers records in order. A batch holds one version of a threat at most.
	//
	// nil: the destination has taken responsibility for all of them.
	// *BatchError: the records it names were not taken, for the reason it gives each; every other one was.
	// *RefusedError: the call as a whole was called malformed or too large; none was taken.
	// *DeniedError: the destination's or the configuration's fault; an operator must act.
	// Any other error, a timeout and a cancelled ctx included: nothing is known of any record.
	//
	// Write neither retries nor keeps a record, and returns soon after ctx ends.
	Write(ctx context.Context, records []Record) error
	// Grade says what nil from Write proves.
	Grade() Grade
	// Close ends connections in order. It is bounded in time by the sink itself.
	Close() error
}

// Record is an event encoded for its sink.
type Record struct {
	Event *event.Event // without what the sink's drop leaves out
	Body  []byte       // what the sink's format made of it; may share memory with Event.Raw, so it is never written to
}

// Encode makes a sink's bytes of an event, appended to dst; with dst nil the answer may be ev.Raw itself.
// max is the most bytes the sink takes, 0 for no limit: what is larger is shrunk, which shrunk reports. What
// can't be shrunk to max is an error and becomes a dead letter. Encode is pure: no clock, no state.
type Encode func(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error)

// Wrapper is a Sink whose records carry more than what its format makes: Wrap returns the line's Encode.
type Wrapper interface {
	Wrap(format Encode) Encode
}

// Grade is what an ack proves.
type Grade string

// The two grades.
const (
	Acknowledged Grade = "acknowledged" // the destination answered that it has the record
	BestEffort   Grade = "best-effort"  // the bytes reached a kernel; nobody answered
)

// BatchError names the records that were not taken. Every record that it does not name was taken.
type BatchError struct {
	Failed []RecordError // by ascending Index
}

// RecordError is what became of one record. Err is classified as Write's own errors are: *RefusedError means
// this record is refused for good, anything else that it failed now.
type RecordError struct {
	Index int // into the records given to Write
	Err   error
}

// Error implements error with the first few reasons.
func (e *BatchError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records not taken", len(e.Failed))
	for i, f := range e.Failed {
		if i == 3 {
			b.WriteString("; …")
			break
		}
		fmt.Fprintf(&b, "; record %d: %v", f.Index, f.Err)
	}
	return b.String()
}

// RefusedError says that the destination calls what it was sent malformed or too large.
type RefusedError struct{ Err error }

func (e *RefusedError) Error() string { return "refused: " + e.Err.Error() }
func (e *RefusedError) Unwrap() error { return e.Err }

// DeniedError says that the destination takes nothing until an operator acts: credentials, permission,
// address, a missing topic. It is tried again every minute.
type DeniedError struct{ Err error }

func (e *DeniedError) Error() string { return e.Err.Error() }
func (e *DeniedError) Unwrap() error { return e.Err }

// RetryAfterError carries the wait that the destination asked for.
type RetryAfterError struct {
	After time.Duration
	Err   error
}

func (e *RetryAfterError) Error() string { return e.Err.Error() }
func (e *RetryAfterError) Unwrap() error { return e.Err }

// Deps is what the line hands its sink.
type Deps struct {
	Name   string // the sink's NAME
	Source string // the source's NAME; stands for {source} in topics and paths
	Host   string // the console's host name
	// MaxMessageBytes is the configured max_message_bytes, 0 where unset: the sink's own default applies.
	MaxMessageBytes int
	Format          string       // the name of the sink's format; "": "json"
	ContentType     string       // of one record, as format.ContentType says; "": format.JSONType
	Judge           format.Judge // how grave an event is, where the protocol says so itself; nil: format.TableJudge
	Log             *slog.Logger // has the attributes sink and source already
	Metrics         *Metrics
}

// Config is one type of sink as configured. A struct of koanf tags implements it, beside its sink.
type Config interface {
	// Validate returns every mistake at once (errors.Join), each "key: what would be right".
	Validate() error
	// MaxBytes is the largest body the sink takes, given the configured max_message_bytes (0 for unset).
	MaxBytes(configured int) int
	// New builds the sink without reaching the destination, so that a run starts while it is down.
	New(d Deps) (Sink, error)
	// Probe reaches the destination without sending an event. It returns when ctx ends at the latest.
	Probe(ctx context.Context, d Deps) Probe
	// Secrets lists the files that hold secrets, for the warning about files that others can read.
	Secrets() []string
}

// Carrier is a Config that can't carry every format.
type Carrier interface {
	// Carries returns nil, or "key: why not, and what would be right".
	Carries(format string) error
}

// Proxied is a Config whose requests may go by the proxies that the environment names.
type Proxied interface {
	// ByEnvironment lists the URLs that are reached by these. key is the one that names another proxy or, where there is
	// none, the URL's own. A file that can't be read adds none.
	ByEnvironment() (key string, urls []safe.Secret)
}

// Probe is what `check` found.
type Probe struct {
	Grade       Grade
	Connections int       // how many connections a line of it opens at most
	Found       []string  // one line each: what was seen, as in "topic sentinelone.threats: 3 partitions"
	Warnings    []Problem // what works, but hardly as meant
	Problems    []Problem
}

// Problem is one thing to mend.
type Problem struct {
	What   string // what failed
	Remedy string // what to do about it
}
