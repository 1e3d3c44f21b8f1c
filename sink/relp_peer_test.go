package sink

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

func relpNew(t testing.TB, limit int, addr string, change func(*RELPConfig)) *RELP {
	t.Helper()
	cfg := DefaultRELP()
	cfg.Address, cfg.Hostname = []string{addr}, "fw.example"
	if change != nil {
		change(cfg)
	}
	r, err := NewRELP(*cfg, Deps{Name: "siem", Source: "prod", MaxMessageBytes: limit, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func relpRecords(t testing.TB, r *RELP, evs ...*event.Event) (out []Record) {
	t.Helper()
	encode := r.Wrap(format.JSON)
	for _, ev := range evs {
		body, _, err := encode(nil, ev, r.maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Record{Event: ev, Body: body})
	}
	return out
}

// relpInput is one way into a real receiver.
type relpInput struct {
	name   string
	addr   string
	change func(*RELPConfig)
	stored func() []string
	kill   func()
	start  func()
}

var relpModes = []string{"plain", "tls", "mtls"}

// relpPeers are the real receivers: rsyslog's imrelp and Teragrep's rlp_03, each plain, with TLS, and with TLS that
// wants a client certificate. n is rlp_03's alone: see StartRELPServer.
func relpPeers(t *testing.T, n int, modes []string, f func(t *testing.T, in relpInput, certs testpeer.Certs)) {
	certs := testpeer.NewCerts(t)
	for _, mode := range modes {
		change := func(c *RELPConfig) {
			if mode != "plain" {
				c.TLS.CAFile = certs.CA
			}
			if mode == "mtls" {
				c.TLS.CertFile, c.TLS.KeyFile = certs.Client.Cert, certs.Client.Key
			}
		}
		t.Run("rsyslog "+mode, func(t *testing.T) {
			input := map[string]string{"plain": "relp", "tls": "relp-tls", "mtls": "relp-mtls"}[mode]
			p := testpeer.StartRsyslog(t, certs, input)
			f(t, relpInput{mode, p.Addr(input), change, func() []string { return p.Lines(input) }, p.Kill, p.Start}, certs)
		})
		t.Run("rlp_03 "+mode, func(t *testing.T) {
			p := testpeer.StartRELPServer(t, certs, mode, n)
			f(t, relpInput{mode, p.Addr("relp"), change, p.Records, p.Kill, p.Start}, certs)
		})
	}
}

// wait returns what is stored once that is n records.
func (in relpInput) wait(t *testing.T, n int) []string {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if got := in.stored(); len(got) >= n {
			return got
		} else if time.Now().After(end) {
			t.Fatalf("%d records are stored, want %d", len(got), n)
		}
	}
}

func TestRELPPeers_StoreEveryRecordByteForByte(t *testing.T) {
	relpPeers(t, 0, relpModes, func(t *testing.T, in relpInput, _ testpeer.Certs) {
		r := relpNew(t, 200_000, in.addr, in.change)
		evs := []*event.Event{syslogEvent("2316604981177352196", 0, "not UTF-8: ?"), syslogEvent(syslogHostile, 1, syslogHostile), syslogEvent("3", 2, strings.Repeat("é", 60_000))}
		evs[0].Raw = []byte(strings.Replace(string(evs[0].Raw), "?", "\xff\xc3", 1))
		for n := range 300 {
			evs = append(evs, syslogEvent(fmt.Sprint(100+n), n, strings.Repeat("x", n)))
		}
		records := relpRecords(t, r, evs...)
		var want []string
		for _, rec := range records {
			want = append(want, string(rec.Body))
		}
		if err := r.Write(syslogContext(t), records); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, in.wait(t, len(want))); diff != "" {
			t.Errorf("stored other bytes:\n%.2000s", diff)
		}
		began := time.Now()
		if err := r.Close(); err != nil || time.Since(began) > relpCloseTimeout {
			t.Errorf("Close: %v after %v", err, time.Since(began))
		}
		probe := r.cfg.Probe(syslogContext(t), Deps{})
		if len(probe.Problems) != 0 || len(probe.Found) != 2 || !strings.Contains(probe.Found[0], "RELP version 0, ") ||
			strings.Contains(probe.Found[0], "TLS 1.3, certificate of localhost") == (in.name == "plain") || probe.Grade != Acknowledged {
			t.Errorf("%+v", probe)
		}
		if got := in.stored(); len(got) != len(want) {
			t.Errorf("the probe left %q", got[len(want):])
		}
	})
}

func TestRELPPeers_RefuseAClientThatTheyDoNotTrust(t *testing.T) {
	relpPeers(t, 0, relpModes, func(t *testing.T, in relpInput, certs testpeer.Certs) {
		clients := map[string]TLS{
			"no certificate":  {CAFile: certs.CA},
			"another CA's":    {CAFile: certs.CA, CertFile: certs.Rogue.Cert, KeyFile: certs.Rogue.Key},
			"unknown server":  {CertFile: certs.Client.Cert, KeyFile: certs.Client.Key},
			"another's name":  {CAFile: certs.CA, CertFile: certs.Client.Cert, KeyFile: certs.Client.Key, ServerName: "siem.example"},
			"the server's CA": {Enabled: true},
		}
		if in.name != "mtls" {
			delete(clients, "no certificate")
			delete(clients, "another CA's")
		}
		if in.name == "plain" {
			clients = map[string]TLS{"TLS on a plain port": {CAFile: certs.CA}}
		}
		for name, tls := range clients {
			t.Run(name, func(t *testing.T) {
				r := relpNew(t, 0, in.addr, func(c *RELPConfig) { c.TLS = tls })
				err := r.Write(syslogContext(t), relpRecords(t, r, syslogEvent("1", 1, "")))
				var denied *DeniedError
				if !errors.As(err, &denied) && in.name != "plain" {
					t.Errorf("%v; want a *DeniedError", err)
				} else if err == nil || in.name == "plain" && !strings.Contains(err.Error(), "tls") {
					t.Errorf("%v; want it to speak of TLS", err)
				}
				if probe := r.cfg.Probe(syslogContext(t), Deps{}); len(probe.Problems) != 1 {
					t.Errorf("%+v", probe)
				}
			})
		}
		if in.name == "plain" {
			return
		}
		t.Run("plain on a TLS port", func(t *testing.T) {
			r := relpNew(t, 0, in.addr, nil)
			err := r.Write(syslogContext(t), relpRecords(t, r, syslogEvent("1", 1, "")))
			if err == nil || !strings.Contains(err.Error(), "tls.enabled") {
				t.Errorf("%v; want it to say tls.enabled", err)
			}
		})
		if got := in.stored(); len(got) != 0 {
			t.Errorf("stored %q", got)
		}
	})
}

// relpBatch is what relpLine writes at once: a version of the threat "one" and others.
const relpBatch = 200

// relpLine writes on and on as a line does, and tries again what was not taken, until stop is closed. It returns how
// many batches it wrote, and how many answers were 500. Whoever listens to begun hears that a Write begins.
func relpLine(t *testing.T, r *RELP, begun chan<- struct{}, stop <-chan struct{}, acks, partly *atomic.Int64) (n, refused int) {
	for {
		batch := relpRecords(t, r, syslogEvent("one", n, strings.Repeat("x", 1000)))
		for i := range relpBatch - 1 {
			batch = append(batch, relpRecords(t, r, syslogEvent(fmt.Sprint(n, "-", i), n, ""))...)
		}
		for len(batch) > 0 {
			select {
			case begun <- struct{}{}:
			default:
			}
			err := r.Write(syslogContext(t), batch)
			var failed *BatchError
			var again []Record
			switch {
			case errors.As(err, &failed):
				lost := false
				for _, f := range failed.Failed {
					again = append(again, batch[f.Index])
					var no *RefusedError
					if errors.As(f.Err, &no) {
						refused++
					} else {
						lost = true
					}
				}
				if lost {
					partly.Add(1)
				}
			case err != nil:
				again = batch
				time.Sleep(20 * time.Millisecond)
			}
			acks.Add(int64(len(batch) - len(again)))
			batch = again
		}
		n++
		select {
		case <-stop:
			return n, refused
		default:
		}
	}
}

func TestRELPPeers_LoseNothingWhenTheyAreKilledTenTimes(t *testing.T) {
	// Both store a record before they answer it, so that not one acknowledged record may be missing.
	relpPeers(t, 7, relpModes[:2], func(t *testing.T, in relpInput, _ testpeer.Certs) {
		r := relpNew(t, 0, in.addr, in.change)
		begun, stop, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
		var acks, partly atomic.Int64 // partly: Writes that ended with some records taken and some unknown
		var n, refused int
		go func() {
			defer close(done)
			n, refused = relpLine(t, r, begun, stop, &acks, &partly)
		}()
		// Each time after some more acks, at any moment of a Write, and until one was taken in part.
		for kills := 0; kills < 10 || partly.Load() == 0 && kills < 50; kills++ {
			enough := acks.Load() + 1 + rand.Int64N(1000)
			for end := time.Now().Add(20 * time.Second); acks.Load() < enough; time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Errorf("no acks any more: %d, want %d", acks.Load(), enough)
					break
				}
			}
			select {
			case <-begun:
				time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
			case <-time.After(20 * time.Second):
				t.Error("no Write any more")
			}
			in.kill()
			in.start()
		}
		close(stop)
		<-done
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if acks.Load() != int64(relpBatch*n) {
			t.Errorf("%d acks for %d records", acks.Load(), relpBatch*n)
		}

		lost := map[string]bool{}
		for b := range n {
			lost[fmt.Sprintf(`"id":"one","n":%d,`, b)] = true
			for i := range relpBatch - 1 {
				lost[fmt.Sprintf(`"id":"%d-%d","n":%d,`, b, i, b)] = true
			}
		}
		stored := in.wait(t, relpBatch*n)
		last := ""
		for _, line := range stored {
			_, object, _ := strings.Cut(line, `] {`)
			delete(lost, syslogKey(object, 2))
			if strings.HasPrefix(object, `"id":"one"`) {
				last = object
			}
		}
		t.Logf("%d acknowledged, %d stored, %d answered 500, %d Writes taken in part, %d lost", relpBatch*n, len(stored), refused, partly.Load(), len(lost))
		if partly.Load() == 0 {
			t.Error("no kill fell into a Write: nothing is shown")
		}
		if len(lost) > 0 {
			t.Errorf("lost %d of %d", len(lost), relpBatch*n)
		}
		if last == "" || syslogNumber(t, last) != n-1 {
			t.Errorf("the last copy is not the newest of %d: %.300s", n, last)
		}
	})
}

