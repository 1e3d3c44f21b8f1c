// Package format makes a sink's bytes of an event. Every function here is pure: no clock, no state, the same
// event gives the same bytes.
//
// An event that is too large is shrunk in a fixed order and stays well formed; it is never cut.
package format

import (
	"bytes"

	"s1stream/internal/event"
)

// JSON hands on the threat's own JSON, byte for byte, appended to dst; with dst nil it is ev.Raw itself, not a
// copy. What is larger than max bytes (0: no limit) is shrunk and begins with "_truncated", its true size and the
// SHA-256 of the whole. What can't be shrunk to max is an error.
func JSON(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
	if max > 0 && len(ev.Raw) > max {
		body, err = shrink(dst, ev, max)
		return body, err == nil, err
	}
	if dst == nil {
		return ev.Raw, false, nil
	}
	return append(dst, ev.Raw...), false, nil
}

// OneLine returns JSON on one line: CR and LF, which JSON has between tokens alone, become spaces. Where there
// is none, raw itself is returned; where there is, a copy.
func OneLine(raw []byte) []byte {
	i := bytes.IndexAny(raw, "\r\n")
	if i < 0 {
		return raw
	}
	out := bytes.Clone(raw)
	Flatten(out[i:])
	return out
}

// Flatten is OneLine in place, for bytes that the caller owns.
func Flatten(b []byte) {
	for _, c := range [...]byte{'\n', '\r'} {
		for rest := b; ; { // IndexByte looks at many bytes at a time, and nearly always there is none
			i := bytes.IndexByte(rest, c)
			if i < 0 {
				break
			}
			rest[i] = ' '
			rest = rest[i+1:]
		}
	}
}
