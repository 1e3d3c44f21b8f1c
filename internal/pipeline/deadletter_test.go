package pipeline

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
	"s1stream/internal/event"
)

const deadLetterPath = "/dead/siem.dead.jsonl"

var deadLetterNow = time.Date(2026, 3, 1, 12, 0, 0, 5000, time.FixedZone("", 3600))

func deadLetterEvent(id, raw string) *event.Event {
	return &event.Event{
		Raw: []byte(raw), ID: id, Source: "prod", UpdatedAt: time.Date(2026, 3, 1, 10, 0, 0, 123456000, time.UTC),
		Version: event.NewVersion("h", id, "u", []byte(raw)),
	}
}

func deadLetterFS(t testing.TB) *crashfs.FS {
	t.Helper()
	fsys := crashfs.New()
	if err := errors.Join(fsys.Mkdir("/dead", 0o700), fsys.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	return fsys
}

// deadLetterIDs returns the ids in a file of dead letters, every line of which must be whole.
func deadLetterIDs(t testing.TB, fsys checkpoint.FS, path string) (ids []string) {
	t.Helper()
	b, err := fsys.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		var l struct{ ID string }
		if err := json.Unmarshal(line, &l); err != nil || !bytes.HasSuffix(line, []byte("\n")) {
			t.Fatalf("line %q: %v", line, err)
		}
		ids = append(ids, l.ID)
	}
	return ids
}

