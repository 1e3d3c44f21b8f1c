package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/event"
	"s1stream/sink"
)

var verdictLine = regexp.MustCompile(`(?m)^published ([\d,]+) versions, delivered ([\d,]+), lost ([\d,]+), repeated ([\d,]+)(.*)$`)

// theVerdict returns the numbers of the verdict and what follows them.
func theVerdict(t *testing.T, stderr string) []string {
	t.Helper()
	m := verdictLine.FindAllStringSubmatch(stderr, -1)
	if len(m) != 1 {
		t.Fatalf("%d verdicts in:\n%s", len(m), stderr)
	}
	return m[0][1:]
}

func TestDemo_DeliversAllThatIsPublishedThroughAStormAndAnOutage(t *testing.T) {
	p := call(t, nil, "demo", "--for", "2s", "--threats", "130", "--new", "20", "--update", "40",
		"--faults", "429-storm=300ms/1s,outage=200ms/900ms,cursor-expire=0.2,reset=0.1,truncate=0.1")
	p.wantCode(t, 0)
	v := theVerdict(t, p.err.String())
	if v[0] != v[1] || v[2] != "0" || v[3] != "0" || v[4] != "" {
		t.Errorf("verdict %q", v)
	}
	contains(t, p.err.String(), "429 storm begins", "429 storm ends", "outage begins", "outage ends", "stopping", "draining")

	ids := map[string]bool{}
	lines := 0
	for line := range strings.Lines(p.out.String()) {
		var threat struct {
			ThreatInfo struct{ ThreatID string }
		}
		if err := json.Unmarshal([]byte(line), &threat); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		ids[threat.ThreatInfo.ThreatID] = true
		lines++
	}
	if got := grouped(lines); got != v[1] || len(ids) < 130 {
		t.Errorf("%s lines of %d threats, the verdict says %s", got, len(ids), v[1])
	}
}

func TestDemo_EndsItsFaultsSoThatTheStreamCanFinish(t *testing.T) {
	p := call(t, nil, "demo", "--for", "300ms", "--threats", "20", "--faults", "429,retry-after=1")
	p.wantCode(t, 0)
	if v := theVerdict(t, p.err.String()); v[0] != v[1] || v[1] == "0" || v[2] != "0" {
		t.Errorf("verdict %q", v)
	}
}

func TestDemo_CallsLostWhatTheSinkOnlyClaimsToHaveWritten(t *testing.T) {
	a, stderr := discardOutput()
	n := 0
	err := a.demo(context.Background(), demoOptions{
		length: 300 * time.Millisecond, threats: 30, faults: "none", patience: 300 * time.Millisecond,
		lose: func(*event.Event) bool { n++; return n == 17 },
	})
	if err == nil || a.exitCodeAfter(err) != exitFailed {
		t.Errorf("ended with %v", err)
	}
	if v := theVerdict(t, stderr.String()); v[0] != "30" || v[1] != "29" || v[2] != "1" {
		t.Errorf("verdict %q", v)
	}
}

// exitCodeAfter is the exit code of a command that has begun.
func (a *app) exitCodeAfter(err error) int {
	a.begun = true
	return a.exitCode(err)
}

func TestDemo_EndsInOrderOnASignalHoweverEarly(t *testing.T) {
	p := begin(t, nil, "demo", "--threats", "300")
	until(t, "it streams", func() bool { return strings.Contains(p.err.String(), "streaming") })
	p.signal()
	p.signal() // timeout(1) sends two; both are the first
	p.end(t)
	p.wantCode(t, 0)
	if v := theVerdict(t, p.err.String()); v[0] != v[1] || v[2] != "0" || v[4] != "" {
		t.Errorf("verdict %q", v)
	}
}

func TestDemo_LeavesTheRestToTheCheckpointAtASecondSignal(t *testing.T) {
	// The console refuses the token, so the source will ask again in a minute.
	p := begin(t, nil, "demo", "--threats", "300", "--faults", "401-after=0s")
	until(t, "the source waits", func() bool { return strings.Contains(p.err.String(), "denies the token") })
	p.signal()
	until(t, "it stops", func() bool { return strings.Contains(p.err.String(), "stopping") })
	time.Sleep(signalEcho + 100*time.Millisecond)
	p.signal()
	p.end(t)
	p.wantCode(t, 0)
	v := theVerdict(t, p.err.String())
	if v[0] != "300" || v[1] != "0" || v[2] != "0" || !strings.Contains(v[4], "300 left for a next start") {
		t.Errorf("verdict %q", v)
	}
}

