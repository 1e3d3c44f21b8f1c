package format

import (
	"bytes"

	"s1stream/internal/jsonscan"
)

// treeDepth bounds what is copied of a value of any shape: receivers take some twenty levels of objects.
const treeDepth = 4

// treeName is the longest name that is copied, in bytes. Elasticsearch refuses a document whose "flattened" field has a
// path and a value of 32,766 bytes together; treeDepth such names and a value that its mapping indexes stay below.
const treeName = 1 << 10

// tree writes a value of any shape, given as its JSON, without what is null or empty in it. A scalar becomes a
// text, so that one name has one type whatever comes; what lies deeper than treeDepth is left out.
func (w *jsonWriter) tree(key string, raw []byte) {
	if len(raw) > 0 {
		s := jsonscan.Scanner{Data: raw}
		// raw has been read before: it is JSON.
		_ = w.branch(key, nil, &s, 0)
	}
}

// branch writes one value under key, which is the last part of a path of our own, or under name, which is the
// console's; an element of a list has neither.
func (w *jsonWriter) branch(key string, name []byte, s *jsonscan.Scanner, depth int) error {
	before := len(w.b)
	w.key(key)
	if name != nil {
		w.b = append(appendQuoted(w.b, name), ':')
	}
	open := len(w.b)
	err := w.value(s, depth)
	if n := len(w.b); n == open || n == open+2 && (w.b[open] == '{' || w.b[open] == '[') {
		w.b = w.b[:before] // nothing, or nothing in it
	}
	return err
}

// value writes one value, or nothing where it is null, "" or too deep.
func (w *jsonWriter) value(s *jsonscan.Scanner, depth int) error {
	c := s.Space()
	switch {
	case depth == treeDepth && (c == '{' || c == '['):
		_, err := s.Value()
		return err
	case c == '{':
		return w.members(s, depth)
	case c == '[':
		w.b = append(w.b, '[')
		n := 0
		err := s.Array(func() error {
			if n++; w.items > 0 && n > w.items {
				_, err := s.Value()
				return err
			}
			return w.branch("", nil, s, depth+1)
		})
		w.b = append(w.b, ']')
		return err
	case c == '"':
		text, escaped, err := s.Text()
		if escaped {
			text = jsonscan.AppendText(nil, text)
		}
		w.bareText(text)
		return err
	}
	value, err := s.Value()
	if c != 'n' {
		w.bareText(value) // true, false or a number
	}
	return err
}

// members writes an object. A name that stands twice would be a mistake to many readers: the first one counts. An
// empty name and one with a zero in it are refused by Elasticsearch, and so may be one that is very long.
func (w *jsonWriter) members(s *jsonscan.Scanner, depth int) error {
	var space [24][]byte
	names := space[:0]
	w.b = append(w.b, '{')
	err := s.Object(func(name []byte) error {
		had := len(names)
		if len(name) > 0 && len(name) <= treeName && bytes.IndexByte(name, 0) < 0 {
			names = addOnce(names, name)
		}
		if len(names) == had {
			_, err := s.Value()
			return err
		}
		return w.branch("", name, s, depth+1)
	})
	w.b = append(w.b, '}')
	return err
}

// bareText writes a text where its key stands already.
func (w *jsonWriter) bareText(text []byte) {
	switch {
	case len(text) == 0:
	case w.limit > 0 && len(text) > w.limit:
		w.shortened(text, w.limit)
	default:
		w.b = appendQuoted(w.b, text)
	}
}

// elements writes an array, given as its JSON, as a list of texts: what is no text is written as its JSON.
func (w *jsonWriter) elements(key string, raw []byte) {
	if len(raw) == 0 {
		return
	}
	m, n := w.list(key), 0
	s := jsonscan.Scanner{Data: raw}
	// raw has been read before: it is JSON.
	_ = s.Array(func() error {
		if n++; s.Space() == '"' && (w.items == 0 || n <= w.items) {
			return w.branch("", nil, &s, 0)
		}
		value, err := s.Value()
		if (w.items == 0 || n <= w.items) && len(value) > 0 && value[0] != 'n' {
			w.text("", value)
		}
		return err
	})
	w.end(m)
}