func TestDeadLetters_WriteALineThatKeepsTheEvent(t *testing.T) {
	const head = `{"time":"2026-03-01T11:00:00.000005Z","sink":"siem","source":"prod","id":"1","version":"%s",` +
		`"updatedAt":"2026-03-01T10:00:00.123456Z","reason":"refused: <400> ?[2J of two lines","attempts":3,`
	tests := []struct{ name, raw, want string }{
		{"as it is", `{"a":1.0,"b":"\u202e & <x>","c":null}`, `"event":{"a":1.0,"b":"\u202e & <x>","c":null}}`},
		{"without line breaks between tokens", "{\r\n  \"a\": \"\\n\"\n}", `"event":{    "a": "\n" }}`},
		{"as base64 where it is not UTF-8", "{\"a\":\"\xff\"}", `"event_base64":"` + base64.StdEncoding.EncodeToString([]byte("{\"a\":\"\xff\"}")) + `"}`},
		{"as base64 where it is not JSON", `{"a":`, `"event_base64":"eyJhIjo="}`},
		{"as base64 where it is nothing", ``, `"event_base64":""}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := deadLetterFS(t)
			d := NewDeadLetters(fsys, deadLetterPath)
			ev := deadLetterEvent("1", tt.raw)
			if err := d.Append(ev, "siem", "refused: <400> \x1b[2J of\ntwo lines", 3, deadLetterNow); err != nil {
				t.Fatal(err)
			}
			got, err := fsys.ReadFile(deadLetterPath)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fmt.Sprintf(head, ev.Version)+tt.want+"\n", string(got)); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
			if !json.Valid(got) || string(ev.Raw) != tt.raw {
				t.Errorf("not JSON, or the event was changed: %q", ev.Raw)
			}
		})
	}
}

func TestDeadLetters_LeaveNoFileBehindWhereNothingIsRefused(t *testing.T) {
	fsys := deadLetterFS(t)
	d := NewDeadLetters(fsys, deadLetterPath)
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if names, err := fsys.ReadDir("/dead"); err != nil || len(names) != 0 {
		t.Errorf("left %q, %v", names, err)
	}
}

// TestDeadLetters_SurviveEveryFaultAndPowerCut drives appends with faults by chance, each try again until it
// succeeds as a line does, and cuts the power at any call. What Append said is written is there.
func TestDeadLetters_SurviveEveryFaultAndPowerCut(t *testing.T) {
	errnos := []error{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EMFILE}
	cuts, faults := 0, 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 3))
		disk := deadLetterFS(t)
		var acked []string
		next := 0
		for range 4 { // lives
			fsys, cutAt := disk, 1+r.IntN(40)
			fsys.SetFault(func(op crashfs.Op) crashfs.Fault {
				switch {
				case op.N >= cutAt:
					cuts++
					return crashfs.Fault{Err: crashfs.ErrPowerOff}
				case r.IntN(6) == 0:
					faults++
					return crashfs.Fault{Err: errnos[r.IntN(len(errnos))], Applied: r.IntN(2) == 0}
				}
				return crashfs.Fault{}
			})
			d := NewDeadLetters(fsys, deadLetterPath)
			for {
				id := fmt.Sprint(next)
				err := d.Append(deadLetterEvent(id, `{"x":"`+strings.Repeat("y", r.IntN(1200))+`"}`), "siem", "r", 1, deadLetterNow)
				if err == nil {
					acked = append(acked, id)
					next++
				}
				if errors.Is(err, crashfs.ErrPowerOff) {
					break
				}
			}
			disk = fsys.Crash(r)
			d = NewDeadLetters(disk, deadLetterPath)
			if err := d.Append(deadLetterEvent("restart", `{}`), "siem", "r", 1, deadLetterNow); err != nil {
				t.Fatalf("seed %d: after the power cut: %v", seed, err)
			}
			acked = append(acked, "restart")
			// Every acked letter, in order; between them, letters whose Append had failed.
			at := 0
			for _, id := range deadLetterIDs(t, disk, deadLetterPath) {
				if at < len(acked) && id == acked[at] {
					at++
				}
			}
			if at < len(acked) {
				t.Fatalf("seed %d: letter %s is lost; in the file: %v", seed, acked[at], deadLetterIDs(t, disk, deadLetterPath))
			}
		}
	}
	if cuts < 1000 || faults < 1000 {
		t.Errorf("only %d power cuts and %d faults", cuts, faults)
	}
}

func TestDeadLetters_CutOffATornTailAndNothingElse(t *testing.T) {
	whole := `{"time":"2026","id":"old"}` + "\n"
	tests := []struct{ name, tail, keep string }{
		{"half a letter", `{"time":"2026","id":"to`, ""},
		{"its first byte", `{`, ""},
		{"zeros", "\x00\x00\x00\x00", ""},
		{"a letter with a hole", "{\"time\":\"\x00\x00\x00\x00\"}\n", ""},
		{"a letter with its beginning missing", "\x00\x00\x00\x00,\"id\":\"new\"}\n", ""},
		{"a long one", `{"time":"` + strings.Repeat("x", 200_000), ""},
		{"somebody's own line", "{\"note\": \"sent by hand\"}\n", "{\"note\": \"sent by hand\"}\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fsys := deadLetterFS(t)
			if err := fsys.Poke(deadLetterPath, func([]byte) []byte { return []byte(whole + tt.tail) }); err != nil {
				t.Fatal(err)
			}
			d := NewDeadLetters(fsys, deadLetterPath)
			if err := d.Append(deadLetterEvent("new", `{}`), "siem", "r", 1, deadLetterNow); err != nil {
				t.Fatal(err)
			}
			b, err := fsys.ReadFile(deadLetterPath)
			if err != nil {
				t.Fatal(err)
			}
			rest, ok := strings.CutPrefix(string(b), whole+tt.keep+`{"time":`)
			if !ok || strings.Count(rest, "\n") != 1 {
				t.Errorf("the file holds %q", b)
			}
		})
	}
	t.Run("a file of another kind is refused", func(t *testing.T) {
		fsys := deadLetterFS(t)
		if err := fsys.Poke(deadLetterPath, func([]byte) []byte { return []byte("my notes") }); err != nil {
			t.Fatal(err)
		}
		d := NewDeadLetters(fsys, deadLetterPath)
		err := d.Append(deadLetterEvent("new", `{}`), "siem", "r", 1, deadLetterNow)
		if b, rerr := fsys.ReadFile(deadLetterPath); err == nil || rerr != nil || string(b) != "my notes" {
			t.Errorf("Append: %v; the file holds %q", err, b)
		}
	})
}

func TestDeadLetters_FollowTheirNameOnARealDisk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "siem.dead.jsonl")
	d := NewDeadLetters(checkpoint.OS{}, path)
	write := func(id string) {
		t.Helper()
		if err := d.Append(deadLetterEvent(id, `{"a":1}`), "siem", "r", 1, deadLetterNow); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	if fi, err := os.Stat(path); err != nil || fi.Mode() != 0o640 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	write("2")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	write("3")
	write("4")
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	write("5") // opens again
	if got := deadLetterIDs(t, checkpoint.OS{}, path+".1"); !cmp.Equal(got, []string{"1"}) {
		t.Errorf("moved away: %v", got)
	}
	if got := deadLetterIDs(t, checkpoint.OS{}, path); !cmp.Equal(got, []string{"3", "4", "5"}) {
		t.Errorf("in place: %v", got)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDeadLetters_AreSharedByTheLinesOfASink(t *testing.T) {
	fsys := deadLetterFS(t)
	d := NewDeadLetters(fsys, deadLetterPath)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for k := range 20 {
				if err := d.Append(deadLetterEvent(fmt.Sprintf("%d-%d", i, k), `{}`), "siem", "r", 1, deadLetterNow); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	ids := map[string]bool{}
	for _, id := range deadLetterIDs(t, fsys, deadLetterPath) {
		ids[id] = true
	}
	if len(ids) != 160 {
		t.Errorf("%d letters", len(ids))
	}
}
