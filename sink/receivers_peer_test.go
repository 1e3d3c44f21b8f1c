package sink

import (
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
)

// What follows holds for the files of deploy/siem/rsyslog and deploy/siem/syslog-ng; that they take every event byte for
// byte, over each of their ways in, is shown by the tests of syslog and relp, which run on them.

// receiversMax is maxMessageSize of the one and log-msg-size of the other, in bytes.
const receiversMax = 256 << 10

// receiversRecord is a record of so many bytes.
func receiversRecord(size int) Record {
	head := "<131>1 2026-11-21T13:06:44.908771Z fw.example sentinelone - - - "
	return Record{Event: syslogEvent("1", size, ""), Body: []byte(head + strings.Repeat("x", size-len(head)))}
}

func receiversTLS(certs testpeer.Certs, addr string) func(*SyslogConfig) {
	return func(c *SyslogConfig) { c.Address, c.Transport, c.TLS.CAFile = []string{addr}, "tls", certs.CA }
}

func TestReceivers_StoreWhatIsAsLargeAsTheyTakeAndGetNothingLarger(t *testing.T) {
	certs := testpeer.NewCerts(t)
	rsyslog, ng := testpeer.StartRsyslog(t, certs, "tls", "relp"), testpeer.StartSyslogNG(t, certs, "tls")
	for _, row := range []struct {
		name  string
		peer  *testpeer.Syslog
		input string
		most  int
		sink  func(limit int) Sink
	}{
		{"rsyslog, RELP", rsyslog, "relp", receiversMax, func(limit int) Sink { return relpNew(t, limit, rsyslog.Addr("relp"), nil) }},
		{"rsyslog, TLS", rsyslog, "tls", syslogHardStream, func(limit int) Sink { return syslogNew(t, limit, receiversTLS(certs, rsyslog.Addr("tls"))) }},
		{"syslog-ng, TLS", ng, "tls", syslogHardStream, func(limit int) Sink { return syslogNew(t, limit, receiversTLS(certs, ng.Addr("tls"))) }},
	} {
		t.Run(row.name, func(t *testing.T) {
			s, want := row.sink(row.most), receiversRecord(row.most)
			if err := s.Write(syslogContext(t), []Record{want}); err != nil {
				t.Fatal(err)
			}
			var failed *BatchError
			var refused *RefusedError
			err := s.Write(syslogContext(t), []Record{receiversRecord(row.most + 1), want})
			if !errors.As(err, &failed) || len(failed.Failed) != 1 || failed.Failed[0].Index != 0 || !errors.As(failed.Failed[0].Err, &refused) {
				t.Errorf("a record of a byte more: %v; want it refused without being sent", err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			got := row.peer.WaitLines(row.input, 2, 10*time.Second)
			if len(got) != 2 || got[0] != string(want.Body) || got[1] != string(want.Body) {
				t.Errorf("stored %d records, the first of %d bytes; want two of %d", len(got), len(got[0]), row.most)
			}
		})
	}
	t.Run("RELP with a limit above the receiver's", func(t *testing.T) {
		before := len(rsyslog.Lines("relp"))
		err := relpNew(t, 2*receiversMax, rsyslog.Addr("relp"), nil).Write(syslogContext(t), []Record{receiversRecord(receiversMax + 1)})
		if err == nil {
			t.Error("what is too large was acknowledged: is it cut?")
		}
		if got := rsyslog.Lines("relp")[before:]; len(got) != 0 {
			t.Errorf("stored %d bytes of %d", len(got[0]), receiversMax+1)
		}
	})
}

// receiversNext is how many records wait for a next hop that is down: more than rsyslog's queue keeps in memory.
const receiversNext = 5000

func TestReceivers_KeepOnDiskWhatTheNextHopDoesNotTake(t *testing.T) {
	certs := testpeer.NewCerts(t)
	for _, row := range []struct {
		name    string
		relay   func(next string) (*testpeer.Syslog, string)
		sink    func(addr string) (Sink, func([]*event.Event) []Record)
		restart func(*testpeer.Syslog)
	}{
		{"rsyslog stopped", func(next string) (*testpeer.Syslog, string) {
			port := next[strings.LastIndexByte(next, ':')+1:]
			return testpeer.StartRsyslogWith(t, certs, map[string]string{"S1_NEXT": "127.0.0.1", "S1_NEXT_PORT": port, "S1_NEXT_NAME": "localhost"}, "relp"), "relp"
		}, func(addr string) (Sink, func([]*event.Event) []Record) {
			r := relpNew(t, 0, addr, nil)
			return r, func(evs []*event.Event) []Record { return relpRecords(t, r, evs...) }
		}, (*testpeer.Syslog).Stop},
		{"syslog-ng killed", func(next string) (*testpeer.Syslog, string) {
			port := next[strings.LastIndexByte(next, ':')+1:]
			return testpeer.StartSyslogNGWith(t, certs, map[string]string{"s1_next": "127.0.0.1", "s1_next_port": port, "s1_spool_max": "104857600"}, "tls"), "tls"
		}, func(addr string) (Sink, func([]*event.Event) []Record) {
			s := syslogNew(t, 0, receiversTLS(certs, addr))
			return s, func(evs []*event.Event) []Record { return syslogRecords(t, s, evs...) }
		}, (*testpeer.Syslog).Kill},
	} {
		t.Run(row.name, func(t *testing.T) {
			next := testpeer.StartRsyslog(t, certs, "tls")
			next.Stop()
			relay, input := row.relay(next.Addr("tls"))
			s, encode := row.sink(relay.Addr(input))
			var want []string
			for from := 0; from < receiversNext; from += 500 {
				var evs []*event.Event
				for i := range 500 {
					evs = append(evs, syslogEvent(fmt.Sprint(from+i), from+i, syslogHostile))
				}
				records := encode(evs)
				if err := s.Write(syslogContext(t), records); err != nil {
					t.Fatal(err)
				}
				for _, r := range records {
					want = append(want, string(r.Body))
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, relay.WaitLines(input, receiversNext, 20*time.Second)); diff != "" {
				t.Fatalf("the relay's own file differs:\n%.1000s", diff)
			}
			row.restart(relay)
			if n := receiversBytes(t, relay.Spool(input)); n < receiversNext*200 {
				t.Errorf("%d bytes are on disk for %d records", n, receiversNext)
			}
			relay.Start()
			next.Start()
			slices.Sort(want)
			// What was on its way when the relay stopped it may send again (at least once): each has its version.
			n, got := receiversNext, []string(nil)
			for deadline := time.Now().Add(60 * time.Second); ; n++ {
				got = next.WaitLines("tls", n, time.Until(deadline))
				slices.Sort(got)
				if got = slices.Compact(got); len(got) >= receiversNext || time.Now().After(deadline) {
					break
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("the next hop has other records:\n%.1000s", diff)
			}
			relay.Stop() // before the next hop, whose end would be waited for
		})
	}
}

func TestReceivers_SendOnInClearTextToo(t *testing.T) {
	certs := testpeer.NewCerts(t)
	next := testpeer.StartRsyslog(t, certs, "tcp")
	addr := next.Addr("tcp")
	relay := testpeer.StartRsyslogWith(t, certs, map[string]string{
		"S1_NEXT": "127.0.0.1", "S1_NEXT_PORT": addr[strings.LastIndexByte(addr, ':')+1:], "S1_NEXT_TLS": "0",
	}, "relp")
	r := relpNew(t, 0, relay.Addr("relp"), nil)
	records := relpRecords(t, r, syslogEvent("1", 1, syslogHostile))
	if err := r.Write(syslogContext(t), records); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{string(records[0].Body)}, next.WaitLines("tcp", 1, 20*time.Second)); diff != "" {
		t.Error(diff)
	}
}

// receiversBytes is the size of the files in a directory.
func receiversBytes(t *testing.T, dir string) (n int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

func TestReceivers_WriteTheEventAloneIfAskedAndForTheirGroupAlone(t *testing.T) {
	certs := testpeer.NewCerts(t)
	for name, p := range map[string]*testpeer.Syslog{
		"rsyslog":   testpeer.StartRsyslogWith(t, certs, map[string]string{"S1_WRITE": "s1streamBody"}, "tls"),
		"syslog-ng": testpeer.StartSyslogNGWith(t, certs, map[string]string{"s1_write": "body"}, "tls"),
	} {
		t.Run(name, func(t *testing.T) {
			s, ev := syslogNew(t, 0, receiversTLS(certs, p.Addr("tls"))), syslogEvent("1", 1, syslogHostile)
			ev.Raw = []byte(strings.ReplaceAll(string(ev.Raw), " ", "\t")) // as LEEF has them
			if err := s.Write(syslogContext(t), syslogRecords(t, s, ev)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{string(ev.Raw)}, p.WaitLines("tls", 1, 10*time.Second)); diff != "" {
				t.Error(diff)
			}
			for file, want := range map[string]os.FileMode{p.Stored("tls"): 0o640, filepath.Dir(p.Stored("tls")): 0o750} {
				if fi, err := os.Stat(file); err != nil || fi.Mode().Perm() != want {
					t.Errorf("%s: %v, %v; want %v", filepath.Base(file), fi.Mode(), err, want)
				}
			}
		})
	}
}

func TestReceivers_SpeakNoOldTLS(t *testing.T) {
	certs := testpeer.NewCerts(t)
	rsyslog, ng := testpeer.StartRsyslog(t, certs, "tls", "relp-tls"), testpeer.StartSyslogNG(t, certs, "tls")
	for name, addr := range map[string]string{"rsyslog": rsyslog.Addr("tls"), "rsyslog, RELP": rsyslog.Addr("relp-tls"), "syslog-ng": ng.Addr("tls")} {
		for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			c, err := tls.Dial("tcp", addr, &tls.Config{MinVersion: version, MaxVersion: version, InsecureSkipVerify: true})
			if (err == nil) != want {
				t.Errorf("%s, %s: %v", name, tls.VersionName(version), err)
			}
			if err == nil {
				_ = c.Close()
			}
		}
	}
}
