package rfc5424

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	parser "github.com/leodido/go-syslog/v4/rfc5424"
)

// message is what the syslog sink puts together.
func message(h Header, enterprise uint32, name, value, text string) []byte {
	b := h.Append(nil)
	b = AppendElement(b, "s1", enterprise)
	b = AppendParam(b, name, value)
	return append(append(b, "] "...), text...)
}

func parse(t *testing.T, b []byte) *parser.SyslogMessage {
	t.Helper()
	m, err := parser.NewParser().Parse(b)
	if err != nil {
		t.Fatalf("parse %q: %v", b, err)
	}
	return m.(*parser.SyslogMessage)
}

func TestHeader_IsWrittenAsSection6Says(t *testing.T) {
	at := time.Date(2026, 11, 21, 14, 6, 44, 908771999, time.FixedZone("CET", 3600))
	for _, c := range []struct {
		name string
		h    Header
		want string
	}{
		{"all fields, the time in UTC cut to microseconds",
			Header{Facility: 16, Severity: 3, Time: at, Hostname: "fw.example", AppName: "sentinelone", ProcID: "77", MsgID: "threat.create"},
			"<131>1 2026-11-21T13:06:44.908771Z fw.example sentinelone 77 threat.create "},
		{"nothing at all", Header{}, "<0>1 - - - - - "},
		{"whole seconds keep six digits", Header{Time: at.Truncate(time.Second)}, "<0>1 2026-11-21T13:06:44.000000Z - - - - "},
		{"out of range becomes the nearest", Header{Facility: 99, Severity: -1}, "<184>1 - - - - - "},
		{"what a field can't hold is replaced", Header{Hostname: "a b\tc\x00é", AppName: "x\x7f"}, "<0>1 - a_b_c___ x_ - - "},
		{"what is too long is cut", Header{MsgID: strings.Repeat("m", 40)}, "<0>1 - - - - " + strings.Repeat("m", 32) + " "},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, string(c.h.Append(nil))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParam_EscapesExactlyThreeCharacters(t *testing.T) {
	for in, want := range map[string]string{
		`a"b\c]d`:         `a\"b\\c\]d`,
		"[=,'é€😀":         "[=,'é€😀",
		"line\r\nend\x00": "line  end ",
		"bad\xffutf8":     "bad\uFFFDutf8",
		"":                "",
	} {
		if got := string(AppendParam(nil, "k", in)); got != ` k="`+want+`"` {
			t.Errorf("AppendParam(%q) = %s, want value %s", in, got, want)
		}
	}
}

func TestElement_StaysWithin32Characters(t *testing.T) {
	for _, pen := range []uint32{0, 9, 10, 32473, 4294967295} {
		got := string(AppendElement(nil, strings.Repeat("n", 40), pen))
		if id := strings.TrimPrefix(got, "["); len(id) != MaxName || !strings.HasSuffix(id, fmt.Sprintf("@%d", pen)) {
			t.Errorf("enterprise %d: SD-ID %q has %d bytes", pen, id, len(id))
		}
	}
	if got := string(AppendElement(nil, `a b]"=@`, 1)); got != "[a_b____@1" {
		t.Errorf("got %q", got)
	}
}

func TestValid_KnowsWhatAFieldCanHold(t *testing.T) {
	for s, want := range map[string]bool{"a": true, "": false, "a b": false, "é": false, "12345678": true, "123456789": false, "\x7f": false} {
		if got := Valid(s, 8); got != want {
			t.Errorf("Valid(%q) = %v", s, got)
		}
	}
}

func TestAppend_AllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 512)
	h := Header{Facility: 16, Severity: 3, Time: time.Unix(1, 0), Hostname: "fw", AppName: "sentinelone", MsgID: "threat.update"}
	if n := testing.AllocsPerRun(100, func() {
		b := AppendElement(h.Append(buf), "s1", 32473)
		_ = AppendParam(b, "id", "2316604981177352196")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRFC5424 shows that an independent parser accepts whatever hostile text was encoded, and reads the same
// fields back.
func FuzzRFC5424(f *testing.F) {
	f.Add(16, 3, int64(1795266404908771), "fw.example", "sentinelone", "-", "threat.create", uint32(32473), "id", "23166", `{"a":1}`)
	f.Add(-1, 9, int64(0), "", " ", "\x00", "é", uint32(0), `]="@ `, `\]"\n`+"\n\xff", "\ufeff{}")
	f.Add(23, 7, int64(-62135596800000000), strings.Repeat("h", 300), strings.Repeat("a", 50), "", strings.Repeat("\"", 40), uint32(4294967295),
		strings.Repeat("x", 33), "[s1@1 x=\"y\"]", "")
	f.Fuzz(func(t *testing.T, facility, severity int, micros int64, host, app, proc, msgid string, pen uint32, name, value, text string) {
		at := time.UnixMicro(micros).UTC()
		if y := at.Year(); y < 1 || y > 9999 {
			return // no timestamp of RFC 3339; the source gives none
		}
		h := Header{Facility: facility, Severity: severity, Time: at, Hostname: host, AppName: app, ProcID: proc, MsgID: msgid}
		text = strings.ToValidUTF8(strings.Map(func(r rune) rune {
			if r == '\n' || r == '\r' {
				return ' '
			}
			return r
		}, text), "?")
		m := parse(t, message(h, pen, name, value, text))

		if want := uint8(8*min(max(facility, 0), 23) + min(max(severity, 0), 7)); m.Priority == nil || *m.Priority != want { //nolint:gosec // 0 to 191
			t.Errorf("priority %v, want %d", m.Priority, want)
		}
		if at.IsZero() {
			if m.Timestamp != nil {
				t.Errorf("timestamp %v, want none", m.Timestamp)
			}
		} else if m.Timestamp == nil || !m.Timestamp.Equal(at) {
			t.Errorf("timestamp %v, want %v", m.Timestamp, at)
		}
		for field, c := range map[string]struct {
			got   *string
			in    string
			limit int
		}{
			"hostname": {m.Hostname, host, MaxHostname}, "app-name": {m.Appname, app, MaxAppName},
			"procid": {m.ProcID, proc, MaxProcID}, "msgid": {m.MsgID, msgid, MaxMsgID},
		} {
			if want := expectField(c.in, c.limit); deref(c.got) != want {
				t.Errorf("%s %q, want %q", field, deref(c.got), want)
			}
		}
		if m.StructuredData == nil || len(*m.StructuredData) != 1 {
			t.Fatalf("structured data %v, want one element", m.StructuredData)
		}
		params := (*m.StructuredData)[fmt.Sprintf("s1@%d", pen)]
		if len(params) != 1 {
			t.Fatalf("structured data %v, want one parameter of s1@%d", *m.StructuredData, pen)
		}
		for _, got := range params {
			if want := expectValue(value); got != want {
				t.Errorf("value %q, want %q", got, want)
			}
		}
		if got := deref(m.Message); got != text {
			t.Errorf("text %q, want %q", got, text)
		}
	})
}

// expectField and expectValue say once more, the slow way, what the encoder promises.
func expectField(s string, limit int) string {
	var b strings.Builder
	for _, c := range []byte(s[:min(len(s), limit)]) {
		if c <= ' ' || c > '~' {
			c = '_'
		}
		b.WriteByte(c)
	}
	if b.String() == "-" {
		return "" // the nil value, to the parser
	}
	return b.String()
}

func expectValue(s string) string {
	var out []rune
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r < 0x20 || r == 0x7f {
			r = ' '
		}
		out, s = append(out, r), s[n:]
	}
	return string(out)
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
