package sink_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"s1stream/sink"
	"s1stream/sink/sinktest"
)

// syslogPeer is a collector that reads octet-counted frames (RFC 6587, section 3.4.1) and is strict about them.
type syslogPeer struct {
	t        *testing.T
	l        *sinktest.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	received []sinktest.Received
	conns    map[net.Conn]bool
}

func startSyslogPeer(t *testing.T) *syslogPeer {
	t.Helper()
	l, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	p := &syslogPeer{t: t, l: l, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns[c] = true
			p.mu.Unlock()
			p.wg.Go(func() { p.serve(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		l.Set(sinktest.Flow)
		p.mu.Lock()
		for c := range p.conns {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *syslogPeer) serve(c net.Conn) {
	defer func() {
		_ = c.Close()
		p.mu.Lock()
		delete(p.conns, c)
		p.mu.Unlock()
	}()
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		line, err := readFrame(r)
		if errors.Is(err, errBadFrame) {
			p.t.Errorf("the stream is out of step: %v", err)
		}
		if err != nil {
			return // an end within a frame is the network's fault, and the frame is dropped
		}
		rec, err := parseLine(line)
		if err != nil {
			p.t.Errorf("%v: %.200q", err, line)
			return
		}
		p.mu.Lock()
		p.received = append(p.received, rec)
		p.mu.Unlock()
	}
}

var errBadFrame = errors.New("no octet count")

func readFrame(r *bufio.Reader) ([]byte, error) {
	count, err := r.ReadString(' ')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(count[:len(count)-1])
	if err != nil || n < 1 || n > 1<<20 || count[0] == '0' {
		return nil, fmt.Errorf("%w: %.50q", errBadFrame, count)
	}
	frame := make([]byte, n)
	_, err = io.ReadFull(r, frame)
	return frame, err
}

// parseLine takes a line of RFC 5424 apart, as far as the suite wants to know.
func parseLine(line []byte) (sinktest.Received, error) {
	head, rest, ok := bytes.Cut(line, []byte(` [s1@32473 id="`))
	id, rest, ok2 := bytes.Cut(rest, []byte(`" version="`))
	version, body, ok3 := bytes.Cut(rest, []byte(`"] `))
	if !ok || !ok2 || !ok3 || !bytes.HasPrefix(head, []byte("<")) || bytes.Count(head, []byte(" ")) != 5 {
		return sinktest.Received{}, errors.New("is no line of ours")
	}
	return sinktest.Received{ID: string(id), Version: string(version), Body: body}, nil
}

func TestSyslog_PassesTheSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Grade: sink.BestEffort, OneLine: true,
		CloseWithin: 13 * time.Second, // it tries once more to send what a break left in doubt
		Start: func(t *testing.T) *sinktest.Rig {
			p := startSyslogPeer(t)
			cfg := sink.DefaultSyslog()
			cfg.Address = []string{p.l.Addr().String()}
			return &sinktest.Rig{
				Config: cfg,
				Received: func() []sinktest.Received {
					p.mu.Lock()
					defer p.mu.Unlock()
					return slices.Clone(p.received)
				},
				Net: p.l,
			}
		},
	})
}
