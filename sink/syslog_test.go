package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"s1stream/internal/event"
	"s1stream/sink/format"
)

// syslogNew builds a sink; change sees the defaults with an address of nobody.
func syslogNew(t testing.TB, limit int, change func(*SyslogConfig)) *Syslog {
	t.Helper()
	cfg := DefaultSyslog()
	cfg.Address, cfg.Hostname = []string{"127.0.0.1:1"}, "fw.example"
	if change != nil {
		change(cfg)
	}
	s, err := NewSyslog(*cfg, Deps{Name: "siem", Source: "prod", MaxMessageBytes: limit, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() }) // where the test has not closed it itself
	return s
}

func syslogTo(addr ...string) func(*SyslogConfig) {
	return func(c *SyslogConfig) { c.Address = addr }
}

// syslogEvent is version n of threat id, with some text in it.
func syslogEvent(id string, n int, text string) *event.Event {
	at := time.Date(2026, 11, 21, 13, 6, 44, 908771000, time.UTC).Add(time.Duration(n) * time.Second)
	raw := fmt.Sprintf(`{"id":%q,"n":%d,"text":%q,"threatInfo":{"analystVerdict":"undefined","classification":"Trojan","confidenceLevel":"malicious",`+
		`"incidentStatus":"unresolved","mitigationStatus":"not_mitigated","updatedAt":%q}}`, id, n, text, at.Format(time.RFC3339Nano))
	ev := &event.Event{Raw: []byte(raw), ID: id, UpdatedAt: at, CreatedAt: at.Add(-time.Hour), Source: "prod"}
	ev.Version = event.NewVersion("host", id, at.String(), ev.Raw)
	return ev
}

// syslogRecords encodes events as a line does.
func syslogRecords(t testing.TB, s *Syslog, evs ...*event.Event) []Record {
	t.Helper()
	encode := s.Wrap(format.JSON)
	var out []Record
	for _, ev := range evs {
		body, _, err := encode(nil, ev, s.maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Record{Event: ev, Body: body})
	}
	return out
}

func syslogContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// syslogPeer is a collector of our own, for what a real one does not do on demand. Each connection is handed to
// the test.
type syslogPeer struct {
	net.Listener
	conns chan *net.TCPConn
}

func newSyslogPeer(t *testing.T) *syslogPeer {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &syslogPeer{Listener: l, conns: make(chan *net.TCPConn, 10)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.conns <- c.(*net.TCPConn)
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return p
}

func (p *syslogPeer) next(t *testing.T) *net.TCPConn {
	t.Helper()
	select {
	case c := <-p.conns:
		t.Cleanup(func() { _ = c.Close() })
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		return c
	case <-time.After(20 * time.Second):
		t.Fatal("no connection")
		return nil
	}
}

// syslogRead reads n octet-counted frames, strictly, and returns each one's payload number.
func syslogRead(t *testing.T, r *bufio.Reader, n int) (numbers []int) {
	t.Helper()
	for range n {
		digits, err := r.ReadString(' ')
		if err != nil {
			t.Fatalf("after %v: %v", numbers, err)
		}
		size, err := strconv.Atoi(digits[:len(digits)-1])
		if err != nil || digits[0] == '0' {
			t.Fatalf("octet count %q after %v", digits, numbers)
		}
		frame := make([]byte, size)
		if _, err := io.ReadFull(r, frame); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, syslogNumber(t, string(frame)))
	}
	return numbers
}

// syslogNumber is the n of syslogEvent.
func syslogNumber(t *testing.T, line string) int {
	t.Helper()
	_, rest, ok := strings.Cut(line, `"n":`)
	digits, _, _ := strings.Cut(rest, ",")
	n, err := strconv.Atoi(digits)
	if !ok || err != nil {
		t.Fatalf("not one of ours: %.200q", line)
	}
	return n
}

func syslogRange(from, to int) (out []int) {
	for i := from; i < to; i++ {
		out = append(out, i)
	}
	return out
}

func TestSyslog_WriteReturnsSoonAfterItsContextEnds(t *testing.T) {
	p := newSyslogPeer(t) // accepts and never reads
	s := syslogNew(t, 200_000, syslogTo(p.Addr().String()))
	var batch []*event.Event
	for n := range 100 {
		batch = append(batch, syslogEvent(fmt.Sprint(n), n, strings.Repeat("x", 160_000)))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Write(ctx, syslogRecords(t, s, batch...)); err == nil {
		t.Error("16 MB that nobody reads: want an error")
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("returned after %v", d)
	}
}

func TestSyslog_TriesItsAddressesInOrder(t *testing.T) {
	p := newSyslogPeer(t)
	down, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = down.Close()
	s := syslogNew(t, 0, syslogTo(down.Addr().String(), p.Addr().String()))
	if err := s.Write(syslogContext(t), syslogRecords(t, s, syslogEvent("1", 7, ""))); err != nil {
		t.Fatal(err)
	}
	if got := syslogRead(t, bufio.NewReader(p.next(t)), 1); got[0] != 7 {
		t.Errorf("got %v", got)
	}
	_ = p.Close() // so that the sink's Close does not send the tail to nobody

	s = syslogNew(t, 0, syslogTo(down.Addr().String()))
	err = s.Write(syslogContext(t), syslogRecords(t, s, syslogEvent("1", 7, "")))
	var denied *DeniedError
	if err == nil || errors.As(err, &denied) || !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("nobody there: %v; want a plain error with a remedy", err)
	}
}

