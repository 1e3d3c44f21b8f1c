package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// Bounds of one connection.
const (
	// syslogDialTimeout bounds connecting to one address, TLS included.
	syslogDialTimeout = 10 * time.Second
	// syslogWriteTimeout bounds the write of one piece of frames.
	syslogWriteTimeout = 15 * time.Second
	// syslogUserTimeout is how long written bytes may stay unconfirmed by the peer's kernel (TCP_USER_TIMEOUT).
	// Without it a peer that vanished is written to for about fifteen minutes.
	syslogUserTimeout = 15 * time.Second
	// syslogSendBuffer bounds what waits in our own kernel when a connection breaks (Linux doubles it).
	syslogSendBuffer = 256 << 10
	// syslogGrace is how long a collector may take to refuse a client certificate after a TLS 1.3 handshake.
	syslogGrace = 250 * time.Millisecond
	// syslogEndTimeout bounds the wait for the peer to end its side after we ended ours.
	syslogEndTimeout = 5 * time.Second
)

var (
	errSyslogEnded   = errors.New("the collector ended the connection")
	errSyslogRefused = errors.New("the collector ended the session straight after the TLS handshake")
	errSyslogTLS     = errors.New("the collector answers in TLS")
	errSyslogSilent  = errors.New("the collector did not end its side of the connection")
)

// syslogConn is one stream whose reading side is watched by a goroutine until its end. A collector never
// answers, so that the reading side alone tells early that the peer is gone, or that it refuses us.
type syslogConn struct {
	net.Conn          // of TCP or TLS
	raw      net.Conn // of TCP
	addr     string
	broken   chan struct{} // closed when the reading side has ended; err and at are set before
	err      error
	at       time.Time
}

// syslogLink is a stream that has just been connected.
type syslogLink struct {
	net.Conn               // of TCP or TLS
	raw      net.Conn      // of TCP
	trip     time.Duration // how long TCP took to connect: a round trip
	asked    bool          // the peer asked for a client certificate
}

// syslogConnect connects to one address and shakes hands. conf is nil for plain TCP.
func syslogConnect(ctx context.Context, addr string, conf *tls.Config) (*syslogLink, error) {
	d := net.Dialer{
		Control:         syslogControl,
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 10 * time.Second, Interval: 5 * time.Second, Count: 3},
	}
	began := time.Now()
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if t, ok := raw.(*net.TCPConn); ok {
		_ = t.SetWriteBuffer(syslogSendBuffer) // a larger one only makes more to be sent again
	}
	l := &syslogLink{Conn: raw, raw: raw, trip: time.Since(began)}
	if conf == nil {
		return l, nil
	}
	conf = conf.Clone()
	if conf.ServerName == "" {
		conf.ServerName, _, _ = net.SplitHostPort(addr) // the dial has parsed it
	}
	have := conf.GetClientCertificate
	conf.GetClientCertificate = func(info *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		l.asked = true
		if have == nil {
			return &tls.Certificate{}, nil
		}
		return have(info)
	}
	session := tls.Client(raw, conf)
	if err := session.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, err
	}
	l.Conn = session
	return l, nil
}

// syslogDial connects to one address. conf is nil for plain TCP. watch is told, if it has room, when the
// connection has ended.
//
// With TLS 1.3 a client's handshake is done before the server has seen the client's certificate; its refusal
// can only be read, and a write sent meanwhile succeeds and is lost. So where the server asked for a certificate,
// the session is not trusted before it has stood for syslogGrace and two round trips.
func syslogDial(ctx context.Context, addr string, conf *tls.Config, watch chan<- struct{}) (*syslogConn, error) {
	ctx, cancel := context.WithTimeout(ctx, syslogDialTimeout)
	defer cancel()
	l, err := syslogConnect(ctx, addr, conf)
	if err != nil {
		return nil, err
	}
	c := &syslogConn{Conn: l.Conn, raw: l.raw, addr: addr, broken: make(chan struct{})}
	go c.watch(watch)
	session, ok := l.Conn.(*tls.Conn)
	if ok && l.asked && session.ConnectionState().Version >= tls.VersionTLS13 {
		if err := c.stands(ctx, syslogGrace+2*l.trip); err != nil {
			c.close()
			if errors.Is(err, errSyslogEnded) {
				err = errSyslogRefused
			}
			return nil, err
		}
	}
	return c, nil
}

// stands waits that long for the peer to end the connection, and is an error if it does.
func (c *syslogConn) stands(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.broken:
		return c.err
	}
}

// watch reads until the connection ends. Nothing that a collector says means anything but that.
func (c *syslogConn) watch(lost chan<- struct{}) {
	var buf [256]byte
	var err error
	for first := true; err == nil; first = false {
		var n int
		n, err = c.Read(buf[:])
		if first && c.Conn == c.raw && n >= 2 && buf[0] == 0x15 && buf[1] == 3 { // a TLS alert record
			err = errSyslogTLS
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = errSyslogEnded // with or without close_notify
	}
	c.err, c.at = err, time.Now()
	close(c.broken)
	select {
	case lost <- struct{}{}:
	default:
	}
}

// failed returns why the connection has ended, nil while it stands.
func (c *syslogConn) failed() error {
	select {
	case <-c.broken:
		return c.err
	default:
		return nil
	}
}

// cause returns what the reading side knows about a failed write: "certificate required" says more than "broken pipe".
func (c *syslogConn) cause(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	timer := time.NewTimer(100 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-c.broken:
		return c.err
	case <-timer.C:
		return err
	}
}

// end closes in order: it ends our side (close_notify in TLS, FIN in TCP) and waits for the peer to end its own,
// which it does when it has read everything. Closing at once makes rsyslog's ossl driver lose the tail, and
// any peer's kernel whatever it had not read yet. An error other than errSyslogSilent means that the tail may
// be lost.
func (c *syslogConn) end(wait time.Duration) error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errSyslogSilent
	}
	if err := half.CloseWrite(); err != nil {
		return c.cause(err)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return errSyslogSilent
	case <-c.broken:
		if errors.Is(c.err, errSyslogEnded) {
			return nil
		}
		return c.err
	}
}

// close drops the connection at once and waits for its goroutine.
func (c *syslogConn) close() {
	_ = c.raw.Close() // not the session's Close: that would wait for a peer that may be gone
	<-c.broken
}
