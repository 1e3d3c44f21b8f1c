package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	"s1stream/internal/event"
)

// step says what a structured record goes without. The zero step is the whole record.
type step struct {
	noRaw        bool // the threat's own JSON inside the record
	arguments    int  // most bytes of a command line
	noIndicators bool // descriptions of indicators; tactics and techniques stay
	noLabels     bool // labels, tags, modules and what else hangs on containers and clouds
	noLists      bool // network interfaces, mitigation rows
	texts        int  // most bytes of a text
	items        int  // most elements of a list
	summary      bool // what an analyst needs, and nothing else
	core         bool // of that, what is needed first
	bare         bool // the identity alone

	// Set where the step is not the zero one.
	whole int    // bytes of the whole record
	sum   []byte // SHA-256 of the threat's own JSON, in hex
}

// ladder is the order in which a record shrinks: heavy optional parts, then long values, then a summary.
var ladder = [...]step{
	{},
	{noRaw: true},
	{noRaw: true, arguments: argumentsMax},
	{noRaw: true, arguments: argumentsMax, noIndicators: true},
	{noRaw: true, arguments: argumentsMax, noIndicators: true, noLabels: true},
	{noRaw: true, arguments: argumentsMax, noIndicators: true, noLabels: true, noLists: true},
	{noRaw: true, noIndicators: true, noLabels: true, noLists: true, texts: 512, items: 16},
	{noRaw: true, noIndicators: true, noLabels: true, noLists: true, texts: 256, items: 8, summary: true},
	{noRaw: true, noIndicators: true, noLabels: true, noLists: true, texts: 128, items: 4, summary: true},
	{noRaw: true, noIndicators: true, noLabels: true, noLists: true, texts: 128, items: 4, summary: true, core: true},
	{noRaw: true, noIndicators: true, noLabels: true, noLists: true, texts: 64, items: 1, summary: true, core: true},
	{noRaw: true, noIndicators: true, noLabels: true, noLists: true, texts: 64, items: 1, summary: true, core: true, bare: true},
}

// descent writes a record again and again, each time with less in it, until it fits:
//
//	d := descend(dst, ev, max)
//	for d.next() {
//		write(&d.w, &d.s)
//	}
//	return d.record()
//
// It lives on its caller's stack, and so do the arguments of what it does not call itself.
type descent struct {
	w jsonWriter
	s step

	ev         *event.Event
	max, start int
	owned      bool // w.b is ours, not the caller's
	rung       int  // of the ladder: the next one
}

func descend(dst []byte, ev *event.Event, max int) descent {
	return descent{w: jsonWriter{b: slices.Grow(dst, len(ev.Raw)+len(ev.Raw)/2)}, ev: ev, max: max, start: len(dst), owned: dst == nil}
}

// next reports whether the record has to be written, by w and as s says: the first time, and as long as what has
// been written is too large and a step is left.
func (d *descent) next() bool {
	if d.fits() || d.rung == len(ladder) {
		return false
	}
	whole, sum := d.s.whole, d.s.sum
	if d.rung == 1 {
		digest := sha256.Sum256(d.ev.Raw)
		whole, sum = len(d.w.b)-d.start, hex.AppendEncode(nil, digest[:])
	}
	d.s = ladder[d.rung]
	d.s.whole, d.s.sum = whole, sum
	d.w.b, d.w.limit, d.w.items = d.w.b[:d.start], d.s.texts, d.s.items
	d.rung++
	return true
}

func (d *descent) fits() bool {
	return d.rung > 0 && (d.max <= 0 || len(d.w.b)-d.start <= d.max)
}

// record returns what was written; an error where not even the last step fits.
func (d *descent) record() (body []byte, shrunk bool, err error) {
	if !d.fits() {
		return nil, false, fmt.Errorf("shrink the threat of %d bytes: not even its summary fits into %d bytes: raise max_message_bytes", len(d.ev.Raw), d.max)
	}
	if d.owned && d.rung > 1 { // a small record pins no memory of a large one
		return bytes.Clone(d.w.b), true, nil
	}
	return d.w.b, d.rung > 1, nil
}
