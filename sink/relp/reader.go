package relp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

	"s1stream/internal/safe"
)

// end drops the connection, waits for the reader, and returns why the session ended: err unless that was known
// before.
func (s *Session) end(err error) error {
	s.mu.Lock()
	if s.err == nil {
		s.err = err
	}
	err = s.err
	s.mu.Unlock()
	_ = s.conn.Close()
	<-s.done
	return err
}

// read takes answers until the session ends. It never waits for the writing side: a receiver whose answers nobody
// reads stops reading itself.
func (s *Session) read() {
	defer close(s.done)
	d := decoder{r: bufio.NewReader(s.conn)}
	for {
		f, err := d.next()
		if err == nil {
			err = s.take(f)
		}
		if err == nil {
			continue
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = ErrEnded
		}
		s.mu.Lock()
		if s.err == nil {
			s.err = err
		}
		s.mu.Unlock()
		_ = s.conn.Close()
		return
	}
}

// take files one answer. An answer to nothing that is due means that the receiver is out of step with us: then
// no later answer of it can be trusted.
func (s *Session) take(f frame) error {
	if f.txnr == 0 {
		if f.command == "serverclose" {
			return ErrEnded
		}
		return nil // a hint that we don't know
	}
	if f.command != "rsp" {
		return &FrameError{What: "a command where an answer is due"}
	}
	code, text, rest, ok := parseAnswer(f.data)
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.pending[f.txnr]
	if r == nil {
		return &FrameError{What: "an answer to transaction " + strconv.Itoa(f.txnr) + ", which has none due"}
	}
	if !ok && !r.empty {
		return &FrameError{What: fmt.Sprintf("an answer without a code: %q", safe.Snippet(f.data, 40))}
	}
	r.to.Code = code
	if code != 200 {
		r.to.Text = safe.Snippet(text, 200)
	}
	if r.offer != nil {
		*r.offer = string(rest)
	}
	delete(s.pending, f.txnr)
	select {
	case s.answered <- struct{}{}:
	default:
	}
	return nil
}
