package checkpoint_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
	"s1stream/internal/testpeer"
)

func TestFile_HasNoneBeforeItsFirstSave(t *testing.T) {
	if _, err := line(t, crashfs.New()).Load(); !errors.Is(err, checkpoint.ErrNone) {
		t.Errorf("Load: %v", err)
	}
}

func TestFile_TellsADiskThatFailsFromACheckpointThatIsBad(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	save(t, f, state(1))
	save(t, f, state(2))
	fsys.FailNth(1, crashfs.Fault{Err: syscall.EMFILE}, true)
	if _, err := f.Load(); !errors.Is(err, syscall.EMFILE) || errors.Is(err, checkpoint.ErrNone) || errors.Is(err, checkpoint.ErrCorrupt) {
		t.Errorf("no descriptors left: %v", err)
	}
	if err := f.Save(state(3)); !errors.Is(err, syscall.EMFILE) {
		t.Errorf("saved over what could not be read: %v", err)
	}
	fsys.FailNth(1, crashfs.Fault{Err: syscall.EIO}, false) // a bad sector under the main file
	if st, err := f.Load(); err != nil || !cmp.Equal(st, state(1)) || !errors.Is(f.FromPrev(), syscall.EIO) {
		t.Errorf("bad sector: %v, from .prev because %v", err, f.FromPrev())
	}
	fsys.SetFault(nil)
	if st, err := f.Load(); err != nil || !cmp.Equal(st, state(2)) || f.FromPrev() != nil {
		t.Errorf("after it: %v, from .prev because %v", err, f.FromPrev())
	}
}

