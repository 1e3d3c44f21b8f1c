package format

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"

	"s1stream/internal/event"
)

// tier says how long a pair stays when a record must be made smaller.
type tier int

const (
	tierCore   tier = iota // stays in the summary
	tierPlain              // what the format has a field for
	tierCustom             // what is named by ourselves
	tierBulky              // command lines and lists
)

// ellipsis ends a value that was cut.
const ellipsis = "…"

// rungs are the ever smaller shapes of a record of key=value pairs: the tiers that stay, the most bytes of a value,
// and of a bulky one, before escapes; 0 for no limit but the key's own.
var rungs = [...]struct {
	stays        tier
	value, bulky int
}{
	{tierBulky, 0, 0},
	{tierBulky, 0, argumentsMax},
	{tierCustom, 0, 0},
	{tierPlain, 0, 0},
	{tierPlain, 128, 0},
	{tierCore, 64, 0},
	{tierCore, 24, 0},
}

// escapes is what stands for a byte in a value; "" for the byte itself.
type escapes [256]string

// newEscapes replaces by a space the control characters, which syslog daemons cut or rewrite, and the line breaks
// of Unicode, at which some readers break. Tab stays.
func newEscapes(more map[byte]string) *escapes {
	var e escapes
	for c := range byte(0x20) {
		if c != '\t' {
			e[c] = " "
		}
	}
	e[0x7f], e[0xc2], e[0xe2] = " ", " ", " "
	for c, with := range more {
		e[c] = with
	}
	return &e
}

func (e *escapes) append(dst, text []byte) []byte {
	from := 0
	for i := 0; i < len(text); i++ {
		with, n := e[text[i]], 1
		if with == "" {
			continue
		}
		if text[i] >= 0x80 {
			if n = lineBreak(text[i:]); n == 0 {
				continue
			}
		}
		dst = append(append(dst, text[from:i]...), with...)
		from = i + n
		i = from - 1
	}
	return append(dst, text[from:]...)
}

// lineBreak returns how long U+0085, U+2028 or U+2029 is at the start of text; 0 for anything else.
func lineBreak(text []byte) int {
	switch {
	case len(text) >= 2 && text[0] == 0xc2 && text[1] == 0x85:
		return 2
	case len(text) >= 3 && text[0] == 0xe2 && text[1] == 0x80 && text[2]&^1 == 0xa8:
		return 3
	}
	return 0
}

// pairs writes key=value pairs. A pair without a value is left out.
type pairs struct {
	dst       []byte
	escapes   *escapes
	separator byte
	begun     bool

	rung   int
	marked bool // the record says that it is shrunk
	cut    bool // a value was made shorter, or left out as too long for its key
}

// text writes a value of max bytes at the most (0: any), cut between characters.
func (p *pairs) text(t tier, key string, value []byte, max int) {
	if value = trimmed(value); t > rungs[p.rung].stays || len(value) == 0 {
		return
	}
	limit := p.limit(t, max)
	if limit == 0 || len(value) <= limit {
		p.dst = p.escapes.append(p.key(key), value)
		return
	}
	p.cut = true
	p.dst = append(p.escapes.append(p.key(key), clip(value, limit-len(ellipsis))), ellipsis...)
}

// exact writes a value that says nothing or the wrong thing when it is cut: it is left out instead.
func (p *pairs) exact(t tier, key string, value []byte, max int) {
	limit := p.limit(t, max)
	if value = trimmed(value); limit > 0 && len(value) > limit {
		p.cut = true
		return
	}
	p.text(t, key, value, 0)
}

// identity writes what names the threat. It is never cut and never left out. id is trimmed and not empty.
func (p *pairs) identity(key string, id []byte) {
	p.dst = p.escapes.append(p.key(key), id)
}

// labelled writes a pair whose key says nothing by itself, and its label.
func (p *pairs) labelled(t tier, key, label string, value []byte, max int) {
	before := len(p.dst)
	if p.text(t, key, value, max); len(p.dst) > before {
		p.word(t, key+"Label", label)
	}
}