func TestRELPPeers_CutWhatIsLongerAndAcknowledgeIt(t *testing.T) {
	// This is why the default of max_message_bytes is what it is: rsyslog as it comes says 200 and keeps a part.
	p := testpeer.StartRsyslogAsItComes(t)
	long := strings.Repeat("x", relpMaxMessage)
	encode := func(r *RELP, size int) Record {
		head := "<131>1 2026-11-21T13:06:44.908771Z fw.example sentinelone - - - "
		return Record{Event: syslogEvent("1", size, ""), Body: []byte(head + long[:size-len(head)])}
	}
	r := relpNew(t, 0, p.Addr("relp"), nil)
	want := encode(r, relpMaxMessage)
	if err := r.Write(syslogContext(t), []Record{want}); err != nil {
		t.Fatal(err)
	}
	if got := p.WaitLines("relp", 1, 10*time.Second); got[0] != string(want.Body) {
		t.Errorf("of %d bytes %d are stored", len(want.Body), len(got[0]))
	}
	long += "x"
	over := encode(r, relpMaxMessage+1)
	var failed *BatchError
	var refused *RefusedError
	err := r.Write(syslogContext(t), []Record{over, want})
	if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Index != 0 || !errors.As(failed.Failed[0].Err, &refused) {
		t.Errorf("a record over the limit: %v", err)
	}
	if got := p.WaitLines("relp", 2, 10*time.Second); got[1] != string(want.Body) {
		t.Errorf("it was sent: %d bytes", len(got[1]))
	}
	// With the limit raised on our side alone.
	r = relpNew(t, relpMaxMessage+1, p.Addr("relp"), nil)
	if err := r.Write(syslogContext(t), []Record{over}); err != nil {
		t.Errorf("this rsyslog answers what is too long with %v: the default of max_message_bytes may be raised", err)
	}
	if got := p.WaitLines("relp", 3, 10*time.Second); len(got[2]) > relpMaxMessage {
		t.Errorf("this rsyslog takes %d bytes by default: the default of max_message_bytes may be raised", len(got[2]))
	}
	for limit, want := range map[int]string{0: `raise global(maxMessageSize="64k")`, 20_000: `global(maxMessageSize="20000") or more`} {
		probe := r.cfg.Probe(syslogContext(t), Deps{MaxMessageBytes: limit})
		if len(probe.Found) != 2 || !strings.Contains(probe.Found[1], want) {
			t.Errorf("max_message_bytes = %d: %q", limit, probe.Found)
		}
	}
}
