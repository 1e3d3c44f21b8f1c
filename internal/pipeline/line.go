package pipeline

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/event"
	"s1stream/internal/ops"
	"s1stream/sink"
)

// LineSpec is one sink on one source, as built from the configuration.
type LineSpec struct {
	Sink        string // the sink's NAME
	Config      LineConfig
	Out         sink.Sink                       // owned by the line from here on, Close included
	Encode      sink.Encode                     // of its format; a sink.Wrapper gets to wrap it
	Takes       func(*event.Event) bool         // nil: every event; what it refuses counts as dealt with
	Strip       func(*event.Event) *event.Event // nil: nothing is left out of what is encoded
	MaxBytes    int                             // largest body, 0 for no limit
	Checkpoint  *checkpoint.File
	Fingerprint checkpoint.Fingerprint
	DeadLetters *DeadLetters
}

// line is one sink on one source: its queue, its batches and retries, what it knows, its checkpoint.
// One goroutine runs it; feeds hand it events from theirs.
type line struct {
	LineSpec
	source  string
	encode  sink.Encode
	log     *slog.Logger
	met     lineMetrics
	cond    *ops.Condition // delivery
	letters *ops.Condition // dead letters
	saving  *ops.Condition // checkpoint
	arrived chan struct{}  // capacity 1: something is in the queue, or the line was closed

	mu      sync.Mutex
	seat    *seat // it takes events and marks from this one only
	queue   queue
	ledger  ledger
	moved   time.Time     // when its frontier moved last, or it took its seat
	charged time.Duration // time that it blocked the shared feed since it last had nothing pending
	closed  bool          // nothing more comes
	writing bool          // a batch has left the queue and is not dealt with

	// What follows belongs to the line's own goroutine.
	held     []record // refused, waiting for proof that the destination takes others
	heldSize int
	deferred mark            // newest mark popped, to be applied when all before it is dealt with
	taken    uint64          // records the destination took, to tell what came after a refusal
	stopping <-chan struct{} // closed when a stop is asked for
	lettered time.Time       // when a dead letter was last said

	delivered, retried, dead atomic.Int64 // for the summary
	reported                 [3]int64
}

func newLine(spec LineSpec, source string, st checkpoint.State, o Options) *line {
	l := &line{
		LineSpec: spec,
		source:   source,
		encode:   spec.Encode,
		log:      o.Log.With("sink", spec.Sink, "source", source),
		met:      o.Metrics.line(spec.Sink, source),
		arrived:  make(chan struct{}, 1),
		queue:    queue{maxEvents: spec.Config.QueueEvents, maxBytes: int(spec.Config.QueueBytes)},
		ledger:   newLedger(st),
	}
	if w, ok := spec.Out.(sink.Wrapper); ok {
		l.encode = w.Wrap(spec.Encode)
	}
	name := spec.Sink + " on " + source
	l.cond = o.Conditions.New("sink "+name, l.log)
	l.letters = o.Conditions.New("dead letters of "+name, l.log)
	l.saving = o.Conditions.New("checkpoint of "+name, l.log)
	l.met.frontier.Set(seconds(st.Frontier))
	return l
}

// seconds is a moment as a gauge has it; 0 stands for none.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMicro()) / 1e6
}

// frontier returns the moment before which the line has dealt with everything.
func (l *line) frontier() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ledger.frontier
}

// close says that nothing more comes: the line ends once its queue is empty.
func (l *line) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.wake()
}

// wake tells the line's goroutine to look. The caller holds the lock.
func (l *line) wake() {
	select {
	case l.arrived <- struct{}{}:
	default:
	}
}

func (l *line) gauge() {
	l.met.queueEvents.Set(float64(l.queue.events))
	l.met.queueBytes.Set(float64(l.queue.bytes))
}

