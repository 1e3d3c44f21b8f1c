package sink

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"time"

	"s1stream/sink/relp"
)

const (
	// relpOpenTimeout bounds connecting to one address, the handshake of TLS and the answer to "open" included.
	relpOpenTimeout = 10 * time.Second
	// relpAnswerTimeout is how long a receiver may be silent while an answer is due, as in librelp. A receiver whose
	// queue is full answers nothing; sending again sooner would only make it store more copies.
	relpAnswerTimeout = 90 * time.Second
	// relpCloseTimeout bounds Close.
	relpCloseTimeout = 2 * time.Second
)

// RELP is a receiver of syslog lines that answers each of them, such as rsyslog's imrelp. Its grade is
// acknowledged: nil from Write means that the receiver said 200 to every record, which is to say that they are in
// its queue. What a session that ends has not answered is unknown, and the line's to send again.
type RELP struct {
	cfg      RELPConfig
	d        Deps
	header   syslogHeader
	tls      *tls.Config // nil without TLS
	maxBytes int

	session *relp.Session // nil while there is none
	addr    string        // of the session
}

var (
	_ Sink    = (*RELP)(nil)
	_ Wrapper = (*RELP)(nil)
)

// NewRELP builds the sink without reaching the receiver. A TLS file that can't be read is an error.
func NewRELP(cfg RELPConfig, d Deps) (*RELP, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	header, err := cfg.begin(d.Judge)
	if err != nil {
		return nil, err
	}
	r := &RELP{cfg: cfg, d: d, header: header, maxBytes: cfg.MaxBytes(d.MaxMessageBytes)}
	if cfg.TLS.On() {
		if r.tls, err = cfg.TLS.Client(); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Grade implements Sink.
func (r *RELP) Grade() Grade { return Acknowledged }

// Wrap implements Wrapper. A record is the same line as in a syslog sink: see Syslog.Wrap.
func (r *RELP) Wrap(encode Encode) Encode { return r.header.wrap(encode) }

// Write implements Sink. All records are on their way at once, as far as the window allows. One that the receiver
// answers otherwise than with 200 is refused; one without an answer failed, unless none has any: then nothing
// is known, and the error is not of any record.
func (r *RELP) Write(ctx context.Context, records []Record) error {
	var failed []RecordError
	var lines [][]byte
	var index []int // of lines into records
	for i, rec := range records {
		if len(rec.Body) > r.maxBytes {
			failed = append(failed, RecordError{Index: i, Err: syslogTooLarge(len(rec.Body), r.maxBytes)})
			continue
		}
		lines, index = append(lines, rec.Body), append(index, i)
	}
	if len(lines) > 0 {
		answered, err := r.send(ctx, lines, index)
		if err != nil {
			return err
		}
		failed = append(failed, answered...)
		slices.SortFunc(failed, func(a, b RecordError) int { return a.Index - b.Index })
	}
	if len(failed) > 0 {
		return &BatchError{Failed: failed}
	}
	return nil
}

// send returns the lines that were not taken. An error means that no line has an answer.
func (r *RELP) send(ctx context.Context, lines [][]byte, index []int) (failed []RecordError, err error) {
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	answers, err := r.session.Send(ctx, lines)
	if err != nil {
		r.lose(err)
		err = fmt.Errorf("send to %s: %w", r.addr, err)
	}
	known := 0
	for i, a := range answers {
		if a.Code != 0 {
			known++
		}
		switch {
		case a.OK():
		case a.Code != 0:
			failed = append(failed, RecordError{Index: index[i], Err: &RefusedError{Err: fmt.Errorf("%s answers %v", r.addr, a)}})
		default: // only where err says why
			failed = append(failed, RecordError{Index: index[i], Err: fmt.Errorf("not acknowledged: %w", err)})
		}
	}
	if known == 0 {
		return nil, err
	}
	return failed, nil
}

// ready returns with a session that stands, as far as we have heard.
func (r *RELP) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.session != nil {
		err := r.session.Failed()
		if err == nil {
			return nil
		}
		r.lose(err)
	}
	var errs []error
	denied := 0
	for _, addr := range r.cfg.Address {
		l, s, err := relpDial(ctx, addr, r.tls, r.cfg.Window)
		if err == nil {
			r.session, r.addr = s, addr
			r.d.Connected()
			_, software := s.Peer()
			r.d.Log.Info("connected", "address", addr, "tls", l.tls() != "", "receiver", software)
			return nil
		}
		remedy, deny := relpRemedy(err)
		if deny {
			denied++
		}
		errs = append(errs, fmt.Errorf("connect to %s: %w: %s", addr, err, remedy))
		if ctx.Err() != nil {
			break
		}
	}
	err := errors.Join(errs...)
	if denied == len(r.cfg.Address) {
		return &DeniedError{Err: err}
	}
	return err
}

// lose drops the session.
func (r *RELP) lose(err error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	r.session.Close(ctx) // it has ended: nothing is sent
	r.session = nil
	r.d.Log.Warn("session lost", "address", r.addr, "err", err)
}

// Close implements Sink.
func (r *RELP) Close() error {
	if r.session == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), relpCloseTimeout)
	defer cancel()
	r.session.Close(ctx)
	r.session = nil
	return nil // every Write has had its answers: nothing can be lost here
}
