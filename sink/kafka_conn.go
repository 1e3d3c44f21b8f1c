package sink

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// kafkaGuard dials for one Transport and knows each connection it opened, so that all of them can be cut:
// kafka-go goes on writing an abandoned batch in the background, and offers no way to stop it.
type kafkaGuard struct {
	ctx    context.Context // ends with the guard: a dial under way is given up
	cancel context.CancelFunc
	dialer net.Dialer
	step   time.Duration // longest a Read or Write may take for which kafka-go set no deadline
	dialed func()
	// secret is set where a password would be sent in clear text: only loopback is dialled then, whatever
	// address a broker gives for itself.
	secret bool

	mu    sync.Mutex
	conns map[*kafkaConn]struct{} // nil once cut
}

func newKafkaGuard(t kafkaTimes, secret bool, dialed func()) *kafkaGuard {
	g := &kafkaGuard{
		dialer: net.Dialer{Timeout: t.dial, KeepAlive: 30 * time.Second},
		step:   t.dial,
		dialed: dialed,
		secret: secret,
		conns:  map[*kafkaConn]struct{}{},
	}
	g.ctx, g.cancel = context.WithCancel(context.Background()) // lives as long as the Writer, not as one Write
	return g
}

// dial is a kafka.Transport's Dial.
func (g *kafkaGuard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()

	raw, err := g.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := raw.RemoteAddr().(*net.TCPAddr); g.secret && (!ok || !tcp.IP.IsLoopback()) {
		_ = raw.Close()
		return nil, &DeniedError{Err: fmt.Errorf("connect to %s: the password would cross the network in clear text: "+
			"set tls.enabled = true, use SCRAM-SHA-512, or set allow_cleartext_auth = true", address)}
	}
	c := &kafkaConn{Conn: raw, guard: g}
	g.mu.Lock()
	shut := g.conns == nil
	if !shut {
		g.conns[c] = struct{}{}
	}
	g.mu.Unlock()
	if shut {
		_ = raw.Close()
		return nil, net.ErrClosed
	}
	g.dialed()
	return c, nil
}

// cut closes every connection and refuses new ones. With reset, bytes that are still in a send buffer are thrown
// away: a broker that hangs would read them when it goes on, behind newer ones.
func (g *kafkaGuard) cut(reset bool) {
	g.cancel()
	g.mu.Lock()
	conns := g.conns
	g.conns = nil
	g.mu.Unlock()
	for c := range conns {
		if reset {
			c.failed.Store(true)
		}
		_ = c.Close()
	}
}

// kafkaConn bounds what kafka-go leaves unbounded: it clears the deadline before the SASL handshake, and a broker
// that stalls there would hold the Transport's only discovery goroutine for ever.
type kafkaConn struct {
	net.Conn
	guard  *kafkaGuard
	dated  atomic.Bool // kafka-go has set a deadline of its own
	failed atomic.Bool
	once   sync.Once
	err    error
}

func (c *kafkaConn) SetDeadline(t time.Time) error {
	c.dated.Store(!t.IsZero())
	return c.Conn.SetDeadline(t)
}

func (c *kafkaConn) Read(p []byte) (int, error) {
	if !c.dated.Load() {
		if err := c.SetReadDeadline(time.Now().Add(c.guard.step)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	if err != nil {
		c.failed.Store(true)
	}
	return n, err
}

func (c *kafkaConn) Write(p []byte) (int, error) {
	if !c.dated.Load() {
		if err := c.SetWriteDeadline(time.Now().Add(c.guard.step)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		c.failed.Store(true)
	}
	return n, err
}

// Close ends a connection that failed with a reset, for the reason that cut gives.
func (c *kafkaConn) Close() error {
	c.once.Do(func() {
		c.guard.mu.Lock()
		delete(c.guard.conns, c)
		c.guard.mu.Unlock()
		if tcp, ok := c.Conn.(*net.TCPConn); ok && c.failed.Load() {
			_ = tcp.SetLinger(0)
		}
		c.err = c.Conn.Close()
	})
	return c.err
}
