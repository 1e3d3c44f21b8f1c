package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"

	"s1stream/internal/safe"
)

const (
	maxPage      = 64 << 20 // of a page, both as sent and decompressed
	maxErrorBody = 64 << 10 // of an answer that is no page
)

// errTooLarge says that a page is over maxPage.
var errTooLarge = fmt.Errorf("the page is larger than %d MiB", maxPage>>20)

// pageError says that a 200 is no page of the API: cut off, malformed, or somebody else's.
type pageError struct{ err error }

func (e *pageError) Error() string { return "bad page: " + e.err.Error() }
func (e *pageError) Unwrap() error { return e.err }

// pageBuffer holds the memory that reading a page takes, from page to page.
type pageBuffer struct {
	gz   *gzip.Reader
	in   *bufio.Reader
	body []byte
}

// read returns the decompressed body, read to its end, and closes it. The bytes are valid until the next read.
// More than limit, as sent or decompressed, is errTooLarge.
func (b *pageBuffer) read(resp *http.Response, limit int64) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }()
	r, raw, err := b.reader(resp, limit)
	if err != nil {
		return nil, err
	}
	buf := b.body[:0]
	for {
		if len(buf) == cap(buf) {
			buf = grow(buf, limit)
		}
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		b.body = buf
		switch {
		case int64(len(buf)) > limit || raw.N <= 0:
			return nil, errTooLarge
		case err == io.EOF:
			return buf, nil
		case err != nil:
			return nil, bodyError(err)
		}
	}
}

// reader returns the decompressing reader over the body, and the reader under it that counts what came.
func (b *pageBuffer) reader(resp *http.Response, limit int64) (io.Reader, *io.LimitedReader, error) {
	raw := &io.LimitedReader{R: resp.Body, N: limit + 1}
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity":
		return raw, raw, nil
	case "gzip", "x-gzip":
		if b.in == nil {
			b.in = bufio.NewReaderSize(raw, 64<<10)
		} else {
			b.in.Reset(raw)
		}
		var err error
		if b.gz == nil {
			b.gz, err = gzip.NewReader(b.in)
		} else {
			err = b.gz.Reset(b.in)
		}
		if err != nil {
			return nil, nil, bodyError(err)
		}
		return b.gz, raw, nil
	default:
		return nil, nil, &pageError{fmt.Errorf("unknown Content-Encoding %q", safe.Snippet([]byte(enc), 64))}
	}
}

// grow doubles a buffer, but never far over the limit.
func grow(buf []byte, limit int64) []byte {
	size := int64(max(2*cap(buf), 64<<10))
	size = max(min(size, limit+512), int64(cap(buf))+512)
	bigger := make([]byte, len(buf), size)
	copy(bigger, buf)
	return bigger
}

// bodyError tells a body that ends early or is no gzip, which makes a bad page, from a connection that failed.
func bodyError(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || isCorrupt(err) {
		return &pageError{err}
	}
	return err
}

func isCorrupt(err error) bool { return strings.Contains(err.Error(), "flate:") }

// isJSON reports whether an answer says that it is JSON.
func isJSON(h http.Header) bool {
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}
