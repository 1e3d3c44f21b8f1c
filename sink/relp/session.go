// Package relp is a client of RELP, the Reliable Event Logging Protocol, as librelp's relp.md describes it: every
// record is a numbered transaction that the receiver answers.
//
// A Session never sends a record twice. What it has no answer for when it ends is unknown, and the caller's to send
// again on another Session. An answer counts for the transaction that it names, in whatever order answers come.
package relp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"s1stream/internal/safe"
)

// Why a session ended, or did not begin. See also FrameError and OpenError.
var (
	ErrEnded    = errors.New("the receiver ended the session")
	ErrNoAnswer = errors.New("the receiver does not answer")
	ErrTLS      = errors.New("the receiver answers in TLS")
)

// OpenError says that the receiver does not want a session, or not one that could carry syslog.
type OpenError struct{ What string }

func (e *OpenError) Error() string { return "the receiver refuses the session: " + e.What }

const (
	chunk      = 64 << 10               // bytes of frames that are written at once
	causeWait  = 100 * time.Millisecond // how long a failed write waits for the reading side to say why
	closePause = 250 * time.Millisecond // how long the receiver may take to hang up after it answered "close"
)

// Options of a session. All are required.
type Options struct {
	Software     string        // how we introduce ourselves: a name
	Window       int           // records without an answer at most
	WriteTimeout time.Duration // for one piece of frames
	Timeout      time.Duration // longest time without any answer while one is due
}

// Answer is what the receiver says of one record. The zero Answer means that none came.
type Answer struct {
	Code int    // 200, or the reason why it was not taken, as a rule 500
	Text string // what it says beside; of 200 nothing
}

// OK reports whether the receiver has taken the record.
func (a Answer) OK() bool { return a.Code == 200 }

// Session is one RELP session on one connection. Its methods are not for concurrent use, Failed excepted.
type Session struct {
	conn    net.Conn
	opt     Options
	version string
	peer    string
	next    int    // transaction number of the next command
	out     []byte // frames that wait to be written

	mu      sync.Mutex
	pending map[int]*reply
	err     error // why it ended; set once

	answered chan struct{} // told, if there is room, at every answer
	done     chan struct{} // closed when the reader has returned
}

// reply is where the answer to one command goes.
type reply struct {
	to    *Answer
	offer *string // for open: what follows the first line
	empty bool    // close: an answer without a code is fine
}

// Open begins a session on a new connection, which the session owns from then on, also if Open fails. It returns
// soon after ctx ends.
func Open(ctx context.Context, conn net.Conn, opt Options) (*Session, error) {
	s := &Session{
		conn: conn, opt: opt, next: 1, pending: map[int]*reply{},
		answered: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go s.read()
	var answer Answer
	var offers string
	// librelp speaks version 0, though relp.md says 1. Nothing that is used here differs.
	s.command("open", []byte("relp_version=0\nrelp_software="+opt.Software+"\ncommands=syslog"), reply{to: &answer, offer: &offers})
	err := s.heeding(ctx, func() error { return s.settle(ctx) })
	if err == nil {
		err = s.accept(answer, offers)
	}
	if err != nil {
		return nil, s.end(err)
	}
	return s, nil
}

// accept reads the answer to open: lines of name=value, the values of a list separated by commas.
func (s *Session) accept(answer Answer, offers string) error {
	if !answer.OK() {
		return &OpenError{What: answerText(answer)}
	}
	syslog := false
	for line := range strings.Lines(offers) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "relp_version":
			s.version = safe.Text(value)
		case "relp_software":
			s.peer = safe.Text(value)
		case "commands":
			for c := range strings.SplitSeq(value, ",") {
				syslog = syslog || c == "syslog"
			}
		}
	}
	if s.version != "" && s.version != "0" && s.version != "1" {
		return &OpenError{What: fmt.Sprintf("it speaks version %q of RELP, we speak 0 and 1", s.version)}
	}
	if !syslog {
		return &OpenError{What: "it takes no syslog"}
	}
	return nil
}

// Peer is the version of RELP and the software of the receiver, as it says.
func (s *Session) Peer() (version, software string) { return s.version, s.peer }

