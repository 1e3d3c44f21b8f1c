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