func TestDemo_EndsWithAVerdictWhenNobodyReadsItsOutputAnyMore(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := new(buffer)
	done := make(chan int, 1)
	go func() {
		done <- run([]string{"demo", "--threats", "300"}, strings.NewReader(""), w, stderr, nil, make(chan os.Signal), func() {})
	}()
	if _, err := bufio.NewReaderSize(r, 16).ReadString('\n'); err != nil {
		t.Error(err)
	}
	_ = r.Close()
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("exit code %d", code)
		}
	case <-time.After(20 * time.Second):
		t.Fatalf("goes on:\n%s", stderr)
	}
	_ = w.Close()
	contains(t, stderr.String(), "standard output was closed")
	if v := theVerdict(t, stderr.String()); v[0] == v[1] || v[2] != "0" || !strings.Contains(v[4], "left for a next start") {
		t.Errorf("verdict %q", v)
	}
}

func TestDemoCount_BelievesOnlyTheCheckpointAboutWhatIsStillToCome(t *testing.T) {
	c, _ := serve(t, 4)
	truth := c.Truth()
	d := &demo{dir: t.TempDir(), console: c, out: newDemoOut(io.Discard, jsonLine, nil)}
	d.out.acked = map[event.Version]int{truth[0].Version: 3, {0xff}: 1} // the last one nobody published
	dir, err := d.checkpoints()
	if err != nil {
		t.Fatal(err)
	}
	if err := dir.Line(demoSource, demoSink).Save(checkpoint.State{
		Fingerprint: checkpoint.Fingerprint{Console: "c"},
		Frontier:    truth[0].UpdatedAt,
		Seen:        map[string]checkpoint.Seen{truth[1].ID: {UpdatedAt: truth[1].UpdatedAt, Version: truth[1].Version}},
	}); err != nil {
		t.Fatal(err)
	}
	left := 0 // by the frontier; the seen-set claims the second one
	for _, p := range truth[2:] {
		if !p.UpdatedAt.Before(truth[0].UpdatedAt) {
			left++
		}
	}
	if left == 0 {
		t.Fatal("nothing is left: the test proves nothing")
	}
	cut, err := d.count(true)
	if want := (verdict{published: 4, delivered: 1, lost: 3 - left, repeated: 2, invented: 1, left: left}); err != nil || cut != want {
		t.Errorf("cut short: %+v, %v, want %+v", cut, err, want)
	}
	whole, err := d.count(false)
	if want := (verdict{published: 4, delivered: 1, lost: 3, repeated: 2, invented: 1}); err != nil || whole != want {
		t.Errorf("to the end: %+v, %v, want %+v", whole, err, want)
	}
}

func TestGrouped_WritesThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1204: "1,204", 1234567: "1,234,567"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

func TestDemoOut_CountsEveryWriteOfAVersion(t *testing.T) {
	var b strings.Builder
	o := newDemoOut(&b, jsonLine, nil)
	ev := &event.Event{Raw: []byte("{\n}"), Version: event.Version{1}}
	for range 2 {
		if err := o.Write(context.Background(), []sink.Record{{Event: ev, Body: ev.Raw}}); err != nil {
			t.Fatal(err)
		}
	}
	if b.String() != "{ }\n{ }\n" || o.acked[ev.Version] != 2 || string(ev.Raw) != "{\n}" {
		t.Errorf("wrote %q, counts %d", b.String(), o.acked[ev.Version])
	}
}

func TestDemoOut_DoesNotCountAWriteThatFailed(t *testing.T) {
	r, w := io.Pipe()
	_ = r.CloseWithError(syscall.ENOSPC)
	o := newDemoOut(w, jsonLine, nil)
	ev := &event.Event{Raw: []byte(`{}`), Version: event.Version{1}}
	if err := o.Write(context.Background(), []sink.Record{{Event: ev, Body: ev.Raw}}); err == nil {
		t.Error("a full disk is no error")
	}
	if o.has(ev.Version) || o.isGone() {
		t.Error("counts what was not written, or takes a full disk for a reader that left")
	}
}

func TestShortLine_FitsTheTerminalAndHasNoHostileText(t *testing.T) {
	ev := &event.Event{
		Raw: []byte(`{"threatInfo":{"threatName":"\u001b[2Jevil\u202egpj.exe","classification":"Ransomware","mitigationStatus":"not_mitigated",` +
			`"incidentStatus":"in_progress","analystVerdict":"true_positive"},"agentRealtimeInfo":{"agentComputerName":"請求書請求書請求書請求書"}}`),
		UpdatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
	for _, width := range []int{20, 80, 200} {
		line := strings.TrimSuffix(string(shortLine(sink.Record{Event: ev}, width, false)), "\n")
		if strings.ContainsAny(line, "\x1b\u202e\n") || columns(line) > width {
			t.Errorf("width %d: %d columns: %q", width, columns(line), line)
		}
	}
	long := string(shortLine(sink.Record{Event: ev}, 200, false))
	contains(t, long, "03:04:05 create Ransomware ", "?[2Jevil?gpj.exe", "請求書請求書…", "in progress, not mitigated, true positive")
	if coloured := string(shortLine(sink.Record{Event: ev}, 200, true)); !strings.Contains(coloured, "\x1b[31mcreate\x1b[0m") {
		t.Errorf("no colour in %q", coloured)
	}
}
