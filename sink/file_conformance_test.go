package sink_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"s1stream/internal/testpeer"
	"s1stream/sink"
	"s1stream/sink/sinktest"
)

// serverTLS is a server's side of a set of test certificates.
func serverTLS(t *testing.T, certs testpeer.Certs) *tls.Config {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certs.Server.Cert, certs.Server.Key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
}

// serveOn serves on what the suite listens on, until the test ends. It returns the beginning of every URL there, and where
// it is secure the file of the authority that signed its certificate. http2 is offered over TLS alone.
func serveOn(t *testing.T, l *sinktest.Listener, handler http.Handler, secure, http2 bool) (base, caFile string) {
	t.Helper()
	srv := &httptest.Server{
		Listener: l, Config: &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}, EnableHTTP2: secure && http2, //nolint:gosec // of a test
	}
	base = "http://" + l.Addr().String()
	if secure {
		certs := testpeer.NewCerts(t)
		srv.TLS = serverTLS(t, certs)
		srv.StartTLS()
		base, caFile = "https://"+l.Addr().String(), certs.CA
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		l.Set(sinktest.Flow)
		srv.Close()
	})
	return base, caFile
}

func lines(b []byte) []sinktest.Received {
	var out []sinktest.Received
	for _, line := range bytes.SplitAfter(b, []byte("\n")) {
		if body, ok := bytes.CutSuffix(line, []byte("\n")); ok {
			out = append(out, sinktest.Received{Body: body})
		}
	}
	return out
}

func TestFile_PassesTheSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Grade: sink.Acknowledged, Local: true, OneLine: true,
		Start: func(t *testing.T) *sinktest.Rig {
			cfg := sink.DefaultFile()
			cfg.Path = filepath.Join(t.TempDir(), "new", "{source}.jsonl")
			cfg.MaxSize, cfg.MaxFiles = 20_000, 1000 // so that the suite crosses rotations
			path := filepath.Join(filepath.Dir(cfg.Path), "console-1.jsonl")
			return &sinktest.Rig{
				Config:   cfg,
				Received: func() []sinktest.Received { return lines(readRotated(t, path)) },
			}
		},
	})
}

func TestFile_OnAPipePassesTheSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Grade: sink.BestEffort, Local: true, OneLine: true,
		Start: func(t *testing.T) *sinktest.Rig {
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			var mu sync.Mutex
			var got []byte
			var reader sync.WaitGroup
			reader.Go(func() {
				buf := make([]byte, 64<<10)
				for {
					n, err := r.Read(buf)
					mu.Lock()
					got = append(got, buf[:n]...)
					mu.Unlock()
					if err != nil {
						return
					}
				}
			})
			t.Cleanup(func() {
				_ = w.Close()
				reader.Wait()
				_ = r.Close()
			})
			return &sinktest.Rig{
				New: func(t *testing.T, d sink.Deps) sink.Sink {
					t.Helper()
					s, err := sink.NewFileOn(sink.FileConfig{Path: "-"}, d, w)
					if err != nil {
						t.Fatal(err)
					}
					return s
				},
				Received: func() []sinktest.Received {
					mu.Lock()
					defer mu.Unlock()
					return lines(bytes.Clone(got))
				},
			}
		},
	})
}

// readRotated reads a file and all that was rotated from it, oldest first.
func readRotated(t *testing.T, path string) []byte {
	t.Helper()
	var out []byte
	names, err := filepath.Glob(path + ".*")
	if err != nil {
		t.Fatal(err)
	}
	for n := len(names); n >= 0; n-- {
		name := path
		if n > 0 {
			name = path + "." + strconv.Itoa(n)
		}
		f, err := os.Open(name)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(f)
		_ = f.Close()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b...)
	}
	return out
}
