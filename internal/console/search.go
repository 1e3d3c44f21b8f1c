package console

import (
	"bytes"
	"cmp"
	"slices"
	"sort"
	"time"
)

// page is one answer's threats, copied out of the store.
type page struct {
	threats []Threat
	rows    []*row // of the threats, where there is a ledger
	total   int    // threats that match; 0 where the query did not want it
	count   bool   // the query wanted nothing else
	next    *cursor
	sort    column
	desc    bool
	key     pageKey // says all there is to know of a page that no filter made
}

// pageKey names a page of a store that stands still. The zero key is no page's.
type pageKey struct {
	gen       uint64
	lo, hi    int
	total     int
	sort      column
	desc, end bool
}

func (by column) of(e *entry) Stamp {
	switch by {
	case byCreated:
		return e.Created
	case byUpdated:
		return e.Updated
	default:
		return 0
	}
}

// search answers q as the store is now.
func (s *Store) search(q *query) *page {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	list := s.sorted(q)
	lo, hi := q.bounds(list)
	p := &page{sort: q.sort, desc: q.desc}
	// The total is that of the whole query, whatever page of it is asked for.
	if q.countOnly || !q.skipCount {
		p.total = s.count(list[lo:hi], q)
	}
	if q.countOnly {
		p.count = true
		return p
	}
	lo, hi = q.resume(list, lo, hi)
	s.take(p, list[lo:hi], q)
	// Where no filter looked at a threat, the place in the index says which threats the page holds.
	if q.plain() && q.skip == 0 && q.ids == nil {
		p.key = pageKey{gen: s.gen, lo: lo, hi: lo + len(p.threats), total: p.total, sort: q.sort, desc: q.desc, end: p.next == nil}
		if q.desc {
			p.key.lo, p.key.hi = hi-len(p.threats), hi
		}
	}
	return p
}

// sorted returns the candidates in the order of q's column, ascending. The index by updatedAt, which pollers use,
// is always kept; the one by createdAt is made when it is asked for, as ids that ascend need no other.
func (s *Store) sorted(q *query) []*entry {
	if q.ids != nil {
		var some []*entry
		for _, id := range q.ids {
			if e := s.find(id); e != nil {
				some = append(some, e)
			}
		}
		switch q.sort {
		case byUpdated:
			slices.SortFunc(some, compareUpdated)
		case byCreated:
			slices.SortFunc(some, compareCreated)
		}
		return some
	}
	switch q.sort {
	case byUpdated:
		return s.byUpdated
	case byCreated:
		if s.byCreated == nil {
			s.byCreated = slices.Clone(s.byID)
			slices.SortFunc(s.byCreated, compareCreated)
		}
		return s.byCreated
	default:
		return s.byID
	}
}

// bounds cuts the list to q's range in the column it is sorted by.
func (q *query) bounds(list []*entry) (lo, hi int) {
	in := always
	switch q.sort {
	case byCreated:
		in = q.created
	case byUpdated:
		in = q.updated
	}
	lo = sort.Search(len(list), func(i int) bool { return q.sort.of(list[i]) >= in.from })
	hi = sort.Search(len(list), func(i int) bool { return q.sort.of(list[i]) > in.to })
	return lo, max(lo, hi)
}

// resume cuts the range to what lies behind the cursor. The threat it names may have moved since, or be filtered
// out: only its key counts.
func (q *query) resume(list []*entry, lo, hi int) (int, int) {
	if q.after == nil {
		return lo, hi
	}
	c := *q.after
	if q.desc {
		i := sort.Search(len(list), func(i int) bool { return compareKey(q.sort.of(list[i]), list[i].ID, c) >= 0 })
		return lo, max(lo, min(hi, i))
	}
	i := sort.Search(len(list), func(i int) bool { return compareKey(q.sort.of(list[i]), list[i].ID, c) > 0 })
	return min(hi, max(lo, i)), hi
}

// take fills p with the first threats that match. A page that is full has a cursor, even where nothing follows:
// the console does not look ahead.
func (s *Store) take(p *page, list []*entry, q *query) {
	n := min(q.limit, len(list))
	p.threats = make([]Threat, 0, n)
	if s.ledger {
		p.rows = make([]*row, 0, n)
	}
	skip := q.skip
	for i := range list {
		e := list[i]
		if q.desc {
			e = list[len(list)-1-i]
		}
		if !s.matches(e, q) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		p.threats = append(p.threats, e.Threat)
		if s.ledger {
			p.rows = append(p.rows, e.row)
		}
		if len(p.threats) == q.limit {
			p.next = &cursor{at: q.sort.of(e), id: e.ID}
			return
		}
	}
}

func (s *Store) count(list []*entry, q *query) int {
	if q.plain() {
		return len(list)
	}
	n := 0
	for _, e := range list {
		if s.matches(e, q) {
			n++
		}
	}
	return n
}

// plain reports whether the range in the sort column is all that q filters by.
func (q *query) plain() bool {
	return q.match == nil && q.text == nil && (q.sort == byCreated || q.created == always) &&
		(q.sort == byUpdated || q.updated == always)
}

// matches looks at one visible version. It tries what is cheap first: a full-text filter has to write the body.
func (s *Store) matches(e *entry, q *query) bool {
	if !q.created.holds(e.Created) || !q.updated.holds(e.Updated) {
		return false
	}
	if len(q.match) > 0 {
		f := s.bodies.facts(&e.Threat)
		for _, ok := range q.match {
			if !ok(&e.Threat, &f) {
				return false
			}
		}
	}
	if q.text == nil {
		return true
	}
	body, _, _ := s.bodies.append(nil, &e.Threat, 0)
	return bytes.Contains(bytes.ToLower(body), q.text)
}

func compareID(a, b *entry) int { return cmp.Compare(a.ID, b.ID) }

func compareCreated(a, b *entry) int { return compareKey(a.Created, a.ID, cursor{b.Created, b.ID}) }

func compareUpdated(a, b *entry) int { return compareKey(a.Updated, a.ID, cursor{b.Updated, b.ID}) }

func compareKey(at Stamp, id uint64, c cursor) int {
	if d := cmp.Compare(at, c.at); d != 0 {
		return d
	}
	return cmp.Compare(id, c.id)
}
