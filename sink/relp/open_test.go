package relp

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpen_SaysWhyThereIsNoSession(t *testing.T) {
	for _, c := range []struct{ name, says, want string }{
		{"refused", rsp(1, "500 \x1b[1mbusy"), `refuses the session: 500 ?[1mbusy`},
		{"no syslog", rsp(1, "200 OK\nrelp_version=0\ncommands=foo,bar"), "takes no syslog"},
		{"nothing offered", "1 rsp 6 200 OK\n", "takes no syslog"},
		{"another version", rsp(1, "200 OK\nrelp_version=2\ncommands=syslog"), `version "2"`},
		{"TLS", "\x15\x03\x01\x00\x02\x02\x46", "answers in TLS"},
		{"HTTP", "HTTP/1.1 400 Bad Request\r\n", `no RELP: "HTTP/1.1 400 Bad Request" where a transaction number is due`},
		{"an empty answer", "1 rsp 0\n", "without a code"},
		{"too long an answer", "1 rsp 65537 200 OK", "an answer of 65537 bytes"},
		{"serverclose", "0 serverclose 0\n", "ended the session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, conn := newReceiver(t)
			done := make(chan struct{})
			go func() { defer close(done); p.read(); p.say(c.says) }()
			_, err := Open(t.Context(), conn, options(1))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v; want it to say %s", err, c.want)
			}
			<-done
			if _, err := conn.Write([]byte("x")); err == nil {
				t.Error("the connection is left open")
			}
		})
	}
}

func TestOpen_TakesVersionsZeroAndOneAndASecondSpace(t *testing.T) {
	for _, says := range []string{
		rsp(1, "200 OK\nrelp_version=1\ncommands=syslog"),
		rsp(1, "200 OK\nrelp_version=0\ncommands=foo,syslog"),
		rsp(1, "200\ncommands=syslog\n"),
		"0 hint 0 \n" + rsp(1, "200 \ncommands=syslog"),
	} {
		p, conn := newReceiver(t)
		done := make(chan struct{})
		go func() { defer close(done); p.read(); p.say(says); p.read() }()
		s, err := Open(t.Context(), conn, options(1))
		if err != nil {
			t.Fatalf("%q: %v", says, err)
		}
		_ = p.Close()
		s.Close(t.Context())
		<-done
	}
}

func TestOpen_ReturnsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, conn := newReceiver(t)
		go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Open(ctx, conn, options(1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestClose_SaysCloseAndIsBounded(t *testing.T) {
	for name, play := range map[string]func(p *receiver){
		"rsyslog's way":    nil,
		"it stays":         func(p *receiver) { p.answer(p.read().Txnr, "200 OK") },
		"it says nothing":  func(p *receiver) { p.read() },
		"it reads nothing": func(*receiver) {},
		"it has gone":      func(p *receiver) { _ = p.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var last command
				s := begin(t, 1, func(p *receiver) {
					p.answer(p.read().Txnr, "200 OK")
					if name == "rsyslog's way" {
						last = p.read()
						p.answer(last.Txnr, "")
						p.say("0 serverclose 0\n")
						_ = p.Close()
						return
					}
					play(p)
				})
				if _, err := s.Send(t.Context(), records(1)); err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				began := time.Now()
				s.Close(ctx)
				s.Close(ctx)
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				if name == "rsyslog's way" && (last != command{Txnr: 3, Name: "close"}) {
					t.Errorf("the session ends with %+v", last)
				}
			})
		})
	}
}
