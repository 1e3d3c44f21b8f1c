package sink

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

// syslogHostile is text that a collector might stumble over: quotes, brackets, escapes, UTF-8 of every length,
// bytes that are no UTF-8, and what looks like a frame.
const syslogHostile = `"]\ [s1@1 x="y"] <134>1 12 %msg% #012 é € 😀`

// syslogInput is one way into a real collector.
type syslogInput struct {
	name   string
	change func(*SyslogConfig)
	mutual bool
}

func syslogInputs(p *testpeer.Syslog, certs testpeer.Certs, names ...string) (out []syslogInput) {
	for _, name := range names {
		out = append(out, syslogInput{name: name, mutual: strings.HasPrefix(name, "mtls"), change: func(c *SyslogConfig) {
			c.Address = []string{p.Addr(name)}
			switch name {
			case "tcp":
			case "lf":
				c.Framing = "lf"
			case "udp":
				c.Transport = "udp"
			default:
				c.Transport, c.TLS.CAFile = "tls", certs.CA
				if strings.HasPrefix(name, "mtls") {
					c.TLS.CertFile, c.TLS.KeyFile = certs.Client.Cert, certs.Client.Key
				}
			}
		}})
	}
	return out
}

// syslogPeers are the real collectors with the inputs that each has.
func syslogPeers(t *testing.T, f func(t *testing.T, p *testpeer.Syslog, certs testpeer.Certs, inputs []syslogInput)) {
	certs := testpeer.NewCerts(t)
	t.Run("rsyslog", func(t *testing.T) {
		p := testpeer.StartRsyslog(t, certs, "tcp", "udp", "tls", "tls-ossl", "mtls", "mtls-ossl")
		f(t, p, certs, syslogInputs(p, certs, "tcp", "udp", "tls", "tls-ossl", "mtls", "mtls-ossl"))
	})
	t.Run("syslog-ng", func(t *testing.T) {
		p := testpeer.StartSyslogNG(t, certs)
		f(t, p, certs, syslogInputs(p, certs, "tcp", "lf", "udp", "tls", "mtls"))
	})
}

func TestSyslogPeers_StoreEveryRecordByteForByte(t *testing.T) {
	syslogPeers(t, func(t *testing.T, p *testpeer.Syslog, _ testpeer.Certs, inputs []syslogInput) {
		for _, in := range inputs {
			t.Run(in.name, func(t *testing.T) {
				s := syslogNew(t, 60_000, in.change)
				evs := []*event.Event{syslogEvent("2316604981177352196", 0, "plain"), syslogEvent(syslogHostile, 1, syslogHostile), syslogEvent("3", 2, strings.Repeat("é", 20_000))}
				evs[0].Raw = []byte(strings.Replace(string(evs[0].Raw), "plain", "not UTF-8: \xff\xc3", 1))
				records := syslogRecords(t, s, evs...)
				var want []string
				for _, r := range records {
					if err := s.Write(syslogContext(t), []Record{r}); err != nil {
						t.Fatal(err)
					}
					want = append(want, string(r.Body))
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
				if diff := cmp.Diff(want, p.WaitLines(in.name, len(want), 10*time.Second)); diff != "" {
					t.Errorf("stored other bytes:\n%.2000s", diff)
				}
				for i, line := range p.Parsed(in.name, len(want)) {
					got := []string{line.Host, line.App, line.MsgID, strings.Replace(line.Time, "+00:00", "Z", 1)}
					if diff := cmp.Diff([]string{"fw.example", "sentinelone", "threat.update", evs[i].UpdatedAt.Format("2006-01-02T15:04:05.000000Z")}, got); diff != "" {
						t.Errorf("record %d was taken apart as %+v: %s", i, got, diff)
					}
					if line.Params != nil && (line.Params["s1@32473.id"] != evs[i].ID || line.Params["s1@32473.version"] != evs[i].Version.String()) {
						t.Errorf("record %d has parameters %q", i, line.Params)
					}
					if line.SD != "" && !strings.Contains(want[i], " "+line.SD+" {") {
						t.Errorf("record %d has structured data %s", i, line.SD)
					}
					if i > 0 && line.Msg != string(evs[i].Raw) {
						t.Errorf("record %d has payload %.200q", i, line.Msg)
					}
				}
			})
		}
	})
}

func TestSyslogPeers_ReadRFC3164AndLFFraming(t *testing.T) {
	certs := testpeer.NewCerts(t)
	p := testpeer.StartRsyslog(t, certs, "tcp")
	s := syslogNew(t, 0, func(c *SyslogConfig) {
		c.Address, c.Header, c.Framing, c.Facility = []string{p.Addr("tcp")}, "rfc3164", "lf", "auth"
	})
	ev := syslogEvent("1", 0, syslogHostile)
	records := syslogRecords(t, s, ev)
	if err := s.Write(syslogContext(t), records); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{string(records[0].Body)}, p.WaitLines("tcp", 1, 10*time.Second)); diff != "" {
		t.Error(diff)
	}
	line := p.Parsed("tcp", 1)[0]
	if line.Pri != "35" || line.Host != "fw.example" || line.App != "sentinelone" || strings.TrimPrefix(line.Msg, " ") != string(ev.Raw) {
		t.Errorf("taken apart as %+v", line)
	}
}

