package checkpoint_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
)

// every answers CrashBy's questions, one whole set of answers a round, until all sets were given.
type every struct{ picked, of []int }

func (e *every) round(crash func(choose func(int) int)) (more bool) {
	at := 0
	crash(func(n int) int {
		if at == len(e.picked) {
			e.picked, e.of = append(e.picked, 0), append(e.of, n)
		}
		at++
		return e.picked[at-1]
	})
	for i := at - 1; i >= 0; i-- {
		if e.picked[i]++; e.picked[i] < e.of[i] {
			e.picked, e.of = e.picked[:i+1], e.of[:i+1]
			return true
		}
	}
	return false
}

// eachCrash calls check with everything a disk may hold after a power cut, and returns how many that were.
func eachCrash(fsys *crashfs.FS, check func(*crashfs.FS)) (outcomes int) {
	var e every
	for more := true; more; outcomes++ {
		more = e.round(func(choose func(int) int) { check(fsys.CrashBy(choose)) })
	}
	return outcomes
}

// history is what a checkpoint went through before the Save under test. It returns the File to save with and
// the State that stands, nil where there is none. The Save under test is of state(8).
type history struct {
	name  string
	setUp func(*testing.T, *crashfs.FS) (*checkpoint.File, *checkpoint.State)
}

func histories() []history {
	saved := func(n int) func(*testing.T, *crashfs.FS) (*checkpoint.File, *checkpoint.State) {
		return func(t *testing.T, fsys *crashfs.FS) (f *checkpoint.File, last *checkpoint.State) {
			f = line(t, fsys)
			for i := range n {
				st := state(i + 1)
				save(t, f, st)
				last = &st
			}
			return f, last
		}
	}
	fromPrev := func(change func([]byte) []byte) func(*testing.T, *crashfs.FS) (*checkpoint.File, *checkpoint.State) {
		return func(t *testing.T, fsys *crashfs.FS) (*checkpoint.File, *checkpoint.State) {
			saved(2)(t, fsys)
			poke(t, fsys, mainPath, change)
			f := line(t, fsys)
			st, err := f.Load()
			if err != nil || f.FromPrev() == nil {
				t.Fatalf("did not fall back: %v, %v", err, f.FromPrev())
			}
			return f, &st
		}
	}
	zeroed := func(b []byte) []byte { return make([]byte, len(b)) }
	return []history{
		{"no checkpoint", saved(0)},
		{"one checkpoint", saved(1)},
		{"a checkpoint and its .prev", saved(2)},
		{"a damaged checkpoint beside a .prev", fromPrev(zeroed)},
		{"a missing checkpoint beside a .prev", fromPrev(gone)},
		{"no hard links", func(t *testing.T, fsys *crashfs.FS) (*checkpoint.File, *checkpoint.State) {
			fsys.SetFault(noLinks)
			return saved(2)(t, fsys)
		}},
		{"no hard links, a damaged checkpoint", func(t *testing.T, fsys *crashfs.FS) (*checkpoint.File, *checkpoint.State) {
			fsys.SetFault(noLinks)
			return fromPrev(zeroed)(t, fsys)
		}},
	}
}

func noLinks(op crashfs.Op) crashfs.Fault {
	if op.Kind == "link" {
		return crashfs.Fault{Err: syscall.EPERM}
	}
	return crashfs.Fault{}
}

// check fails the test unless a new process finds one of the States allowed, nil standing for no checkpoint, and
// can go on from there.
func check(t *testing.T, what string, fsys *crashfs.FS, allowed ...*checkpoint.State) {
	t.Helper()
	f := line(t, fsys)
	got, err := f.Load()
	if !slices.ContainsFunc(allowed, func(st *checkpoint.State) bool {
		if st == nil {
			return errors.Is(err, checkpoint.ErrNone)
		}
		return err == nil && reflect.DeepEqual(*st, got) // much faster than cmp, over 40,000 times
	}) {
		t.Fatalf("%s: loaded neither the old nor the new checkpoint: frontier %v, err %v, from .prev because %v", what, got.Frontier, err, f.FromPrev())
	}
	save(t, f, state(30))
	if got, err := line(t, fsys).Load(); err != nil || !reflect.DeepEqual(got, state(30)) {
		t.Fatalf("%s: can't go on from there: frontier %v, err %v", what, got.Frontier, err)
	}
}

// TestSave_SurvivesAPowerCutAfterEveryCall cuts the power between any two calls of a Save, and looks at every
// combination of what was not synced.
func TestSave_SurvivesAPowerCutAfterEveryCall(t *testing.T) {
	next := state(8)
	for _, h := range histories() {
		t.Run(h.name, func(t *testing.T) {
			outcomes := 0
			for cut, done := 1, false; !done; cut++ {
				fsys := crashfs.New()
				f, old := h.setUp(t, fsys)
				powerOff(fsys, cut, strings.Contains(h.name, "no hard links"))
				err := f.Save(next)
				done = err == nil
				outcomes += eachCrash(fsys, func(disk *crashfs.FS) {
					what := fmt.Sprintf("power cut before call %d", cut)
					if done {
						check(t, what+", after Save had returned nil", disk, &next)
					} else {
						check(t, what, disk, old, &next)
					}
				})
				if cut > 20 {
					t.Fatal("Save makes too many calls")
				}
			}
			t.Log(outcomes, "outcomes")
			if outcomes < 15 {
				t.Errorf("looked at %d outcomes only", outcomes)
			}
		})
	}
}