// Send sends records as "syslog" commands, with no more than the window on their way, and waits for the answers.
// The answer to record i is at i. An error means that the session has ended: what then has no answer is unknown,
// and every answer there is counts. Records are not kept.
func (s *Session) Send(ctx context.Context, records [][]byte) ([]Answer, error) {
	answers := make([]Answer, len(records))
	err := s.heeding(ctx, func() error {
		for i, r := range records {
			if len(r) == 0 || len(r) > MaxData {
				return fmt.Errorf("a frame can't hold a record of %d bytes", len(r))
			}
			// With a full window, half of it is waited for: frames leave in larger pieces.
			if s.due() >= s.opt.Window {
				if err := s.flush(ctx); err != nil {
					return err
				}
				if err := s.wait(ctx, s.opt.Window/2); err != nil {
					return err
				}
			}
			s.command("syslog", r, reply{to: &answers[i]})
			if len(s.out) >= chunk {
				if err := s.flush(ctx); err != nil {
					return err
				}
			}
		}
		return s.settle(ctx)
	})
	if err != nil {
		err = s.end(err)
	}
	return answers, err
}

// Close ends the session in order and drops the connection. It returns soon after ctx ends. Every answer that
// counts has come before, so nothing depends on how it goes.
func (s *Session) Close(ctx context.Context) {
	if s.Failed() == nil {
		var answer Answer
		s.command("close", nil, reply{to: &answer, empty: true})
		if err := s.heeding(ctx, func() error { return s.settle(ctx) }); err == nil {
			timer := time.NewTimer(closePause)
			defer timer.Stop()
			select {
			case <-s.done:
			case <-timer.C:
			case <-ctx.Done():
			}
		}
	}
	_ = s.end(ErrEnded)
}

// Failed returns why the session has ended, nil while it stands.
func (s *Session) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// heeding runs f, and ends a write that is under way when ctx ends.
func (s *Session) heeding(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	return f()
}

// command appends one frame to what is to be written, and expects its answer.
func (s *Session) command(name string, data []byte, r reply) {
	s.mu.Lock()
	s.pending[s.next] = &r
	s.mu.Unlock()
	s.out = appendFrame(s.out, s.next, name, data)
	if s.next++; s.next > maxTxnr {
		s.next = 1 // relp.md: never 0, which is for hints
	}
}

// settle writes what waits and returns when every answer has come.
func (s *Session) settle(ctx context.Context) error {
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.wait(ctx, 0)
}

func (s *Session) flush(ctx context.Context) error {
	if len(s.out) == 0 {
		return nil
	}
	// In this order: if ctx ends before the deadline is set, Err says so, and if after, it stands.
	_ = s.conn.SetWriteDeadline(time.Now().Add(s.opt.WriteTimeout)) // an error shows at the write
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := s.conn.Write(s.out)
	if s.out = s.out[:0]; cap(s.out) > 16*chunk {
		s.out = nil
	}
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w: it reads nothing", ErrNoAnswer)
	}
	// What the receiver sent before it hung up says more than "broken pipe", and may be answers.
	timer := time.NewTimer(causeWait)
	defer timer.Stop()
	select {
	case <-s.done:
		return s.Failed()
	case <-timer.C:
		return err
	}
}

// due is how many answers are still to come.
func (s *Session) due() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.pending)
}

// wait returns when no more than limit answers are due.
func (s *Session) wait(ctx context.Context, limit int) error {
	timer := time.NewTimer(s.opt.Timeout)
	defer timer.Stop()
	for s.due() > limit {
		select {
		case <-s.answered:
			timer.Reset(s.opt.Timeout)
		case <-s.done:
			if s.due() <= limit {
				return nil // the last answer came, and then the end
			}
			return s.Failed()
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
			return fmt.Errorf("%w within %v", ErrNoAnswer, s.opt.Timeout)
		}
	}
	return nil
}

func answerText(a Answer) string { return strings.TrimSpace(strconv.Itoa(a.Code) + " " + a.Text) }

// String is the code with the text, as in "500 disk full".
func (a Answer) String() string { return answerText(a) }
