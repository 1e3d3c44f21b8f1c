// Package cloudevents makes CloudEvents 1.0.2 of events: the attributes, the JSON event format and the headers of the
// HTTP and Kafka bindings (https://github.com/cloudevents/spec/tree/v1.0.2/cloudevents). What it makes of an event is
// the same each time: id is the version, so that a receiver knows a repeat by source and id.
package cloudevents

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
	"s1stream/sink/format"
)

// SpecVersion is the version of CloudEvents that every event is of.
const SpecVersion = "1.0"

// The content types of the JSON event format (json-format.md, sections 3 and 4).
const (
	StructuredType = "application/cloudevents+json"
	BatchType      = "application/cloudevents-batch+json"
)

// Attributes are the context of one event. None is empty but Subject.
type Attributes struct {
	ID              string // the version
	Source          string // https://CONSOLE, and /accounts/ID where the threat names its account by a plain id
	Type            string // com.sentinelone.threat.created, .updated or .resolved
	Subject         string // the threat's id; "" where it holds what an attribute may not (spec.md, "Type System")
	Time            string // updatedAt, RFC 3339 in UTC with microseconds
	DataContentType string // of the record
}

// Of returns the attributes of an event of the console at host, whose record is of contentType.
func Of(ev *event.Event, host, contentType string) Attributes {
	a := Attributes{
		ID:              ev.Version.String(),
		Source:          (&url.URL{Scheme: "https", Host: host}).String(),
		Type:            typeOf(ev),
		Time:            ev.UpdatedAt.UTC().Format("2006-01-02T15:04:05.000000Z07:00"),
		DataContentType: contentType,
	}
	if y := ev.UpdatedAt.UTC().Year(); y < 0 || y > 9999 { // RFC 3339 knows no other
		a.Time = time.Unix(0, 0).UTC().Format(time.RFC3339)
	}
	if account := accountOf(ev); account != "" {
		a.Source += "/accounts/" + account
	}
	if attributeText(ev.ID) {
		a.Subject = ev.ID
	}
	return a
}

// typeOf says what happened, by the rule of format.Facts.
func typeOf(ev *event.Event) string {
	incident := ""
	if value, ok := jsonscan.Lookup(ev.Raw, "threatInfo", "incidentStatus"); ok {
		incident, _ = jsonscan.String(value)
	}
	switch (format.Facts{Incident: incident}).Activity(ev) {
	case format.Create:
		return "com.sentinelone.threat.created"
	case format.Close:
		return "com.sentinelone.threat.resolved"
	default:
		return "com.sentinelone.threat.updated"
	}
}

// accountOf returns the account's id, "" where it is not as a console writes them: nothing else goes into a URI.
// It is that of the detection alone. The one in agentRealtimeInfo changes when an agent is moved, and the version does not:
// a repeat would have another source, and be none to a receiver.
func accountOf(ev *event.Event) string {
	value, ok := jsonscan.Lookup(ev.Raw, "agentDetectionInfo", "accountId")
	if !ok {
		return ""
	}
	id, ok := jsonscan.String(value)
	if !ok || id == "" || len(id) > 32 || strings.Trim(id, "0123456789") != "" {
		return ""
	}
	return id
}

// attributeText reports whether s may be a String of CloudEvents: not empty, valid UTF-8, no control character, no
// noncharacter of Unicode.
func attributeText(s string) bool {
	for _, r := range s {
		if r == utf8.RuneError || unicode.IsControl(r) || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe {
			return false
		}
	}
	return s != ""
}

// Append appends the event in the JSON event format. body is a JSON value where DataContentType says so, and
// becomes data as it is; else it is text, and becomes a JSON string.
func Append(dst []byte, a Attributes, body []byte) []byte {
	dst = append(append(dst, `{"specversion":"`+SpecVersion+`","id":`...), text(a.ID)...)
	dst = append(append(dst, `,"source":`...), text(a.Source)...)
	dst = append(append(dst, `,"type":`...), text(a.Type)...)
	if a.Subject != "" {
		dst = append(append(dst, `,"subject":`...), text(a.Subject)...)
	}
	dst = append(append(dst, `,"time":`...), text(a.Time)...)
	dst = append(append(dst, `,"datacontenttype":`...), text(a.DataContentType)...)
	dst = append(dst, `,"data":`...)
	if a.DataContentType == format.JSONType {
		dst = append(dst, body...)
	} else {
		dst = append(dst, text(string(body))...)
	}
	return append(dst, '}')
}

// text is a JSON string. It escapes no more than it must: in HTML none of it ends.
func text(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always can be; invalid UTF-8 becomes U+FFFD
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Header is an attribute as a header of a protocol.
type Header struct{ Name, Value string }

// HTTP returns the headers of the binary content mode, percent-encoded as the HTTP binding says (section 3.1.3.2).
// Content-Type, which stands for datacontenttype, is not among them.
func (a Attributes) HTTP() []Header {
	h := a.headers("ce-")
	for i := range h {
		h[i].Value = percent(h[i].Value)
	}
	return h
}

// Kafka returns the headers of the binary content mode (Kafka binding, section 3.2.3): the values are UTF-8 as they are.
// content-type, which stands for datacontenttype, is not among them.
func (a Attributes) Kafka() []Header { return a.headers("ce_") }

func (a Attributes) headers(prefix string) []Header {
	h := []Header{
		{prefix + "specversion", SpecVersion}, {prefix + "id", a.ID}, {prefix + "source", a.Source},
		{prefix + "type", a.Type}, {prefix + "time", a.Time},
	}
	if a.Subject != "" {
		h = append(h, Header{prefix + "subject", a.Subject})
	}
	return h
}

// percent encodes what is not printable ASCII, and the space, the quote and the percent sign.
func percent(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '%' {
			b.Write([]byte{'%', digits[c>>4], digits[c&15]})
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
