package sinktest_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"s1stream/sink"
	"s1stream/sink/sinktest"
)

// The suite is tested with a protocol of its own: a record is a line, and so is its answer: ok, no (refused) or
// who (denied). The sink of it is right unless a bug is asked for, and then the suite must fail.

const bugVariable = "S1STREAM_TEST_SINK_BUG"

func TestSuite_PassesASinkThatIsRight(t *testing.T) {
	bug := os.Getenv(bugVariable) // as a rule none
	sinktest.Run(t, sinktest.Subject{
		Grade: sink.Acknowledged, Soon: time.Second, Patience: 3 * time.Second,
		Start: func(t *testing.T) *sinktest.Rig {
			p := startPeer(t)
			return &sinktest.Rig{
				New: func(*testing.T, sink.Deps) sink.Sink {
					return &lineSink{addr: p.l.Addr().String(), bug: bug, grade: sink.Acknowledged, old: map[string][]byte{}}
				},
				Received: func() []sinktest.Received {
					p.mu.Lock()
					defer p.mu.Unlock()
					return slices.Clone(p.received)
				},
				Net:     p.l,
				Refuse:  func(ids ...string) { p.set(func() { p.refuse = append(p.refuse, ids...) }) },
				Deny:    func(on bool) { p.set(func() { p.deny = on }) },
				Secrets: []string{"CANARY"},
			}
		},
		OneLine: true,
	})
}

func TestSuite_FailsASinkWithABug(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for bug, failing := range map[string]string{ // a case that must fail; there may be others
		"acks before the answer":     "an_answer_that_is_lost_is_no_ack",
		"acks a broken connection":   "a_connection_that_breaks_before_the_peer_has_read_is_no_ack",
		"acks a cancelled write":     "a_cancelled_Write_whose_answer_never_comes_is_no_ack",
		"blames the neighbour":       "exactly_the_refused_records_are_refused",
		"blames the batch":           "exactly_the_refused_records_are_refused",
		"acks what is refused":       "a_batch_that_is_refused_whole_is_refused",
		"calls a denial a refusal":   "a_denial_is_a_denial_until_it_ends",
		"does not heed ctx":          "Write_returns_soon_after_ctx's_deadline_when_the_peer_reads_nothing",
		"does not connect again":     "the_connection_is_made_again_after_the_peer_restarts",
		"keeps a record":             "records_are_neither_changed_nor_kept",
		"changes a body":             "records_are_neither_changed_nor_kept",
		"sends twice":                "every_record_arrives_once,_whole_and_in_order",
		"sends an old version again": "versions_of_a_threat_stay_in_order",
		"re-encodes":                 "a_body_is_handed_on_byte_for_byte",
		"tells a secret":             "a_denial_is_a_denial_until_it_ends",
		"leaks a goroutine":          "the_grade_is_constant",
		"changes its grade":          "the_grade_is_constant",
		"hangs in Close":             "Close_is_bounded_when_the_peer_hangs",
		"fails an empty batch":       "an_empty_batch_is_taken_without_a_peer's_help",
	} {
		t.Run(bug, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			//nolint:gosec // this test's own binary
			cmd := exec.CommandContext(ctx, self, "-test.run", "^TestSuite_PassesASinkThatIsRight$/^"+failing+"$")
			cmd.Env = append(os.Environ(), bugVariable+"="+bug)
			out, err := cmd.CombinedOutput()
			if err == nil || !bytes.Contains(out, []byte("--- FAIL: TestSuite_PassesASinkThatIsRight/"+failing)) {
				t.Errorf("the suite passes: %v\n%s", err, out)
			}
		})
	}
}

type peer struct {
	l        *sinktest.Listener
	mu       sync.Mutex
	received []sinktest.Received
	refuse   []string
	deny     bool
}

func (p *peer) set(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func startPeer(t *testing.T) *peer {
	t.Helper()
	l, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{l: l}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadBytes('\n')
					if err != nil {
						return
					}
					if _, err := io.WriteString(c, p.answer(line[:len(line)-1])); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		l.Set(sinktest.Flow) // ends the connections
		wg.Wait()
	})
	return p
}

func (p *peer) answer(body []byte) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deny {
		return "who\n"
	}
	for _, id := range p.refuse {
		if bytes.Contains(body, []byte(id)) {
			return "no\n"
		}
	}
	p.received = append(p.received, sinktest.Received{Body: body})
	return "ok\n"
}

// lineSink is the sink under test.
type lineSink struct {
	addr, bug string
	grade     sink.Grade
	conn      net.Conn
	r         *bufio.Reader
	gone      bool
	kept      [][]byte
	old       map[string][]byte
}

