package source

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"net/http"
	"strconv"
	"time"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

const (
	maxToken   = 4 << 10 // how much of a string is kept while a threat over the cap is read as a stream
	giantDepth = 10_000  // nesting, as in encoding/json
)

// giant reads a page of one threat that is larger than maxPage, as a stream and without keeping it, and returns
// a stub in its place: the threat goes to the dead letters of every line, with its id and size. It is a request
// of its own: it takes a place, and has the timeout to itself.
func (w *walk) giant(ctx context.Context, moment time.Time) ([]event.Event, string, error) {
	if err := w.c.limit.wait(ctx, w.urgent); err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, w.c.cfg.Timeout)
	defer cancel()
	resp, a, err := w.c.open(ctx, ThreatsPath, w.query(1))
	if err != nil {
		return nil, "", err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, "", w.c.explain(resp, a)
	}
	defer func() { _ = resp.Body.Close() }()
	r, _, err := w.buf.reader(resp, math.MaxInt64-1)
	if err != nil {
		return nil, "", err
	}
	g := newGiantReader(r)
	if err := g.page(); err != nil {
		return nil, "", bodyError(err)
	}
	w.split.begin()
	if g.threats > 0 {
		w.split.addStub(&g, moment)
	}
	return w.split.events, g.cursor, nil
}

func (p *splitter) addStub(g *giantReader, moment time.Time) {
	ev := event.Event{Source: p.source, ID: g.id, Stub: fmt.Sprintf("the threat is larger than %d MiB", maxPage>>20)}
	if ev.ID == "" {
		ev.ID = hex.EncodeToString(g.sum.Sum(nil)[:16])
	}
	p.stamp(&ev, g.updated, moment)
	quoted, _ := json.Marshal(ev.ID) // a string always can be
	raw := append([]byte(`{"id":`), quoted...)
	raw = append(raw, `,"size":`...)
	ev.Raw = append(strconv.AppendInt(raw, g.size, 10), '}')
	// The size differs from read to read with the live part, so the version leaves it out.
	ev.Version = event.NewVersion(p.host, ev.ID, g.updated, []byte("too large to read"))
	p.events = append(p.events, ev)
}

// giantReader reads a page byte by byte and keeps the id, the updatedAt and the size of its threat, and the
// next cursor. It checks structure and strings; what no field depends on (numbers, words) it lets pass.
type giantReader struct {
	r     *bufio.Reader
	n     int64 // bytes read
	depth int

	id, updated, cursor string
	size                int64
	threats             int

	// The hash that stands for an id where there is none, as bodyHash has it: without agentRealtimeInfo.
	sum     hash.Hash
	hashing bool
	hashed  []byte // what is to be hashed next; the last byte read is always in it
}

func newGiantReader(r io.Reader) giantReader {
	return giantReader{r: bufio.NewReaderSize(r, 64<<10), sum: sha256.New(), hashed: make([]byte, 0, 32<<10)}
}

var errGiant = &pageError{errors.New("malformed")}

// page reads the whole answer.
func (g *giantReader) page() error {
	hasData, hasPages := false, false
	err := g.object(func(key string) error {
		switch key {
		case "data":
			if hasData {
				return errGiant
			}
			hasData = true
			return g.array(func() error {
				if g.threats++; g.threats > 1 {
					return errGiant
				}
				from := g.n
				g.hashing = true
				err := g.threat()
				g.hashing = false
				g.sum.Write(g.hashed)
				g.size = g.n - from
				return err
			})
		case "errors":
			v, err := g.value()
			if err == nil && v != "null" && v != "" && v != `""` {
				return &pageError{errors.New("the answer carries errors")}
			}
			return err
		case "pagination":
			hasPages, g.cursor = true, ""
			return g.object(func(key string) error {
				v, err := g.value()
				if err == nil && key == "nextCursor" {
					if g.cursor, err = nextCursor([]byte(v)); err != nil {
						err = &pageError{err}
					}
				}
				return err
			})
		}
		_, err := g.value()
		return err
	})
	if err != nil {
		return err
	}
	if !hasData || !hasPages {
		return errGiant
	}
	if _, err := g.space(); !errors.Is(err, io.EOF) {
		return errGiant
	}
	return nil
}

func (g *giantReader) threat() error {
	if c, err := g.peek(); err != nil || c != '{' {
		_, err = g.value()
		return err
	}
	return g.object(func(key string) error {
		switch key {
		case "id":
			v, err := g.value()
			g.id = threatID([]byte(v))
			return err
		case "threatInfo":
			g.updated = ""
			if c, err := g.peek(); err != nil || c != '{' {
				_, err = g.value()
				return err
			}
			return g.object(func(key string) error {
				v, err := g.value()
				if key == "updatedAt" {
					g.updated, _ = jsonscan.String([]byte(v))
				}
				return err
			})
		case "agentRealtimeInfo":
			if _, err := g.peek(); err != nil {
				return err
			}
			g.hashing = false
			_, err := g.value()
			g.hashing = true
			return err
		}
		_, err := g.value()
		return err
	})
}

