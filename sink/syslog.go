package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// syslogCloseTimeout bounds Close, with a second connection in it if the first one breaks.
const syslogCloseTimeout = 12 * time.Second

// Syslog is a syslog collector. No collector answers, so its grade is best-effort: nil from Write means that
// this machine's kernel took the bytes. Against what gets lost behind that, the frames of the last seconds before
// a break are kept and sent again on the next connection, in order and before anything newer; see syslogTail.
type Syslog struct {
	cfg      SyslogConfig
	d        Deps
	header   syslogHeader
	tls      *tls.Config // nil without TLS
	maxBytes int
	udp      *syslogUDP // nil unless transport is udp

	// turn is held by whoever uses what follows: Write and Close, or the mender between them.
	turn chan struct{}
	conn *syslogConn // nil while there is none
	tail syslogTail

	lost   chan struct{} // told by a connection that has ended
	stop   context.CancelFunc
	mended chan struct{} // closed when the mender has returned; nil after Close
}

var _ Sink = (*Syslog)(nil)

// NewSyslog builds the sink without reaching the collector. A TLS file that can't be read is an error.
func NewSyslog(cfg SyslogConfig, d Deps) (*Syslog, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	header, err := cfg.begin(d.Judge)
	if err != nil {
		return nil, err
	}
	s := &Syslog{
		cfg: cfg, d: d, maxBytes: cfg.MaxBytes(d.MaxMessageBytes), header: header,
		turn: make(chan struct{}, 1),
		lost: make(chan struct{}, 1),
	}
	if cfg.Transport == "udp" {
		s.udp = &syslogUDP{addrs: cfg.Address, limit: s.maxBytes}
		return s, nil
	}
	if cfg.Transport == "tls" {
		if s.tls, err = cfg.TLS.Client(); err != nil {
			return nil, err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	s.stop, s.mended = stop, make(chan struct{})
	go s.mend(ctx)
	return s, nil
}

// Grade implements Sink.
func (s *Syslog) Grade() Grade { return BestEffort }

// Write implements Sink. After a break it first sends what is owed; a frame begun on one connection is never
// continued on another.
func (s *Syslog) Write(ctx context.Context, records []Record) error {
	if s.udp != nil {
		return s.udp.write(ctx, records, s.d)
	}
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	frames, refused := syslogFrame(records, s.cfg.Framing == "lf", s.maxBytes)
	if len(frames) > 0 {
		if err := s.ready(ctx); err != nil {
			return err
		}
		if err := s.send(ctx, frames); err != nil {
			return err // of these records the line has to see to; they are not owed
		}
		s.tail.add(time.Now(), frames)
	}
	if len(refused) > 0 {
		return &BatchError{Failed: refused}
	}
	return nil
}

// ready returns with a connection that stands and has been sent all that was owed.
func (s *Syslog) ready(ctx context.Context) error {
	s.notice()
	if s.conn == nil {
		c, err := s.connect(ctx)
		if err != nil {
			return err
		}
		s.conn = c
	}
	if !s.tail.owed {
		return nil
	}
	n := s.tail.records()
	if err := s.send(ctx, s.tail.frames); err != nil {
		return err
	}
	s.tail.paid(time.Now())
	s.d.Resent(n)
	s.d.Log.Info("sent again what was written shortly before the connection broke", "records", n)
	return nil
}

// connect tries the addresses in order. Only if every one of them needs an operator does the error say so.
func (s *Syslog) connect(ctx context.Context) (*syslogConn, error) {
	var errs []error
	denied := 0
	for _, addr := range s.cfg.Address {
		c, err := syslogDial(ctx, addr, s.tls, s.lost)
		if err == nil {
			s.d.Connected()
			s.d.Log.Info("connected", "address", addr)
			return c, nil
		}
		remedy, deny := syslogRemedy(err)
		if deny {
			denied++
		}
		errs = append(errs, fmt.Errorf("connect to %s: %w: %s", addr, err, remedy))
		if ctx.Err() != nil {
			break
		}
	}
	err := errors.Join(errs...)
	if denied == len(errs) {
		return nil, &DeniedError{Err: err}
	}
	return nil, err
}

// send writes frames to the connection. On an error nothing is known of any of them and the connection is gone.
func (s *Syslog) send(ctx context.Context, frames []syslogFrames) error {
	c := s.conn
	stop := context.AfterFunc(ctx, func() { _ = c.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	var err error
	for _, f := range frames {
		// In this order: if ctx ends before the deadline is set, Err says so, and if after, it stands.
		_ = c.SetWriteDeadline(time.Now().Add(syslogWriteTimeout)) // an error shows at the write
		if err = ctx.Err(); err != nil {
			break
		}
		if _, err = c.Write(f.bytes); err != nil {
			if ctx.Err() == nil {
				err = c.cause(err)
			}
			break
		}
	}
	if err == nil {
		if err = c.failed(); err == nil {
			return nil
		}
	}
	s.lose(err)
	return fmt.Errorf("write to %s: %w", c.addr, err)
}

// notice drops a connection that the peer has ended.
func (s *Syslog) notice() {
	if s.conn == nil {
		return
	}
	if err := s.conn.failed(); err != nil {
		s.lose(err)
	}
}

// lose drops the connection; what was written shortly before is owed to the next one.
func (s *Syslog) lose(err error) {
	c, broke := s.conn, time.Now()
	if c.failed() != nil {
		broke = c.at
	}
	c.close()
	s.conn = nil
	s.tail.owe(broke)
	owed := 0
	if s.tail.owed {
		owed = s.tail.records()
	}
	s.d.Log.Warn("connection lost", "address", c.addr, "err", err, "to_send_again", owed)
}

// mend sends what is owed without waiting for the next event, which may be hours away: records that Write has
// taken are its concern, and no line's.
func (s *Syslog) mend(ctx context.Context) {
	defer close(s.mended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.lost:
		}
		wait := backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0), backoff.WithMaxInterval(30*time.Second))
		// It ends without an error, or because Close was called, which tries once more itself.
		_ = backoff.Retry(func() error { return s.repair(ctx) }, backoff.WithContext(wait, ctx))
	}
}

func (s *Syslog) repair(ctx context.Context) error {
	if err := s.take(ctx); err != nil {
		return err
	}
	defer s.give()
	s.notice()
	if !s.tail.owed {
		return nil
	}
	return s.ready(ctx)
}

// Close implements Sink. It ends the connection in order, and sends once more what a break left in doubt.
func (s *Syslog) Close() error {
	if s.udp != nil {
		return s.udp.close()
	}
	if s.mended == nil {
		return nil
	}
	s.stop()
	<-s.mended
	s.mended = nil
	s.tail.expire(time.Now())
	ctx, cancel := context.WithTimeout(context.Background(), syslogCloseTimeout)
	defer cancel()
	var err error
	for range 2 {
		s.notice()
		if s.conn == nil && !s.tail.owed {
			return nil
		}
		if err = s.ready(ctx); err != nil {
			break
		}
		if err = s.conn.end(syslogEndTimeout); err == nil || errors.Is(err, errSyslogSilent) {
			s.conn.close()
			s.conn = nil
			break
		}
		s.lose(err)
	}
	if s.conn != nil {
		s.conn.close()
	}
	if err != nil && len(s.tail.frames) > 0 {
		return fmt.Errorf("close: the last %d records written may not have arrived: %w", s.tail.records(), err)
	}
	return nil
}

func (s *Syslog) take(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Syslog) give() { <-s.turn }
