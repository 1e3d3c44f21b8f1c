package sink

import (
	"fmt"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
)

// A HEC endpoint that others wrote takes what is sent, every event of it. It checks neither token nor channel, and gives
// no acks: those are shown against the fake alone.
func TestSplunkPeer_IsTakenByAnotherHEC(t *testing.T) {
	v := testpeer.StartVictoriaLogs(t)
	cfg := DefaultSplunk()
	cfg.URL, cfg.Token = v.HEC, "token"
	s, err := NewSplunk(*cfg, Deps{Name: "siem", Source: "emea"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	at := time.Now().Truncate(time.Microsecond)
	const n = 1200
	var records []Record
	for i := range n {
		raw := fmt.Appendf(nil, `{"id":"%d","agentRealtimeInfo":{"agentComputerName":"pc-%d"},"text":"a \"b\" \\ é"}`, i, i)
		ev := &event.Event{Raw: raw, ID: fmt.Sprint(i), Source: "emea", UpdatedAt: at.Add(time.Duration(i) * time.Microsecond)}
		ev.Version = event.NewVersion("h", ev.ID, "u", raw)
		records = append(records, Record{Event: ev, Body: raw})
	}
	if err := s.Write(t.Context(), records); err != nil {
		t.Fatal(err)
	}
	if s.Grade() != BestEffort {
		t.Errorf("grade %s, though there are no acks", s.Grade())
	}
	rows := map[string]map[string]string{}
	all := v.Rows(n)
	for _, row := range all {
		rows[row["fields.version"]] = row
	}
	if len(all) != n {
		t.Errorf("%d rows, want %d", len(all), n)
	}
	for _, r := range records {
		row := rows[r.Event.Version.String()]
		if row["fields.threat_id"] != r.Event.ID || row["fields.console"] != "emea" || row["host"] != "pc-"+r.Event.ID ||
			row["event.id"] != r.Event.ID || row["event.text"] != `a "b" \ é` {
			t.Fatalf("%d rows; of version %s: %v", len(rows), r.Event.Version, row)
		}
		when, err := time.Parse(time.RFC3339Nano, row["_time"])
		if err != nil || !when.Equal(r.Event.UpdatedAt) {
			t.Fatalf("event %s: time %s, want %s", r.Event.ID, row["_time"], r.Event.UpdatedAt)
		}
	}
}
