package sink

import (
	"fmt"
	"time"

	"s1stream/internal/event"
	"s1stream/sink/format"
	"s1stream/sink/rfc5424"
)

// syslogHeader is what every record of one sink begins with.
type syslogHeader struct {
	legacy     bool // RFC 3164
	facility   int
	hostname   string
	appName    string
	enterprise uint32
	judge      format.Judge
}

var _ Wrapper = (*Syslog)(nil)

// Wrap implements Wrapper: a record is a whole syslog line without its framing, of max bytes at most. Line
// breaks of the payload become spaces, so that no event can pass for two whatever the framing.
func (s *Syslog) Wrap(encode Encode) Encode { return s.header.wrap(encode) }

func (h syslogHeader) wrap(encode Encode) Encode {
	return func(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
		if dst == nil {
			dst = make([]byte, 0, len(ev.Raw)+512)
		}
		start := len(dst)
		facts := format.FactsOf(ev.Raw)
		// The header says whether the event was shrunk, and its own length decides about that: where it was,
		// both are made once more.
		for {
			dst = h.append(dst[:start], ev, facts, shrunk)
			payload := len(dst)
			room := 0
			if max > 0 {
				if room = max - (payload - start); room <= 0 {
					return nil, false, fmt.Errorf("a syslog header of %d bytes leaves no room in max_message_bytes = %d", payload-start, max)
				}
			}
			out, less, err := encode(dst, ev, room)
			if err != nil {
				return nil, false, err
			}
			if less && !shrunk {
				dst, shrunk = out, true
				continue
			}
			format.Flatten(out[payload:])
			return out, shrunk, nil
		}
	}
}

// append writes everything up to the payload.
func (h *syslogHeader) append(dst []byte, ev *event.Event, facts format.Facts, shrunk bool) []byte {
	severity := h.judge(ev, facts).Syslog
	if h.legacy {
		// RFC 3164 section 4.1.2: no year and no zone. UTC, so that it is at least the same everywhere.
		dst = rfc5424.AppendPri(dst, h.facility, severity)
		dst = ev.UpdatedAt.UTC().AppendFormat(dst, time.Stamp)
		dst = rfc5424.AppendField(append(dst, ' '), h.hostname, rfc5424.MaxHostname)
		return append(append(append(dst, ' '), h.appName...), ": "...)
	}
	dst = rfc5424.Header{
		Facility: h.facility, Severity: severity, Time: ev.UpdatedAt,
		Hostname: h.hostname, AppName: h.appName, MsgID: "threat." + string(facts.Activity(ev)),
	}.Append(dst)
	dst = rfc5424.AppendElement(dst, "s1", h.enterprise)
	dst = rfc5424.AppendParam(dst, "id", ev.ID)
	dst = rfc5424.AppendParam(dst, "version", ev.Version.String())
	if shrunk {
		dst = rfc5424.AppendParam(dst, "truncated", "1")
	}
	return append(dst, "] "...)
}
