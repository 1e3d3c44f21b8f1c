// Package rfc5424 writes the header and the structured data of a syslog message as RFC 5424 defines them.
//
// Whatever text goes in, what comes out is well formed: characters that a field can't hold are replaced, what
// is too long is cut between characters. Nothing here allocates beyond the slice that is appended to.
package rfc5424

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// The longest that RFC 5424 section 6 allows, in bytes.
const (
	MaxHostname = 255
	MaxAppName  = 48
	MaxProcID   = 128
	MaxMsgID    = 32
	MaxName     = 32 // SD-ID and PARAM-NAME
)

// Header is a message's header. Facility is 0 to 23 and Severity 0 to 7. The zero Time and an empty text
// are written as the nil value "-".
type Header struct {
	Facility, Severity               int
	Time                             time.Time
	Hostname, AppName, ProcID, MsgID string
}

// Append writes "<PRI>1 TIMESTAMP HOSTNAME APP-NAME PROCID MSGID " with its space at the end, ready for
// structured data. The time is UTC with six digits of fraction, the most that section 6.2.3 allows.
func (h Header) Append(dst []byte) []byte {
	dst = AppendPri(dst, h.Facility, h.Severity)
	dst = append(dst, "1 "...)
	if h.Time.IsZero() {
		dst = append(dst, '-')
	} else {
		dst = h.Time.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	}
	dst = AppendField(append(dst, ' '), h.Hostname, MaxHostname)
	dst = AppendField(append(dst, ' '), h.AppName, MaxAppName)
	dst = AppendField(append(dst, ' '), h.ProcID, MaxProcID)
	dst = AppendField(append(dst, ' '), h.MsgID, MaxMsgID)
	return append(dst, ' ')
}

// AppendPri writes "<PRI>", which RFC 3164 has in common. A facility or severity out of range becomes the
// nearest that is in it.
func AppendPri(dst []byte, facility, severity int) []byte {
	pri := 8*min(max(facility, 0), 23) + min(max(severity, 0), 7)
	dst = strconv.AppendInt(append(dst, '<'), int64(pri), 10)
	return append(dst, '>')
}

// AppendField writes one field of the header: at most limit bytes of printable ASCII without a space, every
// other byte as "_", "-" where s is empty.
func AppendField(dst []byte, s string, limit int) []byte {
	if s == "" {
		return append(dst, '-')
	}
	for i := 0; i < len(s) && i < limit; i++ {
		if printable(s[i]) {
			dst = append(dst, s[i])
		} else {
			dst = append(dst, '_')
		}
	}
	return dst
}

// AppendElement opens an element of structured data, "[name@number". Parameters follow, then "]".
func AppendElement(dst []byte, name string, enterprise uint32) []byte {
	digits := 1
	for n := enterprise; n >= 10; n /= 10 {
		digits++
	}
	dst = appendName(append(dst, '['), name, MaxName-1-digits)
	return strconv.AppendUint(append(dst, '@'), uint64(enterprise), 10)
}

// AppendParam writes ` name="value"`. Section 6.3.3: the value is UTF-8, and exactly `"`, `\` and `]` are escaped.
// Control characters become spaces, and bytes that are not UTF-8 the replacement character: strict parsers
// refuse the first, and the RFC the second.
func AppendParam(dst []byte, name, value string) []byte {
	dst = appendName(append(dst, ' '), name, MaxName)
	dst = append(dst, '=', '"')
	for i := 0; i < len(value); {
		c := value[i]
		if c < utf8.RuneSelf {
			switch {
			case c == '"' || c == '\\' || c == ']':
				dst = append(dst, '\\', c)
			case c < 0x20 || c == 0x7f:
				dst = append(dst, ' ')
			default:
				dst = append(dst, c)
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(value[i:])
		dst = utf8.AppendRune(dst, r) // RuneError where it is not UTF-8
		i += n
	}
	return append(dst, '"')
}

// appendName writes an SD-NAME: printable ASCII without "=", "]" and `"`, and without "@", which is the
// mark of an SD-ID with an enterprise number.
func appendName(dst []byte, name string, limit int) []byte {
	if name == "" {
		return append(dst, '_')
	}
	for i := 0; i < len(name) && i < limit; i++ {
		switch c := name[i]; {
		case !printable(c), c == '=', c == ']', c == '"', c == '@':
			dst = append(dst, '_')
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// Valid reports whether s can stand in a field of the header as it is: 1 to limit printable ASCII characters.
func Valid(s string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if !printable(s[i]) {
			return false
		}
	}
	return true
}

// printable is PRINTUSASCII of section 6.
func printable(c byte) bool { return c >= 0x21 && c <= 0x7e }
