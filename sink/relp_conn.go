package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"time"

	"s1stream/internal/safe"
	"s1stream/sink/relp"
)

// relpLink is the connection of one session.
type relpLink struct {
	*syslogLink
	ack func()
}

// Read implements net.Conn. A receiver writes a small answer to every record, and its kernel holds the second one
// back until ours has confirmed the first (Nagle's algorithm). Ours would take its time, 40 ms on Linux: measured on
// loopback with rsyslog, 2,700 records a second in batches of 500 became 23,000, and so with rlp_03.
func (l relpLink) Read(p []byte) (int, error) {
	l.ack()
	return l.Conn.Read(p)
}

// Close drops the connection at once: Close of a TLS session would wait for a peer that may be gone.
func (l relpLink) Close() error { return l.raw.Close() }

// tls describes the session of TLS, "" without one.
func (l relpLink) tls() string {
	session, ok := l.Conn.(*tls.Conn)
	if !ok {
		return ""
	}
	st := session.ConnectionState()
	cert := st.PeerCertificates[0]
	return fmt.Sprintf("%s, certificate of %s valid until %s", tls.VersionName(st.Version),
		safe.Text(syslogNames(cert)), cert.NotAfter.UTC().Format(time.DateOnly))
}

// relpDial connects to one address and opens a session. conf is nil without TLS.
//
// With TLS 1.3 a client certificate is refused only after our side of the handshake is done. Nothing but "open" is
// sent before the receiver has answered it, so no record can be lost to that.
func relpDial(ctx context.Context, addr string, conf *tls.Config, window int) (l relpLink, s *relp.Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, relpOpenTimeout)
	defer cancel()
	if l.syslogLink, err = syslogConnect(ctx, addr, conf); err != nil {
		return l, nil, err
	}
	l.ack = relpAckAtOnce(l.raw)
	s, err = relp.Open(ctx, l, relp.Options{
		Software: "s1stream", Window: window, WriteTimeout: syslogWriteTimeout, Timeout: relpAnswerTimeout,
	})
	switch {
	case err == nil:
	case l.asked && (errors.Is(err, relp.ErrEnded) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		err = errSyslogRefused
	case errors.Is(err, context.DeadlineExceeded):
		err = fmt.Errorf("no answer to open: %w", err)
	}
	return l, s, err
}

// relpRemedy says what to do about an error of opening a session, and whether nothing but an operator's act can
// mend it.
func relpRemedy(err error) (remedy string, denied bool) {
	var (
		frame  *relp.FrameError
		open   *relp.OpenError
		header tls.RecordHeaderError
		dns    *net.DNSError
	)
	switch {
	case errors.Is(err, relp.ErrTLS):
		return "set tls.enabled = true, or give the receiver's port for RELP without TLS", true
	case errors.As(err, &header):
		return "give the receiver's port for RELP over TLS, or leave out the tls keys", true
	case errors.As(err, &frame):
		return "give the receiver's port for RELP: what listens there is something else", true
	case errors.As(err, &open):
		return "let the receiver take syslog over RELP from this machine; its log may say more", true
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check address, and that the receiver runs", false
	case errors.Is(err, relp.ErrEnded), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF): // the last one by TLS
		return "let the receiver accept this machine's address, and check that tls.enabled is as its port wants it", false
	case errors.As(err, &dns):
		return syslogRemedy(err)
	case errors.Is(err, context.DeadlineExceeded):
		return "check address, firewalls on the way, and that the port is one for RELP: a plain syslog port never answers", false
	}
	return syslogRemedy(err)
}

// relpProbe opens a session with every address and closes it. It sends no event.
func relpProbe(ctx context.Context, c *RELPConfig, maxBytes int) Probe {
	p := Probe{Grade: Acknowledged, Connections: 1}
	var conf *tls.Config
	if c.TLS.On() {
		var err error
		if conf, err = c.TLS.Client(); err != nil {
			p.Problems = append(p.Problems, Problem{What: err.Error(), Remedy: "give PEM files that this user can read"})
			return p
		}
	}
	for _, addr := range c.Address {
		l, s, err := relpDial(ctx, addr, conf, c.Window)
		if err != nil {
			remedy, _ := relpRemedy(err)
			p.Problems = append(p.Problems, Problem{What: addr + ": " + safe.Text(err.Error()), Remedy: remedy})
			continue
		}
		security := l.tls()
		if security == "" {
			security = "without TLS"
		}
		version, software := s.Peer()
		end, cancel := context.WithTimeout(ctx, relpCloseTimeout)
		s.Close(end)
		cancel()
		p.Found = append(p.Found, fmt.Sprintf("%s: RELP version %s, %s, %s", addr, version, software, security))
	}
	p.Found = append(p.Found, relpLimit(maxBytes))
	return p
}

// relpLimit says what nobody can ask a receiver for. rsyslog cuts what is longer than its limit and answers 200.
func relpLimit(maxBytes int) string {
	if maxBytes <= relpMaxMessage {
		return fmt.Sprintf(`lines of up to %d bytes are sent, as rsyslog takes by default; for larger threats raise `+
			`global(maxMessageSize="64k") there first, then max_message_bytes here`, maxBytes)
	}
	return fmt.Sprintf(`lines of up to %d bytes are sent: make sure that rsyslog has global(maxMessageSize="%d") or more, and no `+
		`smaller maxDataSize on its imrelp input; it cuts longer lines and acknowledges them all the same`, maxBytes, maxBytes)
}
