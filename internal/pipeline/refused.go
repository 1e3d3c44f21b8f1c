package pipeline

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/safe"
	"s1stream/sink"
)

// A record is refused if the destination's answer names it, or calls it malformed or too large when it was
// alone. It is held and the next batch is tried behind it; refused again after another record was taken since,
// it is a dead letter. So neither one poison threat stops a line, nor does a destination that refuses
// everything empty a line into a file.

// refuse holds a record, or dead-letters it where it is refused again after another was taken.
func (l *line) refuse(ctx context.Context, r record, why *sink.RefusedError) {
	l.met.refused.Inc()
	if r.refused && l.taken > r.refusedAt {
		l.deadLetter(ctx, r, why.Error())
		return
	}
	if !r.refused {
		r.refused, r.refusedAt = true, l.taken
	}
	l.held = append(l.held, r)
	l.heldSize += len(r.Body)
	l.met.held.Set(float64(len(l.held)))
	l.cond.Fail("destination refuses a threat; it waits until the destination takes another",
		fmt.Errorf("threat %s: %w", safe.Snippet([]byte(r.Event.ID), 64), why))
}

// unhold takes the first n held records out, to be tried again.
func (l *line) unhold(n int) []record {
	out := append([]record(nil), l.held[:n]...)
	l.held = append([]record(nil), l.held[n:]...)
	for _, r := range out {
		l.heldSize -= len(r.Body)
	}
	l.met.held.Set(float64(len(l.held)))
	return out
}

// minHeld is how many may be held however small the batches are.
const minHeld = 100

// heldTooMuch reports whether no further batch is tried behind those that are held. One alone never is too
// much: a single poison threat must not stop the line.
func (l *line) heldTooMuch() bool {
	return len(l.held) >= max(l.Config.BatchEvents, minHeld) || len(l.held) > 1 && l.heldSize >= int(l.Config.QueueBytes)
}

// supersede drops held records of which the batch has a newer version.
func (l *line) supersede(batch []*event.Event) {
	if len(l.held) == 0 || len(batch) == 0 {
		return
	}
	ids := make(map[string]struct{}, len(batch))
	for _, ev := range batch {
		ids[ev.ID] = struct{}{}
	}
	kept := l.held[:0]
	for _, r := range l.held {
		if _, newer := ids[r.Event.ID]; newer {
			l.heldSize -= len(r.Body)
			l.met.superseded.Inc()
			continue
		}
		kept = append(kept, r)
	}
	clear(l.held[len(kept):])
	l.held = kept
	l.met.held.Set(float64(len(l.held)))
}

// deadLetter writes an event to the dead letters, for as long as that takes: an event that is in no file is not
// dealt with.
func (l *line) deadLetter(ctx context.Context, r record, reason string) {
	wait := newBackoff(l.Config.RetryMaxWait)
	for {
		err := l.DeadLetters.Append(r.original(), l.Sink, reason, r.attempts, time.Now())
		if err == nil {
			break
		}
		l.letters.Fail("dead-letter file can't be written, so the line waits", err)
		t := time.NewTimer(wait.NextBackOff())
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
	l.letters.OK()
	level := slog.LevelDebug
	if time.Since(l.lettered) >= time.Minute { // a destination may refuse thousands; the file has them all
		level, l.lettered = slog.LevelWarn, time.Now()
	}
	l.log.Log(ctx, level, "dead letter", "id", safe.Text(r.Event.ID), "version", r.Event.Version.String(), "reason", safe.Snippet([]byte(reason), 300))
	l.met.dead.Inc()
	l.dead.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dealt(r.original())
}