// word writes a value of ours, which needs no escapes.
func (p *pairs) word(t tier, key, value string) {
	if t <= rungs[p.rung].stays && value != "" {
		p.dst = append(p.key(key), value...)
	}
}

func (p *pairs) number(t tier, key string, n int64) {
	if t <= rungs[p.rung].stays {
		p.dst = strconv.AppendInt(p.key(key), n, 10)
	}
}

// millis writes a moment as milliseconds since 1970.
func (p *pairs) millis(t tier, key string, at time.Time) {
	if ms := at.UnixMilli(); ms > 0 {
		p.number(t, key, ms)
	}
}

// urlMax is the longest link to a threat.
const urlMax = 1023

// url writes the page of the threat in the console.
func (p *pairs) url(t tier, key, console string, id []byte) {
	const scheme, path, page = "https://", "/incidents/threats/", "/overview"
	size, limit := len(scheme)+len(console)+len(path)+len(id)+len(page), p.limit(t, urlMax)
	if console == "" || len(id) == 0 || t > rungs[p.rung].stays || size > limit {
		return
	}
	from := len(p.dst)
	p.dst = append(append(append(p.key(key), scheme...), console...), path...)
	at := len(p.dst)
	p.dst = append(p.escapes.append(p.dst, trimmed(id)), page...)
	for _, c := range p.dst[at:] { // an id that is no number or word is no part of a URL
		if c <= ' ' || c >= 0x7f || c == '\\' {
			p.dst = p.dst[:from]
			return
		}
	}
}

// colons writes a hardware address with colons between its bytes.
func colons(p *pairs, key string, mac []byte) {
	from := len(p.dst)
	p.exact(tierPlain, key, mac, 0)
	for i := from; i < len(p.dst); i++ {
		if p.dst[i] == '-' { // no key has one
			p.dst[i] = ':'
		}
	}
}

func (p *pairs) key(key string) []byte {
	dst := p.dst
	if p.begun {
		dst = append(dst, p.separator)
	}
	p.begun = true
	return append(append(dst, key...), '=')
}

// limit is the smaller of a key's own limit and the rung's.
func (p *pairs) limit(t tier, max int) int {
	rung := rungs[p.rung].value
	if t == tierBulky {
		rung = rungs[p.rung].bulky
	}
	if max == 0 || rung > 0 && rung < max {
		return rung
	}
	return max
}

// trimmed is without the spaces, control characters and line breaks around it, which no reader would keep.
func trimmed(b []byte) []byte {
	blank := func(part []byte) int {
		if part[0] <= ' ' || part[0] == 0x7f {
			return 1
		}
		return lineBreak(part)
	}
	for len(b) > 0 {
		n := blank(b)
		if n == 0 {
			break
		}
		b = b[n:]
	}
	for n := 1; n <= 3 && n <= len(b); n++ {
		if at := len(b) - n; blank(b[at:]) == n {
			b, n = b[:at], 0
		}
	}
	return b
}

// climb writes a record as large as max allows (0: no limit), the largest shape first. Where a value had to give
// way, even to its key's own limit, the record is marked, and so is the answer.
func climb(dst []byte, ev *event.Event, max int, p pairs, write func(p *pairs)) (body []byte, shrunk bool, err error) {
	from := len(dst)
	dst = slices.Grow(dst, 2048)
	for rung := 0; rung < len(rungs); {
		w := p
		w.dst, w.rung, w.marked = dst[:from], rung, shrunk
		write(&w)
		fits := max <= 0 || len(w.dst)-from <= max
		if fits && (shrunk || !w.cut) {
			return w.dst, shrunk, nil
		}
		if shrunk || !fits {
			rung++
		}
		shrunk = true
	}
	return nil, false, fmt.Errorf("shrink the threat of %d bytes: not even its summary fits into %d bytes: raise max_message_bytes", len(ev.Raw), max)
}

// hashOf is the SHA-256 of the whole threat, in hex.
func hashOf(ev *event.Event) (out [2 * sha256.Size]byte) {
	s := sha256.Sum256(ev.Raw)
	hex.Encode(out[:], s[:])
	return out
}
