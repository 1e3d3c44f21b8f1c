package e2e

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"s1stream/checkpoint"
)

// mark is how far everything was at the end of one life of the program.
type mark struct {
	clean   bool
	crashed bool                        // targets that can crash did so in that life
	visible int                         // versions that the console had shown
	states  map[string]checkpoint.State // by target
	ends    map[string][]int64          // by target and part: what lies before it was there
}

// mark notes how far everything is. The program must have ended.
func (k *killing) mark(clean, crashed bool) {
	k.t.Helper()
	m := mark{clean: clean, crashed: crashed, states: map[string]checkpoint.State{}, ends: map[string][]int64{}}
	k.still()
	for _, target := range k.targets {
		st, err := load(k.dir, target.name)
		if err != nil && !errors.Is(err, checkpoint.ErrNone) && !errors.Is(err, fs.ErrNotExist) {
			k.t.Fatalf("kill %d left a checkpoint that can't be used: %v", len(k.marks), err)
		}
		if target.crash != nil {
			target.crash()
		}
		m.states[target.name], m.ends[target.name] = st, target.ends()
	}
	m.visible = len(k.c.Truth())
	k.marks = append(k.marks, m)
}

// still waits until nothing comes any more anywhere: what the program had sent when it died still arrives.
func (k *killing) still() {
	k.t.Helper()
	ends := func() (all []int64) {
		for _, target := range k.targets {
			all = append(all, target.ends()...)
		}
		return all
	}
	for before := ends(); ; {
		time.Sleep(10 * time.Millisecond)
		now := ends()
		if slices.Equal(now, before) {
			return
		}
		before = now
	}
}
