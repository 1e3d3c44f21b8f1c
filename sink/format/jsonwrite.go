package format

import (
	"strconv"
	"time"
)

// jsonWriter appends JSON members in the order of its calls. What is absent is not written, and neither is an
// object or a list that nothing was written to. A key is given as it stands in JSON, with its colon: `"name":`;
// an element of a list has the key "".
type jsonWriter struct {
	b     []byte
	limit int // most bytes of a text, 0 for no limit: a longer one is shortened
	items int // most elements of a list, 0 for all of them
}

// mark is where an object or a list begins.
type mark struct{ before, open int }

func (w *jsonWriter) object(key string) mark { return w.begin(key, '{') }
func (w *jsonWriter) list(key string) mark   { return w.begin(key, '[') }

func (w *jsonWriter) begin(key string, bracket byte) mark {
	m := mark{before: len(w.b)}
	w.key(key)
	m.open = len(w.b)
	w.b = append(w.b, bracket)
	return m
}

// end closes what m began, or takes it back where it is empty.
func (w *jsonWriter) end(m mark) {
	if len(w.b) == m.open+1 {
		w.b = w.b[:m.before]
		return
	}
	w.b = append(w.b, w.b[m.open]+2) // } is { + 2, and ] is [ + 2
}

// empty reports whether nothing has been written to what m began.
func (w *jsonWriter) empty(m mark) bool { return len(w.b) == m.open+1 }

// key writes a comma, unless an object or a list has just begun, and the key.
func (w *jsonWriter) key(key string) {
	if n := len(w.b); n > 0 && w.b[n-1] != '{' && w.b[n-1] != '[' {
		w.b = append(w.b, ',')
	}
	w.b = append(w.b, key...)
}

// text writes a text, shortened where it is longer than the limit.
func (w *jsonWriter) text(key string, text []byte) {
	if len(text) == 0 {
		return
	}
	w.key(key)
	if w.limit > 0 && len(text) > w.limit {
		w.shortened(text, w.limit)
		return
	}
	w.b = appendQuoted(w.b, text)
}

// lower is text in lower case. Letters beyond ASCII stay as they are.
func (w *jsonWriter) lower(key string, text []byte) {
	from := len(w.b)
	w.text(key, text)
	for i := from + len(key); i < len(w.b); i++ {
		if c := w.b[i]; c >= 'A' && c <= 'Z' {
			w.b[i] = c + 'a' - 'A'
		}
	}
}

// textTo is text with a limit of its own, where max is not 0.
func (w *jsonWriter) textTo(key string, text []byte, max int) {
	if max == 0 || len(text) <= max || w.limit > 0 && w.limit < max {
		w.text(key, text)
		return
	}
	w.key(key)
	w.shortened(text, max)
}

// sentence writes a text made of parts, each of them shortened as a text of its own would be.
func (w *jsonWriter) sentence(key string, parts ...[]byte) {
	w.key(key)
	w.b = append(w.b, '"')
	for _, part := range parts {
		if w.limit > 0 && len(part) > w.limit {
			w.b = append(appendEscaped(w.b, clip(part, w.limit-len("…"))), "…"...)
			continue
		}
		w.b = appendEscaped(w.b, part)
	}
	w.b = append(w.b, '"')
}

func (w *jsonWriter) shortened(text []byte, max int) {
	w.b = appendQuoted(w.b, clip(text, max-len("…")))
	w.b = append(w.b[:len(w.b)-1], `…"`...)
}

// whole writes a text that is worth nothing when shortened.
func (w *jsonWriter) whole(key string, text []byte) {
	if len(text) > 0 {
		w.key(key)
		w.b = appendQuoted(w.b, text)
	}
}

// word writes a text of our own, which needs no escape.
func (w *jsonWriter) word(key, word string) {
	if word != "" {
		w.key(key)
		w.b = append(append(append(w.b, '"'), word...), '"')
	}
}

func (w *jsonWriter) texts(key string, list [][]byte) {
	if len(list) == 0 {
		return
	}
	if w.items > 0 && len(list) > w.items {
		list = list[:w.items]
	}
	m := w.list(key)
	for _, text := range list {
		w.text("", text)
	}
	w.end(m)
}

func (w *jsonWriter) integer(key string, n int64) {
	w.key(key)
	w.b = strconv.AppendInt(w.b, n, 10)
}

// number writes a number of the console's that is whole and fits into 64 bits.
func (w *jsonWriter) number(key string, number []byte) {
	if len(number) == 0 {
		return
	}
	if n, ok := Integer(number); ok {
		w.integer(key, n)
	}
}

func (w *jsonWriter) bool(key string, v bool) {
	w.key(key)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *jsonWriter) flag(key string, f Flag) {
	if f != Unset {
		w.bool(key, f == True)
	}
}

// micros is how moments are written, always in UTC.
const micros = "2006-01-02T15:04:05.000000Z07:00"

// moment writes a text that is a moment of RFC 3339, in UTC and with microseconds.
func (w *jsonWriter) moment(key string, text []byte) {
	at, ok := Moment(text)
	if !ok {
		return
	}
	if len(text) == len("2006-01-02T15:04:05.000000Z") && text[19] == '.' && text[26] == 'Z' {
		w.whole(key, text) // as the console writes it
		return
	}
	w.at(key, at)
}

// stamp is moment where the receiver takes any text: what is no moment is written as it is.
func (w *jsonWriter) stamp(key string, text []byte) {
	before := len(w.b)
	if w.moment(key, text); len(w.b) == before {
		w.text(key, text)
	}
}

func (w *jsonWriter) at(key string, at time.Time) {
	w.key(key)
	w.b = append(at.UTC().AppendFormat(append(w.b, '"'), micros), '"')
}

// millis writes a text that is a moment of RFC 3339 as milliseconds since 1970.
func (w *jsonWriter) millis(key string, text []byte) {
	if at, ok := Moment(text); ok {
		w.integer(key, at.UnixMilli())
	}
}
