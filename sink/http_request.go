package sink

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"s1stream/sink/format"
)

// httpChunk is the size below which a batch is not divided among the workers: a request costs more than
// what sending less than this would save.
const httpChunk = 64 << 10

// split divides a batch into requests, each [from, to). The same records are divided alike each time, so that
// a batch which is sent again carries the same keys.
func (h *HTTP) split(records []Record) [][2]int {
	var requests [][2]int
	if h.cfg.alone() {
		for i := range records {
			requests = append(requests, [2]int{i, i + 1})
		}
		return requests
	}
	return httpSplit(records, h.cfg.Concurrency, h.maxBody)
}

// httpSplit divides a batch into requests of most bytes, brackets included, so that side workers have their share.
func httpSplit(records []Record, side, most int) (requests [][2]int) {
	total := 0
	for _, r := range records {
		total += len(r.Body) + 1
	}
	full := max((total+side-1)/side, httpChunk)
	from, size := 0, 1 // a comma or a line end for each record, and one bracket more than commas
	for i, r := range records {
		if n := len(r.Body) + 1; i > from && (size > full || size+n > most) {
			requests = append(requests, [2]int{from, i})
			from, size = i, 1
		}
		size += len(r.Body) + 1
	}
	return append(requests, [2]int{from, len(records)})
}

// newRequest makes one request. Its body is a copy: net/http may still read it after the round trip was
// cancelled, when the records are the line's again. The Idempotency-Key is the version, or for a body of
// several events the SHA-256 over their versions' bytes, in hex.
//
// token is that of auth.type = "oauth2".
func (h *HTTP) newRequest(ctx context.Context, records []Record, token string) (*http.Request, error) {
	plain := h.body(records)
	body := plain
	if h.cfg.Gzip {
		var err error
		if body, err = h.gzip.compress(plain); err != nil {
			return nil, fmt.Errorf("compress the request: %w", err)
		}
	}
	req, err := http.NewRequestWithContext(ctx, h.cfg.Method, h.target.url, bytes.NewReader(body))
	if err != nil {
		return nil, h.target.scrubError(err)
	}
	req.Header = h.target.header.Clone()
	if h.cfg.Auth.Type == "oauth2" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if h.cfg.Body == httpBinary {
		h.setCloudEvent(req.Header, records[0].Event)
	}
	key := h.key(records)
	h.target.signer.sign(req.Header, key, time.Now(), plain)
	// With this header net/http sends a POST again whose idle connection the server had just closed.
	req.Header.Set("Idempotency-Key", key)
	return req, nil
}

func (h *HTTP) key(records []Record) string {
	if h.cfg.alone() {
		return records[0].Event.Version.String()
	}
	sum := sha256.New()
	for _, r := range records {
		sum.Write(r.Event.Version[:])
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// body joins the records as configured.
func (h *HTTP) body(records []Record) []byte {
	size := 2
	for _, r := range records {
		size += len(r.Body) + 1
	}
	b := make([]byte, 0, size)
	switch h.cfg.Body {
	case httpNDJSON:
		for _, r := range records {
			start := len(b)
			b = append(b, r.Body...)
			format.Flatten(b[start:])
			b = append(b, '\n')
		}
	case httpArray, httpBatched:
		b = append(b, '[')
		for i, r := range records {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, r.Body...)
		}
		b = append(b, ']')
	default:
		b = append(b, records[0].Body...)
	}
	return b
}

// httpGzip compresses bodies with writers that are used again. The zero value works; several may use it at once.
type httpGzip struct{ writers sync.Pool }

func (g *httpGzip) compress(body []byte) ([]byte, error) {
	z, ok := g.writers.Get().(*gzip.Writer)
	if !ok {
		z = gzip.NewWriter(nil)
	}
	defer func() {
		z.Reset(io.Discard) // the pool must not keep the body alive
		g.writers.Put(z)
	}()
	var out bytes.Buffer
	z.Reset(&out)
	if _, err := z.Write(body); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
