package sink

import (
	"slices"
	"strconv"
	"time"
)

// What is sent again after a break.
const (
	// syslogTailAge is how long before a break a frame must have been written to be in doubt. It is longer than
	// syslogUserTimeout, so that whatever a dead peer's kernel never confirmed is inside.
	syslogTailAge = 20 * time.Second
	// syslogTailBytes bounds the tail. It is more than our own send buffer (syslogSendBuffer) ever holds.
	syslogTailBytes = 4 << 20
	// syslogChunk is how many bytes of frames are written at once, and kept or dropped at once.
	syslogChunk = 256 << 10
)

// syslogFrames is some whole frames, in order.
type syslogFrames struct {
	bytes   []byte
	records int
	at      time.Time // when the kernel took them
}

// syslogTail holds what was written lately, oldest first. Nobody answers a syslog frame: when a connection
// breaks, these frames may be lost, and are owed to the next one, before anything newer.
type syslogTail struct {
	frames []syslogFrames
	bytes  int
	owed   bool
}

// add appends what was just written and drops what is too old or too much. Nothing is ever owed then.
func (t *syslogTail) add(now time.Time, frames []syslogFrames) {
	for _, f := range frames {
		f.at = now
		t.frames = append(t.frames, f)
		t.bytes += len(f.bytes)
	}
	t.expire(now)
}

// expire drops what is not in doubt any more, unless it is owed.
func (t *syslogTail) expire(now time.Time) {
	if !t.owed {
		t.drop(now.Add(-syslogTailAge))
	}
}

// owe says that the connection broke at that time. Frames owed already stay so, however long it takes.
func (t *syslogTail) owe(broke time.Time) {
	t.expire(broke)
	t.owed = len(t.frames) > 0
}

// paid says that all of the tail was just written to a new connection.
func (t *syslogTail) paid(now time.Time) {
	t.owed = false
	for i := range t.frames {
		t.frames[i].at = now
	}
}

func (t *syslogTail) drop(before time.Time) {
	n := 0
	for n < len(t.frames) && (t.frames[n].at.Before(before) || t.bytes > syslogTailBytes) {
		t.bytes -= len(t.frames[n].bytes)
		n++
	}
	t.frames = slices.Delete(t.frames, 0, n)
}

func (t *syslogTail) records() (n int) {
	for _, f := range t.frames {
		n += f.records
	}
	return n
}

// syslogFrame frames records for a stream, in pieces of about syslogChunk bytes. A frame is never split. What is
// larger than limit is refused and left out: it would break the receiver's framing.
func syslogFrame(records []Record, lf bool, limit int) (frames []syslogFrames, refused []RecordError) {
	var f syslogFrames
	for i, r := range records {
		if len(r.Body) > limit {
			refused = append(refused, RecordError{Index: i, Err: syslogTooLarge(len(r.Body), limit)})
			continue
		}
		if f.records > 0 && len(f.bytes)+len(r.Body) > syslogChunk {
			frames, f = append(frames, f), syslogFrames{}
		}
		if f.bytes == nil {
			f.bytes = make([]byte, 0, syslogRoom(records[i:]))
		}
		if lf {
			f.bytes = append(append(f.bytes, r.Body...), '\n')
		} else { // RFC 6587 section 3.4.1, RFC 5425 section 4.3
			f.bytes = append(strconv.AppendInt(f.bytes, int64(len(r.Body)), 10), ' ')
			f.bytes = append(f.bytes, r.Body...)
		}
		f.records++
	}
	if f.records > 0 {
		frames = append(frames, f)
	}
	return frames, refused
}

// syslogRoom is what the next piece needs, so that it is allocated once.
func syslogRoom(records []Record) (n int) {
	for _, r := range records {
		if n += len(r.Body) + 8; n > syslogChunk {
			return syslogChunk
		}
	}
	return n
}
