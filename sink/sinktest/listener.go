package sinktest

import (
	"context"
	"net"
	"sync"
	"syscall"
)

// Mode is what a Listener does to connections.
type Mode int

// The modes.
const (
	Flow      Mode = iota // pass everything
	Deaf                  // the peer reads nothing
	Mute                  // the peer reads, but what it answers does not get out
	CutBefore             // a connection is reset once bytes arrive, before the peer sees them
	CutAfter              // a connection is closed once the peer answers, before the answer is out
	Down                  // connections are closed as soon as they are made
)

// Observer is the local address from which a test may connect to a peer whose Listener is in any mode, to see
// what the peer has.
const Observer = "127.0.0.2"

// Listener stands between a peer and its network. Below TLS, if there is any.
type Listener struct {
	net.Listener
	mu      sync.Mutex
	mode    Mode
	changed chan struct{} // closed when the mode changes
	held    chan struct{} // closed when the mode first holds something back
	holding bool
	conns   map[*conn]struct{}
}

// Listen listens on a loopback port.
func Listen() (*Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	return &Listener{Listener: l, changed: make(chan struct{}), held: make(chan struct{}), conns: map[*conn]struct{}{}}, nil
}

// Set changes the mode. Down ends every connection; so does Flow, so that what was held back is lost and can't
// arrive behind what is sent later.
func (l *Listener) Set(m Mode) {
	l.mu.Lock()
	l.mode = m
	close(l.changed)
	l.changed = make(chan struct{})
	l.held, l.holding = make(chan struct{}), false
	var end []*conn
	if m == Down || m == Flow {
		for c := range l.conns {
			end = append(end, c)
		}
	}
	l.mu.Unlock()
	for _, c := range end {
		_ = c.abort()
	}
}

// Held is closed once the mode holds bytes back.
func (l *Listener) Held() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held
}

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if host, _, err := net.SplitHostPort(raw.RemoteAddr().String()); err == nil && host == Observer {
			return raw, nil
		}
		l.mu.Lock()
		down := l.mode == Down
		c := &conn{Conn: raw, l: l, closed: make(chan struct{})}
		if !down {
			l.conns[c] = struct{}{}
		}
		l.mu.Unlock()
		if down {
			_ = c.abort()
			continue
		}
		return c, nil
	}
}

type conn struct {
	net.Conn
	l      *Listener
	once   sync.Once
	closed chan struct{}
	err    error
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && c.pass(Deaf, CutBefore) != nil {
		return 0, syscall.ECONNRESET
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	if err := c.pass(Mute, CutAfter); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// pass holds bytes back in one mode, for good, and ends the connection in another.
func (c *conn) pass(hold, cut Mode) error {
	c.l.mu.Lock()
	mode, changed := c.l.mode, c.l.changed
	if mode == hold && !c.l.holding {
		c.l.holding = true
		close(c.l.held)
	}
	c.l.mu.Unlock()
	switch mode {
	case hold:
		select {
		case <-changed:
		case <-c.closed:
		}
		_ = c.abort()
		return net.ErrClosed
	case Down:
		_ = c.abort()
		return net.ErrClosed
	case cut:
		if cut == CutAfter {
			_ = c.Close()
		} else {
			_ = c.abort()
		}
		return net.ErrClosed
	}
	return nil
}

// abort closes with a reset.
func (c *conn) abort() error {
	if tcp, ok := c.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	return c.Close()
}

func (c *conn) Close() error {
	c.once.Do(func() {
		close(c.closed)
		c.l.mu.Lock()
		delete(c.l.conns, c)
		c.l.mu.Unlock()
		c.err = c.Conn.Close()
	})
	return c.err
}
