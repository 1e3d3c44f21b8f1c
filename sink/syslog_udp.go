package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"
)

const (
	// syslogUDPAge is how long a socket is used before the name is resolved again: a datagram sent to an
	// address that a collector has left is never missed.
	syslogUDPAge = time.Minute
	// syslogUDPGrace is how long a batch waits for the network to say that nothing listens (ICMP port
	// unreachable). That is all a sender of datagrams can ever learn.
	syslogUDPGrace = 20 * time.Millisecond
)

// syslogUDP sends one record a datagram (RFC 5426). It is at most once: nothing proves an arrival.
type syslogUDP struct {
	addrs  []string
	limit  int
	next   int // address to use
	conn   net.Conn
	opened time.Time
}

func (u *syslogUDP) write(ctx context.Context, records []Record, d Deps) error {
	if err := u.open(ctx, d); err != nil {
		return err
	}
	var refused []RecordError
	for i, r := range records {
		if len(r.Body) > u.limit {
			refused = append(refused, RecordError{Index: i, Err: syslogTooLarge(len(r.Body), u.limit)})
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.conn.SetWriteDeadline(time.Now().Add(syslogWriteTimeout)); err != nil {
			return u.lose(err)
		}
		_, err := u.conn.Write(r.Body)
		switch {
		case errors.Is(err, syscall.EMSGSIZE):
			refused = append(refused, RecordError{Index: i, Err: &RefusedError{Err: fmt.Errorf(
				"a datagram of %d bytes is larger than this machine or its network sends: lower max_message_bytes: %w", len(r.Body), err)}})
		case err != nil:
			return u.lose(err)
		}
	}
	if err := u.unreachable(); err != nil {
		return u.lose(err)
	}
	if len(refused) > 0 {
		return &BatchError{Failed: refused}
	}
	return nil
}

// open returns with a socket that is not too old. An address that can't be resolved again keeps its socket.
func (u *syslogUDP) open(ctx context.Context, d Deps) error {
	if u.conn != nil && time.Since(u.opened) < syslogUDPAge {
		return nil
	}
	var errs []error
	for range u.addrs {
		addr := u.addrs[u.next]
		conn, err := (&net.Dialer{Timeout: syslogDialTimeout}).DialContext(ctx, "udp", addr)
		if err == nil {
			if u.conn != nil {
				_ = u.conn.Close() // a socket of datagrams holds nothing back
			} else {
				d.Connected()
			}
			u.conn, u.opened = conn, time.Now()
			return nil
		}
		remedy, _ := syslogRemedy(err)
		errs = append(errs, fmt.Errorf("open a socket to %s: %w: %s", addr, err, remedy))
		u.next = (u.next + 1) % len(u.addrs)
	}
	if u.conn != nil {
		u.opened = time.Now()
		return nil
	}
	return errors.Join(errs...)
}

// unreachable waits a moment for bad news of what was just sent.
func (u *syslogUDP) unreachable() error {
	if err := u.conn.SetReadDeadline(time.Now().Add(syslogUDPGrace)); err != nil {
		return err
	}
	var buf [16]byte
	if _, err := u.conn.Read(buf[:]); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	return nil
}

// lose drops the socket; the next write takes the next address.
func (u *syslogUDP) lose(err error) error {
	addr := u.addrs[u.next]
	_ = u.close() // the error at hand says more
	u.next = (u.next + 1) % len(u.addrs)
	remedy, _ := syslogRemedy(err)
	return fmt.Errorf("send to %s: %w: %s", addr, err, remedy)
}

func (u *syslogUDP) close() error {
	if u.conn == nil {
		return nil
	}
	err := u.conn.Close()
	u.conn = nil
	return err
}
