package pipeline

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"s1stream/internal/event"
	"s1stream/internal/safe"
	"s1stream/sink"
)

// deniedPause is the pause after an answer that only an operator can change.
const deniedPause = time.Minute

// stopPause is the longest pause between tries once a stop was asked for.
const stopPause = time.Second

// record is a record on its way, with what became of it so far.
type record struct {
	sink.Record
	whole     *event.Event // what dead letters hold, where Event is what drop has left of it; else nil
	attempts  int
	unknown   bool   // an earlier attempt may have delivered it
	refused   bool   // it was refused once
	refusedAt uint64 // line.taken then
}

// original is the event as it came.
func (r record) original() *event.Event {
	if r.whole != nil {
		return r.whole
	}
	return r.Event
}

// newBackoff returns the waits of a retry loop: a quarter of a second to most, with jitter, for ever.
func newBackoff(most time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(
		backoff.WithInitialInterval(min(250*time.Millisecond, most)),
		backoff.WithMaxInterval(most),
		backoff.WithMaxElapsedTime(0),
	)
}

// encodeAll makes records of events. What can't be encoded is dead-lettered at once.
func (l *line) encodeAll(ctx context.Context, batch []*event.Event) []record {
	out := make([]record, 0, len(batch))
	for _, ev := range batch {
		if ev.Stub != "" {
			l.deadLetter(ctx, record{Record: sink.Record{Event: ev}}, ev.Stub)
			continue
		}
		left, body, shrunk, err := l.safeEncode(ev)
		if err != nil {
			l.deadLetter(ctx, record{Record: sink.Record{Event: ev}}, "encode: "+err.Error())
			continue
		}
		if shrunk {
			l.met.shrunk.Inc()
		}
		r := record{Record: sink.Record{Event: left, Body: body}}
		if left != ev { // sinks make headers and envelopes of Event: nothing that was left out may get there
			r.whole = ev
		}
		out = append(out, r)
	}
	return out
}

// safeEncode returns what is left of an event, and its record. A panic of the encoder is the event's own failure.
func (l *line) safeEncode(ev *event.Event) (left *event.Event, body []byte, shrunk bool, err error) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("encoder panicked", "id", safe.Text(ev.ID), "stack", string(debug.Stack()))
			err = fmt.Errorf("encoder panicked: %v", r)
		}
	}()
	left = ev
	if l.Strip != nil {
		left = l.Strip(ev)
	}
	body, shrunk, err = l.encode(nil, left, l.MaxBytes)
	return left, body, shrunk, err
}

// send hands records to the sink until each is taken, dead-lettered or held as refused, or ctx ends. It is the
// line's one retry loop.
func (l *line) send(ctx context.Context, records []record) {
	wait := newBackoff(l.Config.RetryMaxWait)
	todo := [][]record{records} // a stack: what was split off goes on in order
	for len(todo) > 0 && ctx.Err() == nil {
		part := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if len(part) == 0 {
			continue
		}
		err := l.write(ctx, part)
		var batch *sink.BatchError
		var refused *sink.RefusedError
		var again []record
		switch {
		case err == nil:
			l.ack(part)
		case errors.As(err, &batch):
			if again = l.sort(ctx, part, batch); len(again) < len(part) {
				wait.Reset()
			}
		case errors.As(err, &refused) && len(part) == 1:
			l.refuse(ctx, part[0], refused)
		case errors.As(err, &refused):
			half := len(part) / 2
			todo = append(todo, part[half:], part[:half])
		default:
			again = unknown(part)
		}
		if len(again) == 0 {
			if len(l.held) == 0 {
				l.cond.OK()
			}
			wait.Reset()
			continue
		}
		todo = append(todo, again)
		if !l.pause(ctx, wait, err) {
			return
		}
	}
}

