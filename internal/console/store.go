package console

import (
	"container/heap"
	"slices"
	"sort"
	"sync"
	"time"
)

// Store holds the threats, each with the version that queries see now, and those that are stamped already but
// become visible later. Like a database, it makes the changes of one threat visible in the order they were
// published: a change waits for the one before.
type Store struct {
	bodies bodies
	ledger bool

	mu        sync.Mutex
	byID      []*entry // sorted by id
	byUpdated []*entry // sorted by (Updated, ID) of the visible version
	byCreated []*entry // sorted by (Created, ID); made when first asked for, nil when out of date
	pending   commits
	last      map[uint64]*commit // of each threat with versions pending: the newest
	seq       uint64
	gen       uint64 // grows with every visible change
	lastID    uint64
	rows      []*row
}

type entry struct {
	Threat
	row *row
}

// commit is a version on its way to being visible.
type commit struct {
	t   Threat
	at  int64 // Unix nanoseconds
	seq uint64
}

func newStore(bs bodies, ledger bool) *Store {
	return &Store{bodies: bs, ledger: ledger, last: make(map[uint64]*commit)}
}

// Publish makes t the newest version of its threat. Queries see it from visibleAt on; until then, the version
// before. A visibleAt that has passed, or is zero, means at once.
func (s *Store) Publish(t Threat, visibleAt time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.advance(now)
	s.publish(t, visibleAt, now)
}

// publish needs a store that is advanced to now: else t could overtake a version that is due.
func (s *Store) publish(t Threat, visibleAt, now time.Time) {
	at := now.UnixNano() // the zero time has no UnixNano
	if visibleAt.After(now) {
		at = visibleAt.UnixNano()
	}
	if before := s.last[t.ID]; before != nil {
		at = max(at, before.at)
	}
	if at <= now.UnixNano() {
		s.apply(t)
		return
	}
	s.seq++
	c := &commit{t: t, at: at, seq: s.seq}
	s.last[t.ID] = c
	heap.Push(&s.pending, c)
}

// Latest returns the newest version published of a threat, visible or not yet.
func (s *Store) Latest(id uint64) (Threat, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.latest(id)
}

func (s *Store) latest(id uint64) (Threat, bool) {
	if c := s.last[id]; c != nil {
		return c.t, true
	}
	if e := s.find(id); e != nil {
		return e.Threat, true
	}
	return Threat{}, false
}

// Update publishes a new version of a threat: its latest with change applied, stamped updatedAt, or with the
// stamp it has where updatedAt is zero, as a mitigation row that comes late does. A stamp never goes back; where
// nothing changes, nothing is published. It reports whether the threat exists.
func (s *Store) Update(id uint64, updatedAt, visibleAt time.Time, change func(*Threat)) bool {
	return s.Bulk([]uint64{id}, updatedAt, visibleAt, change) == 1
}

// Bulk is Update for many threats with one stamp, as an analyst's action on a whole list gives. It returns how
// many exist. change runs under the store's lock: it must not call the store.
func (s *Store) Bulk(ids []uint64, updatedAt, visibleAt time.Time, change func(*Threat)) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.advance(now)
	n := 0
	for _, id := range ids {
		before, ok := s.latest(id)
		if !ok {
			continue
		}
		t := before
		change(&t)
		if !updatedAt.IsZero() {
			t.Updated = max(t.Updated, StampOf(updatedAt))
		}
		if t != before {
			s.publish(t, visibleAt, now)
		}
		n++
	}
	return n
}

// NewID returns an id above all it has given, with the time in its upper bits, as the console's own have.
func (s *Store) NewID(created time.Time) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newID(created)
}

func (s *Store) newID(created time.Time) uint64 {
	id := uint64(1e18) // the smallest of 19 digits, for clocks before 2022
	if ms := created.Sub(time.Date(2018, 2, 20, 0, 0, 0, 0, time.UTC)).Milliseconds(); ms > 0 {
		id = max(id, uint64(ms)<<23) //nolint:gosec // positive
	}
	s.lastID = max(id, s.lastID+1)
	return s.lastID
}

