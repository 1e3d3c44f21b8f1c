package cli

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"s1stream/internal/testpeer"
)

// From the console to the table: what only a line knows stands in each row.
func TestRun_SendsToATableOfSentinel(t *testing.T) {
	peer := testpeer.StartAzure(t)
	store, server := serve(t, 12)
	s := configure(t, server.URL, "", fmt.Sprintf(`
[sink.sentinel]
type = "azure"
format = "ocsf"
endpoint = %q
rule_id = %q
tenant_id = %q
authority = %q
client_id = %q
client_secret = %q
`, peer.URL, peer.Rule, peer.Tenant, peer.Authority(), peer.Tokens.ClientID, peer.Tokens.Secret))
	p := begin(t, []string{"S1STREAM_OPS__LISTEN=127.0.0.1:0"}, "run", "--config", s.file)
	until(t, "all are in the table", func() bool { return len(peer.Rows()) >= 12 })
	p.signal()
	p.end(t)
	p.wantCode(t, 0)
	var got, want []string
	for _, row := range peer.Rows() {
		got = append(got, row.ThreatID)
		var event struct {
			ClassUID int `json:"class_uid"`
			Metadata struct{ UID string }
		}
		if err := json.Unmarshal(row.Event, &event); err != nil || event.ClassUID != 2004 || event.Metadata.UID != row.Version {
			t.Errorf("version %s has the event %.200s (%v)", row.Version, row.Event, err)
		}
		if host := strings.TrimPrefix(server.URL, "http://"); row.Format != "ocsf" || row.SourceName != "prod" || row.Console != host || row.Truncated {
			t.Errorf("the row is %+v, want the format, prod and %s", row, host)
		}
	}
	for _, id := range store.Store.IDs() {
		want = append(want, fmt.Sprint(id))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("threats %v, want %v", got, want)
	}
}
