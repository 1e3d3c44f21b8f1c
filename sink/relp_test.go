package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"
)

// relpAnswer plays a receiver on one connection: it opens the session, and answers the commands that follow in
// order, one of answers each. Then it leaves the connection as it is.
func relpAnswer(c net.Conn, answers ...string) {
	r := bufio.NewReader(c)
	for i, answer := range append([]string{"200 OK\nrelp_version=0\nrelp_software=peer\ncommands=syslog"}, answers...) {
		var txnr, size int
		var name string
		if _, err := fmt.Fscanf(r, "%d %s %d", &txnr, &name, &size); err != nil {
			return
		}
		if _, err := r.Discard(size + 2); err != nil {
			return
		}
		_, _ = fmt.Fprintf(c, "%d rsp %d %s\n", i+1, len(answer), answer)
	}
}

func TestRELPConfig_NamesEveryMistakeAndItsKey(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*RELPConfig)
		want   []string
	}{
		{"the defaults with an address are right", func(*RELPConfig) {}, nil},
		{"the largest window", func(c *RELPConfig) { c.Window = 4096 }, nil},
		{"no address", func(c *RELPConfig) { c.Address = nil }, []string{"address: must not be empty"}},
		{"addresses", func(c *RELPConfig) { c.Address = []string{"relp://siem:2514", "siem"} }, []string{`"relp://siem:2514"`, `"siem" must be`}},
		{"windows", func(c *RELPConfig) { c.Window = 0 }, []string{"window: must be from 1 to 4096"}},
		{"too large a window", func(c *RELPConfig) { c.Window = 4097 }, []string{"window:"}},
		{"half a client certificate", func(c *RELPConfig) { c.TLS.CertFile = "c.pem" }, []string{"tls.cert_file"}},
		{"the line", func(c *RELPConfig) {
			c.Header, c.Facility, c.AppName, c.Hostname, c.EnterpriseNumber = "cef", "local8", "a b", "h\n", 0
		},
			[]string{"header:", "facility:", "app_name:", "hostname:", "enterprise_number:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := DefaultRELP()
			cfg.Address = []string{"siem.example:2514"}
			c.change(cfg)
			err := cfg.Validate()
			if c.want == nil && err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v: does not say %s", err, want)
				}
			}
		})
	}
	if got := DefaultRELP().MaxBytes(0); got != 8096 {
		t.Errorf("max_message_bytes is %d by default", got)
	}
	if got := DefaultRELP().MaxBytes(math.MaxInt); got != 999_999_999 {
		t.Errorf("a frame can't hold %d bytes", got)
	}
}

func TestRELP_ReadsItsTLSFilesAtOnce(t *testing.T) {
	cfg := DefaultRELP()
	cfg.Address, cfg.TLS.CAFile = []string{"127.0.0.1:1"}, "/nowhere/ca.pem"
	if _, err := cfg.New(Deps{}); err == nil || !strings.Contains(err.Error(), "tls.ca_file") {
		t.Errorf("got %v", err)
	}
	if p := cfg.Probe(t.Context(), Deps{}); len(p.Problems) != 1 || len(p.Found) != 0 {
		t.Errorf("%+v", p)
	}
}

