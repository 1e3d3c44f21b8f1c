// Package checkpoint keeps, for each line, how far its sink has got: one small file, written whole, checked
// whole. The console is the log, so this file is all that s1stream stores: what it lacks is read again, and
// what it wrongly claims is lost. Everything here leans to the first side.
//
// A checkpoint is either the one saved last or the one before it, never a mix of two and never neither:
//
//   - I1: a frontier never passes a version that its sink has not dealt with. A file that is torn, zero-filled
//     or flipped is not believed; its .prev is, which is older and so only repeats. Where both are bad, or
//     belong to another console, an operator decides; nothing is guessed.
//   - I2: Save starts after the acks that justify it, and a frontier never moves back, except by Reset.
//   - I8: one process a directory, by a lock on a file of its own that is never renamed.
package checkpoint

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/safe"
)

// State is what a line stores.
type State struct {
	Fingerprint Fingerprint
	Frontier    time.Time       // UTC, microseconds
	Seen        map[string]Seen // by threat id
}

// Seen is the newest version of a threat that was dealt with.
type Seen struct {
	UpdatedAt time.Time // UTC, microseconds
	Version   event.Version
}

// Fingerprint says whose checkpoint it is.
type Fingerprint struct {
	Console string // host[:port], lower case
	Filter  string // the source's filter, normalised: sorted query string
}

// What Load, Save and Lock report, to be asked for with errors.Is.
var (
	// ErrNone: the line has neither a checkpoint nor a .prev; its configured start applies.
	ErrNone = errors.New("no checkpoint")
	// ErrCorrupt: neither the checkpoint nor its .prev can be believed. Exit code 65.
	ErrCorrupt = errors.New("checkpoint is corrupt")
	// ErrNewer: a newer s1stream wrote it. Exit code 65.
	ErrNewer = errors.New("checkpoint was written by a newer s1stream")
	// ErrLocked: another process holds the directory. Exit code 73.
	ErrLocked = errors.New("checkpoint directory is locked")
)

// ForeignError says that a checkpoint belongs to another console or to another filter. Exit code 65.
type ForeignError struct {
	Source, Sink string // the line
	Have, Want   Fingerprint
}

// Error names what differs and both ways out.
func (e *ForeignError) Error() string {
	var differs []string
	if e.Have.Console != e.Want.Console {
		differs = append(differs, fmt.Sprintf("console %q, configured is %q", safe.Text(e.Have.Console), safe.Text(e.Want.Console)))
	}
	if e.Have.Filter != e.Want.Filter {
		differs = append(differs, fmt.Sprintf("filter %q, configured is %q", safe.Text(e.Have.Filter), safe.Text(e.Want.Filter)))
	}
	return fmt.Sprintf("checkpoint of source %s, sink %s belongs to %s: run %q to keep its frontier, or %q to read again from TIME",
		e.Source, e.Sink, strings.Join(differs, ", and to "), adoptCommand(e.Source, e.Sink), resetCommand(e.Source, e.Sink))
}

func adoptCommand(source, sink string) string {
	return "s1stream checkpoint adopt " + source + " " + sink
}

func resetCommand(source, sink string) string {
	return "s1stream checkpoint reset --from TIME " + source + " " + sink
}
