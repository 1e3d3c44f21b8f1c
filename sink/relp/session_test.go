package relp

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// receiver is the other end of a session, played by the test. It reads frames with code of its own.
type receiver struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func newReceiver(t *testing.T) (*receiver, net.Conn) {
	ours, theirs := net.Pipe()
	t.Cleanup(func() { _ = ours.Close(); _ = theirs.Close() })
	return &receiver{t: t, Conn: theirs, r: bufio.NewReader(theirs)}, ours
}

type command struct {
	Txnr int
	Name string
	Data string
}

// read returns the next command. It does not fail the test, so that it may run beside it: the zero command says
// that there is none.
func (p *receiver) read() command {
	var c command
	var size int
	if _, err := fmt.Fscanf(p.r, "%d %s %d", &c.Txnr, &c.Name, &size); err != nil {
		return command{}
	}
	rest := make([]byte, size+2) // a space before, a line feed behind
	if size == 0 {
		rest = rest[:1]
	}
	if _, err := io.ReadFull(p.r, rest); err != nil || rest[len(rest)-1] != '\n' || size > 0 && rest[0] != ' ' {
		p.t.Errorf("frame %+v ends in %q, %v", c, rest, err)
		return command{}
	}
	if size > 0 {
		c.Data = string(rest[1 : size+1])
	}
	return c
}

func (p *receiver) say(frames string) {
	_, _ = io.WriteString(p.Conn, frames) // where it does not arrive the test sees that elsewhere
}

func (p *receiver) answer(txnr int, data string) {
	p.say(rsp(txnr, data))
}

func rsp(txnr int, data string) string {
	if data == "" {
		return fmt.Sprintf("%d rsp 0\n", txnr)
	}
	return fmt.Sprintf("%d rsp %d %s\n", txnr, len(data), data)
}

const welcome = "200 OK\nrelp_version=0\nrelp_software=librelp,1.11.0,http://librelp.adiscon.com\ncommands=syslog"

func options(window int) Options {
	return Options{Software: "test", Window: window, WriteTimeout: time.Minute, Timeout: 90 * time.Second}
}

// begin opens a session and hands the receiver to play, which runs beside the test and is waited for.
func begin(t *testing.T, window int, play func(p *receiver)) *Session {
	t.Helper()
	p, conn := newReceiver(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if c := p.read(); c.Txnr != 1 || c.Name != "open" || !strings.Contains("\n"+c.Data+"\n", "\ncommands=syslog\n") {
			t.Errorf("a session begins with %+v", c)
		}
		p.answer(1, welcome)
		play(p)
	}()
	s, err := Open(t.Context(), conn, options(window))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Close(ctx)
		_ = p.Close()
		<-done
	})
	return s
}

func records(n int) (out [][]byte) {
	for i := range n {
		out = append(out, fmt.Appendf(nil, "record %d\nof two lines", i))
	}
	return out
}

func TestSession_CountsAnswersByTransactionInWhateverOrderTheyCome(t *testing.T) {
	var got []command
	s := begin(t, 10, func(p *receiver) {
		for range 4 {
			got = append(got, p.read())
		}
		p.answer(5, "200 OK")
		p.answer(3, "500 no room\nfor it")
		p.say("0 hint 3 abc\n")
		p.answer(2, "200")
		p.say("000000004 rsp 6 200 OK\n")
	})
	answers, err := s.Send(t.Context(), records(4))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]Answer{{Code: 200}, {Code: 500, Text: "no room"}, {Code: 200}, {Code: 200}}, answers); diff != "" {
		t.Error(diff)
	}
	var want []command
	for i, r := range records(4) {
		want = append(want, command{Txnr: i + 2, Name: "syslog", Data: string(r)})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if version, software := s.Peer(); version != "0" || software != "librelp,1.11.0,http://librelp.adiscon.com" {
		t.Errorf("the receiver is %q, %q", version, software)
	}
}

func TestSession_NeverHasMoreUnansweredThanItsWindow(t *testing.T) {
	for _, window := range []int{1, 2, 3, 128} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 1000
				most := 0
				s := begin(t, window, func(p *receiver) {
					commands := make(chan command, n+1)
					go func() {
						defer close(commands)
						for c := p.read(); c.Txnr != 0; c = p.read() {
							commands <- c
						}
					}()
					for answered := 0; answered < n; {
						synctest.Wait() // all that it will send has come
						most = max(most, len(commands))
						for range len(commands) {
							p.answer((<-commands).Txnr, "200 OK")
							answered++
						}
					}
					for range commands { // until the session has ended
					}
				})
				answers, err := s.Send(t.Context(), records(n))
				if err != nil || slices.ContainsFunc(answers, func(a Answer) bool { return !a.OK() }) {
					t.Errorf("%v, %v", err, answers)
				}
				if most != window {
					t.Errorf("%d without an answer at most, want %d", most, window)
				}
			})
		})
	}
}

