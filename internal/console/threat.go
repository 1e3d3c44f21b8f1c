package console

import (
	"strconv"
	"time"
)

// Stamp is a moment as the console keeps it: microseconds since 1970, UTC.
type Stamp int64

// StampOf cuts t to microseconds.
func StampOf(t time.Time) Stamp { return Stamp(t.UnixMicro()) }

// Time returns the stamp in UTC.
func (s Stamp) Time() time.Time { return time.UnixMicro(int64(s)).UTC() }

// String formats as the API does: six digits of a second, or none where all are zero.
func (s Stamp) String() string { return string(s.append(nil)) }

func (s Stamp) append(b []byte) []byte {
	if s%1e6 == 0 {
		return s.Time().AppendFormat(b, "2006-01-02T15:04:05Z")
	}
	return s.Time().AppendFormat(b, "2006-01-02T15:04:05.000000Z")
}

// Incident is what analysts have done about a threat.
type Incident uint8

// The values of incidentStatus.
const (
	Unresolved Incident = iota
	InProgress
	Resolved
)

var incidentNames = [...]string{"unresolved", "in_progress", "resolved"}

func (i Incident) String() string { return incidentNames[i] }

// Verdict is what analysts think of a threat.
type Verdict uint8

// The values of analystVerdict.
const (
	Undefined Verdict = iota
	TruePositive
	FalsePositive
	Suspicious
)

var verdictNames = [...]string{"undefined", "true_positive", "false_positive", "suspicious"}

func (v Verdict) String() string { return verdictNames[v] }

// Mitigation is threatInfo.mitigationStatus.
type Mitigation uint8

// The values of mitigationStatus.
const (
	NotMitigated Mitigation = iota
	Mitigated
	MarkedAsBenign
)

var mitigationNames = [...]string{"not_mitigated", "mitigated", "marked_as_benign"}

func (m Mitigation) String() string { return mitigationNames[m] }

// shownRows is how many mitigation rows a body shows; the newest one counts those beyond.
const shownRows = 4

// Threat is one version of a threat: what its body is made of, beside the console's seed. Two threats that are
// equal have the same body, and two that differ in any exported field have different ones.
type Threat struct {
	ID         uint64 // 19 digits in JSON, as a string
	Created    Stamp
	Updated    Stamp
	Ticket     uint32 // number of the external ticket, 0 for none: a change that tests can make at will
	Rows       uint16 // rows of the mitigationStatus array, ever added
	Incident   Incident
	Verdict    Verdict
	Mitigation Mitigation

	rowAfter [shownRows]uint32 // ms from Created to the row's lastUpdate, oldest first
}

// AddRow adds a mitigation row of that moment. The row is part of the body even where Updated stays.
func (t *Threat) AddRow(at time.Time) {
	after := max(0, (StampOf(at)-t.Created)/1000)
	if t.Rows >= shownRows {
		copy(t.rowAfter[:], t.rowAfter[1:])
		t.rowAfter[shownRows-1] = uint32(after) //nolint:gosec // 49 days; a later row wraps, and still differs
	} else {
		t.rowAfter[t.Rows] = uint32(after) //nolint:gosec // as above
	}
	t.Rows++
}

// IDString returns the id as it is written in JSON.
func (t *Threat) IDString() string { return strconv.FormatUint(t.ID, 10) }

func (t *Threat) rows() []uint32 { return t.rowAfter[:min(t.Rows, shownRows)] }

// resolved is what the parameter of that name, kept from API 2.0, asks for.
func (t *Threat) resolved() bool { return t.Incident == Resolved }
