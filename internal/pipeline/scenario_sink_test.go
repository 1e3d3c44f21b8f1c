package pipeline

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"s1stream/internal/event"
	"s1stream/sink"
)

// worldSink is a destination. It outlives the process; each life talks to it through a lifeSink of its own.
type worldSink struct {
	w            *world
	name         string
	queue, batch int
	added        int // the life of the process that has it in its configuration first
	moods        []mood
	choosy       bool    // it leaves a third of all versions out
	poison       float64 // part of the threats that it refuses for ever

	mu       sync.Mutex
	on       bool                       // whether the process that talks to it lives
	newest   map[string]*event.Event    // by threat, the newest version handed to it
	taken    map[event.Version]int      // times each version was stored
	acked    map[event.Version]struct{} // those acknowledged, or dead-lettered on disk
	mayCome  map[event.Version]struct{} // those that may come again: the ack was lost, or was not saved before a crash
	poisoned map[string]bool
}

// mood is how a destination behaves for a while.
type mood struct {
	from, to time.Duration // since the world began
	kind     int
}

const (
	moodFail   = iota // takes some, stores some of the rest, and answers with an error
	moodNamed         // says which it took
	moodStall         // does not answer
	moodSlow          // takes a while
	moodDenied        // refuses everybody
	moodRefuse        // calls everything malformed
	moodPanic
	moodKinds
)

func newWorldSink(w *world, i int, r *rand.Rand) *worldSink {
	s := &worldSink{
		w: w, name: string(rune('a' + i)), queue: 1 + r.IntN(20), batch: 1 + r.IntN(8),
		newest: map[string]*event.Event{}, taken: map[event.Version]int{}, acked: map[event.Version]struct{}{},
		mayCome: map[event.Version]struct{}{}, poisoned: map[string]bool{},
	}
	s.choosy = s.queue%3 == 0
	if r.IntN(3) == 0 {
		s.poison = 0.05
	}
	if i > 0 && r.IntN(4) == 0 {
		s.added = 2
	}
	length := time.Duration(w.polls) * w.poll
	for at := time.Duration(0); i > 0 || r.IntN(2) == 0; {
		at += time.Duration(r.Int64N(int64(length)))
		if at > length {
			break
		}
		m := mood{from: at, to: at + time.Duration(r.Int64N(int64(length/2))), kind: r.IntN(moodKinds)}
		s.moods = append(s.moods, m)
		at = m.to
	}
	return s
}

// takes is the line's choice. What is left out is dealt with.
func (s *worldSink) takes(ev *event.Event) bool {
	if !s.leaves(ev.Version) {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[ev.Version] = struct{}{}
	return false
}

func (s *worldSink) leaves(v event.Version) bool { return s.choosy && v[0]%3 == 0 }

func (s *worldSink) power(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.on = on
}

func (s *worldSink) life() *lifeSink { return &lifeSink{s: s} }

// lifeSink is the Sink of one life.
type lifeSink struct{ s *worldSink }

func (l *lifeSink) Grade() sink.Grade { return sink.Acknowledged }
func (l *lifeSink) Close() error      { return nil }

// mood returns today's mood, and a number for what luck decides.
func (s *worldSink) mood() (kind int, r *rand.Rand) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	r = rand.New(rand.NewPCG(s.w.lucky.Uint64(), 5)) //nolint:gosec // a seed is meant to be repeated
	if s.w.calm {
		return -1, r
	}
	age := time.Since(worldBegin)
	for _, m := range s.moods {
		if age >= m.from && age < m.to {
			return m.kind, r
		}
	}
	return -1, r
}

// worldBegin is when every synctest bubble begins.
var worldBegin = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (l *lifeSink) Write(ctx context.Context, records []sink.Record) error {
	s := l.s
	s.handed(records)
	kind, r := s.mood()
	switch kind {
	case moodStall:
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(1+r.IntN(60)) * time.Second):
		}
		s.store(records[:r.IntN(len(records)+1)], false)
		return errWorld
	case moodSlow:
		time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
	case moodDenied:
		return &sink.DeniedError{Err: errWorld}
	case moodRefuse:
		return &sink.RefusedError{Err: errWorld}
	case moodPanic:
		if r.IntN(2) == 0 {
			s.store(records[:r.IntN(len(records)+1)], false)
			panic("simulated")
		}
	case moodFail:
		if r.IntN(2) == 0 {
			s.store(records[:r.IntN(len(records)+1)], false)
			return errWorld
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var failed []sink.RecordError
	var good, unknown []sink.Record
	for i, rec := range records {
		switch {
		case s.isPoison(rec.Event.ID):
			failed = append(failed, sink.RecordError{Index: i, Err: &sink.RefusedError{Err: errWorld}})
		case kind == moodNamed && r.IntN(3) == 0:
			failed = append(failed, sink.RecordError{Index: i, Err: errWorld})
			unknown = append(unknown, rec)
		default:
			good = append(good, rec)
		}
	}
	if len(records) > 1 && len(failed) > 0 && kind != moodNamed && r.IntN(2) == 0 {
		return &sink.RefusedError{Err: errWorld} // as a destination that takes a batch whole or not at all
	}
	s.store(unknown[:r.IntN(len(unknown)+1)], false)
	s.store(good, true)
	if len(failed) > 0 {
		return &sink.BatchError{Failed: failed}
	}
	return nil
}

// isPoison decides once about a threat.
func (s *worldSink) isPoison(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.poisoned[id]
	if !known {
		s.w.mu.Lock()
		p = s.w.lucky.Float64() < s.poison
		s.w.mu.Unlock()
		s.poisoned[id] = p
	}
	return p
}

// handed checks what holds whatever the answer: one version of a threat in a batch, and never an older one
// after a newer (I7).
func (s *worldSink) handed(records []sink.Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return
	}
	ids := map[string]bool{}
	for _, rec := range records {
		ev := rec.Event
		if ids[ev.ID] {
			s.w.found("sink %s was handed threat %s twice in one batch", s.name, ev.ID)
		}
		ids[ev.ID] = true
		if had := s.newest[ev.ID]; had != nil && ev.UpdatedAt.Before(had.UpdatedAt) {
			s.w.found("sink %s was handed threat %s of %s after that of %s", s.name, ev.ID, ev.UpdatedAt, had.UpdatedAt)
		}
		s.newest[ev.ID] = ev
	}
}

// store keeps records; acked says that the sink will answer so.
func (s *worldSink) store(records []sink.Record, acked bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.on {
		return
	}
	for _, rec := range records {
		v := rec.Event.Version
		if _, may := s.mayCome[v]; s.taken[v] > 0 {
			s.w.mu.Lock()
			s.w.tally.Repeats++
			s.w.mu.Unlock()
			if !may {
				s.w.found("sink %s got version %s of threat %s again without need", s.name, v, rec.Event.ID)
			}
		}
		s.taken[v]++
		if acked {
			s.acked[v] = struct{}{}
			delete(s.mayCome, v)
		} else {
			s.mayCome[v] = struct{}{}
		}
	}
}
