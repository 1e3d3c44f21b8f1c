// Package ops is what an operator sees of a running process: its conditions, and /metrics, /healthz and
// /readyz.
package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Name stands in the Server header of every answer, so that `s1stream check` knows one of its own.
const Name = "s1stream"

// listenEvery is the pause before an address that could not be had is tried again.
const listenEvery = time.Minute

// Server serves /metrics, /healthz and /readyz. A nil *Server is one that is switched off.
type Server struct {
	http *http.Server
	cond *Condition // whether it listens
	stop context.CancelFunc
	done chan struct{}

	mu   sync.Mutex
	addr string
}

// Listen serves on host:port until Close; ctx has no say in its end, so that a drain can be watched. "" switches the
// server off: it returns nil. Where the address can't be had, a condition says so, and it is tried again every
// minute: whoever delivers events goes on without being watched.
func Listen(ctx context.Context, addr string, reg *prometheus.Registry, c *Conditions, log *slog.Logger) *Server {
	return listenAgain(ctx, addr, reg, c, log, listenEvery)
}

func listenAgain(ctx context.Context, addr string, reg *prometheus.Registry, c *Conditions, log *slog.Logger, every time.Duration) *Server {
	if addr == "" {
		return nil
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{
		cond: c.New("ops endpoint", log),
		stop: stop,
		done: make(chan struct{}),
		http: &http.Server{
			Handler:           handler(reg, c),
			ReadHeaderTimeout: 5 * time.Second,
			ReadTimeout:       10 * time.Second,
			WriteTimeout:      30 * time.Second,
			IdleTimeout:       2 * time.Minute,
			MaxHeaderBytes:    16 << 10,
			ErrorLog:          stdlog.New(io.Discard, "", 0), // clients that give up are no news
		},
	}
	l := s.listen(ctx, addr) // here, so that the caller finds it listening
	go func() {              // Close waits for it
		defer close(s.done)
		for {
			if l != nil {
				err := s.http.Serve(l)
				s.setAddr("")
				if errors.Is(err, http.ErrServerClosed) {
					return
				}
				s.cond.Fail("ops endpoint can't serve", err)
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(every):
				l = s.listen(ctx, addr)
			}
		}
	}()
	return s
}

// listen returns nil where it can't.
func (s *Server) listen(ctx context.Context, addr string) net.Listener {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		if ctx.Err() == nil {
			s.cond.Fail("ops endpoint can't listen", fmt.Errorf("ops.listen: %w: free it, or name another address; tried again by itself", err))
		}
		return nil
	}
	s.setAddr(l.Addr().String())
	s.cond.OK()
	return l
}

func (s *Server) setAddr(addr string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = addr
}

// Addr returns the address it listens on, "" where it does not.
func (s *Server) Addr() string {
	if s == nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Close ends the server and waits for it. Requests under way have two seconds to finish.
func (s *Server) Close() {
	if s == nil {
		return
	}
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close() // its listener is closed already
	}
	<-s.done
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
		w.Header().Set("Server", Name)
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
