package console

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// encoded is an answer's body as it goes on the wire.
type encoded struct {
	bytes []byte
	gzip  bool
}

// smallest is the size from which a body is worth compressing, as web servers have it.
const smallest = 256

var (
	plainPool = sync.Pool{New: func() any { return new([]byte) }}
	zipPool   = sync.Pool{New: func() any { return new(bytes.Buffer) }}
	// Speed 1: a page of 4 MB in some 10 ms, and still an eighth of its size.
	gzipPool = sync.Pool{New: func() any {
		w, err := gzip.NewWriterLevel(nil, gzip.BestSpeed)
		if err != nil {
			panic(fmt.Sprintf("make gzip writer: %v", err)) // the level is a constant that exists
		}
		return w
	}}
)

// encode returns the body, valid until free is called.
func (c *Console) encode(a *answer, f *Fault, zip bool) (body encoded, free func()) {
	if a.page == nil {
		return c.compress(a.body, zip)
	}
	whole := a.cursor == "" && f.Kind != BadJSON
	if whole {
		if b, ok := c.cache.get(a.page.key, zip); ok {
			return encoded{b, zip}, func() {}
		}
	}
	// A page of 1,000 is 5 MB: buffers are used again, grown as they are.
	buf := plainPool.Get().(*[]byte)
	b := c.appendPage((*buf)[:0], a)
	if f.Kind == BadJSON { // at the very end: a decoder that streams has handed on all of it by then
		b[len(b)-1] = ']'
	}
	body, release := c.compress(b, zip)
	if whole && body.gzip == zip {
		c.cache.put(a.page.key, zip, body.bytes)
	}
	return body, func() {
		release()
		*buf = b[:0]
		plainPool.Put(buf)
	}
}

func (c *Console) compress(b []byte, zip bool) (body encoded, free func()) {
	if !zip || len(b) < smallest {
		return encoded{b, false}, func() {}
	}
	out := zipPool.Get().(*bytes.Buffer)
	out.Reset()
	w := gzipPool.Get().(*gzip.Writer)
	w.Reset(out)
	_, _ = w.Write(b) // a bytes.Buffer takes everything
	_ = w.Close()
	gzipPool.Put(w)
	return encoded{out.Bytes(), true}, func() { zipPool.Put(out) }
}

// appendPage writes {"data":[…],"pagination":{"nextCursor":…,"totalItems":…}}; a count has no nextCursor.
func (c *Console) appendPage(b []byte, a *answer) []byte {
	b = append(b, `{"data":[`...)
	for i := range a.page.threats {
		if i > 0 {
			b = append(b, ',')
		}
		b, _, _ = c.bodies.append(b, &a.page.threats[i], a.live)
	}
	b = append(b, `],"pagination":{`...)
	if a.page.count {
		b = append(b, `"totalItems":`...)
		return append(strconv.AppendInt(b, int64(a.page.total), 10), "}}"...)
	}
	b = append(b, `"nextCursor":`...)
	switch {
	case a.cursor != "":
		b = append(appendEscaped(append(b, '"'), a.cursor), '"')
	case a.page.next != nil:
		b = append(appendCursor(append(b, '"'), *a.page.next, a.page.sort, a.page.desc), '"')
	default:
		b = append(b, "null"...)
	}
	b = append(b, `,"totalItems":`...)
	b = strconv.AppendInt(b, int64(a.page.total), 10)
	return append(b, "}}"...)
}

// pageCache keeps encoded pages of a store that stands still, up to a number of bytes; what comes after that is
// made anew each time. A changed store empties it.
type pageCache struct {
	limit int64

	mu    sync.Mutex
	gen   uint64
	bytes int64
	pages map[cacheKey][]byte
}

type cacheKey struct {
	page pageKey
	zip  bool
}

func newPageCache(limit int64) *pageCache {
	return &pageCache{limit: limit, pages: make(map[cacheKey][]byte)}
}

func (p *pageCache) get(k pageKey, zip bool) ([]byte, bool) {
	if p.limit <= 0 || k == (pageKey{}) {
		return nil, false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.pages[cacheKey{k, zip}]
	return b, ok
}

func (p *pageCache) put(k pageKey, zip bool, body []byte) {
	if p.limit <= 0 || k == (pageKey{}) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if k.gen > p.gen { // the store has changed: no page from before will be asked for again
		p.gen, p.bytes = k.gen, 0
		clear(p.pages)
	}
	if k.gen < p.gen || p.bytes+int64(len(body)) > p.limit {
		return
	}
	if _, there := p.pages[cacheKey{k, zip}]; !there {
		p.pages[cacheKey{k, zip}] = bytes.Clone(body)
		p.bytes += int64(len(body))
	}
}
