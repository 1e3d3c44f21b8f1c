package pipeline

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"s1stream/internal/event"
)

// channelBytes bounds what a feed's channel holds, beside its count of events.
const channelBytes = 8 << 20

// errLeft ends a walk that nobody is left for.
var errLeft = errors.New("every line left the feed")

// mostTogether is how many events go through a feed's channel in one item: waking the goroutine behind it for each
// one costs more than handing it on.
const mostTogether = 64

// item is what goes through a feed's channel: the seats that a walk is for, then its events, a few together, and
// behind each page's last event a mark.
type item struct {
	seats  []*seat
	events []*event.Event
	mark   time.Time
}

// feed is one source goroutine, its bounded channel, and the goroutine that hands each event to the lines on
// it. The shared feed serves every line that keeps up; a line that is behind has one of its own.
type feed struct {
	stream *stream
	own    *line // nil for the shared feed
	items  chan item
	group  int // events of one item at most; so many items hold the source's buffer
	budget budget
	room   chan struct{} // capacity 1: a line made room, or joins
	ended  chan struct{} // closed when everything was handed on

	seats []*seat // of the walk that is being handed on; the handing goroutine's
}

func newFeed(s *stream, own *line) *feed {
	buffer := s.console.Buffer()
	group := min(max(buffer/16, 1), mostTogether)
	return &feed{
		stream: s,
		own:    own,
		items:  make(chan item, buffer/group),
		group:  group,
		budget: budget{max: channelBytes, freed: make(chan struct{}, 1)},
		room:   make(chan struct{}, 1),
		ended:  make(chan struct{}),
	}
}

// signal tells the handing goroutine that there may be room.
func (f *feed) signal() {
	select {
	case f.room <- struct{}{}:
	default:
	}
}

