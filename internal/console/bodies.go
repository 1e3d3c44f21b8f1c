package console

import (
	"strconv"

	"s1stream/internal/event"
)

// bodies writes threats as JSON. What it writes depends on the threat alone, but for the value of
// agentRealtimeInfo, which depends on live too: one number a read.
type bodies interface {
	// append returns where the value of agentRealtimeInfo begins and ends, counted from the threat's first
	// byte; both are 0 where the threat has none.
	append(dst []byte, t *Threat, live uint64) (out []byte, start, end int)
	facts(t *Threat) facts
}

// facts is what can be filtered by, beside a Threat's own fields.
type facts struct {
	confidence, classification string
	accountID, siteID, groupID string
	computer, sha1             string
}

// versionOf makes a threat's version as a source does, from the body with the live value cut out.
func versionOf(bs bodies, host string, t *Threat) event.Version {
	raw, start, end := bs.append(nil, t, 0)
	return event.NewVersion(host, t.IDString(), t.Updated.String(), raw[:start], raw[end:])
}

// tiny writes about 300 bytes a threat, for tests that make millions. agentRealtimeInfo is first, in the middle,
// last or missing, by the id.
type tiny struct{}

const tinyKey = `"agentRealtimeInfo":`

func (tiny) append(dst []byte, t *Threat, live uint64) (out []byte, start, end int) {
	base := len(dst)
	realtime := func(b []byte) []byte {
		b = append(b, tinyKey...)
		start = len(b) - base
		b = append(b, `{"activeThreats":`...)
		b = strconv.AppendUint(b, live, 10)
		b = append(b, '}')
		end = len(b) - base
		return b
	}
	l := luck(t.ID)
	place := l.below(4)
	b := append(dst, '{')
	if place == 0 {
		b = append(realtime(b), ',')
	}
	b = append(b, `"id":"`...)
	b = strconv.AppendUint(b, t.ID, 10)
	b = append(b, `",`...)
	if place == 1 {
		b = append(realtime(b), ',')
	}
	b = append(b, `"mitigationStatus":[`...)
	for i, after := range t.rows() {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"action":"kill","lastUpdate":"`...)
		b = (t.Created + Stamp(after)*1000).append(b)
		b = append(b, `"}`...)
	}
	b = append(b, `],"rows":`...)
	b = strconv.AppendUint(b, uint64(t.Rows), 10)
	b = append(b, `,"threatInfo":{"analystVerdict":"`...)
	b = append(b, t.Verdict.String()...)
	b = append(b, `","createdAt":"`...)
	b = t.Created.append(b)
	b = append(b, `","externalTicketId":"`...)
	b = strconv.AppendUint(b, uint64(t.Ticket), 10)
	b = append(b, `","incidentStatus":"`...)
	b = append(b, t.Incident.String()...)
	b = append(b, `","mitigationStatus":"`...)
	b = append(b, t.Mitigation.String()...)
	b = append(b, `","updatedAt":"`...)
	b = t.Updated.append(b)
	b = append(b, `"}`...)
	if place == 2 {
		b = realtime(append(b, ','))
	}
	return append(b, '}'), start, end
}

func (tiny) facts(t *Threat) facts {
	return facts{confidence: "malicious", classification: "Malware",
		accountID: "1804417203311250944", siteID: "1804417203823356902", groupID: "1804417203990128871",
		computer: "HOST-" + strconv.FormatUint(t.ID%100, 10)}
}
