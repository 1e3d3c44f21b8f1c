package console

import (
	"time"

	"s1stream/internal/event"
)

// Published is one version that was visible once, for an oracle to count against.
type Published struct {
	ID        string
	UpdatedAt time.Time
	Version   event.Version
	// Served is when an answer that held this version was first written to its end; zero where that never
	// was. A client may still have lost that answer on its way.
	Served time.Time
	// Last: no newer version of the threat is visible. A stream at rest has delivered all of these; of the
	// others, those that were served can have been seen, and the rest never.
	Last bool
}

// row is a line of the ledger.
type row struct {
	of     *entry
	t      Threat
	served time.Time

	// What Truth says is made when first asked for: most rows of a large store never are.
	host   string
	public Published
}

// record starts the ledger's row of e's version. The store is locked.
func (s *Store) record(e *entry) {
	if s.ledger {
		e.row = &row{of: e, t: e.Threat}
		s.rows = append(s.rows, e.row)
	}
}

// Truth returns every version that has been visible until now, in the order they became so. The same version
// stands there twice where a body changed back under one updatedAt. Without a ledger it returns the visible
// versions, by id, none of them served.
//
// The demo's "published" are the distinct versions that were served or are last; "lost" is a last version
// that no sink has. A version pending (Store.Pending) is no part of the truth yet.
func (c *Console) Truth() []Published {
	host := c.Host()
	s := c.Store
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(time.Now())
	if !s.ledger {
		out := make([]Published, len(s.byID))
		for i, e := range s.byID {
			out[i] = s.published(host, &e.Threat)
			out[i].Last = true
		}
		return out
	}
	out := make([]Published, len(s.rows))
	for i, r := range s.rows {
		if r.public.ID == "" || r.host != host {
			r.host, r.public = host, s.published(host, &r.t)
		}
		out[i] = r.public
		out[i].Served, out[i].Last = r.served, r.of.row == r
	}
	return out
}

func (s *Store) published(host string, t *Threat) Published {
	return Published{ID: t.IDString(), UpdatedAt: t.Updated.Time(), Version: versionOf(s.bodies, host, t)}
}

// served notes in the ledger that an answer with these rows is complete.
func (s *Store) served(rows []*row) {
	if len(rows) == 0 {
		return
	}
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range rows {
		if r.served.IsZero() {
			r.served = now
		}
	}
}