func TestSyslogPeers_RefuseAClientThatTheyDoNotTrust(t *testing.T) {
	syslogPeers(t, func(t *testing.T, p *testpeer.Syslog, certs testpeer.Certs, inputs []syslogInput) {
		for _, in := range inputs {
			if !in.mutual {
				continue
			}
			for name, tls := range map[string]TLS{
				"no certificate":  {CAFile: certs.CA},
				"another CA's":    {CAFile: certs.CA, CertFile: certs.Rogue.Cert, KeyFile: certs.Rogue.Key},
				"unknown server":  {CertFile: certs.Client.Cert, KeyFile: certs.Client.Key},
				"another's name":  {CAFile: certs.CA, CertFile: certs.Client.Cert, KeyFile: certs.Client.Key, ServerName: "siem.example"},
				"the server's CA": {},
			} {
				t.Run(in.name+" "+name, func(t *testing.T) {
					s := syslogNew(t, 0, func(c *SyslogConfig) { in.change(c); c.TLS = tls })
					err := s.Write(syslogContext(t), syslogRecords(t, s, syslogEvent("1", 1, "")))
					var denied *DeniedError
					if !errors.As(err, &denied) {
						t.Errorf("the first Write: %v; want a *DeniedError", err)
					}
					if probe := s.cfg.Probe(syslogContext(t), Deps{}); len(probe.Problems) != 1 {
						t.Errorf("%+v", probe)
					}
				})
			}
			if lines := p.Lines(in.name); len(lines) != 0 {
				t.Errorf("%s stored %q", in.name, lines)
			}
		}
	})
}

