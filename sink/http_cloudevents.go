package sink

import (
	"bytes"
	"fmt"
	"net/http"
	"unicode/utf8"

	"s1stream/internal/event"
	"s1stream/sink/cloudevents"
	"s1stream/sink/format"
)

// cloudEvents reports whether requests are CloudEvents, so that the headers of that binding are ours.
func (c *HTTPConfig) cloudEvents() bool {
	return c.Body == httpStructured || c.Body == httpBatched || c.Body == httpBinary
}

// enveloped reports whether a record is more than what its format made.
func (c *HTTPConfig) enveloped() bool { return c.Body == httpStructured || c.Body == httpBatched }

var _ Wrapper = (*HTTP)(nil)

// Wrap implements Wrapper: in CloudEvents' structured and batched mode a record is the event in its envelope, of max
// bytes at most. There, and where requests are signed, it is valid UTF-8 too: a receiver that reads the body as text before
// it verifies it would otherwise call the signature wrong.
func (h *HTTP) Wrap(encode Encode) Encode {
	if !h.cfg.enveloped() && !h.cfg.Signing.on() {
		return encode
	}
	return func(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
		finish := httpUTF8
		around := 0
		if h.cfg.enveloped() {
			a := cloudevents.Of(ev, h.deps.Host, h.deps.ContentType)
			around = len(cloudevents.Append(nil, a, nil))
			finish = func(body []byte) []byte { return cloudevents.Append(nil, a, httpUTF8(body)) }
		}
		return httpFit(dst, ev, max, around, encode, finish)
	}
}

// httpFit encodes an event so that it has max bytes at most once finish has made it larger: by a fixed number of bytes
// around it, and by what its text makes of it, which nobody knows before. What is too large is made once more for less.
//
// Each try has less room than the one before; from the ninth on at least a sixteenth less, so that it ends soon whatever
// the text.
func httpFit(dst []byte, ev *event.Event, max, around int, encode Encode, finish func([]byte) []byte) (out []byte, shrunk bool, err error) {
	if max <= 0 {
		body, shrunk, err := encode(nil, ev, 0)
		if err != nil {
			return nil, false, err
		}
		return httpAppend(dst, finish(body)), shrunk, nil
	}
	room := max - around
	for try := 1; room > 0; try++ {
		body, shrunk, err := encode(nil, ev, room)
		if err != nil {
			return nil, false, err
		}
		whole := finish(body)
		if len(whole) <= max {
			return httpAppend(dst, whole), shrunk, nil
		}
		// As much less as this text has grown too large. The next one may grow otherwise.
		next := int(int64(len(body)) * int64(max-around) / int64(len(whole)-around))
		if try > 8 {
			next = min(next, room-room/16)
		}
		room = min(next, room-1)
	}
	return nil, false, fmt.Errorf("no event fits into %d bytes with its envelope: raise max_message_bytes", max)
}

// httpAppend keeps a body that is to stand alone as it is, for it may be the event's own bytes.
func httpAppend(dst, body []byte) []byte {
	if dst == nil {
		return body
	}
	return append(dst, body...)
}

// httpUTF8 returns a body that is valid UTF-8, itself if it is.
func httpUTF8(body []byte) []byte {
	if utf8.Valid(body) {
		return body
	}
	return bytes.ToValidUTF8(body, []byte(string(utf8.RuneError)))
}

// httpContentType is that of a request whose records are of contentType.
func (c *HTTPConfig) httpContentType(contentType string) string {
	switch {
	case c.Body == httpStructured:
		return cloudevents.StructuredType
	case c.Body == httpBatched:
		return cloudevents.BatchType
	case c.Body == httpNDJSON && contentType == format.JSONType:
		return "application/x-ndjson"
	}
	return contentType
}

// setCloudEvent sets the headers of the binary mode.
func (h *HTTP) setCloudEvent(header http.Header, ev *event.Event) {
	for _, a := range cloudevents.Of(ev, h.deps.Host, h.deps.ContentType).HTTP() {
		header.Set(a.Name, a.Value)
	}
}
