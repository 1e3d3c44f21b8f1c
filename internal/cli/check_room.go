package cli

import (
	"fmt"
	"strings"
	"time"

	"s1stream/internal/config"
	"s1stream/internal/event"
	"s1stream/sink"
	"s1stream/sink/format"
)

// checkRoom makes a record of an ordinary threat as a line of the sink would. Where max_message_bytes has no room for its
// summary either, run would make a dead letter of every threat.
func checkRoom(s config.Sink, d sink.Deps) []finding {
	if s.Line.MaxMessageBytes <= 0 {
		return nil
	}
	encode, err := format.New(s.Line.Format, s.Line.FormatOptions, d.Host, nil)
	if err != nil {
		return nil // a valid configuration has no such mistake
	}
	out, err := s.Config.New(d)
	if err != nil {
		return nil // the probe says so
	}
	defer func() { _ = out.Close() }() // it was never used
	var wrapped sink.Encode = encode
	if w, ok := out.(sink.Wrapper); ok {
		wrapped = w.Wrap(encode)
	}
	if _, _, err := wrapped(nil, ordinary(d), s.Config.MaxBytes(int(s.Line.MaxMessageBytes))); err != nil {
		return []finding{fail("raise max_message_bytes, or every threat becomes a dead letter",
			"an ordinary threat does not fit into max_message_bytes = %q: %v", s.Line.MaxMessageBytes, err)}
	}
	return nil
}

// ordinary is a threat made up for checkRoom, of the size that most have, so that a small limit shrinks it.
func ordinary(d sink.Deps) *event.Event {
	const id, at = "1234567890123456789", "2026-01-06T10:00:00.123456Z"
	raw := fmt.Appendf(nil, `{"id":%q,"threatInfo":{"threatId":%[1]q,"threatName":"sample.exe","classification":"Malware","confidenceLevel":"malicious",`+
		`"analystVerdict":"undefined","incidentStatus":"unresolved","mitigationStatus":"not_mitigated","createdAt":%[2]q,"updatedAt":%[2]q,`+
		`"sha1":"%040d","maliciousProcessArguments":%[4]q},"agentDetectionInfo":{"accountId":%[1]q},"agentRealtimeInfo":{"agentComputerName":"host-1"}}`,
		id, at, 0, strings.Repeat("x", 4<<10))
	moment := time.Date(2026, 1, 6, 10, 0, 0, 123456000, time.UTC)
	return &event.Event{Raw: raw, ID: id, UpdatedAt: moment, CreatedAt: moment, Version: event.NewVersion(d.Host, id, at, raw), Source: d.Source}
}