func (g *giantReader) byte() (byte, error) {
	c, err := g.r.ReadByte()
	if err != nil {
		return 0, err
	}
	g.n++
	if g.hashing {
		if len(g.hashed) == cap(g.hashed) {
			g.sum.Write(g.hashed)
			g.hashed = g.hashed[:0]
		}
		g.hashed = append(g.hashed, c)
	}
	return c, nil
}

func (g *giantReader) back() {
	_ = g.r.UnreadByte() // never fails after a ReadByte
	g.n--
	if g.hashing {
		g.hashed = g.hashed[:len(g.hashed)-1]
	}
}

// peek skips white space and returns the byte behind it, not read.
func (g *giantReader) peek() (byte, error) {
	c, err := g.space()
	if err == nil {
		g.back()
	}
	return c, err
}

// space skips white space and returns the byte behind it, read.
func (g *giantReader) space() (byte, error) {
	for {
		c, err := g.byte()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, err
		}
	}
}

// many reads "open item, item, … end". Its ends are found here, so item is never called on an empty one.
func (g *giantReader) many(open, end byte, item func() error) error {
	if c, err := g.space(); err != nil {
		return err
	} else if c != open {
		return errGiant
	}
	if g.depth++; g.depth > giantDepth {
		return errGiant
	}
	defer func() { g.depth-- }()
	c, err := g.space()
	if err != nil || c == end {
		return err
	}
	g.back()
	for {
		if err := item(); err != nil {
			return err
		}
		switch c, err := g.space(); {
		case err != nil:
			return err
		case c == end:
			return nil
		case c != ',':
			return errGiant
		}
	}
}

func (g *giantReader) array(item func() error) error { return g.many('[', ']', item) }

func (g *giantReader) object(field func(key string) error) error {
	return g.many('{', '}', func() error {
		if c, err := g.space(); err != nil {
			return err
		} else if c != '"' {
			return errGiant
		}
		key, err := g.string()
		if err != nil {
			return err
		}
		name, _ := jsonscan.String([]byte(key))
		if c, err := g.space(); err != nil {
			return err
		} else if c != ':' {
			return errGiant
		}
		return field(name)
	})
}

// value reads any value. It returns the text of a scalar, a long string cut and so no string any more, and ""
// for an empty list or object, "…" for a full one.
func (g *giantReader) value() (string, error) {
	c, err := g.space()
	if err != nil {
		return "", err
	}
	inside := ""
	switch c {
	case '"':
		return g.string()
	case '{':
		g.back()
		err := g.object(func(string) error { inside = "…"; _, err := g.value(); return err })
		return inside, err
	case '[':
		g.back()
		err := g.array(func() error { inside = "…"; _, err := g.value(); return err })
		return inside, err
	}
	var word []byte
	for {
		switch {
		case errors.Is(err, io.EOF) || c == ',' || c == ']' || c == '}' || c <= ' ':
			if err == nil {
				g.back()
			}
			if len(word) == 0 {
				return "", errGiant
			}
			return string(word), nil
		case err != nil:
			return "", err
		case len(word) < maxToken:
			word = append(word, c)
		}
		c, err = g.byte()
	}
}

// string reads a string behind its opening quote and returns it as it stands, quotes included.
func (g *giantReader) string() (string, error) {
	text := []byte{'"'}
	for escaped := false; ; {
		if !escaped {
			text = g.plain(text)
		}
		c, err := g.byte()
		switch {
		case err != nil:
			return "", err
		case c < ' ':
			return "", errGiant
		}
		if len(text) < maxToken {
			text = append(text, c)
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			return string(text), nil
		}
	}
}

// plain reads what is at hand of a string and needs no look at each byte, and appends it to text, up to maxToken.
func (g *giantReader) plain(text []byte) []byte {
	at, _ := g.r.Peek(g.r.Buffered()) // never fails: it is all there
	at = at[:jsonscan.Plain(at)]
	text = append(text, at[:min(len(at), max(maxToken-len(text), 0))]...)
	if g.hashing {
		g.sum.Write(g.hashed)
		g.sum.Write(at)
		g.hashed = g.hashed[:0] // a byte follows before anything goes back
	}
	g.n += int64(len(at))
	_, _ = g.r.Discard(len(at)) // never fails, as above
	return text
}
