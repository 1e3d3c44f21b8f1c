package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// Transport returns a RoundTripper that calls the console in the goroutine of the request, for tests in a
// testing/synctest bubble. It starts no goroutine and never decompresses by itself. Give requests a deadline by
// their context: http.Client.Timeout starts a goroutine for a RoundTripper it does not know.
func (c *Console) Transport() http.RoundTripper { return transport{c} }

type transport struct{ h http.Handler }

// RoundTrip implements http.RoundTripper. A dropped connection is an io.ErrUnexpectedEOF, from here or, in the
// middle of a body, from reading it. A request whose context ends gets the context's cause.
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	if r.Context().Err() != nil {
		return nil, context.Cause(r.Context())
	}
	rec := &recorder{header: make(http.Header, 8)}
	dropped := rec.serve(t.h, r)
	if r.Context().Err() != nil {
		return nil, context.Cause(r.Context())
	}
	if dropped && rec.status == 0 {
		return nil, fmt.Errorf("read answer: simulated console dropped the connection: %w", io.ErrUnexpectedEOF)
	}
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	for name, values := range rec.header {
		if len(values) == 0 {
			delete(rec.header, name)
		}
	}
	res := &http.Response{
		Status:     strconv.Itoa(rec.status) + " " + http.StatusText(rec.status),
		StatusCode: rec.status,
		Proto:      "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: rec.header,
		// As from a server that sends chunks.
		ContentLength:    -1,
		TransferEncoding: []string{"chunked"},
		Request:          r,
	}
	body := io.Reader(bytes.NewReader(rec.body))
	if dropped {
		body = io.MultiReader(body, brokenReader{})
	}
	res.Body = io.NopCloser(body)
	return res, nil
}

// brokenReader is the end of a connection that was cut.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// recorder is the http.ResponseWriter of one request.
type recorder struct {
	header http.Header
	status int
	body   []byte
}

// serve reports whether the handler dropped the connection.
func (w *recorder) serve(h http.Handler, r *http.Request) (dropped bool) {
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			dropped = true
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

// Header implements http.ResponseWriter.
func (w *recorder) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

// Write implements http.ResponseWriter.
func (w *recorder) Write(b []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	w.body = append(w.body, b...)
	return len(b), nil
}

// Flush implements http.Flusher.
func (w *recorder) Flush() { w.WriteHeader(http.StatusOK) }