func TestSyslog_CloseWaitsUntilThePeerHasReadAll(t *testing.T) {
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, others) })
	p := newSyslogPeer(t)
	s := syslogNew(t, 0, syslogTo(p.Addr().String()))
	if err := s.Write(syslogContext(t), syslogRecords(t, s, syslogEvent("1", 1, ""), syslogEvent("2", 2, ""))); err != nil {
		t.Fatal(err)
	}
	c := p.next(t)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	r := bufio.NewReader(c)
	syslogRead(t, r, 2)
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Fatalf("read %v, want the orderly end", err)
	}
	select {
	case err := <-closed:
		t.Fatalf("closed (%v) before the peer ended its side", err)
	case <-time.After(50 * time.Millisecond):
	}
	_ = c.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
}

func TestSyslog_CloseSendsAgainWhatTheEndLeftInDoubt(t *testing.T) {
	p := newSyslogPeer(t)
	s := syslogNew(t, 0, syslogTo(p.Addr().String()))
	if err := s.Write(syslogContext(t), syslogRecords(t, s, syslogEvent("1", 1, ""))); err != nil {
		t.Fatal(err)
	}
	first := p.next(t)
	closed := make(chan error, 1)
	go func() { closed <- s.Close() }()
	_ = first.SetLinger(0)
	_ = first.Close() // nothing read
	second := p.next(t)
	r := bufio.NewReader(second)
	if got := syslogRead(t, r, 1); got[0] != 1 {
		t.Errorf("got %v", got)
	}
	if _, err := r.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("read %v, want the orderly end", err)
	}
	_ = second.Close()
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestSyslog_CloseSaysWhatMayBeLost(t *testing.T) {
	p := newSyslogPeer(t)
	s := syslogNew(t, 0, syslogTo(p.Addr().String()))
	if err := s.Write(syslogContext(t), syslogRecords(t, s, syslogEvent("1", 1, ""))); err != nil {
		t.Fatal(err)
	}
	c := p.next(t)
	_ = p.Close()
	_ = c.SetLinger(0)
	_ = c.Close()
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "the last 1 records") {
		t.Errorf("got %v", err)
	}
}

func TestSyslogUDP_SaysWhatLittleADatagramTells(t *testing.T) {
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.LocalAddr().String()
	s := syslogNew(t, 65_507, func(c *SyslogConfig) { c.Address, c.Transport = []string{addr}, "udp" })
	ctx := syslogContext(t)
	records := syslogRecords(t, s, syslogEvent("1", 1, ""), syslogEvent("2", 2, ""))
	if err := s.Write(ctx, records); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 65536)
	for _, r := range records {
		n, _, err := l.ReadFrom(buf)
		if err != nil || string(buf[:n]) != string(r.Body) {
			t.Errorf("datagram %q, err %v; want %q", buf[:n], err, r.Body)
		}
	}

	// Past our own limit it never leaves; past the kernel's, the error names it. The others are sent.
	over := Record{Event: records[0].Event, Body: make([]byte, 65_508)}
	for _, limit := range []int{65_507, 1 << 20} {
		s.udp.limit = limit
		err = s.Write(ctx, []Record{over, records[1]})
		var batch *BatchError
		var refused *RefusedError
		if !errors.As(err, &batch) || len(batch.Failed) != 1 || batch.Failed[0].Index != 0 || !errors.As(batch.Failed[0].Err, &refused) {
			t.Fatalf("limit %d: %v", limit, err)
		}
		if n, _, err := l.ReadFrom(buf); err != nil || string(buf[:n]) != string(records[1].Body) {
			t.Errorf("limit %d: then %q, err %v", limit, buf[:n], err)
		}
	}

	_ = l.Close()
	if err := s.Write(ctx, records); err == nil || !strings.Contains(err.Error(), "nothing listens there") {
		t.Errorf("port unreachable: %v", err)
	}
}

func TestNewSyslog_UsesThisMachinesNameByDefault(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := syslogNew(t, 0, func(c *SyslogConfig) { c.Hostname = "" })
	if body := string(syslogRecords(t, s, syslogEvent("1", 1, ""))[0].Body); !strings.Contains(body, "Z "+name+" sentinelone") {
		t.Errorf("no %q in %q", name, body)
	}
}