func TestFile_SaysWhichCommandDecidesWhenBothAreBad(t *testing.T) {
	fsys := crashfs.New()
	open(t, fsys)
	poke(t, fsys, mainPath, bytesOf([]byte{}))
	poke(t, fsys, prevPath, bytesOf([]byte("\x00\x00")))
	f := line(t, fsys)
	_, err := f.Load()
	if !errors.Is(err, checkpoint.ErrCorrupt) {
		t.Fatalf("Load: %v", err)
	}
	for _, want := range []string{mainPath + ": is empty", prevPath + ": ", `"s1stream checkpoint reset --from TIME prod siem"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %s", err, want)
		}
	}
	if err := f.Save(state(1)); !errors.Is(err, checkpoint.ErrCorrupt) {
		t.Errorf("Save guessed: %v", err)
	}
}

func TestFile_NeverMovesAFrontierBack(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	save(t, f, state(5))
	for name, f := range map[string]*checkpoint.File{"the one that saved": f, "one that loads first": line(t, fsys)} {
		if err := f.Save(state(4)); err == nil || !strings.Contains(err.Error(), "move back") {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantState(t, fsys, state(5))
	st := state(5)
	st.Seen["new"] = checkpoint.Seen{UpdatedAt: st.Frontier}
	save(t, f, st) // the same frontier is fine
	wantState(t, fsys, st)
}

func TestFile_CountsGenerationsOnwardsFromPrevToo(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	for i := range 4 {
		save(t, f, state(i))
	}
	poke(t, fsys, mainPath, func(b []byte) []byte { return b[:len(b)/2] })
	before := entries(t, fsys)[0]
	if before.Generation != 3 || before.FromPrev == nil || before.Err != nil {
		t.Fatalf("fell back on %+v", before)
	}
	save(t, line(t, fsys), state(6))
	if after := entries(t, fsys)[0]; after.Generation <= before.Generation || after.FromPrev != nil {
		t.Errorf("saved %+v", after)
	}
}

func TestFile_RefusesAnotherConsolesAndAnotherFiltersCheckpoint(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	save(t, f, state(1))
	other := checkpoint.Fingerprint{Console: "euce1.example.net\x1b[2J", Filter: fingerprint.Filter}
	st, err := f.Load()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Check(st, fingerprint); err != nil {
		t.Errorf("its own: %v", err)
	}
	err = f.Check(st, other)
	var foreign *checkpoint.ForeignError
	if !errors.As(err, &foreign) || foreign.Have != fingerprint || foreign.Want != other {
		t.Fatalf("Check: %v", err)
	}
	want := `checkpoint of source prod, sink siem belongs to console "usea1.example.net:8443", configured is "euce1.example.net?[2J": ` +
		`run "s1stream checkpoint adopt prod siem" to keep its frontier, or "s1stream checkpoint reset --from TIME prod siem" to read again from TIME`
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Errorf("text (-want +got):\n%s", diff)
	}
	err = f.Check(st, checkpoint.Fingerprint{Console: fingerprint.Console, Filter: "a=b"})
	if !strings.Contains(fmt.Sprint(err), `belongs to filter "incidentStatuses=unresolved&siteIds=1%2C2", configured is "a=b": run`) {
		t.Errorf("filter: %v", err)
	}
	next := state(2)
	next.Fingerprint = other
	if err := f.Save(next); !errors.As(err, &foreign) {
		t.Errorf("Save: %v", err)
	}
	wantState(t, fsys, state(1))
}

func TestReset_GoesOverAnyCheckpointAndLeavesNoOtherBehind(t *testing.T) {
	from := time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)
	fp := checkpoint.Fingerprint{Console: "new.example.net"}
	want := checkpoint.State{Fingerprint: fp, Frontier: from}
	for name, before := range map[string]struct{ main, prev func([]byte) []byte }{
		"good":             {},
		"main damaged":     {main: bytesOf([]byte("x"))},
		"main missing":     {main: gone},
		"both damaged":     {main: bytesOf([]byte("x")), prev: bytesOf([]byte("y"))},
		"nothing":          {main: gone, prev: gone},
		"of a newer build": {main: bytesOf(withCRC([]byte(`{"s1stream_checkpoint":9,"generation":50}` + "\n")))},
	} {
		t.Run(name, func(t *testing.T) {
			fsys := crashfs.New()
			f := line(t, fsys)
			save(t, f, state(1))
			save(t, f, state(2))
			for path, change := range map[string]func([]byte) []byte{mainPath: before.main, prevPath: before.prev} {
				if change != nil {
					poke(t, fsys, path, change)
				}
			}
			d := open(t, fsys)
			if err := d.Reset("prod", "siem", from, fp); err != nil {
				t.Fatal(err)
			}
			wantState(t, fsys, want)
			poke(t, fsys, mainPath, gone)
			wantState(t, fsys, want) // .prev does not undo the operator's decision
		})
	}
	if err := open(t, crashfs.New()).Reset("../etc", "siem", from, fp); err == nil {
		t.Error("left the directory")
	}
}

func TestAdopt_KeepsFrontierAndSeenSetForAnotherFingerprint(t *testing.T) {
	fsys := crashfs.New()
	d := open(t, fsys)
	fp := checkpoint.Fingerprint{Console: "new.example.net", Filter: "siteIds=9"}
	if err := d.Adopt("prod", "siem", fp); !errors.Is(err, checkpoint.ErrNone) {
		t.Fatalf("nothing to adopt: %v", err)
	}
	save(t, line(t, fsys), state(3))
	if err := d.Adopt("prod", "siem", fp); err != nil {
		t.Fatal(err)
	}
	want := state(3)
	want.Fingerprint = fp
	wantState(t, fsys, want)
	poke(t, fsys, mainPath, bytesOf([]byte{0}))
	wantState(t, fsys, want)
	poke(t, fsys, prevPath, bytesOf([]byte{0}))
	if err := d.Adopt("prod", "siem", fp); !errors.Is(err, checkpoint.ErrCorrupt) {
		t.Errorf("adopted what can't be read: %v", err)
	}
}

func entries(t testing.TB, fsys checkpoint.FS) []checkpoint.Entry {
	t.Helper()
	d, err := checkpoint.View(fsys, dirPath)
	if err != nil {
		t.Fatal(err)
	}
	list, err := d.List()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestList_ShowsGoodAndBadAndChangesNothing(t *testing.T) {
	fsys := crashfs.New()
	d := open(t, fsys)
	save(t, d.Line("prod", "siem"), state(1))
	save(t, d.Line("eu-1", "lake"), state(2))
	poke(t, fsys, dirPath+"/bad.siem.ckpt", bytesOf([]byte("rubbish")))
	poke(t, fsys, dirPath+"/prod.siem.ckpt.tmp", bytesOf([]byte("a Save is under way")))
	for _, name := range []string{"lock", "siem.dead.jsonl", "a.b.c.ckpt", "UP.siem.ckpt", "noline.ckpt"} {
		poke(t, fsys, dirPath+"/"+name, bytesOf([]byte("x")))
	}
	names, err := fsys.ReadDir(dirPath)
	if err != nil {
		t.Fatal(err)
	}
	list := entries(t, fsys)
	size := int64(0)
	if fi, err := fsys.Stat(mainPath); err == nil {
		size = fi.Size()
	}
	if len(list) != 3 || !errors.Is(list[0].Err, checkpoint.ErrCorrupt) {
		t.Fatalf("listed %+v", list)
	}
	want := []checkpoint.Entry{
		{Source: "bad", Sink: "siem"},
		{Source: "eu-1", Sink: "lake", Fingerprint: fingerprint, Generation: 1, Frontier: state(2).Frontier, Seen: 2, Size: size},
		{Source: "prod", Sink: "siem", Fingerprint: fingerprint, Generation: 1, Frontier: state(1).Frontier, Seen: 2, Size: size},
	}
	if diff := cmp.Diff(want, list, cmpopts.IgnoreFields(checkpoint.Entry{}, "Err", "Saved")); diff != "" {
		t.Errorf("listed (-want +got):\n%s", diff)
	}
	if since := time.Since(list[1].Saved); since < -time.Second || since > time.Minute {
		t.Errorf("saved %v ago", since)
	}
	if after, err := fsys.ReadDir(dirPath); err != nil || !cmp.Equal(names, after) {
		t.Errorf("List left %q, %v", after, err)
	}
	view, err := checkpoint.View(fsys, dirPath)
	if err != nil {
		t.Fatal(err)
	}
	if err := view.Line("prod", "siem").Save(state(5)); err == nil {
		t.Error("a view saved")
	}
	open(t, fsys)
	if _, err := fsys.Stat(dirPath + "/prod.siem.ckpt.tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open left a temp file: %v", err)
	}
}

func TestLine_StaysInItsDirectory(t *testing.T) {
	d := open(t, crashfs.New())
	for _, name := range []string{"", ".", "..", "a/b", "../x", "A", "a.b", "-a", "a\x00", strings.Repeat("a", 32)} {
		if err := d.Line(name, "siem").Save(state(1)); err == nil {
			t.Errorf("saved as source %q", name)
		}
		if _, err := d.Line("prod", name).Load(); err == nil || errors.Is(err, checkpoint.ErrNone) {
			t.Errorf("loaded as sink %q: %v", name, err)
		}
	}
}

func TestOpen_MakesADirectoryThatSurvives(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	save(t, f, state(1))
	eachCrash(fsys, func(disk *crashfs.FS) { check(t, "power cut", disk, ptr(state(1))) })
}

func ptr(st checkpoint.State) *checkpoint.State { return &st }

func TestOS_KeepsModesAndRoundTrips(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b")
	d, err := checkpoint.Open(checkpoint.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	f := d.Line("prod", "siem")
	for i := range 3 {
		save(t, f, state(i))
	}
	for name, want := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o700, "..": fs.ModeDir | 0o700, "prod.siem.ckpt": 0o600, "prod.siem.ckpt.prev": 0o600,
	} {
		if fi, err := os.Stat(filepath.Join(path, name)); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
	f = d.Line("prod", "siem")
	if st, err := f.Load(); err != nil || !cmp.Equal(st, state(2)) {
		t.Errorf("Load: %v, %v", st, err)
	}
	if err := os.Truncate(filepath.Join(path, "prod.siem.ckpt"), 100); err != nil {
		t.Fatal(err)
	}
	if st, err := f.Load(); err != nil || !cmp.Equal(st, state(1)) || f.FromPrev() == nil {
		t.Errorf("Load from .prev: %v, %v", st, err)
	}
}

// TestOS_RecoversFromAFullDisk fills a real file system of 1 MiB.
func TestOS_RecoversFromAFullDisk(t *testing.T) {
	path := t.TempDir()
	if err := syscall.Mount("tmpfs", path, "tmpfs", 0, "size=1m"); err != nil {
		testpeer.Skip(t, fmt.Sprintf("mounting a tmpfs: %v (run as root; crash_test.go tries every call with ENOSPC)", err))
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, 0); err != nil {
			t.Error(err)
		}
	})
	d, err := checkpoint.Open(checkpoint.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	f := d.Line("prod", "siem")
	save(t, f, state(1))
	filler := filepath.Join(path, "filler")
	if err := os.WriteFile(filler, make([]byte, 2<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	for i := range 5 {
		if err := f.Save(state(2 + i)); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Save on a full disk: %v", err)
		}
	}
	if st, err := d.Line("prod", "siem").Load(); err != nil || !cmp.Equal(st, state(1)) {
		t.Errorf("the old checkpoint does not stand: %v", err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	save(t, f, state(9))
	if st, err := d.Line("prod", "siem").Load(); err != nil || !cmp.Equal(st, state(9)) {
		t.Errorf("no recovery: %v", err)
	}
}