// write calls the sink once. A panic there is an unknown outcome.
func (l *line) write(ctx context.Context, part []record) (err error) {
	defer func() {
		if r := recover(); r != nil {
			l.log.Error("sink panicked", "stack", string(debug.Stack()))
			err = fmt.Errorf("sink panicked: %v", r)
		}
	}()
	out := make([]sink.Record, len(part))
	for i := range part {
		if part[i].unknown {
			l.met.repeated.Inc()
		}
		part[i].attempts++
		part[i].unknown = false
		out[i] = part[i].Record
	}
	return l.Out.Write(ctx, out)
}

// unknown notes that an attempt may have delivered these records.
func unknown(part []record) []record {
	for i := range part {
		part[i].unknown = true
	}
	return part
}

// sort deals with a partial failure and returns the records that failed for now.
func (l *line) sort(ctx context.Context, part []record, batch *sink.BatchError) []record {
	why := make(map[int]error, len(batch.Failed))
	for _, f := range batch.Failed {
		if f.Index < 0 || f.Index >= len(part) { // whom it means is not known, so nothing is
			return unknown(part)
		}
		why[f.Index] = f.Err
	}
	var taken, again, refused []record
	var reasons []*sink.RefusedError
	for i, r := range part {
		err, failed := why[i]
		var no *sink.RefusedError
		switch {
		case !failed:
			taken = append(taken, r)
		case errors.As(err, &no):
			refused = append(refused, r)
			reasons = append(reasons, no)
		default:
			r.unknown = true
			again = append(again, r)
		}
	}
	l.ack(taken)
	for i, r := range refused {
		l.refuse(ctx, r, reasons[i])
	}
	return again
}

// pause waits before the next try, as long as the backoff or the destination says. It reports false when ctx
// ended.
func (l *line) pause(ctx context.Context, wait *backoff.ExponentialBackOff, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	l.met.retries.Inc()
	l.retried.Add(1)
	d := wait.NextBackOff()
	var denied *sink.DeniedError
	causes := causesOf(err)
	if slices.ContainsFunc(causes, func(cause error) bool { return errors.As(cause, &denied) }) {
		d = max(d, deniedPause)
		l.cond.Fail("destination denies", err)
	} else {
		l.cond.Fail("destination does not take events", err)
	}
	// A stop has no time for our own pauses: what was mended meanwhile gets its chance before the deadline. What
	// the destination asked for stands.
	if asked := askedWait(causes); asked >= d {
		return sleep(ctx, nil, asked)
	}
	select {
	case <-l.stopping:
		return sleep(ctx, nil, min(d, stopPause))
	default:
		return sleep(ctx, l.stopping, d)
	}
}

// sleep waits for d, or less where cut ends the wait. It reports false when ctx ended.
func sleep(ctx context.Context, cut <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-cut:
	case <-ctx.Done():
		return false
	}
	return true
}

// causesOf returns the error of each record of a batch that failed, or err, which is of them all.
func causesOf(err error) (causes []error) {
	var batch *sink.BatchError
	if !errors.As(err, &batch) {
		return []error{err}
	}
	for _, f := range batch.Failed {
		causes = append(causes, f.Err)
	}
	return causes
}

// askedWait returns the longest wait that the destination asked for, -1 for none.
func askedWait(causes []error) time.Duration {
	longest := time.Duration(-1)
	for _, cause := range causes {
		var later *sink.RetryAfterError
		if errors.As(cause, &later) {
			longest = max(longest, later.After)
		}
	}
	return longest
}

// ack notes that the destination took records.
func (l *line) ack(records []record) {
	if len(records) == 0 {
		return
	}
	now := time.Now()
	for _, r := range records {
		l.met.freshness.Observe(now.Sub(r.Event.UpdatedAt).Seconds())
	}
	l.taken += uint64(len(records))
	l.delivered.Add(int64(len(records)))
	l.met.delivered.Add(float64(len(records)))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		l.dealt(r.original())
	}
}

// dealt notes an event as dealt with. The caller holds the lock.
func (l *line) dealt(ev *event.Event) {
	if !l.ledger.dealt(ev) {
		l.met.unseen.Inc()
	}
}
