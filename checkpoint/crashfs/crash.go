package crashfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sector is the piece of a file that reaches a disk whole or not at all.
const sector = 512

// Crash cuts the power: f is dead from now on, and what a disk may hold is returned, all of it synced.
func (f *FS) Crash(r *rand.Rand) *FS { return f.CrashBy(r.IntN) }

// CrashBy is Crash with every choice left to choose, which returns a number from 0 to n-1. By trying every
// answer a test sees every outcome.
func (f *FS) CrashBy(choose func(n int) int) *FS {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.off = true
	return &FS{root: f.root.crash(choose, map[*node]*node{})}
}

// crash returns what is left of a node. made keeps two names of one file one file.
func (n *node) crash(choose func(int) int, made map[*node]*node) *node {
	if m := made[n]; m != nil {
		return m
	}
	m := &node{perm: n.perm}
	made[n] = m
	if !n.isDir() {
		m.data = n.crashData(choose)
		m.disk, m.dirty = slices.Clone(m.data), len(m.data)
		return m
	}
	left := maps.Clone(n.synced)
	for _, c := range n.pending {
		if choose(2) == 0 {
			c.apply(left)
		}
	}
	m.entries = map[string]*node{}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		m.entries[name] = left[name].crash(choose, made)
	}
	m.synced = maps.Clone(m.entries)
	return m
}

// crashData returns what is left of a file's bytes.
func (n *node) crashData(choose func(int) int) []byte {
	all := n.surviving()
	if n.dirty == len(n.data) && len(n.disk) == len(all) {
		return slices.Clone(n.disk)
	}
	fresh := len(all) - n.dirty // bytes not yet fsynced, at the end
	switch choose(6) {
	case 0: // nothing was written
		return slices.Clone(n.disk)
	case 1: // all of it
		return all
	case 2: // cut short
		return all[:n.dirty+n.cut(choose, fresh)]
	case 3: // as long as it should be, but zeros from some place on
		clear(all[n.dirty+n.cut(choose, fresh):])
		return all
	case 4: // the bytes arrived, the new length did not
		return slices.Concat(all, n.disk[min(len(all), len(n.disk)):])
	default: // some sectors arrived
		for at := n.dirty; at < len(all); {
			end := min(at-at%sector+sector, len(all))
			if choose(2) == 0 {
				clear(all[at:end])
				copy(all[at:end], n.disk[min(at, len(n.disk)):])
			}
			at = end
		}
		return all
	}
}

// cut chooses a place in n fresh bytes: after the first, in the middle, before the last.
func (*node) cut(choose func(int) int, n int) int {
	if n < 2 {
		return 0
	}
	return [...]int{1, n / 2, n - 1}[choose(3)]
}

// Poke changes a file in memory and on disk, as bit rot or a careless hand does, and counts as no call. Where
// there is no such file it makes one, of what change returns for nil; where change returns nil, the file goes.
func (f *FS) Poke(name string, change func(data []byte) []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, base, n, err := f.find(name)
	if err != nil {
		return err
	}
	var old []byte
	if n != nil {
		old = slices.Clone(n.data)
	}
	b := change(old)
	if b == nil {
		delete(dir.entries, base)
		delete(dir.synced, base)
		return nil
	}
	n = &node{perm: 0o600, data: b, disk: slices.Clone(b), dirty: len(b)}
	dir.entries[base], dir.synced[base] = n, n
	return nil
}