// walk sends one walk into the channel, for seats, from the oldest of their lines' frontiers. It returns when the
// walk has ended, ctx has, or all have left.
func (f *feed) walk(ctx context.Context, seats []*seat) error {
	from := seats[0].line.frontier()
	for _, s := range seats[1:] {
		if at := s.line.frontier(); at.Before(from) {
			from = at
		}
	}
	if err := f.put(ctx, item{seats: seats}); err != nil {
		return err
	}
	for page, err := range f.stream.console.Walk(ctx, from, f.own == nil) {
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(seats, (*seat).taken) {
			return errLeft
		}
		if err := f.putAll(ctx, seats, page.Events); err != nil {
			return err
		}
		if !page.Frontier.IsZero() {
			if err := f.put(ctx, item{mark: page.Frontier}); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// wanted reports whether any line does not know ev. What no line wants is not copied.
func wanted(seats []*seat, ev *event.Event) bool {
	for _, s := range seats {
		if s.wants(ev) {
			return true
		}
	}
	return false
}

// clone is the one copy: the event owns its bytes and pins no page.
func clone(ev *event.Event) *event.Event {
	own := *ev
	own.Raw = bytes.Clone(ev.Raw)
	return &own
}

// putAll sends what the lines want of a page. What is sent counts against the channel's bytes from the moment it is
// copied, so a group is sent before waiting for room.
func (f *feed) putAll(ctx context.Context, seats []*seat, page []event.Event) error {
	var group []*event.Event
	flush := func() error {
		if len(group) == 0 {
			return nil
		}
		it := item{events: group}
		group = nil
		return f.put(ctx, it)
	}
	for i := range page {
		ev := &page[i]
		if !wanted(seats, ev) {
			continue
		}
		if !f.budget.try(ev.Size()) {
			if err := flush(); err != nil {
				return err
			}
			if err := f.budget.take(ctx, ev.Size()); err != nil {
				return err
			}
		}
		if group == nil {
			group = make([]*event.Event, 0, f.group)
		}
		if group = append(group, clone(ev)); len(group) == f.group {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// put sends an item; it blocks while the channel is full. That is the back-pressure.
func (f *feed) put(ctx context.Context, it item) error {
	select {
	case f.items <- it:
		f.stream.met.buffered.Set(float64(f.budget.held.Load()))
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hand takes items out of the channel until that is closed and empty, and hands them to the lines. ctx is no
// part of a stop: it ends at the drain's deadline.
func (f *feed) hand(ctx context.Context) {
	defer close(f.ended)
	for it := range f.items {
		switch {
		case it.seats != nil:
			f.sit(it.seats)
		case it.events != nil:
			for _, ev := range it.events {
				f.budget.give(ev.Size())
				f.fanOut(ctx, ev)
			}
		default:
			for _, s := range f.seats {
				s.offerMark(it.mark)
			}
		}
		if ctx.Err() != nil {
			for range f.items { //nolint:revive // what is left is read again after the next start
			}
			return
		}
	}
}

// sit begins the handing on of a walk: those of its seats count that no line has left since.
func (f *feed) sit(seats []*seat) {
	f.seats = f.seats[:0]
	for _, s := range seats {
		if s.taken() {
			f.seats = append(f.seats, s)
		}
	}
}

// fanOut queues ev on every line of the feed that does not know it.
func (f *feed) fanOut(ctx context.Context, ev *event.Event) {
	want := make([]*seat, 0, 8)
	for _, s := range f.seats {
		if !s.offer(ev) {
			want = append(want, s)
		}
	}
	if len(want) > 0 {
		f.block(ctx, ev, want)
	}
}

// block waits until every line that wants ev has taken it or left. The time is charged to every line whose queue
// was full, and those fall behind that were charged more than patience while another line has room.
func (f *feed) block(ctx context.Context, ev *event.Event, want []*seat) {
	tick := time.NewTimer(never)
	defer tick.Stop()
	for len(want) > 0 {
		full := f.full(ev.Size()) // before the wait: who ends it by making room pays for it all the same
		since := time.Now()
		tick.Reset(f.untilFall(full, ev.Size()))
		select {
		case <-f.room:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if f.own == nil { // nobody is held up on a feed of one line
			blocked := time.Since(since)
			for _, l := range full {
				l.charge(blocked)
			}
			f.fall(ev.Size())
		}
		left := want[:0]
		for _, s := range want {
			if !s.offer(ev) {
				left = append(left, s)
			}
		}
		want = left
	}
}

// full returns the lines that have no room for an event of this size.
func (f *feed) full(size int) []*line {
	var full []*line
	for _, s := range f.seats {
		if !s.line.roomFor(size) {
			full = append(full, s.line)
		}
	}
	return full
}

// untilFall returns when a line may have been charged enough to fall behind. Room and a line that joins are
// signalled.
func (f *feed) untilFall(full []*line, size int) time.Duration {
	wait := f.stream.patience
	if f.stream.stop.Err() == nil && f.healthy(size) {
		for _, l := range full {
			wait = min(wait, f.stream.patience-l.charge(0))
		}
	}
	return max(wait, 0) + time.Millisecond
}

// healthy reports whether a line has room, or waits to join, which counts as much.
func (f *feed) healthy(size int) bool {
	if f.own != nil {
		return false
	}
	for _, s := range f.seats {
		if s.line.roomFor(size) {
			return true
		}
	}
	return f.stream.waiting()
}

// fall moves lines to feeds of their own that are full and were charged more than patience, if another has room.
func (f *feed) fall(size int) {
	if !f.healthy(size) {
		return
	}
	kept := f.seats[:0]
	for _, s := range f.seats {
		if s.line.roomFor(size) || s.line.charge(0) <= f.stream.patience || !f.stream.fallBehind(s) {
			kept = append(kept, s)
		}
	}
	f.seats = kept
}

// budget bounds bytes. What is larger than the bound passes alone, when the thing is empty. One goroutine takes and
// one gives.
type budget struct {
	used  atomic.Int64
	held  atomic.Int64 // events
	max   int64
	freed chan struct{} // capacity 1
}

// try takes n bytes for one event where there is room.
func (b *budget) try(n int) bool {
	if used := b.used.Load(); used != 0 && used+int64(n) > b.max {
		return false
	}
	b.used.Add(int64(n)) // meanwhile it can only have become less
	b.held.Add(1)
	return true
}

// take waits for room and takes n bytes for one event.
func (b *budget) take(ctx context.Context, n int) error {
	for !b.try(n) {
		select {
		case <-b.freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *budget) give(n int) {
	b.used.Add(-int64(n))
	b.held.Add(-1)
	select {
	case b.freed <- struct{}{}:
	default:
	}
}
