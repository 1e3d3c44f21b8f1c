package console

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"s1stream/internal/pki"
)

// Server is a console that listens.
type Server struct {
	URL    string // https://127.0.0.1:8443; for a listener on all addresses, that of localhost
	CAFile string // what clients must trust; "" without TLS

	srv  *http.Server
	stop func() bool
	end  sync.Once
	done chan struct{}
	err  error // why serving ended; read after done
}

// Serve listens on an address such as 127.0.0.1:0 and serves until ctx ends or Close is called; Close must be
// called either way, as it waits. With tlsDir it serves HTTPS: it writes ca.pem, console.pem and console.key
// there, for localhost, 127.0.0.1, ::1 and "simulator", or goes on with those that are there and still good.
// A console without a host gets the one of its URL.
func (c *Console) Serve(ctx context.Context, listen, tlsDir string) (*Server, error) {
	s := &Server{done: make(chan struct{})}
	var conf *tls.Config
	if tlsDir != "" {
		cert, caFile, err := certificate(tlsDir)
		if err != nil {
			return nil, fmt.Errorf("make certificates in %s: %w", tlsDir, err)
		}
		conf = &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}
		s.CAFile = caFile
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, err
	}
	host := clientHost(l.Addr().(*net.TCPAddr))
	if c.Host() == "" {
		c.SetHost(host)
	}
	s.URL = "http://" + host
	if conf != nil {
		s.URL = "https://" + host
	}
	s.srv = &http.Server{
		Handler:           c,
		TLSConfig:         conf,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    256 << 10,                  // ids takes 5,000 items: about 100 KB of URL
		ErrorLog:          log.New(io.Discard, "", 0), // clients that give up, or do not trust the authority, are no news
	}
	go func() { // Close waits for it
		defer close(s.done)
		if conf != nil {
			s.err = s.srv.ServeTLS(l, "", "")
		} else {
			s.err = s.srv.Serve(l)
		}
	}()
	s.stop = context.AfterFunc(ctx, s.shutdown)
	return s, nil
}

// Close ends the server: requests under way have a second to finish. It returns why serving ended, if that was
// not asked for.
func (s *Server) Close() error {
	s.stop()
	s.shutdown()
	<-s.done
	if errors.Is(s.err, http.ErrServerClosed) {
		return nil
	}
	return s.err
}

// Done is closed when the server has stopped listening.
func (s *Server) Done() <-chan struct{} { return s.done }

// shutdown returns once the server is down, whoever began it.
func (s *Server) shutdown() {
	s.end.Do(func() {
		// Detached: the context that ended is the reason for being here.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if s.srv.Shutdown(ctx) != nil {
			_ = s.srv.Close()
		}
	})
}

func clientHost(a *net.TCPAddr) string {
	ip := a.IP.String()
	if a.IP.IsUnspecified() {
		ip = "localhost"
	}
	return net.JoinHostPort(ip, fmt.Sprint(a.Port))
}

// certificate returns the server's certificate in dir, making it where there is none that lasts another day.
func certificate(dir string) (tls.Certificate, string, error) {
	caFile := filepath.Join(dir, "ca.pem")
	leaf := pki.Leaf{Cert: filepath.Join(dir, "console.pem"), Key: filepath.Join(dir, "console.key")}
	if cert, err := tls.LoadX509KeyPair(leaf.Cert, leaf.Key); err == nil && lasts(cert.Leaf, caFile) {
		return cert, caFile, nil
	}
	ca, err := pki.New(dir, "s1stream simulator")
	if err != nil {
		return tls.Certificate{}, "", err
	}
	if leaf, err = ca.Leaf("console", 0, "localhost", "127.0.0.1", "::1", "simulator"); err != nil {
		return tls.Certificate{}, "", err
	}
	cert, err := tls.LoadX509KeyPair(leaf.Cert, leaf.Key)
	return cert, ca.File(), err
}

func lasts(leaf *x509.Certificate, caFile string) bool {
	pem, err := os.ReadFile(caFile) //nolint:gosec // the directory is the operator's
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		return false
	}
	_, err = leaf.Verify(x509.VerifyOptions{DNSName: "simulator", Roots: roots, CurrentTime: time.Now().Add(24 * time.Hour)})
	return err == nil
}
