package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestCheckpointShow_ListsLinesWithAndWithoutOne(t *testing.T) {
	_, server := serve(t, 2)
	s := configure(t, server.URL, "", "")
	p := call(t, nil, "checkpoint", "show", "--config", s.file)
	p.wantCode(t, 0)
	contains(t, p.out.String(), "SOURCE", "prod", "siem", "none yet: start = all")

	runOnce(t, s, 2)
	p = call(t, nil, "checkpoint", "show", "--config", s.file, "--json", "prod")
	p.wantCode(t, 0)
	var rows []shown
	if err := json.Unmarshal([]byte(p.out.String()), &rows); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || rows[0].Frontier == nil || !rows[0].Usable || rows[0].Note != "good" || rows[0].Generation == 0 {
		t.Errorf("shows %+v", rows)
	}
	if p = call(t, nil, "checkpoint", "show", "--config", s.file); !strings.Contains(p.out.String(), "good") {
		t.Errorf("prints\n%s", p.out)
	}
}

func TestCheckpointReset_MakesTheNextRunReadAgainFromThere(t *testing.T) {
	c, server := serve(t, 10) // created over the last hour, a threat every six minutes
	s := configure(t, server.URL, "", "")
	runOnce(t, s, 10)
	cut := time.Now().Add(-20 * time.Minute)
	young := 0
	for _, id := range c.Store.IDs() {
		if threat, _ := c.Store.Latest(id); !threat.Updated.Time().Before(cut.UTC().Truncate(time.Second)) {
			young++
		}
	}
	p := call(t, nil, "checkpoint", "reset", "--config", s.file, "--from", cut.UTC().Format(time.RFC3339), "--sink", "siem", "-y")
	p.wantCode(t, 0)
	contains(t, p.err.String(), "prod siem: from ", " to "+cut.UTC().Format(time.RFC3339), "done")
	if young == 0 || young == 10 {
		t.Fatalf("%d of 10 are young: the test proves nothing", young)
	}
	runOnce(t, s, 10+young)
}

func TestCheckpoint_SaysWhichLineThereIsNot(t *testing.T) {
	s := configure(t, "http://127.0.0.1:1", "", "")
	for args, want := range map[string]string{
		"--sink x":   `no line to sink "x"; it has prod siem`,
		"x":          `no line from source "x"; it has prod siem`,
		"prod other": `no line from source "prod" to sink "other"; it has prod siem`,
	} {
		p := call(t, nil, append([]string{"checkpoint", "reset", "--config", s.file, "--from", "all", "--yes"}, strings.Fields(args)...)...)
		p.wantCode(t, exitUsage)
		contains(t, p.err.String(), want)
	}
}

// The copies of secrets that systemd makes are there only while the service runs, and reset wants it stopped.
func TestCheckpoint_NeedsNoSecrets(t *testing.T) {
	_, server := serve(t, 2)
	s := configure(t, server.URL, "", "")
	runOnce(t, s, 2)
	text, err := os.ReadFile(s.file)
	if err != nil {
		t.Fatal(err)
	}
	gone := filepath.Join(t.TempDir(), "credentials", "token")
	text = bytes.Replace(text, fmt.Appendf(nil, "token = %q", testToken), fmt.Appendf(nil, "token_file = %q", gone), 1)
	if err := os.WriteFile(s.file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	p := call(t, nil, "check", "--config", s.file)
	contains(t, p.out.String()+p.err.String(), gone) // it is missed where it is needed
	for _, args := range [][]string{{"show"}, {"adopt", "-y"}, {"reset", "--from", "-24h", "-y"}} {
		call(t, nil, append([]string{"checkpoint"}, append(args, "--config", s.file)...)...).wantCode(t, 0)
	}
}

func TestAgreed_TakesYesAlone(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, "Yes\n": true, "\n": false, "n\n": false, "": false, "yesterday\n": false} {
		if agreed(context.Background(), strings.NewReader(answer)) != want {
			t.Errorf("%q: not %v", answer, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r, w := io.Pipe()
	if agreed(ctx, r) {
		t.Error("a signal is taken for a yes")
	}
	_ = w.Close()
}
