// Package ops is what an operator sees of a running process: its conditions, and /metrics, /healthz and
// /readyz.
package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Server serves /metrics, /healthz and /readyz. A nil *Server is one that is switched off.
type Server struct {
	addr string
	http *http.Server
	done chan struct{}
	err  error // why serving ended; read after done
}

// Listen begins to serve on host:port, until Close. "" switches the server off: it returns nil. An error
// names the key of the configuration.
func Listen(ctx context.Context, addr string, reg *prometheus.Registry, c *Conditions) (*Server, error) {
	if addr == "" {
		return nil, nil //nolint:nilnil // a nil *Server works
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("ops.listen: %w: name another address, or \"\" to switch it off", err)
	}
	s := &Server{
		addr: l.Addr().String(),
		done: make(chan struct{}),
		http: &http.Server{
			Handler:           handler(reg, c),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          log.New(io.Discard, "", 0), // clients that give up are no news
		},
	}
	go func() { // Close waits for it
		defer close(s.done)
		s.err = s.http.Serve(l)
	}()
	return s, nil
}

// Addr returns the address it listens on, "" where it is switched off.
func (s *Server) Addr() string {
	if s == nil {
		return ""
	}
	return s.addr
}

// Close ends the server and waits for it. Requests under way have two seconds to finish.
func (s *Server) Close() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	<-s.done
	if errors.Is(s.err, http.ErrServerClosed) {
		return nil
	}
	return s.err
}

// handler routes. There is no way to change anything through it, and it shows no configuration.
func handler(reg *prometheus.Registry, c *Conditions) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		Registry:            reg,
		MaxRequestsInFlight: 4,
		Timeout:             20 * time.Second,
	}))
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if reasons := c.Reasons(); len(reasons) > 0 {
			plain(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n"))
			return
		}
		plain(w, http.StatusOK, "ready")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			plain(w, http.StatusMethodNotAllowed, "only GET and HEAD are answered here")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// plain answers with text. The header keeps a browser from taking a reason that quotes a server for HTML.
func plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}
