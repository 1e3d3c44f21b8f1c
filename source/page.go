package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
	"s1stream/internal/safe"
)

// Page is one validated answer of the API.
type Page struct {
	// Events in the console's order. They alias the page and are valid until the next one is asked for:
	// whoever keeps one copies it, Raw included.
	Events []event.Event
	// Frontier is where a later walk may start once these events, and all before them in this walk, are dealt
	// with. Zero: this page moves no frontier.
	Frontier time.Time
}

// splitter turns bodies into events. It is reused from page to page.
type splitter struct {
	host   string // of the console, for the version
	source string
	events []event.Event

	oldest, newest time.Time // of the page, a missing updatedAt counted as the page's moment
	last           time.Time // largest updatedAt that really stands on the page; zero where none does
	tail           time.Time // updatedAt of the page's last threat; zero where that has none
	high           time.Time // largest so far in this walk
	unordered      int       // threats of the page behind a newer one
}

// split validates a body whole and returns its events and the next cursor, "" at the end. moment stands in for
// a missing updatedAt. Nothing of a bad page is returned.
func (p *splitter) split(body []byte, moment time.Time) (events []event.Event, cursor string, err error) {
	before := *p
	p.begin()
	var hasData, hasPages bool
	s := jsonscan.Scanner{Data: body}
	err = s.Object(func(key []byte) error {
		switch string(key) {
		case "data":
			if s.Space() != '[' {
				return errors.New("data is not a list")
			}
			if hasData {
				return errors.New("data stands twice")
			}
			hasData = true
			return s.Array(func() error { return p.item(&s, moment) })
		case "errors":
			v, err := s.Value()
			if err == nil && !isNone(v) {
				return fmt.Errorf("the answer carries errors: %s", safe.Snippet(v, 200))
			}
			return err
		case "pagination":
			if s.Space() != '{' {
				return errors.New("pagination is not an object")
			}
			hasPages, cursor = true, ""
			return s.Object(func(key []byte) error {
				v, err := s.Value()
				if err != nil || string(key) != "nextCursor" {
					return err
				}
				cursor, err = nextCursor(v)
				return err
			})
		}
		_, err := s.Value()
		return err
	})
	switch {
	case err != nil:
	case !hasData:
		err = errors.New("the answer has no data")
	case !hasPages:
		err = errors.New("the answer has no pagination")
	default:
		err = s.End()
	}
	if err != nil {
		p.high = before.high
		return nil, "", err
	}
	return p.events, cursor, nil
}

func (p *splitter) begin() {
	p.events = p.events[:0]
	p.oldest, p.newest, p.last, p.tail, p.unordered = time.Time{}, time.Time{}, time.Time{}, time.Time{}, 0
}

// nextCursor reads a cursor: null, "", and the text "null" that some consoles send are the end.
func nextCursor(v []byte) (string, error) {
	if string(v) == "null" {
		return "", nil
	}
	c, ok := jsonscan.String(v)
	if !ok {
		return "", errors.New("nextCursor is neither a string nor null")
	}
	if c == "null" {
		return "", nil
	}
	return c, nil
}

func isNone(v []byte) bool {
	switch string(v) {
	case "null", "[]", "{}", `""`:
		return true
	}
	return len(v) > 2 && (v[0] == '[' || v[0] == '{') && len(bytes.TrimSpace(v[1:len(v)-1])) == 0
}

// item reads one element of data. Whatever is odd about it concerns that item alone.
func (p *splitter) item(s *jsonscan.Scanner, moment time.Time) error {
	start := s.Pos
	if s.Space() != '{' {
		raw, err := s.Value()
		if err == nil {
			p.add(raw, nil, nil, nil, span{}, moment)
		}
		return err
	}
	var id, updated, created []byte
	var live span
	err := s.Object(func(key []byte) error {
		switch string(key) {
		case "id":
			v, err := s.Value()
			id = v
			return err
		case "threatInfo":
			updated, created = nil, nil
			if s.Space() != '{' {
				_, err := s.Value()
				return err
			}
			return s.Object(func(key []byte) error {
				v, err := s.Value()
				switch string(key) {
				case "updatedAt":
					updated = v
				case "createdAt":
					created = v
				}
				return err
			})
		case "agentRealtimeInfo":
			v, err := s.Value()
			live = span{s.Pos - len(v) - start, s.Pos - start}
			return err
		}
		_, err := s.Value()
		return err
	})
	if err == nil {
		p.add(s.Data[start:s.Pos], id, updated, created, live, moment)
	}
	return err
}

