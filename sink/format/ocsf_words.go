package format

import "time"

// enum is a value of one of the schema's enumerations and its caption. 99 is Other: the caption is then the
// console's own word.
type enum struct {
	id      int
	caption string
}

func (w *jsonWriter) enum(id, caption string, e enum) {
	w.integer(id, int64(e.id))
	w.word(caption, e.caption)
}

// enumOr is enum with the console's own word as the caption of Other.
func (w *jsonWriter) enumOr(id, caption string, e enum, other []byte) {
	if e != enumOther {
		w.enum(id, caption, e)
		return
	}
	w.integer(id, int64(e.id))
	w.text(caption, other)
}

var (
	enumUnknown = enum{0, "Unknown"}
	enumOther   = enum{99, ""}
)

func ocsfSeverity(id int) enum {
	captions := [...]string{"Unknown", "Informational", "Low", "Medium", "High", "Critical", "Fatal"}
	if id < 0 || id >= len(captions) {
		return enumUnknown
	}
	return enum{id, captions[id]}
}

func ocsfStatus(t *Threat) enum {
	switch in := t.Info.Incident; {
	case equalFold(t.Info.Verdict, "false_positive"):
		return enum{3, "Suppressed"}
	case equalFold(in, "unresolved"):
		return enum{1, "New"}
	case equalFold(in, "in_progress"):
		return enum{2, "In Progress"}
	case equalFold(in, "resolved"):
		return enum{4, "Resolved"}
	}
	return enumUnknown
}

func ocsfVerdict(t *Threat) enum {
	switch v := t.Info.Verdict; {
	case equalFold(v, "false_positive"):
		return enum{1, "False Positive"}
	case equalFold(v, "true_positive"):
		return enum{2, "True Positive"}
	case equalFold(v, "suspicious"):
		return enum{4, "Suspicious"}
	}
	return enumUnknown
}

func ocsfConfidence(t *Threat) enum {
	switch c := t.Info.Confidence; {
	case equalFold(c, "malicious"):
		return enum{3, "High"}
	case equalFold(c, "suspicious"):
		return enum{2, "Medium"}
	}
	return enumUnknown
}

// The schema asks that the two agree: https://schema.ocsf.io/1.8.0/profiles/security_control
var (
	ocsfAllowed  = enum{1, "Allowed"}
	ocsfDenied   = enum{2, "Denied"}
	ocsfObserved = enum{3, "Observed"}
	ocsfModified = enum{4, "Modified"}
)

func ocsfDisposition(t *Threat) (action, disposition enum) {
	i := &t.Info
	last := lastSuccess(t.Mitigations)
	switch {
	case equalFold(i.Mitigation, "marked_as_benign"):
		return ocsfAllowed, enum{10, "Exonerated"}
	case i.FailedActions == True:
		return ocsfObserved, enum{13, "Uncorrected"}
	case i.PendingActions == True, i.RebootRequired == True:
		return ocsfModified, enum{14, "Delayed"}
	case equalFold(last, "unquarantine"):
		return ocsfModified, enum{9, "Restored"}
	case equalFold(i.Mitigation, "mitigated"), equalFold(i.Mitigation, "blocked"):
		switch {
		case equalFold(last, "quarantine"):
			return ocsfDenied, enum{3, "Quarantined"}
		case equalFold(last, "network_quarantine"), equalFold(last, "network-quarantine"), equalFold(last, "network quarantine"):
			return ocsfDenied, enum{4, "Isolated"}
		case equalFold(last, "remediate"), equalFold(last, "rollback"), equalFold(last, "rollback-remediation"):
			return ocsfModified, enum{11, "Corrected"}
		}
		return ocsfDenied, enum{2, "Blocked"} // killed, or stopped before it ran
	case len(i.Mitigation) > 0:
		return ocsfObserved, enum{15, "Detected"}
	}
	return enumUnknown, enumUnknown
}

// lastSuccess returns the action that succeeded last.
func lastSuccess(rows []Mitigation) (action []byte) {
	var latest time.Time
	for i := range rows {
		if !equalFold(rows[i].Status, "success") {
			continue
		}
		at, _ := Moment(first(rows[i].EndedAt, rows[i].LastUpdate))
		if action == nil || at.After(latest) {
			action, latest = rows[i].Action, at
		}
	}
	return action
}

// ocsfMalwareClass returns the classification of malware that the schema has for one of the console's; ok is
// false where it has none, for then there is no malware object at all.
func ocsfMalwareClass(classification []byte) (class enum, ok bool) {
	for _, c := range [...]struct {
		word string
		is   enum
	}{
		{"ransomware", enum{10, "Ransomware"}}, {"trojan", enum{18, "Trojan"}}, {"downloader", enum{6, "Downloader"}},
		{"adware", enum{1, "Adware"}}, {"backdoor", enum{2, "Backdoor"}}, {"rootkit", enum{15, "Rootkit"}},
		{"virus", enum{19, "Virus"}}, {"worm", enum{22, "Worm"}}, {"keylogger", enum{9, "Keylogger"}},
		{"exploit", enum{8, "Exploit-Kit"}}, {"dropper", enum{7, "Dropper"}}, {"spyware", enum{17, "Spyware"}},
		{"wiper", enum{21, "Wiper"}}, {"webshell", enum{20, "Webshell"}}, {"bootkit", enum{4, "Bootkit"}},
	} {
		if equalFold(classification, c.word) {
			return c.is, true
		}
	}
	return enum{}, false
}