func (s *lineSink) is(bug string) bool { return s.bug == bug }

func (s *lineSink) Grade() sink.Grade { return s.grade }

func (s *lineSink) Close() error {
	if s.is("hangs in Close") {
		time.Sleep(1200 * time.Millisecond)
	}
	return s.drop()
}

func (s *lineSink) drop() error {
	if s.conn == nil {
		return nil
	}
	c := s.conn
	s.conn, s.gone = nil, true
	return c.Close()
}

func (s *lineSink) Write(ctx context.Context, records []sink.Record) error {
	if len(records) == 0 && !s.is("fails an empty batch") {
		return nil
	}
	var batch sink.BatchError
	for i, r := range records {
		err := s.one(ctx, r)
		var refused *sink.RefusedError
		switch {
		case err == nil:
		case errors.As(err, &refused) && !s.is("blames the batch"):
			if s.is("blames the neighbour") {
				i = (i + 1) % len(records)
			}
			batch.Failed = append(batch.Failed, sink.RecordError{Index: i, Err: err})
		case errors.As(err, &refused):
			batch.Failed = nil
			for i := range records {
				batch.Failed = append(batch.Failed, sink.RecordError{Index: i, Err: err})
			}
			return &batch
		default:
			_ = s.drop()
			if i == 0 {
				return err
			}
			for ; i < len(records); i++ {
				batch.Failed = append(batch.Failed, sink.RecordError{Index: i, Err: err})
			}
			return &batch
		}
	}
	if len(records) == 0 {
		return errors.New("no records")
	}
	if s.is("changes its grade") {
		s.grade = sink.BestEffort
	}
	if s.is("leaks a goroutine") {
		go func() { time.Sleep(time.Minute) }()
	}
	if len(batch.Failed) == 0 {
		return nil
	}
	return &batch
}

// one sends a record and reads its answer.
func (s *lineSink) one(ctx context.Context, r sink.Record) error {
	if err := ctx.Err(); err != nil && !s.is("acks a cancelled write") {
		return err
	}
	if s.conn == nil {
		if s.gone && s.is("does not connect again") {
			return errors.New("the connection is gone")
		}
		var d net.Dialer
		c, err := d.DialContext(ctx, "tcp", s.addr)
		if err != nil {
			return err
		}
		s.conn, s.r = c, bufio.NewReader(c)
	}
	conn := s.conn
	if s.is("does not heed ctx") {
		_ = conn.SetDeadline(time.Now().Add(2500 * time.Millisecond))
	} else {
		stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
		defer stop()
	}
	bodies := [][]byte{r.Body}
	switch {
	case s.is("sends twice"):
		bodies = append(bodies, r.Body)
	case s.is("sends an old version again"):
		if old := s.old[r.Event.ID]; old != nil {
			bodies = append(bodies, old)
		}
		s.old[r.Event.ID] = bytes.Clone(r.Body)
	case s.is("keeps a record"):
		bodies = slices.Concat(s.kept, bodies)
		s.kept = [][]byte{r.Body}
	case s.is("changes a body"):
		r.Body[0] = ' '
	case s.is("re-encodes"):
		bodies[0] = bytes.ToValidUTF8(r.Body, []byte("\ufffd"))
	}
	for _, body := range bodies {
		if err := s.send(ctx, body); err != nil {
			return err
		}
	}
	return nil
}

func (s *lineSink) send(ctx context.Context, body []byte) error {
	line := bytes.Clone(body)
	for i, c := range line {
		if c == '\n' || c == '\r' {
			line[i] = ' '
		}
	}
	if _, err := s.conn.Write(append(line, '\n')); err != nil {
		return s.broken(ctx, err)
	}
	if s.is("acks before the answer") {
		return nil
	}
	answer, err := s.r.ReadString('\n')
	if err != nil {
		return s.broken(ctx, err)
	}
	switch strings.TrimSpace(answer) {
	case "ok":
		return nil
	case "no":
		if s.is("acks what is refused") {
			return nil
		}
		return &sink.RefusedError{Err: errors.New("no")}
	}
	err = errors.New("who are you?")
	if s.is("tells a secret") {
		err = fmt.Errorf("login with CANARY: %w", err)
	}
	if s.is("calls a denial a refusal") {
		return &sink.RefusedError{Err: err}
	}
	return &sink.DeniedError{Err: err}
}

// broken is a connection that failed.
func (s *lineSink) broken(ctx context.Context, err error) error {
	if s.is("acks a broken connection") || s.is("acks a cancelled write") && ctx.Err() != nil {
		_ = s.drop()
		s.gone = false
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}