// span is a range of bytes of an item.
type span struct{ from, to int }

func (p *splitter) add(raw, id, updated, created []byte, live span, moment time.Time) {
	ev := event.Event{Raw: raw, Source: p.source}
	body := [2][]byte{raw[:live.from], raw[live.to:]}
	ev.ID = threatID(id)
	if ev.ID == "" {
		ev.ID = bodyHash(body[:])
	}
	stamp, _ := jsonscan.String(updated)
	p.stamp(&ev, stamp, moment)
	if text, isString := jsonscan.String(created); isString {
		ev.CreatedAt, _ = parseTime(text)
	}
	ev.Version = event.NewVersion(p.host, ev.ID, stamp, body[0], body[1])
	if raw[0] != '{' {
		ev.Stub = "the console's answer holds something that is no threat here"
	}
	p.events = append(p.events, ev)
}

// stamp gives an event its updatedAt and keeps account of the page's times and of the walk's order.
func (p *splitter) stamp(ev *event.Event, text string, moment time.Time) {
	at, ok := parseTime(text)
	p.tail = at
	if !ok {
		at = moment
	} else {
		if at.Before(p.high) {
			ev.Unordered = true
			p.unordered++
		} else {
			p.high = at
		}
		if at.After(p.last) {
			p.last = at
		}
	}
	ev.UpdatedAt = at
	if at.After(p.newest) {
		p.newest = at
	}
	if p.oldest.IsZero() || at.Before(p.oldest) {
		p.oldest = at
	}
}

// maxID bounds an id: it is kept in queues and checkpoints that are bounded in number.
const maxID = 256

// threatID reads an id: a string, or a number as it is written. Anything else is none. One that can't be meant
// is told by its hash.
func threatID(v []byte) string {
	if len(v) == 0 {
		return ""
	}
	id := string(v)
	if v[0] != '-' && (v[0] < '0' || v[0] > '9') {
		id, _ = jsonscan.String(v)
	}
	if len(id) > maxID {
		id = bodyHash([][]byte{[]byte(id)})
	}
	return id
}

func bodyHash(body [][]byte) string {
	h := sha256.New()
	for _, b := range body {
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// parseTime reads an RFC 3339 time, cut to microseconds.
func parseTime(text string) (time.Time, bool) {
	if t, ok := parseMicros(text); ok {
		return t, true
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, false
	}
	return t.UTC().Truncate(time.Microsecond), true
}

// parseMicros is the fast way for the form that the console writes: 2006-01-02T15:04:05.000000Z.
func parseMicros(s string) (time.Time, bool) {
	if len(s) != 27 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' || s[19] != '.' || s[26] != 'Z' {
		return time.Time{}, false
	}
	var n [7]int
	for i, part := range [...]string{s[0:4], s[5:7], s[8:10], s[11:13], s[14:16], s[17:19], s[20:26]} {
		v, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return time.Time{}, false
		}
		n[i] = int(v) //nolint:gosec // six digits at most
	}
	if n[1] < 1 || n[1] > 12 || n[2] < 1 || n[2] > 28 || n[3] > 23 || n[4] > 59 || n[5] > 59 {
		return time.Time{}, false // the ends of months are left to time.Parse
	}
	return time.Date(n[0], time.Month(n[1]), n[2], n[3], n[4], n[5], n[6]*1000, time.UTC), true
}

// formatTime writes a time as the API's filters take it.
func formatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }
