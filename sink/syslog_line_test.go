package sink

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/leodido/go-syslog/v4/rfc5424"

	"s1stream/internal/event"
	"s1stream/sink/format"
)

func TestSyslogConfig_NamesEveryMistakeAndItsKey(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*SyslogConfig)
		want   []string
	}{
		{"the defaults with an address are right", func(*SyslogConfig) {}, nil},
		{"IPv6 in brackets, names and several", syslogTo("[2001:db8::1]:514", "siem.example:6514"), nil},
		{"no address", syslogTo(), []string{"address: must not be empty"}},
		{"addresses", syslogTo("siem", "tcp://siem:514", "2001:db8::1:514", "siem:0", "siem:70000", ":514"),
			[]string{`"siem" must be`, `"tcp://siem:514"`, `"2001:db8::1:514"`, `"siem:0"`, `"siem:70000"`, `":514"`}},
		{"words", func(c *SyslogConfig) { c.Transport, c.Header, c.Framing, c.Facility = "relp", "cef", "crlf", "local8" },
			[]string{"transport:", "header:", "framing:", "facility:"}},
		{"facility as a number", func(c *SyslogConfig) { c.Facility = "23" }, nil},
		{"facility out of range", func(c *SyslogConfig) { c.Facility = "24" }, []string{"facility:"}},
		{"LF framing with TLS", func(c *SyslogConfig) { c.Transport, c.Framing = "tls", "lf" }, []string{"framing:"}},
		{"TLS keys without TLS would be clear text", func(c *SyslogConfig) { c.TLS.CAFile = "ca.pem" }, []string{"tls: its keys need"}},
		{"half a client certificate", func(c *SyslogConfig) { c.Transport, c.TLS.CertFile = "tls", "c.pem" }, []string{"tls.cert_file"}},
		{"names", func(c *SyslogConfig) { c.AppName, c.Hostname, c.EnterpriseNumber = "a b", "h\n", 0 },
			[]string{"app_name:", "hostname:", "enterprise_number:"}},
		{"a tag", func(c *SyslogConfig) { c.AppName, c.Header = "sentinel-one", "rfc3164" }, []string{"app_name:"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := DefaultSyslog()
			cfg.Address = []string{"siem.example:514"}
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
}

func TestSyslogConfig_CapsWhatNoReceiverTakes(t *testing.T) {
	for transport, want := range map[string][3]int{"tcp": {8000, 100, 200_000}, "tls": {8000, 100, 200_000}, "udp": {1400, 100, 65_507}} {
		cfg := DefaultSyslog()
		cfg.Transport = transport
		if got := [3]int{cfg.MaxBytes(0), cfg.MaxBytes(100), cfg.MaxBytes(1 << 30)}; got != want {
			t.Errorf("%s: %v, want %v", transport, got, want)
		}
	}
}

func TestSyslogWrap_MakesAWholeLine(t *testing.T) {
	ev := syslogEvent("2316604981177352196", 0, "x")
	for _, c := range []struct {
		name   string
		change func(*SyslogConfig)
		want   string
	}{
		{"RFC 5424", nil, "<131>1 2026-11-21T13:06:44.908771Z fw.example sentinelone - threat.update " +
			`[s1@32473 id="2316604981177352196" version="` + ev.Version.String() + `"] ` + string(ev.Raw)},
		{"RFC 5424, configured", func(c *SyslogConfig) { c.Facility, c.AppName, c.EnterpriseNumber = "auth", "s1", 9 },
			"<35>1 2026-11-21T13:06:44.908771Z fw.example s1 - threat.update " +
				`[s1@9 id="2316604981177352196" version="` + ev.Version.String() + `"] ` + string(ev.Raw)},
		{"RFC 3164", func(c *SyslogConfig) { c.Header = "rfc3164" }, "<131>Nov 21 13:06:44 fw.example sentinelone: " + string(ev.Raw)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := syslogRecords(t, syslogNew(t, 0, c.change), ev)[0].Body
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSyslogWrap_PadsTheDayOfRFC3164(t *testing.T) {
	ev := syslogEvent("1", 0, "")
	ev.UpdatedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	got := string(syslogRecords(t, syslogNew(t, 0, func(c *SyslogConfig) { c.Header = "rfc3164" }), ev)[0].Body)
	if !strings.HasPrefix(got, "<131>Jan  2 02:04:05 fw.example ") {
		t.Errorf("got %q", got)
	}
}

func TestSyslogWrap_KeepsAnyEventOnOneLineWithinItsLimit(t *testing.T) {
	hostile := syslogEvent(`id"] \ ]`+"\n", 0, strings.Repeat("é\"\\", 3000))
	pretty := syslogEvent("1", 0, "x")
	pretty.Raw = []byte(strings.ReplaceAll(string(pretty.Raw), `,"`, ",\r\n \""))
	for _, limit := range []int{500, 1400, 8000, 100_000} {
		s := syslogNew(t, limit, nil)
		for _, ev := range []*event.Event{hostile, pretty} {
			before := string(ev.Raw)
			body, shrunk, err := s.Wrap(format.JSON)([]byte("dst"), ev, limit)
			if err != nil {
				t.Fatal(err)
			}
			if string(ev.Raw) != before {
				t.Fatal("the event was written to")
			}
			line := string(body[3:])
			if len(line) > limit || strings.ContainsAny(line, "\r\n") || string(body[:3]) != "dst" {
				t.Errorf("limit %d: %d bytes: %.300q", limit, len(line), line)
			}
			m, err := rfc5424.NewParser().Parse([]byte(line))
			if err != nil {
				t.Fatalf("limit %d: %v: %.300q", limit, err, line)
			}
			params := (*m.(*rfc5424.SyslogMessage).StructuredData)["s1@32473"]
			if want := strings.ReplaceAll(ev.ID, "\n", " "); params["id"] != want {
				t.Errorf("id %q, want %q", params["id"], want)
			}
			if (params["truncated"] == "1") != shrunk || shrunk != (len(ev.Raw) > limit-200) {
				t.Errorf("limit %d: shrunk %v of %d bytes, said %q", limit, shrunk, len(ev.Raw), params["truncated"])
			}
		}
	}
	for _, limit := range []int{20, 150, 250} {
		if _, _, err := syslogNew(t, limit, nil).Wrap(format.JSON)(nil, hostile, limit); err == nil {
			t.Errorf("%d bytes can't hold it: want an error", limit)
		}
	}
}

func TestSyslogFrame_SplitsNoRecordAndRefusesTheOversized(t *testing.T) {
	big := strings.Repeat("b", 150_000)
	records := []Record{{Body: []byte("<1>a")}, {Body: []byte(strings.Repeat("x", 200_001))}, {Body: []byte(big)}, {Body: []byte(big)}, {Body: []byte("é")}}
	frames, refused := syslogFrame(records, false, 200_000)
	var got []string
	for _, f := range frames {
		got = append(got, string(f.bytes))
	}
	if diff := cmp.Diff([]string{"4 <1>a150000 " + big, "150000 " + big + "2 é"}, got); diff != "" {
		t.Error(diff[:200])
	}
	var r *RefusedError
	if len(refused) != 1 || refused[0].Index != 1 || !errors.As(refused[0].Err, &r) {
		t.Errorf("refused %v", refused)
	}
	frames, _ = syslogFrame(records[:1], true, 200_000)
	if len(frames) != 1 || string(frames[0].bytes) != "<1>a\n" {
		t.Errorf("LF framing: %+v", frames)
	}
}

func TestSyslogTail_OwesTheLastSecondsUntilAllOfItIsPaid(t *testing.T) {
	t0 := time.Unix(1000, 0)
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	one := func(s string) []syslogFrames { return []syslogFrames{{bytes: []byte(s), records: 1}} }
	held := func(tail *syslogTail) (s string) {
		for _, f := range tail.frames {
			s += string(f.bytes)
		}
		return s
	}
	var tail syslogTail
	for i, s := range []string{"a", "b", "c", "d"} {
		tail.add(at(10*i), one(s)) // 0, 10, 20, 30
	}
	if got := held(&tail); got != "bcd" {
		t.Fatalf("holds %q at 30 s, want what is at most 20 s old", got)
	}
	tail.owe(at(35)) // "b" is older than 20 s by then
	if got := held(&tail); got != "cd" || !tail.owed || tail.records() != 2 {
		t.Fatalf("owes %q", got)
	}
	tail.owe(at(500)) // the next connection broke too, much later: owed is owed
	if got := held(&tail); got != "cd" || !tail.owed {
		t.Fatalf("owes %q after a second break", got)
	}
	tail.paid(at(510))
	tail.owe(at(515)) // they were written at 510
	if got := held(&tail); got != "cd" || !tail.owed {
		t.Fatalf("owes %q after a break soon after", got)
	}
	tail.paid(at(520))
	tail.owe(at(600))
	if tail.owed || tail.bytes != 0 {
		t.Errorf("owes %q long after", held(&tail))
	}
	large := strings.Repeat("x", syslogTailBytes/4)
	for range 9 {
		tail.add(at(700), one(large))
	}
	if tail.bytes > syslogTailBytes || len(tail.frames) != 4 {
		t.Errorf("holds %d bytes in %d pieces", tail.bytes, len(tail.frames))
	}
}