func TestSession_WrapsItsTransactionNumbersToOne(t *testing.T) {
	var got []int
	s := begin(t, 128, func(p *receiver) {
		for range 6 {
			c := p.read()
			got = append(got, c.Txnr)
			p.answer(c.Txnr, "200 OK")
		}
	})
	s.next = 999_999_998
	for range 2 {
		if _, err := s.Send(t.Context(), records(3)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []int{999_999_998, 999_999_999, 1, 2, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("transactions %v, want %v", got, want)
	}
}

func TestSession_KeepsTheAnswersThatCameBeforeItsEnd(t *testing.T) {
	frameError := func(err error) bool { var f *FrameError; return errors.As(err, &f) }
	is := func(want error) func(error) bool { return func(err error) bool { return errors.Is(err, want) } }
	for _, c := range []struct {
		name string
		end  func(p *receiver)
		want func(error) bool
	}{
		{"serverclose", func(p *receiver) { p.say("0 serverclose 0\n") }, is(ErrEnded)},
		{"the connection ends", func(p *receiver) { _ = p.Close() }, is(ErrEnded)},
		{"the connection ends within an answer", func(p *receiver) { p.say("4 rsp 6 200"); _ = p.Close() }, is(ErrEnded)},
		{"an answer to nothing that was sent", func(p *receiver) { p.answer(6, "200 OK"); p.answer(4, "200 OK") }, frameError},
		{"a second answer", func(p *receiver) { p.answer(2, "200 OK"); p.answer(4, "200 OK") }, frameError},
		{"an answer without a code", func(p *receiver) { p.answer(4, "OK") }, frameError},
		{"an empty answer", func(p *receiver) { p.answer(4, "") }, frameError},
		{"a code of four digits", func(p *receiver) { p.answer(4, "2000") }, frameError},
		{"a command", func(p *receiver) { p.say("4 syslog 6 200 OK\n") }, frameError},
		{"a wrong length", func(p *receiver) { p.say("4 rsp 5 200 OK\n") }, frameError},
		{"an endless number", func(p *receiver) { p.say("0000000004 rsp 6 200 OK\n") }, frameError},
		{"silence", func(*receiver) {}, is(ErrNoAnswer)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := begin(t, 128, func(p *receiver) {
					for range 4 {
						p.read()
					}
					p.answer(2, "200 OK")
					p.answer(3, "500 no")
					c.end(p)
				})
				answers, err := s.Send(t.Context(), records(4))
				if err == nil || !c.want(err) {
					t.Errorf("Send: %v", err)
				}
				if diff := cmp.Diff([]Answer{{Code: 200}, {Code: 500, Text: "no"}, {}, {}}, answers); diff != "" {
					t.Error(diff)
				}
				if s.Failed() == nil {
					t.Error("the session is called alive")
				}
				if answers, err := s.Send(t.Context(), records(1)); err == nil || answers[0].Code != 0 {
					t.Errorf("a session that has ended sends: %v, %v", answers, err)
				}
			})
		})
	}
}

func TestSession_WaitsForAReceiverThatIsSlowButAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, 128, func(p *receiver) {
			for range 4 {
				p.read()
			}
			for txnr := 2; txnr < 6; txnr++ {
				time.Sleep(time.Minute)
				p.answer(txnr, "200 OK")
			}
		})
		if answers, err := s.Send(t.Context(), records(4)); err != nil || !answers[3].OK() {
			t.Errorf("%v, %v", answers, err)
		}
	})
}

func TestSession_TakesTheLastAnswerAlsoIfTheEndFollowsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &Session{opt: options(1), pending: map[int]*reply{2: {}}, answered: make(chan struct{}, 1), done: make(chan struct{})}
		got := make(chan error)
		go func() { got <- s.wait(t.Context(), 0) }()
		synctest.Wait()
		delete(s.pending, 2) // as the reader does, whose signal of the answer comes second to that of its end
		s.err = ErrEnded
		close(s.done)
		if err := <-got; err != nil {
			t.Errorf("every answer has come, and the error is %v", err)
		}
	})
	s := begin(t, 128, func(p *receiver) {
		p.read()
		p.say("2 rsp 6 200 OK\n0 serverclose 0\n")
	})
	if answers, err := s.Send(t.Context(), records(1)); err != nil || !answers[0].OK() {
		t.Fatalf("%v, %v", answers, err)
	}
}

func TestSession_NoticesBetweenTwoSendsThatTheReceiverHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, 128, func(p *receiver) {
			p.say(strings.Repeat("0 hint 0\n", 10_000)) // nobody waits for an answer, and it is read all the same
			p.say("0 serverclose 0\n")
		})
		synctest.Wait()
		if err := s.Failed(); !errors.Is(err, ErrEnded) {
			t.Errorf("Failed() = %v", err)
		}
	})
}

func TestSession_ReturnsWhenItsContextEnds(t *testing.T) {
	for name, play := range map[string]func(p *receiver){
		"the receiver reads nothing":     func(*receiver) {},
		"the receiver answers nothing":   func(p *receiver) { _, _ = io.Copy(io.Discard, p.Conn) },
		"the receiver reads very slowly": func(p *receiver) { _, _ = io.CopyN(io.Discard, p.Conn, 70_000) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := begin(t, 128, play)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				began := time.Now()
				answers, err := s.Send(ctx, [][]byte{bytes.Repeat([]byte("x"), 100_000), []byte("y")})
				if took := time.Since(began); !errors.Is(err, context.DeadlineExceeded) || took != 3*time.Second || answers[0].Code != 0 {
					t.Errorf("%v, %v after %v", answers, err, took)
				}
			})
		})
	}
}

func TestSession_EndsWhenTheReceiverStopsReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, 128, func(*receiver) {})
		began := time.Now()
		if _, err := s.Send(t.Context(), records(1)); !errors.Is(err, ErrNoAnswer) || time.Since(began) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(began))
		}
	})
}
