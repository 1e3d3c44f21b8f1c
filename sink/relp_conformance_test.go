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
	"strings"
	"sync"
	"testing"
	"time"

	"s1stream/sink"
	"s1stream/sink/sinktest"
)

// relpPeer is a receiver as strict as librelp: transactions must come in sequence, "open" first. It stores a record,
// then answers it.
type relpPeer struct {
	t        *testing.T
	l        *sinktest.Listener
	wg       sync.WaitGroup
	mu       sync.Mutex
	received []sinktest.Received
	refuse   map[string]bool
	deny     bool
	conns    map[net.Conn]bool
}

func startRELPPeer(t *testing.T) *relpPeer {
	t.Helper()
	l, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	p := &relpPeer{t: t, l: l, refuse: map[string]bool{}, conns: map[net.Conn]bool{}}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns[c] = true
			p.mu.Unlock()
			p.wg.Go(func() {
				if err := p.serve(c); err != nil {
					p.t.Error(err)
				}
				_ = c.Close()
				p.mu.Lock()
				delete(p.conns, c)
				p.mu.Unlock()
			})
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

// serve answers one session until its end. An end within a frame is the network's fault; what is no RELP is ours.
func (p *relpPeer) serve(c net.Conn) error {
	r := bufio.NewReaderSize(c, 64<<10)
	for want := 1; ; want++ {
		name, data, err := p.command(r, want)
		if errors.Is(err, errBadFrame) {
			return err
		}
		if err != nil {
			return nil
		}
		answer := "200 OK"
		switch {
		case (name == "open") != (want == 1):
			return fmt.Errorf("transaction %d is %q", want, name)
		case name == "open":
			if !bytes.Contains(data, []byte("relp_version=0\n")) || !bytes.HasSuffix(data, []byte("\ncommands=syslog")) {
				return fmt.Errorf("it is opened with %q", data)
			}
			answer += "\nrelp_version=0\nrelp_software=peer\ncommands=syslog"
			p.mu.Lock()
			if p.deny {
				answer = "500 not you"
			}
			p.mu.Unlock()
		case name == "syslog":
			rec, err := parseLine(data)
			if err != nil {
				return fmt.Errorf("%w: %.200q", err, data)
			}
			p.mu.Lock()
			if p.refuse[rec.ID] {
				answer = "500 I don't like it"
			} else {
				p.received = append(p.received, rec)
			}
			p.mu.Unlock()
		case name == "close" && len(data) == 0:
			_, _ = fmt.Fprintf(c, "%d rsp 0\n0 serverclose 0\n", want)
			return nil
		default:
			return fmt.Errorf("command %q with %q", name, data)
		}
		if _, err := fmt.Fprintf(c, "%d rsp %d %s\n", want, len(answer), answer); err != nil {
			return nil
		}
	}
}

func (p *relpPeer) command(r *bufio.Reader, want int) (name string, data []byte, err error) {
	txnr, err := r.ReadString(' ')
	if err != nil {
		return "", nil, err
	}
	if txnr != strconv.Itoa(want)+" " {
		return "", nil, fmt.Errorf("%w: transaction %q, want %d", errBadFrame, txnr, want)
	}
	if name, err = r.ReadString(' '); err != nil {
		return "", nil, err
	}
	name = strings.TrimSuffix(name, " ")
	n, c := 0, byte(0)
	for c, err = r.ReadByte(); err == nil && c >= '0' && c <= '9'; c, err = r.ReadByte() {
		n = 10*n + int(c-'0')
	}
	if err == nil && n > 0 && c == ' ' {
		data = make([]byte, n)
		if _, err = io.ReadFull(r, data); err == nil {
			c, err = r.ReadByte()
		}
	}
	if err == nil && c != '\n' {
		err = fmt.Errorf("%w: %q behind transaction %d", errBadFrame, c, want)
	}
	return name, data, err
}

func TestRELP_PassesTheSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Grade: sink.Acknowledged, OneLine: true, CloseWithin: 3 * time.Second,
		Start: func(t *testing.T) *sinktest.Rig {
			p := startRELPPeer(t)
			cfg := sink.DefaultRELP()
			cfg.Address = []string{p.l.Addr().String()}
			return &sinktest.Rig{
				Config: cfg,
				Received: func() []sinktest.Received {
					p.mu.Lock()
					defer p.mu.Unlock()
					return slices.Clone(p.received)
				},
				Net: p.l,
				Refuse: func(ids ...string) {
					p.mu.Lock()
					defer p.mu.Unlock()
					for _, id := range ids {
						p.refuse[id] = true
					}
				},
				Deny: func(on bool) {
					p.mu.Lock()
					defer p.mu.Unlock()
					p.deny = on
				},
			}
		},
	})
}