func TestSyslogPeers_LoseNoTailAtClose(t *testing.T) {
	// rsyslog's ossl driver loses the end of a TLS 1.3 session that is closed straight after writing. 20 kB a
	// record, 200 kB in all, is what our send buffer holds and its reader does not: there it loses most.
	const conns, each = 20, 10
	certs := testpeer.NewCerts(t)
	p := testpeer.StartRsyslog(t, certs, "tls-ossl", "mtls-ossl", "tls", "tcp")
	for _, in := range syslogInputs(p, certs, "tls-ossl", "mtls-ossl", "tls", "tcp") {
		for _, size := range []int{20_000, 100_000} {
			t.Run(fmt.Sprint(in.name, " ", size), func(t *testing.T) {
				before := len(p.Lines(in.name))
				var wg sync.WaitGroup
				for range conns {
					wg.Go(func() {
						s := syslogNew(t, 200_000, in.change)
						var evs []*event.Event
						for i := range each {
							evs = append(evs, syslogEvent(fmt.Sprint(i), i, strings.Repeat("x", size)))
						}
						if err := s.Write(syslogContext(t), syslogRecords(t, s, evs...)); err != nil {
							t.Error(err)
						}
						if err := s.Close(); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				if n := len(p.WaitLines(in.name, before+conns*each, 5*time.Second)) - before; n != conns*each {
					t.Errorf("stored %d of %d", n, conns*each)
				}
			})
		}
	}
}

func TestSyslogPeers_GetNothingAboveTheLimit(t *testing.T) {
	syslogPeers(t, func(t *testing.T, p *testpeer.Syslog, _ testpeer.Certs, inputs []syslogInput) {
		for _, in := range inputs[:2] {
			s := syslogNew(t, 0, in.change)
			encode := s.Wrap(format.JSON)
			for i, size := range []int{10, 3_000, 12_000, 250_000} {
				ev := syslogEvent("id", i, strings.Repeat("é", size/2))
				body, _, err := encode(nil, ev, s.maxBytes)
				if err != nil {
					t.Fatal(err)
				}
				if err := s.Write(syslogContext(t), []Record{{Event: ev, Body: body}}); err != nil {
					t.Fatal(err)
				}
			}
			// A record that went round the encoder is stopped here.
			over := Record{Event: syslogEvent("id", 9, ""), Body: []byte("<1>1 - - - - - - " + strings.Repeat("x", s.maxBytes))}
			var batch *BatchError
			if err := s.Write(syslogContext(t), []Record{over}); !errors.As(err, &batch) {
				t.Errorf("%s: %v", in.name, err)
			}
			_ = s.Close()
			for _, line := range p.WaitLines(in.name, 4, 10*time.Second) {
				if len(line) > s.maxBytes {
					t.Errorf("%s got %d bytes: %.100s", in.name, len(line), line)
				}
			}
			if n := len(p.Lines(in.name)); n != 4 {
				t.Errorf("%s stored %d records, want 4", in.name, n)
			}
		}
	})
}

func TestSyslogPeers_LoseNothingWrittenLatelyWhenTheyStop(t *testing.T) {
	// A line writes on and on, and retries what failed; the collector is stopped or killed under it at random.
	// All of it happens within the seconds and bytes of the tail, so that not one event may be missing, and
	// the last copy of a threat is its newest version.
	syslogPeers(t, func(t *testing.T, p *testpeer.Syslog, _ testpeer.Certs, inputs []syslogInput) {
		for _, in := range inputs {
			if in.name == "udp" || in.name == "lf" || in.mutual {
				continue
			}
			t.Run(in.name+" SIGTERM", func(t *testing.T) { syslogInterrupt(t, p, in, p.Stop) })
			t.Run(in.name+" SIGKILL", func(t *testing.T) { syslogInterrupt(t, p, in, p.Kill, p.Kill, p.Kill) })
		}
	})
}

func syslogInterrupt(t *testing.T, p *testpeer.Syslog, in syslogInput, ends ...func()) {
	s := syslogNew(t, 0, in.change)
	before := len(p.Lines(in.name))
	stop := make(chan struct{})
	written := make(chan int, 1)
	go func() {
		n := 0
		defer func() { written <- n }()
		for ; ; n++ {
			records := syslogRecords(t, s, syslogEvent("one", n, strings.Repeat("x", 1000)), syslogEvent(fmt.Sprint(n), n, ""))
			for s.Write(syslogContext(t), records) != nil {
				time.Sleep(20 * time.Millisecond)
			}
			select {
			case <-stop:
				n++
				return
			case <-time.After(500 * time.Microsecond):
			}
		}
	}()
	for _, end := range ends {
		time.Sleep(time.Duration(100+rand.IntN(300)) * time.Millisecond)
		end()
		p.Start()
	}
	time.Sleep(100 * time.Millisecond)
	close(stop)
	n := <-written
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	lost := map[string]bool{}
	for i := range n {
		lost[fmt.Sprintf(`"id":"one","n":%d,`, i)], lost[fmt.Sprintf(`"id":"%d",`, i)] = true, true
	}
	var lines []string
	for end := time.Now().Add(5 * time.Second); len(lost) > 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		lines = p.Lines(in.name)[before:]
		for _, line := range lines {
			_, rest, _ := strings.Cut(line, `] {`)
			for _, key := range []string{syslogKey(rest, 1), syslogKey(rest, 2)} {
				delete(lost, key)
			}
		}
	}
	last := ""
	for _, line := range lines {
		if strings.Contains(line, `"id":"one"`) {
			last = line
		}
	}
	t.Logf("%d events written, %d stored, %d of them twice or more, %d lost", 2*n, len(lines), len(lines)-2*n+len(lost), len(lost))
	if len(lost) > 0 {
		t.Errorf("lost %d of %d", len(lost), 2*n)
	}
	if last == "" || syslogNumber(t, last) != n-1 {
		t.Errorf("the last copy is not the newest of %d: %.300s", n, last)
	}
}

// syslogKey returns the first members of an event's JSON, as the keys of lost have them.
func syslogKey(object string, members int) string {
	end := 0
	for range members {
		i := strings.IndexByte(object[end:], ',')
		if i < 0 {
			return ""
		}
		end += i + 1
	}
	return object[:end]
}

func BenchmarkSyslogWrap(b *testing.B) {
	s := syslogNew(b, 0, nil)
	encode := s.Wrap(format.JSON)
	ev := syslogEvent("2316604981177352196", 1, strings.Repeat("x", 3500))
	b.ReportAllocs()
	b.SetBytes(int64(len(ev.Raw)))
	var buf []byte
	for b.Loop() {
		var err error
		if buf, _, err = encode(buf[:0], ev, s.maxBytes); err != nil {
			b.Fatal(err)
		}
	}
}