// Fill adds n threats at once, created evenly from from to before to, with various histories, all
// visible. Ids ascend with the threats' creation.
func (s *Store) Fill(n int, from, to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	threats := make([]entry, n) // one block: a million allocations fewer
	s.byID, s.byUpdated = slices.Grow(s.byID, n), slices.Grow(s.byUpdated, n)
	step := to.Sub(from) / time.Duration(max(1, n))
	for i := range threats {
		created := from.Add(time.Duration(i) * step)
		e := &threats[i]
		e.ID, e.Created = s.newID(created), StampOf(created)
		aged(&e.Threat, StampOf(to))
		s.record(e)
		s.byID, s.byUpdated = append(s.byID, e), append(s.byUpdated, e)
	}
	slices.SortFunc(s.byID, compareID)
	slices.SortFunc(s.byUpdated, compareUpdated)
	s.byCreated = nil
	s.gen++
}

// Len counts the visible threats.
func (s *Store) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	return len(s.byID)
}

// IDs returns the ids of the visible threats, ascending.
func (s *Store) IDs() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	ids := make([]uint64, len(s.byID))
	for i, e := range s.byID {
		ids[i] = e.ID
	}
	return ids
}

// Pending counts the versions that are published but not visible yet.
func (s *Store) Pending() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	return len(s.pending)
}

// advance makes visible what is due.
func (s *Store) advance(now time.Time) {
	for len(s.pending) > 0 && s.pending[0].at <= now.UnixNano() {
		c := heap.Pop(&s.pending).(*commit)
		if s.last[c.t.ID] == c {
			delete(s.last, c.t.ID)
		}
		s.apply(c.t)
	}
}

// apply makes t its threat's visible version.
func (s *Store) apply(t Threat) {
	s.gen++
	e := s.find(t.ID)
	if e == nil {
		e = &entry{Threat: t}
		s.lastID = max(s.lastID, t.ID)
		s.byID = insert(s.byID, e, compareID)
		s.byCreated = nil
		s.byUpdated = insert(s.byUpdated, e, compareUpdated)
		s.record(e)
		return
	}
	if t.Created != e.Created {
		s.byCreated = nil
	}
	if t.Updated == e.Updated {
		e.Threat = t
		s.record(e)
		return
	}
	i, _ := slices.BinarySearchFunc(s.byUpdated, e, compareUpdated)
	e.Threat = t
	j, _ := slices.BinarySearchFunc(s.byUpdated[i+1:], e, compareUpdated)
	if j > 0 || i == 0 || compareUpdated(s.byUpdated[i-1], e) < 0 {
		// The usual way, towards the end: move only what lies between.
		copy(s.byUpdated[i:], s.byUpdated[i+1:i+1+j])
		s.byUpdated[i+j] = e
	} else {
		s.byUpdated = insert(slices.Delete(s.byUpdated, i, i+1), e, compareUpdated)
	}
	s.record(e)
}

func (s *Store) find(id uint64) *entry {
	i := sort.Search(len(s.byID), func(i int) bool { return s.byID[i].ID >= id })
	if i < len(s.byID) && s.byID[i].ID == id {
		return s.byID[i]
	}
	return nil
}

func insert(list []*entry, e *entry, compare func(a, b *entry) int) []*entry {
	if n := len(list); n == 0 || compare(list[n-1], e) < 0 {
		return append(list, e)
	}
	i, _ := slices.BinarySearchFunc(list, e, compare)
	return slices.Insert(list, i, e)
}

// commits is a heap by moment, and by order of publication within one.
type commits []*commit

func (h commits) Len() int      { return len(h) }
func (h commits) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h commits) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}

// Push implements heap.Interface.
func (h *commits) Push(x any) { *h = append(*h, x.(*commit)) }

// Pop implements heap.Interface.
func (h *commits) Pop() any {
	n := len(*h) - 1
	c := (*h)[n]
	(*h)[n] = nil
	*h = (*h)[:n]
	return c
}