// run delivers until the line is closed and everything is dealt with, or ctx ends. ctx is no part of a stop:
// it ends at the drain's deadline; stopping says that one is asked for.
func (l *line) run(ctx context.Context, stopping <-chan struct{}) error {
	l.stopping = stopping
	wait := newBackoff(l.Config.RetryMaxWait)
	for {
		probe := never
		if len(l.held) > 0 {
			probe = wait.NextBackOff()
		}
		batch, more := l.collect(ctx, probe)
		taken := l.taken
		l.supersede(batch)
		l.send(ctx, l.encodeAll(ctx, batch))
		if len(batch) == 0 && more && len(l.held) > 0 {
			l.send(ctx, l.unhold(1))
		}
		// Something was taken since some were refused: those are asked about once more, and then they are dead.
		if l.taken > taken && len(l.held) > 0 {
			wait.Reset()
			l.send(ctx, l.unhold(len(l.held)))
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		l.settle()
		if !more {
			if n := len(l.held); n > 0 {
				l.log.Warn("refused events wait for the next start", "events", n)
			}
			return nil
		}
	}
}

const never = time.Duration(1<<63 - 1)

// collect waits for a batch: until there are enough events or bytes, or batch_wait after the first. It returns
// none when only marks came, after probe, and when ctx ends; more is false once the line is closed and its
// queue empty.
func (l *line) collect(ctx context.Context, probe time.Duration) (batch []*event.Event, more bool) {
	asked := time.NewTimer(probe)
	defer asked.Stop()
	late := time.NewTimer(never)
	defer late.Stop()
	for waiting, now := false, false; ; {
		l.mu.Lock()
		marked := l.popMarks()
		some := l.queue.events > 0 && !l.heldTooMuch()
		if some && (now || l.closed || l.enough()) {
			batch = l.popBatch()
		}
		ended := l.closed && l.queue.events == 0
		l.mu.Unlock()
		switch {
		case len(batch) > 0, marked && len(l.held) == 0:
			return batch, true
		case ended:
			return nil, false
		case some && !waiting:
			late.Reset(l.Config.BatchWait)
			waiting = true
		}
		select {
		case <-l.arrived:
		case <-late.C:
			now = true
		case <-asked.C:
			return nil, true
		case <-ctx.Done():
			return nil, true
		}
	}
}

// enough reports whether a whole batch waits. The caller holds the lock.
func (l *line) enough() bool {
	return l.queue.events >= l.Config.BatchEvents || l.queue.bytes >= int(l.Config.BatchBytes)
}

// popMarks pops the marks at the head. The caller holds the lock.
func (l *line) popMarks() (any bool) {
	for e := l.queue.peek(); e != nil && e.ev == nil; e = l.queue.peek() {
		l.deferred = e.mark
		l.queue.pop()
		any = true
	}
	return any
}

// popBatch pops up to a batch of events and the marks between and behind them. It ends before a second version
// of a threat. The caller holds the lock.
func (l *line) popBatch() []*event.Event {
	var batch []*event.Event
	ids := make(map[string]struct{}, min(l.queue.events, l.Config.BatchEvents))
	for size := 0; ; l.popMarks() {
		e := l.queue.peek()
		if e == nil || len(batch) == l.Config.BatchEvents {
			break
		}
		size += len(e.ev.Raw)
		if _, twice := ids[e.ev.ID]; twice || len(batch) > 0 && size > int(l.Config.BatchBytes) {
			break
		}
		ids[e.ev.ID] = struct{}{}
		batch = append(batch, e.ev)
		l.ledger.taken(e.ev)
		l.queue.pop()
	}
	l.writing = true
	l.gauge()
	if l.seat != nil {
		l.seat.feed.signal()
	}
	return batch
}

// still returns for how long the frontier has not moved.
func (l *line) still() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Since(l.moved)
}

// busy reports whether events wait in the queue or are in a Write. Refused ones that are held don't count: they
// may wait for what is not read yet.
func (l *line) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.writing || l.queue.events > 0
}

// settle ends a batch. It applies the newest mark once everything before it is dealt with, and clears the charge
// of a line that has nothing pending.
func (l *line) settle() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.writing = false
	if len(l.held) > 0 {
		return
	}
	if m := l.deferred; m.seat != nil && m.seat == l.seat {
		if l.ledger.advance(m.frontier) {
			l.moved = time.Now()
		}
		l.met.frontier.Set(seconds(l.ledger.frontier))
	}
	l.deferred = mark{}
	l.forgive()
}
