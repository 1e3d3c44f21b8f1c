package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

var _ Wrapper = (*Azure)(nil)

// Wrap implements Wrapper: a record is one row of the stream, its columns as the rule declares them.
//
//	{"TimeGenerated":"2026-01-06T10:00:00.123456Z","Version":"…","ThreatId":"…","Console":"…","SourceName":"…",
//	 "Format":"json","Event":{…},"Truncated":false}
//
// Event is what the format made, byte for byte, but for invalid UTF-8, which the service takes from nobody. It is made
// small enough that the service does not cut it.
func (a *Azure) Wrap(encode Encode) Encode {
	ends := a.columns()
	return func(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
		head := azureHead(ev, ends)
		if len(head) > azureMaxField {
			return nil, false, errors.New("the threat's id is longer than a column may be")
		}
		most := azureMaxField
		if max > 0 {
			most = min(most, max-len(head)-len(azureTail(false)))
		}
		if most <= 0 {
			return nil, false, fmt.Errorf("max_message_bytes leaves no room for the event beside the %d bytes of its columns", len(head))
		}
		// Mending UTF-8 makes three bytes of each stretch that is none, and so less than twice as many of all: what is too
		// large then is made once more, for half.
		for _, room := range []int{most, most / 2} {
			if body, shrunk, err = encode(nil, ev, room); err != nil {
				return nil, false, err
			}
			if s := (jsonscan.Scanner{Data: body}); s.Space() != '{' {
				return nil, false, errors.New("the event is no JSON object")
			}
			if !utf8.Valid(body) {
				body = bytes.ToValidUTF8(body, []byte(string(utf8.RuneError)))
			}
			if len(body) <= most {
				break
			}
		}
		return append(append(append(dst, head...), body...), azureTail(shrunk)...), shrunk, nil
	}
}

// columns are the members that are the same for every event of the line, the beginning of Event's included.
func (a *Azure) columns() string {
	name := a.deps.Format
	if name == "" {
		name = "json"
	}
	b := azureText([]byte(`,"Console":`), a.deps.Host)
	b = azureText(append(b, `,"SourceName":`...), a.deps.Source)
	b = azureText(append(b, `,"Format":`...), name)
	return string(append(b, `,"Event":`...))
}

// azureHead is what stands before the event. Six digits of a second are what every plan of a table takes
// ("Set up a table with the Auxiliary plan").
func azureHead(ev *event.Event, columns string) []byte {
	b := make([]byte, 0, 128+len(ev.ID)+len(columns))
	b = ev.UpdatedAt.UTC().AppendFormat(b, `{"TimeGenerated":"2006-01-02T15:04:05.000000Z","Version":"`)
	b = append(append(b, ev.Version.String()...), `","ThreatId":`...)
	return append(azureText(b, ev.ID), columns...)
}

// azureTail is what stands behind it. It is never longer than that of false.
func azureTail(shrunk bool) []byte {
	return append(strconv.AppendBool([]byte(`,"Truncated":`), shrunk), '}')
}

// azureText appends a JSON string.
func azureText(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always can be
	return append(dst, text...)
}
