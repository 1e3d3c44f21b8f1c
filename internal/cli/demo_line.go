package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"golang.org/x/term"

	"s1stream/internal/safe"
	"s1stream/sink"
	"s1stream/sink/format"
)

const demoWidth = 100 // of a terminal that does not tell its own

// demoForm chooses how a threat is printed: a short line on a terminal, JSON anywhere else.
func (a *app) demoForm(asJSON bool) func(sink.Record) []byte {
	tty := terminal(a.stdout)
	if tty == nil || asJSON {
		return jsonLine
	}
	colour := a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
	return func(r sink.Record) []byte {
		width, _, err := term.GetSize(int(tty.Fd())) //nolint:gosec // a descriptor fits; asked each time, for windows are resized
		if err != nil || width <= 0 {
			width = demoWidth
		}
		return shortLine(r, width, colour)
	}
}

// shortLine is a threat on a terminal: when, what happened, what it is, where, and what has become of it.
func shortLine(r sink.Record, width int, colour bool) []byte {
	var t struct {
		ThreatInfo struct {
			ThreatName, Classification, MitigationStatus, IncidentStatus, AnalystVerdict string
		}
		AgentRealtimeInfo struct{ AgentComputerName string }
	}
	// What is missing or of another type stays empty; the rest of the line is still worth printing.
	_ = json.Unmarshal(r.Event.Raw, &t)
	activity := format.FactsOf(r.Event.Raw).Activity(r.Event)
	status := t.ThreatInfo.IncidentStatus + ", " + t.ThreatInfo.MitigationStatus
	if v := t.ThreatInfo.AnalystVerdict; v != "" && v != "undefined" {
		status += ", " + v
	}
	word := fmt.Sprintf("%-6s", activity)
	head, rest := r.Event.UpdatedAt.Format(time.TimeOnly)+" ", " "+cell(t.ThreatInfo.Classification, 11)+" "+
		cell(t.ThreatInfo.ThreatName, 22)+" "+cell(t.AgentRealtimeInfo.AgentComputerName, 13)+" "+
		strings.ReplaceAll(safe.Text(status), "_", " ")
	text := fit(head+word+rest, width)
	if colour {
		text = strings.Replace(text, word, colours[activity]+word+"\x1b[0m", 1)
	}
	return []byte(text + "\n")
}

var colours = map[format.Activity]string{format.Create: "\x1b[31m", format.Update: "\x1b[33m", format.Close: "\x1b[32m"}

// cell cleans text and makes it n columns wide.
func cell(s string, n int) string {
	s = fit(safe.Text(s), n)
	for have := columns(s); have < n; have++ {
		s += " "
	}
	return s
}

// fit cuts clean text to at most n columns.
func fit(s string, n int) string {
	if columns(s) <= n {
		return s
	}
	used := 0
	for i, r := range s {
		if used += runeColumns(r); used > n-1 {
			return s[:i] + "…"
		}
	}
	return s
}

func columns(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is 2 for what terminals draw wide: the blocks of East Asian scripts and of emoji (UAX #11).
func runeColumns(r rune) int {
	for _, wide := range [...][2]rune{{0x1100, 0x115f}, {0x2e80, 0xa4cf}, {0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f},
		{0xff00, 0xff60}, {0xffe0, 0xffe6}, {0x1f300, 0x1faff}, {0x20000, 0x3fffd}} {
		if r >= wide[0] && r <= wide[1] {
			return 2
		}
	}
	return 1
}
