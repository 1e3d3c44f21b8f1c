package sink

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
	"s1stream/sink/format"
)

var _ Wrapper = (*Elastic)(nil)

// elasticHead begins a document that has no @timestamp of its own, which every data stream demands.
const elasticHead = `{"@timestamp":"2006-01-02T15:04:05.000000Z"`

// Wrap implements Wrapper: a record is a document on one line, valid UTF-8, with @timestamp. What a format makes beside
// these stays as it is, byte for byte; a format that is a line of text becomes the document's "message".
func (e *Elastic) Wrap(encode Encode) Encode {
	return func(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
		return httpFit(dst, ev, max, 0, encode, func(body []byte) []byte { return elasticDocument(ev, body) })
	}
}

// elasticDocument makes a document of what a format made.
func elasticDocument(ev *event.Event, body []byte) []byte {
	s := jsonscan.Scanner{Data: body}
	object := s.Space() == '{'
	if object {
		if _, has := jsonscan.Lookup(body, "@timestamp"); has {
			return elasticLine(bytes.Clone(body))
		}
	}
	doc := make([]byte, 0, len(elasticHead)+len(body)+16)
	doc = ev.UpdatedAt.UTC().AppendFormat(doc, elasticHead)
	if object {
		s.Pos++ // the brace
		rest := body[s.Pos:]
		if s.Space() != '}' {
			doc = append(doc, ',')
		}
		return elasticLine(append(doc, rest...))
	}
	text, _ := json.Marshal(string(body)) // a string always can be
	return append(append(append(doc, `,"message":`...), text...), '}')
}

// elasticLine makes a document fit for _bulk, which ends it at its first line break, and whose parser takes no invalid
// UTF-8: what a console lets through would otherwise be a dead letter.
func elasticLine(doc []byte) []byte {
	format.Flatten(doc)
	if !utf8.Valid(doc) {
		return bytes.ToValidUTF8(doc, []byte(string(utf8.RuneError)))
	}
	return doc
}
