package format

import "bytes"

// attackTactics are the tactics of MITRE ATT&CK for Enterprise and their ids, which a threat does not carry: an
// indicator's ids are the console's own.
var attackTactics = [...]struct{ name, id string }{
	{"reconnaissance", "TA0043"}, {"resourcedevelopment", "TA0042"}, {"initialaccess", "TA0001"}, {"execution", "TA0002"},
	{"persistence", "TA0003"}, {"privilegeescalation", "TA0004"}, {"defenseevasion", "TA0005"}, {"credentialaccess", "TA0006"},
	{"discovery", "TA0007"}, {"lateralmovement", "TA0008"}, {"collection", "TA0009"}, {"exfiltration", "TA0010"},
	{"commandandcontrol", "TA0011"}, {"impact", "TA0040"},
}

// tacticID returns the id of a tactic of MITRE's, "" for another one. Spaces, hyphens and case do not count.
func tacticID(t *Tactic) string {
	if !isMITRE(t) {
		return ""
	}
	var buf [24]byte
	name := buf[:0]
	for _, c := range t.Name {
		switch {
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case c == ' ', c == '-', c == '_':
			continue
		}
		if len(name) == len(buf) {
			return ""
		}
		name = append(name, c)
	}
	for _, known := range attackTactics {
		if string(name) == known.name {
			return known.id
		}
	}
	return ""
}

func isMITRE(t *Tactic) bool {
	return len(t.Source) == len("MITRE") && bytes.EqualFold(t.Source, []byte("MITRE"))
}

// techniqueParent returns T1053 for T1053.005; ok is false for what is no sub-technique.
func techniqueParent(id []byte) (parent []byte, ok bool) {
	parent, sub, found := bytes.Cut(id, []byte{'.'})
	return parent, found && isTechnique(parent) && len(sub) == 3 && isDigits(sub)
}

// isTechnique reports whether id is that of a technique, as in T1053.
func isTechnique(id []byte) bool { return len(id) == 5 && id[0] == 'T' && isDigits(id[1:]) }

func isDigits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}
