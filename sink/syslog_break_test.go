package sink

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"s1stream/internal/event"
)

func TestSyslog_SendsTheTailAgainBeforeAnythingNewer(t *testing.T) {
	p := newSyslogPeer(t)
	s := syslogNew(t, 0, syslogTo(p.Addr().String()))
	ctx := syslogContext(t)
	write := func(n int) error { return s.Write(ctx, syslogRecords(t, s, syslogEvent("1", n, ""))) }
	for n := range 3 {
		if err := write(n); err != nil {
			t.Fatal(err)
		}
	}
	first := p.next(t)
	if got := syslogRead(t, bufio.NewReader(first), 2); !slices.Equal(got, []int{0, 1}) {
		t.Fatalf("first connection: %v", got)
	}
	_ = first.SetLinger(0) // a killed peer: what it has not read is gone
	_ = first.Close()
	second := bufio.NewReader(p.next(t)) // without another Write
	if got := syslogRead(t, second, 3); !slices.Equal(got, []int{0, 1, 2}) {
		t.Fatalf("second connection: %v, want all of the last seconds", got)
	}
	if err := write(3); err != nil {
		t.Fatal(err)
	}
	if got := syslogRead(t, second, 1); !slices.Equal(got, []int{3}) {
		t.Fatalf("then %v", got)
	}
}

func TestSyslog_LosesNoMoreThanWhatTheTailCantHold(t *testing.T) {
	// A peer that takes 10 MB and is killed before it stores any of it. Nobody can know of that; what the tail holds
	// comes again, in order and up to the newest, and that bounds the loss.
	const taken = 100
	p := newSyslogPeer(t)
	s := syslogNew(t, 200_000, syslogTo(p.Addr().String()))
	ctx := syslogContext(t)
	written, killed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(killed)
		c := <-p.conns
		r := bufio.NewReaderSize(c, 1<<16)
		for range taken {
			var size int
			if _, err := fmt.Fscanf(r, "%d ", &size); err != nil {
				break
			}
			_, _ = r.Discard(size)
		}
		<-written
		_ = c.SetLinger(0)
		_ = c.Close()
	}()
	size := 0
	for n := range taken {
		records := syslogRecords(t, s, syslogEvent("1", n, strings.Repeat("x", 100_000)))
		size = len(records[0].Body) + len("100000 ")
		if err := s.Write(ctx, records); err != nil {
			t.Fatal(err)
		}
	}
	close(written)
	<-killed
	held := syslogTailBytes / size
	if got := syslogRead(t, bufio.NewReaderSize(p.next(t), 1<<16), held); !slices.Equal(got, syslogRange(taken-held, taken)) {
		t.Errorf("got %v again, want the last %d of %d", got, held, taken)
	}
	_ = p.Close() // so that the sink's Close does not send the tail to nobody
}

func TestSyslog_NeverContinuesAFrameOnAnotherConnection(t *testing.T) {
	// The peer dies inside a frame, at ever other places. What the next connection gets parses from its first byte.
	for _, cut := range []int{1, 2, 5, 700, 200_000, 200_001} {
		t.Run(fmt.Sprint(cut), func(t *testing.T) {
			p := newSyslogPeer(t)
			s := syslogNew(t, 200_000, syslogTo(p.Addr().String()))
			ctx := syslogContext(t)
			var batch []*event.Event
			for n := range 40 { // 6.4 MB: more than both kernels hold
				batch = append(batch, syslogEvent(fmt.Sprint(n), n, strings.Repeat("x", 160_000)))
			}
			records := syslogRecords(t, s, batch...)
			result := make(chan error, 1)
			go func() { result <- s.Write(ctx, records) }()
			first := p.next(t)
			if _, err := io.CopyN(io.Discard, first, int64(cut)); err != nil {
				t.Fatal(err)
			}
			_ = first.SetLinger(0)
			_ = first.Close()
			if err := <-result; err == nil {
				t.Fatal("the connection broke within the call: want an error")
			}
			go func() { result <- s.Write(ctx, records) }() // as the line does
			got := syslogRead(t, bufio.NewReaderSize(p.next(t), 1<<16), 40)
			if err := <-result; err != nil || !slices.Equal(got, syslogRange(0, 40)) {
				t.Errorf("second connection: %v, err %v", got, err)
			}
			_ = p.Close() // so that the sink's Close does not send the tail to nobody
		})
	}
}
