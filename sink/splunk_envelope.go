package sink

import (
	"encoding/json"
	"fmt"
	"strconv"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

// splunkMaxHost is the longest name of a computer that goes into the envelope, in bytes as it is written in the threat,
// quotes included: that of DNS, and some escapes.
const splunkMaxHost = 300

// splunkMaxID is what an id takes at most, as a rule: a console's have 18 or 19 digits.
const splunkMaxID = 128

// splunkEnvelope is what stands around every event of one sink:
//
//	{"time":1767693600.123456,"fields":{"version":"…","threat_id":"…","console":"…"},"host":"…","source":"…","event":…}
//
// https://docs.splunk.com/Documentation/Splunk/latest/Data/FormateventsforHTTPEventCollector
type splunkEnvelope struct {
	fixed string // the members that are the same for every event, each with its comma
	host  bool   // host is among them
}

func (c *SplunkConfig) envelope() splunkEnvelope {
	e := splunkEnvelope{host: c.Host != ""}
	for _, m := range []struct{ key, value string }{{"host", c.Host}, {"source", c.Source}, {"sourcetype", c.SourceType}, {"index", c.Index}} {
		if m.value != "" {
			text, _ := json.Marshal(m.value) // a string always can be
			e.fixed += `"` + m.key + `":` + string(text) + ","
		}
	}
	return e
}

const (
	splunkFields  = `"fields":{"version":"","threat_id":"","console":""},`
	splunkMaxTime = len(`{"time":-9223372036854775808.000000,`)
)

// max is the most bytes around an event whose id is no longer than a console's are.
func (e splunkEnvelope) max() int {
	return splunkMaxTime + len(splunkFields) + 32 + splunkMaxID + 64 + len(`"host":,`) + splunkMaxHost + len(e.fixed) + len(`"event":}`+"\n")
}

// around is the most bytes around this event.
func (e splunkEnvelope) around(ev *event.Event) int {
	usual := e.max()
	if 6*len(ev.ID) <= splunkMaxID { // JSON may make six bytes of one
		return usual
	}
	return max(usual, len(e.append(nil, ev, nil)))
}

// append appends one event in its envelope and a line end. body is a JSON value.
func (e splunkEnvelope) append(dst []byte, ev *event.Event, body []byte) []byte {
	us := ev.UpdatedAt.UnixMicro()
	dst = strconv.AppendInt(append(dst, `{"time":`...), us/1e6, 10)
	frac := us % 1e6
	if us < 0 { // before 1970 nothing was updated; a minus before the fraction alone would be no number
		frac = 0
	}
	dst = fmt.Appendf(dst, ".%06d,", frac)
	dst = append(append(append(dst, `"fields":{"version":"`...), ev.Version.String()...), `","threat_id":`...)
	dst = append(splunkText(dst, ev.ID), `,"console":`...)
	dst = append(splunkText(dst, ev.Source), `},`...)
	if !e.host {
		// As it stands in the threat, escapes and all. Where there is none, the collector says which host it was.
		if host, ok := jsonscan.Lookup(ev.Raw, "agentRealtimeInfo", "agentComputerName"); ok && host[0] == '"' && len(host) > 2 && len(host) <= splunkMaxHost {
			dst = append(append(append(dst, `"host":`...), host...), ',')
		}
	}
	dst = append(append(dst, e.fixed...), `"event":`...)
	return append(append(dst, body...), "}\n"...)
}

// splunkText appends a JSON string.
func splunkText(dst []byte, s string) []byte {
	text, _ := json.Marshal(s) // a string always can be
	return append(dst, text...)
}

var _ Wrapper = (*Splunk)(nil)

// Wrap implements Wrapper: a record is what stands behind "event": an object as the format made it, byte for byte, or
// its line of text as a JSON string. The rest of the envelope is added when it is sent, so that a batch, which
// waits long for its ack, holds no second copy of what the console sent.
func (s *Splunk) Wrap(encode Encode) Encode {
	finish := func(body []byte) []byte {
		scan := jsonscan.Scanner{Data: body}
		if scan.Space() == '{' {
			return body
		}
		return splunkText(nil, string(body))
	}
	return func(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
		if more := s.envelope.around(ev) - s.envelope.max(); max > 0 && more > 0 {
			if max -= more; max <= 0 {
				return nil, false, fmt.Errorf("the envelope of a threat with this id has %d bytes more than usual: raise max_message_bytes", more)
			}
		}
		return httpFit(dst, ev, max, 0, encode, finish)
	}
}
