// Package event is the vocabulary that source, pipeline and sink share: one version of a threat on its way.
//
// An Event owns its bytes: it pins no page, and nobody writes to Raw once the event has left the source.
package event

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"time"
)

// Version identifies an event: the first 128 bits of SHA-256 over the console's host, the threat's id, its
// updatedAt and its body without agentRealtimeInfo, which is joined live and differs between two reads of an
// unchanged threat. It is the one identity everywhere: Kafka header, Idempotency-Key, structured data, checkpoint.
type Version [16]byte

// String returns the version in lower-case hex, 32 characters.
func (v Version) String() string { return hex.EncodeToString(v[:]) }

// MarshalText implements encoding.TextMarshaler.
func (v Version) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; anything but 32 hex digits is an error.
func (v *Version) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(v)) {
		return fmt.Errorf("version: %d characters, must be %d hex digits", len(text), hex.EncodedLen(len(v)))
	}
	if _, err := hex.Decode(v[:], text); err != nil {
		return fmt.Errorf("version: %w", err)
	}
	return nil
}

// NewVersion hashes what makes a version. body is given in parts so that agentRealtimeInfo can be left out
// without a copy. Every field but the body is length-prefixed, so that no two fields can run together.
func NewVersion(host, id, updatedAt string, body ...[]byte) Version {
	h := sha256.New()
	var buf [256]byte
	pre := buf[:0]
	for _, s := range [...]string{host, id, updatedAt} {
		pre = binary.BigEndian.AppendUint32(pre, uint32(len(s))) //nolint:gosec // lengths are far below 4 GiB
		pre = append(pre, s...)
	}
	h.Write(pre)
	for _, b := range body {
		h.Write(b)
	}
	var sum [sha256.Size]byte
	return Version(h.Sum(sum[:0])[:16])
}

// Event is one version of a threat.
type Event struct {
	Raw       []byte    // the threat's own JSON, byte for byte; never changed
	ID        string    // threat id, or a hash where the threat has none
	UpdatedAt time.Time // threatInfo.updatedAt, UTC, cut to microseconds; the page's moment where the threat has none
	CreatedAt time.Time // threatInfo.createdAt, UTC; zero where absent
	Version   Version
	Source    string // the source's NAME

	// Unordered says that the console gave this threat out of order, behind a newer one: it is handed on even
	// where it is older than a frontier.
	Unordered bool
	// Stub is set on an event that stands for a threat too large to be read: the reason it goes to the dead
	// letters. Raw is then a small JSON object with its id and size.
	Stub string
}

// Size is what an event is counted for where bytes are bounded.
func (e *Event) Size() int { return len(e.Raw) + len(e.ID) + len(e.Source) + 160 }