func TestRELP_SendsTheSameLineAsSyslog(t *testing.T) {
	ev := syslogEvent("2316604981177352196", 0, syslogHostile)
	for _, header := range []string{"rfc5424", "rfc3164"} {
		r := relpNew(t, 0, "127.0.0.1:1", func(c *RELPConfig) { c.Header, c.Facility = header, "auth" })
		s := syslogNew(t, 0, func(c *SyslogConfig) { c.Header, c.Facility = header, "auth" })
		if got, want := string(relpRecords(t, r, ev)[0].Body), string(syslogRecords(t, s, ev)[0].Body); got != want {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
}

func TestRELP_NamesExactlyWhatWasNotTaken(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []string
		end     bool   // the receiver hangs up then
		failed  string // r refused, u unknown, by index; "" for nil
		whole   bool   // an error of no record
	}{
		{name: "all taken", answers: []string{"200 OK", "200 OK", "200 OK"}},
		{name: "one refused", answers: []string{"200 OK", "500 no", "200 OK"}, failed: " r "},
		{name: "all refused", answers: []string{"500 no", "500 no", "451 no"}, failed: "rrr"},
		{name: "the end after one", answers: []string{"200 OK"}, end: true, failed: " uu"},
		{name: "the end after a refusal", answers: []string{"500 no"}, end: true, failed: "ruu"},
		{name: "the end before any", end: true, whole: true},
		{name: "silence after two", answers: []string{"200 OK", "500 no"}, failed: " ru"},
		{name: "silence", whole: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newSyslogPeer(t)
			played := make(chan struct{})
			go func() {
				defer close(played)
				conn := <-p.conns
				relpAnswer(conn, c.answers...)
				if c.end {
					_ = conn.Close()
				} else {
					t.Cleanup(func() { _ = conn.Close() })
				}
			}()
			r := relpNew(t, 0, p.Addr().String(), nil)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			err := r.Write(ctx, relpRecords(t, r, syslogEvent("1", 1, ""), syslogEvent("2", 1, ""), syslogEvent("3", 1, "")))
			<-played
			var failed *BatchError
			if errors.As(err, &failed) == (c.failed == "") || c.whole != (err != nil && failed == nil) {
				t.Fatalf("%v", err)
			}
			got := []byte("   ")
			for i := 0; failed != nil && i < len(failed.Failed); i++ {
				f := failed.Failed[i]
				var refused *RefusedError
				if got[f.Index] = 'u'; errors.As(f.Err, &refused) {
					got[f.Index] = 'r'
				}
			}
			if want := (c.failed + "   ")[:3]; string(got) != want {
				t.Errorf("%q, want %q: %v", got, want, err)
			}
		})
	}
}

func TestRELP_OpensAnotherSessionWithTheNextAddressThatHasOne(t *testing.T) {
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	p := newSyslogPeer(t)
	r := relpNew(t, 0, "", func(c *RELPConfig) { c.Address = []string{down.Addr().String(), p.Addr().String()} })
	for range 2 { // the receiver hangs up between two Writes, which is no error of either
		hungUp := make(chan struct{})
		go func() {
			conn := <-p.conns
			relpAnswer(conn, "200 OK")
			_, _ = conn.Write([]byte("0 serverclose 0\n"))
			_ = conn.Close()
			close(hungUp)
		}()
		if err := r.Write(syslogContext(t), relpRecords(t, r, syslogEvent("1", 1, ""))); err != nil {
			t.Fatal(err)
		}
		<-hungUp
		for end := time.Now().Add(10 * time.Second); r.session.Failed() == nil && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}

	r = relpNew(t, 0, down.Addr().String(), nil)
	err = r.Write(syslogContext(t), relpRecords(t, r, syslogEvent("1", 1, "")))
	var denied *DeniedError
	if err == nil || errors.As(err, &denied) || !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("nobody there: %v; want a plain error with a remedy", err)
	}
}

func TestRELP_SaysWhatListensThereInstead(t *testing.T) {
	for _, c := range []struct {
		says, want string
		denied     bool
	}{
		{"HTTP/1.1 400 Bad Request\r\n\r\n", "something else", true},
		{"\x15\x03\x01\x00\x02\x02\x46", "tls.enabled = true", true},
		{"1 rsp 24 200 OK\ncommands=nosyslog\n", "takes no syslog", true},
		{"1 rsp 7 500 no.\n", "500 no.", true},
		{"", "a plain syslog port never answers", false},
	} {
		p := newSyslogPeer(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 2 { // a Write and a Probe
				conn := <-p.conns
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					t.Error(err)
				}
				_, _ = conn.Write([]byte(c.says))
				_, _ = io.Copy(io.Discard, conn) // until it is given up
				_ = conn.Close()
			}
		}()
		r := relpNew(t, 0, p.Addr().String(), nil)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		err := r.Write(ctx, relpRecords(t, r, syslogEvent("1", 1, "")))
		cancel()
		var denied *DeniedError
		if err == nil || !strings.Contains(err.Error(), c.want) || errors.As(err, &denied) != c.denied {
			t.Errorf("%q: %v; want it to say %s, denied %v", c.says, err, c.want, c.denied)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
		if probe := r.cfg.Probe(ctx, Deps{}); len(probe.Problems) != 1 || !strings.Contains(probe.Problems[0].What+probe.Problems[0].Remedy, c.want) {
			t.Errorf("%q: %+v", c.says, probe)
		}
		cancel()
		<-done
	}
}
