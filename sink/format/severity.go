package format

import (
	"strings"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

// Facts is what severity and activity are decided by: fields of threatInfo. Absent, null and unknown values
// are all the same: unknown. Case does not count.
type Facts struct {
	Verdict        string // analystVerdict
	Mitigation     string // mitigationStatus, the word and not the list
	Incident       string // incidentStatus
	Confidence     string // confidenceLevel
	Classification string
	FailedActions  bool
}

// FactsOf reads them from a threat's own JSON.
func FactsOf(raw []byte) Facts {
	var f Facts
	info, ok := jsonscan.Lookup(raw, "threatInfo")
	if !ok {
		return f
	}
	s := jsonscan.Scanner{Data: info}
	// An info that is no object leaves the facts unknown, which is what they are.
	_ = s.Object(func(key []byte) error {
		value, err := s.Value()
		if err != nil {
			return err
		}
		switch string(key) {
		case "analystVerdict":
			f.Verdict, _ = jsonscan.String(value)
		case "mitigationStatus":
			f.Mitigation, _ = jsonscan.String(value)
		case "incidentStatus":
			f.Incident, _ = jsonscan.String(value)
		case "confidenceLevel":
			f.Confidence, _ = jsonscan.String(value)
		case "classification":
			f.Classification, _ = jsonscan.String(value)
		case "failedActions":
			f.FailedActions, _ = jsonscan.Bool(value)
		}
		return nil
	})
	return f
}

// Severity is one judgement on the scale of each format.
type Severity struct {
	Syslog int    // 0 emergency to 7 debug (RFC 5424 section 6.2.1): lower is worse
	CEF    int    // 0 to 10
	LEEF   int    // 1 to 10
	OCSF   int    // severity_id: 0 unknown, 1 informational to 6 fatal
	ECS    int    // event.severity, 0 to 100
	CIM    string // informational, low, medium, high, critical
}

var (
	informational = Severity{Syslog: 6, CEF: 1, LEEF: 1, OCSF: 1, ECS: 10, CIM: "informational"}
	handled       = Severity{Syslog: 5, CEF: 3, LEEF: 3, OCSF: 2, ECS: 30, CIM: "low"}
	critical      = Severity{Syslog: 2, CEF: 10, LEEF: 10, OCSF: 5, ECS: 100, CIM: "critical"}
	high          = Severity{Syslog: 3, CEF: 9, LEEF: 9, OCSF: 4, ECS: 90, CIM: "high"}
	medium        = Severity{Syslog: 4, CEF: 6, LEEF: 6, OCSF: 3, ECS: 60, CIM: "medium"}
	low           = Severity{Syslog: 5, CEF: 4, LEEF: 4, OCSF: 2, ECS: 40, CIM: "low"}
	unwanted      = Severity{Syslog: 4, CEF: 5, LEEF: 5, OCSF: 3, ECS: 50, CIM: "medium"} // PUA: never above this
	unknown       = Severity{Syslog: 5, CEF: 4, LEEF: 4, OCSF: 0, ECS: 40, CIM: "medium"}
)

// Severity judges a threat. The first row that matches wins: what an analyst has cleared comes before what was
// mitigated, and that before how sure the detection was.
func (f Facts) Severity() Severity {
	is := strings.EqualFold
	mitigated, confirmed := is(f.Mitigation, "mitigated"), is(f.Verdict, "true_positive")
	malicious, suspicious := is(f.Confidence, "malicious"), is(f.Confidence, "suspicious")
	s := unknown
	switch {
	case is(f.Verdict, "false_positive"), is(f.Mitigation, "marked_as_benign"):
		return informational
	case is(f.Incident, "resolved") && mitigated:
		return handled
	case malicious && !mitigated && (confirmed || f.FailedActions || is(f.Classification, "ransomware")):
		s = critical
	case malicious && !mitigated, suspicious && !mitigated && confirmed:
		s = high
	case malicious, suspicious && !mitigated:
		s = medium
	case suspicious:
		s = low
	case is(f.Incident, "resolved"):
		return handled
	}
	if (is(f.Classification, "pua") || is(f.Classification, "pup")) && s.ECS > unwanted.ECS {
		return unwanted
	}
	return s
}

// Activity is what happened to the threat.
type Activity string

// The three activities.
const (
	Create Activity = "create"
	Update Activity = "update"
	Close  Activity = "close"
)

// fresh is how soon after its creation a version of a threat counts as the first one.
const fresh = time.Minute

// Activity is decided by the event alone, without any memory of earlier ones.
func (f Facts) Activity(ev *event.Event) Activity {
	switch {
	case strings.EqualFold(f.Incident, "resolved"):
		return Close
	case !ev.CreatedAt.IsZero() && ev.UpdatedAt.Sub(ev.CreatedAt) < fresh:
		return Create
	}
	return Update
}