func powerOff(fsys *crashfs.FS, nth int, linkless bool) {
	at := fsys.Ops() + nth
	fsys.SetFault(func(op crashfs.Op) crashfs.Fault {
		switch {
		case op.N == at:
			return crashfs.Fault{Err: crashfs.ErrPowerOff}
		case linkless:
			return noLinks(op)
		}
		return crashfs.Fault{}
	})
}

// TestSave_KeepsACheckpointWhateverCallFails makes every call of a Save fail, with and without effect, once and for
// good, then cuts the power or saves again and cuts the power in that.
func TestSave_KeepsACheckpointWhateverCallFails(t *testing.T) {
	next, after := state(8), state(9)
	for _, h := range histories() {
		if strings.Contains(h.name, "no hard links") {
			continue // the fault there is the missing link
		}
		t.Run(h.name, func(t *testing.T) {
			outcomes := 0
			for nth := 1; ; nth++ {
				failed := false
				for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC, syscall.EROFS, syscall.EMFILE} {
					for kind := range 4 {
						applied, persistent := kind&1 != 0, kind&2 != 0
						what := fmt.Sprintf("call %d fails with %q (applied %t, persistent %t)", nth, errno, applied, persistent)
						// withFault returns the file system after the failed Save.
						withFault := func() (*crashfs.FS, *checkpoint.File, *checkpoint.State, bool) {
							fsys := crashfs.New()
							f, old := h.setUp(t, fsys)
							fsys.FailNth(nth, crashfs.Fault{Err: errno, Applied: applied}, persistent)
							err := f.Save(next)
							if err != nil && !errors.Is(err, errno) {
								t.Fatalf("%s: hides the reason: %v", what, err)
							}
							fsys.SetFault(nil)
							return fsys, f, old, err == nil
						}

						fsys, _, old, ok := withFault()
						failed = failed || !ok
						allowed := []*checkpoint.State{old, &next}
						if ok {
							allowed = allowed[1:]
						}
						outcomes += eachCrash(fsys, func(disk *crashfs.FS) { check(t, what, disk, allowed...) })

						again, f, _, _ := withFault()
						if err := f.Save(after); err != nil {
							t.Fatalf("%s: does not recover: %v", what, err)
						}
						outcomes += eachCrash(again, func(disk *crashfs.FS) { check(t, what+", saved again", disk, &after) })

						if errno != syscall.EIO {
							continue // what the errno is makes no difference to the rest
						}
						for cut, done := 1, false; !done; cut++ {
							cutShort, f, _, _ := withFault()
							powerOff(cutShort, cut, false)
							done = f.Save(after) == nil
							outcomes += eachCrash(cutShort, func(disk *crashfs.FS) {
								check(t, fmt.Sprintf("%s, power cut before call %d of the next", what, cut), disk, append(slices.Clone(allowed), &after)...)
							})
						}
					}
				}
				if !failed {
					break // Save makes fewer calls than nth
				}
			}
			t.Log(outcomes, "outcomes")
			if outcomes < 500 {
				t.Errorf("looked at %d outcomes only", outcomes)
			}
		})
	}
}

// TestSave_LeavesNoLitter counts files: a disk that fails for hours must not be filled by the attempts.
func TestSave_LeavesNoLitter(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	save(t, f, state(1))
	for _, kind := range []string{"write", "sync", "close", "link", "rename", "remove", "syncdir", "open"} {
		fsys.SetFault(func(op crashfs.Op) crashfs.Fault {
			if op.Kind == kind || op.Kind == "remove" {
				return crashfs.Fault{Err: syscall.EIO}
			}
			return crashfs.Fault{}
		})
		for i := range 20 {
			_ = f.Save(state(i + 2)) // "remove" alone fails no Save at first; all of them count
		}
		fsys.SetFault(nil)
		names, err := fsys.ReadDir(dirPath)
		if err != nil || len(names) > 4 {
			t.Fatalf("%s fails: %q, %v", kind, names, err)
		}
		save(t, f, state(25))
		open(t, fsys)
		if names, err := fsys.ReadDir(dirPath); err != nil || len(names) > 2 {
			t.Fatalf("after Open: %q, %v", names, err)
		}
		fsys = crashfs.New()
		f = line(t, fsys)
		save(t, f, state(1))
	}
}

// TestSave_NeverSyncsAFailedDescriptorAgain lets one fsync fail and counts the next ones by open.
func TestSave_NeverSyncsAFailedDescriptorAgain(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	save(t, f, state(1))
	var calls []string
	fsys.SetFault(func(op crashfs.Op) crashfs.Fault {
		calls = append(calls, op.Kind)
		if op.Kind == "sync" && slices.Index(calls, "sync") == len(calls)-1 {
			return crashfs.Fault{Err: syscall.EIO}
		}
		return crashfs.Fault{}
	})
	if err := f.Save(state(2)); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Save: %v", err)
	}
	save(t, f, state(3))
	want := []string{"open", "write", "sync", "close", "remove", "open", "write", "sync", "close", "link", "rename", "rename", "syncdir"}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}
