package sink

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go/sasl"
)

// kafkaGuard dials for one Transport, TLS and SASL included, and knows each connection it opened, so that all of them
// can be cut: kafka-go goes on writing an abandoned batch in the background, and offers no way to stop it.
type kafkaGuard struct {
	ctx       context.Context // ends with the guard: a dial under way is given up
	cancel    context.CancelFunc
	dialer    net.Dialer
	tls       *tls.Config    // nil for none
	mechanism sasl.Mechanism // nil for none
	step      time.Duration  // longest TLS handshake, and longest Read or Write for which kafka-go set no deadline
	dialed    func()
	// secret names what would be sent in clear text, "" for nothing: only loopback is dialled then, whatever
	// address a broker gives for itself.
	secret string

	mu       sync.Mutex
	conns    map[*kafkaConn]struct{} // nil once cut
	lifetime time.Duration           // of the shortest session that a broker granted, 0 for no end
	renew    time.Time               // when the first session has nearly ended; zero for never
}

func newKafkaGuard(cfg *KafkaConfig, mechanism sasl.Mechanism, t kafkaTimes, dialed func()) (*kafkaGuard, error) {
	g := &kafkaGuard{
		dialer:    net.Dialer{Timeout: t.dial, KeepAlive: 30 * time.Second},
		mechanism: mechanism,
		step:      t.dial,
		dialed:    dialed,
		secret:    cfg.cleartext(),
		conns:     map[*kafkaConn]struct{}{},
	}
	if cfg.TLS.On() {
		c, err := cfg.TLS.Client()
		if err != nil {
			return nil, &DeniedError{Err: err}
		}
		g.tls = c
	}
	g.ctx, g.cancel = context.WithCancel(context.Background()) // lives as long as the Writer, not as one Write
	return g, nil
}

// dial is a kafka.Transport's Dial.
func (g *kafkaGuard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()

	c, err := g.connect(ctx, network, address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	err = g.open(ctx, c, address)
	if !stop() { // closed already, or about to be
		err = cmp.Or(ctx.Err(), err)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// connect makes a connection on which nothing was sent yet.
func (g *kafkaGuard) connect(ctx context.Context, network, address string) (*kafkaConn, error) {
	raw, err := g.dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if tcp, ok := raw.RemoteAddr().(*net.TCPAddr); g.secret != "" && (!ok || !tcp.IP.IsLoopback()) {
		_ = raw.Close()
		return nil, &DeniedError{Err: fmt.Errorf("connect to %s: %s would cross the network in clear text: %s", address, g.secret, kafkaCleartextRemedy)}
	}
	c := &kafkaConn{Conn: raw, raw: raw, guard: g}
	if g.tls != nil {
		secure := g.tls
		if secure.ServerName == "" {
			secure = secure.Clone()
			secure.ServerName, _, _ = net.SplitHostPort(address)
		}
		c.Conn = tls.Client(raw, secure)
	}
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

// open is the handshakes.
func (g *kafkaGuard) open(ctx context.Context, c *kafkaConn, address string) error {
	if t, ok := c.Conn.(*tls.Conn); ok {
		ctx, cancel := context.WithTimeout(ctx, g.step)
		defer cancel()
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
	}
	if g.mechanism == nil {
		return nil
	}
	lifetime, err := g.authenticate(ctx, c, address)
	if err != nil || lifetime == 0 {
		return err
	}
	renew := time.Now().Add(time.Duration(kafkaRenewAt * float64(lifetime)))
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.renew.IsZero() || renew.Before(g.renew) {
		g.renew = renew
	}
	if g.lifetime == 0 || lifetime < g.lifetime {
		g.lifetime = lifetime
	}
	return nil
}

// ending reports whether a session has nearly ended. The broker ends the connection at the first request that comes
// after the end, unless the client authenticates anew, which kafka-go can't (KIP-368).
func (g *kafkaGuard) ending() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.renew.IsZero() && !time.Now().Before(g.renew)
}

// session returns how long brokers let a session last, 0 for no end.
func (g *kafkaGuard) session() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lifetime
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

// kafkaConn bounds what kafka-go leaves unbounded: where it sets no deadline, each Read and Write has one of its own. A
// broker that stalled in a handshake would hold the Transport's only discovery goroutine for ever.
type kafkaConn struct {
	net.Conn          // TLS where there is any
	raw      net.Conn // below TLS
	guard    *kafkaGuard
	dated    atomic.Bool // kafka-go has set a deadline of its own
	failed   atomic.Bool
	once     sync.Once
	err      error
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
		if tcp, ok := c.raw.(*net.TCPConn); ok && c.failed.Load() {
			_ = tcp.SetLinger(0)
			c.err = c.raw.Close() // TLS would want to say goodbye first
			return
		}
		c.err = c.Conn.Close()
	})
	return c.err
}
