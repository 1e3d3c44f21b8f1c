package pipeline

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/console"
	"s1stream/internal/event"
)

// atRest looks at what is on disk between two lives. What was acknowledged and is not on disk may come again
// (I6); nothing else may, and after a clean stop nothing is.
func (w *world) atRest(repeats bool) {
	dir, err := checkpoint.Open(w.fs, "/state")
	if err != nil {
		w.found("open after a crash: %v", err)
		return
	}
	truth := w.console.Truth()
	for _, s := range w.sinks {
		st, err := dir.Line("main", s.name).Load()
		if errors.Is(err, checkpoint.ErrNone) {
			st, err = checkpoint.State{Frontier: w.start}, nil
		}
		if err != nil {
			w.found("load after a crash: %v", err)
			continue
		}
		s.learnDead(w)
		w.checkFrontier(s, st, truth)
		s.mu.Lock()
		for _, p := range truth {
			_, acked := s.acked[p.Version]
			if !acked || onDisk(st, p) || !p.Last {
				continue // a version that was overwritten can't be read again
			}
			if _, before := s.mayCome[p.Version]; !repeats && !before {
				w.found("after a clean stop, sink %s may get version %s of threat %s, %s, again: frontier %s, seen %v", s.name, p.Version, p.ID, p.UpdatedAt, st.Frontier, st.Seen[p.ID])
			}
			s.mayCome[p.Version] = struct{}{}
		}
		s.mu.Unlock()
	}
}

// onDisk reports whether a checkpoint keeps a version from coming again.
func onDisk(st checkpoint.State, p console.Published) bool {
	if p.UpdatedAt.Before(st.Frontier) {
		return true
	}
	seen, ok := st.Seen[p.ID]
	return ok && (seen.Version == p.Version || p.UpdatedAt.Before(seen.UpdatedAt))
}

// checkFrontier: a frontier passes no version that is the last of its threat and was not dealt with (I1), nor
// the console's clock less settle (I3); and the seen-set claims nothing that was not dealt with.
func (w *world) checkFrontier(s *worldSink, st checkpoint.State, truth []console.Published) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if limit := time.Now().Add(w.skew - w.settle); st.Frontier.After(limit) && st.Frontier.After(w.start) {
		w.found("sink %s: frontier %s is later than the console's clock less settle, %s", s.name, st.Frontier, limit)
	}
	for _, p := range truth {
		if _, ok := s.acked[p.Version]; p.Last && !ok && p.UpdatedAt.Before(st.Frontier) && !p.UpdatedAt.Before(w.start) {
			w.found("sink %s: frontier %s has passed version %s of threat %s, %s, which it never took", s.name, st.Frontier, p.Version, p.ID, p.UpdatedAt)
		}
	}
	for id, seen := range st.Seen {
		if _, ok := s.acked[seen.Version]; !ok {
			w.found("sink %s: the seen-set has version %s of threat %s, which it never took", s.name, seen.Version, id)
		}
	}
}

// verdict holds at rest: every sink has every threat's last version, or it is in its dead letters, and nothing
// that the console did not send (I12); the frontier has followed (I9).
func (w *world) verdict() {
	w.countMetrics()
	truth := w.console.Truth()
	real := map[event.Version]bool{}
	for _, p := range truth {
		real[p.Version] = true
	}
	for _, s := range w.sinks {
		s.learnDead(w)
		s.mu.Lock()
		for _, p := range truth {
			_, ok := s.acked[p.Version]
			if p.Last && !ok && !p.UpdatedAt.Before(w.start) && !s.poisoned[p.ID] {
				w.found("lost: sink %s never took version %s of threat %s, %s", s.name, p.Version, p.ID, p.UpdatedAt)
			}
		}
		for v := range s.taken {
			if !real[v] {
				w.found("invented: sink %s got version %s", s.name, v)
			}
			if s.leaves(v) {
				w.found("not wanted: sink %s got version %s", s.name, v)
			}
		}
		held := 0
		for _, bad := range s.poisoned {
			if bad {
				held++
			}
		}
		s.mu.Unlock()
		if held > 0 {
			continue // a refused version that nothing came behind holds its frontier back, by design
		}
		dir, err := checkpoint.Open(w.fs, "/state")
		if err != nil {
			w.found("open at the end: %v", err)
			return
		}
		st, err := dir.Line("main", s.name).Load()
		if err != nil {
			w.found("load at the end: %v", err)
			continue
		}
		lag := time.Now().Add(w.skew).Sub(st.Frontier)
		if most := w.settle + 5*w.poll + max(w.skew, 0) + max(-w.dateSkew, 0) + 25*time.Second; lag > most {
			w.found("sink %s: frontier %s lags by %s, more than %s", s.name, st.Frontier, lag, most)
		}
	}
}

// learnDead takes what is in a sink's dead letters as dealt with.
func (s *worldSink) learnDead(w *world) {
	b, err := w.fs.ReadFile("/state/" + s.name + ".dead.jsonl")
	if err != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range bytes.Lines(b) {
		var d struct{ Version event.Version }
		if json.Unmarshal(line, &d) == nil {
			s.acked[d.Version] = struct{}{}
		}
	}
}
