package pipeline

import (
	"time"

	"s1stream/internal/event"
)

// entry is one thing in a queue: an event, or a mark behind the events of its page.
type entry struct {
	ev   *event.Event
	mark mark
}

// mark is a page's frontier on its way behind the page's last event.
type mark struct {
	frontier time.Time
	seat     *seat // whose walk it belongs to: marks of an old seat count no more
}

// queue holds a line's entries in order, bounded in events and bytes; marks take no room. Its line's lock
// guards it.
type queue struct {
	entries   []entry
	head      int
	events    int
	bytes     int
	maxEvents int
	maxBytes  int
}

// full reports whether an event of this size has no room. What is larger than the bound passes alone.
func (q *queue) full(size int) bool {
	return q.events > 0 && (q.events >= q.maxEvents || q.bytes+size > q.maxBytes)
}

func (q *queue) push(ev *event.Event) {
	q.entries = append(q.entries, entry{ev: ev})
	q.events++
	q.bytes += ev.Size()
}

// pushMark adds a mark. A mark right behind another of the same seat takes its place.
func (q *queue) pushMark(m mark) {
	if n := len(q.entries); n > q.head && q.entries[n-1].ev == nil && q.entries[n-1].mark.seat == m.seat {
		if m.frontier.After(q.entries[n-1].mark.frontier) {
			q.entries[n-1].mark = m
		}
		return
	}
	q.entries = append(q.entries, entry{mark: m})
}

// peek returns the first entry, nil when empty.
func (q *queue) peek() *entry {
	if q.head == len(q.entries) {
		return nil
	}
	return &q.entries[q.head]
}

// pop drops the first entry.
func (q *queue) pop() {
	e := &q.entries[q.head]
	if e.ev != nil {
		q.events--
		q.bytes -= e.ev.Size()
	}
	*e = entry{}
	q.head++
	switch {
	case q.head == len(q.entries):
		q.entries, q.head = q.entries[:0], 0
	case q.head > 1024 && q.head > len(q.entries)/2:
		n := copy(q.entries, q.entries[q.head:])
		clear(q.entries[n:])
		q.entries, q.head = q.entries[:n], 0
	}
}

// drop empties the queue.
func (q *queue) drop() {
	q.entries, q.head, q.events, q.bytes = nil, 0, 0, 0
}
