package sink

const (
	elasticMinRoom   = 64 << 10
	elasticGrowAfter = 100
)

// elasticRoom is how large a request may be, in bytes before gzip, as learned from answers 413: a proxy may well take a
// megabyte where a node takes a hundred. Once requests of the learned size were taken for long, one a quarter larger is
// tried, for a limit may be raised, or be one node's alone; a limit that stays costs one request in a hundred.
type elasticRoom struct {
	bytes int
	most  int // what the configuration allows
	after int // how many full requests are long
	known int // what was taken for long, while more is tried; 0: nothing is tried
	taken int // full requests since the size changed
}

// tooLarge notes an answer 413 to a request of several documents. It reports whether that is news: no failed try.
func (r *elasticRoom) tooLarge(size int) (news bool) {
	tried := r.known > 0 && size > r.known
	if tried {
		r.bytes = r.known
	} else {
		r.bytes = max(size/2, elasticMinRoom)
	}
	r.known, r.taken = 0, 0
	return !tried
}

// full notes that a request was taken that would have been larger if it might.
func (r *elasticRoom) full() {
	if r.taken++; r.taken < r.after || r.bytes >= r.most {
		return
	}
	r.known, r.taken = r.bytes, 0
	r.bytes = min(r.bytes+r.bytes/4, r.most)
}
