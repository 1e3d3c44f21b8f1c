package sink

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"s1stream/internal/pki"
	"s1stream/internal/testpeer"
)

// syslogTLSPeer accepts TLS and hands each session to f.
func syslogTLSPeer(t *testing.T, conf *tls.Config, leaf pki.Leaf, f func(*tls.Conn)) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(leaf.Cert, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	conf.Certificates = []tls.Certificate{pair}
	l, err := tls.Listen("tcp", "127.0.0.1:0", conf)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { f(c.(*tls.Conn)); _ = c.Close() })
		}
	})
	t.Cleanup(func() { _ = l.Close(); wg.Wait() })
	return l.Addr().String()
}

func syslogDrain(c *tls.Conn) { _, _ = io.Copy(io.Discard, c) }

func TestSyslogTLS_RefusalsAreSaidWithTheirRemedy(t *testing.T) {
	certs := testpeer.NewCerts(t)
	expired, err := certs.Authority.Leaf("expired", -time.Minute, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	other, err := certs.Authority.Leaf("other", 0, "siem.example")
	if err != nil {
		t.Fatal(err)
	}
	mutual := func(version uint16) *tls.Config {
		return &tls.Config{MinVersion: version, MaxVersion: version, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: certs.Authority.Pool()}
	}
	plain := newSyslogPeer(t)
	go func() {
		for c := range plain.conns {
			_, _ = c.Write([]byte("220 not TLS\r\n"))
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { close(plain.conns) })

	for _, c := range []struct {
		name   string
		addr   string
		tls    TLS
		remedy string
	}{
		{"unknown authority", syslogTLSPeer(t, &tls.Config{}, certs.Server, syslogDrain), TLS{}, "tls.ca_file"},
		{"another name", syslogTLSPeer(t, &tls.Config{}, other, syslogDrain), TLS{CAFile: certs.CA}, "tls.server_name"},
		{"expired", syslogTLSPeer(t, &tls.Config{}, expired, syslogDrain), TLS{CAFile: certs.CA}, "renew"},
		{"no client certificate, TLS 1.2", syslogTLSPeer(t, mutual(tls.VersionTLS12), certs.Server, syslogDrain), TLS{CAFile: certs.CA}, "tls.cert_file"},
		{"no client certificate, TLS 1.3", syslogTLSPeer(t, mutual(tls.VersionTLS13), certs.Server, syslogDrain), TLS{CAFile: certs.CA}, "tls.cert_file"},
		{"a rogue client certificate, TLS 1.3", syslogTLSPeer(t, mutual(tls.VersionTLS13), certs.Server, syslogDrain),
			TLS{CAFile: certs.CA, CertFile: certs.Rogue.Cert, KeyFile: certs.Rogue.Key}, "tls.cert_file"},
		{"hung up after the handshake, without an alert",
			syslogTLSPeer(t, &tls.Config{ClientAuth: tls.RequestClientCert}, certs.Server, func(c *tls.Conn) { _ = c.Handshake() }), TLS{CAFile: certs.CA}, "tls.cert_file"},
		{"no TLS at all", plain.Addr().String(), TLS{CAFile: certs.CA}, `transport = "tcp"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			change := func(cfg *SyslogConfig) { cfg.Address, cfg.Transport, cfg.TLS = []string{c.addr}, "tls", c.tls }
			s := syslogNew(t, 0, change)
			err := s.Write(syslogContext(t), syslogRecords(t, s, syslogEvent("1", 1, "")))
			var denied *DeniedError
			if !errors.As(err, &denied) || !strings.Contains(err.Error(), c.remedy) {
				t.Errorf("Write: %v; want a *DeniedError that says %s", err, c.remedy)
			}
			p := s.cfg.Probe(syslogContext(t), Deps{})
			if len(p.Problems) != 1 || len(p.Found) != 0 || !strings.Contains(p.Problems[0].Remedy, c.remedy) {
				t.Errorf("Probe: %+v; want one problem that says %s", p, c.remedy)
			}
		})
	}
}

func TestSyslogTLS_ServerNameIsCheckedInsteadOfTheAddress(t *testing.T) {
	certs := testpeer.NewCerts(t)
	leaf, err := certs.Authority.Leaf("other", 0, "siem.example")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	addr := syslogTLSPeer(t, &tls.Config{}, leaf, func(c *tls.Conn) {
		b, _ := io.ReadAll(c) // ends with the sink's close_notify
		got <- string(b)
	})
	s := syslogNew(t, 0, func(c *SyslogConfig) {
		c.Address, c.Transport, c.TLS = []string{addr}, "tls", TLS{CAFile: certs.CA, ServerName: "siem.example"}
	})
	records := syslogRecords(t, s, syslogEvent("1", 1, ""))
	if err := s.Write(syslogContext(t), records); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if b := <-got; !strings.HasSuffix(b, string(records[0].Body)) {
		t.Errorf("got %q", b)
	}
}

func TestSyslog_PlainClientOnATLSPortIsToldSo(t *testing.T) {
	p := newSyslogPeer(t)
	c, err := syslogDial(t.Context(), p.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	// What OpenSSL answers to an octet count: the alert protocol_version, as a record of TLS 1.0.
	if _, err := p.next(t).Write([]byte{0x15, 3, 1, 0, 2, 2, 70}); err != nil {
		t.Fatal(err)
	}
	err = c.stands(t.Context(), 10*time.Second)
	if remedy, denied := syslogRemedy(err); !denied || !strings.Contains(remedy, `transport = "tls"`) {
		t.Errorf("%v: %s", err, remedy)
	}
}

func TestSyslogProbe_SendsNothing(t *testing.T) {
	p := newSyslogPeer(t)
	cfg := DefaultSyslog()
	cfg.Address = []string{p.Addr().String()}
	probe := cfg.Probe(syslogContext(t), Deps{})
	if len(probe.Found) != 1 || len(probe.Problems) != 0 || probe.Grade != BestEffort || probe.Connections != 1 {
		t.Errorf("%+v", probe)
	}
	if b, err := io.ReadAll(p.next(t)); len(b) != 0 || err != nil {
		t.Errorf("the collector got %q, %v", b, err)
	}

	u, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = u.Close() }()
	cfg.Address, cfg.Transport = []string{u.LocalAddr().String(), "no-such-host.invalid:514"}, "udp"
	probe = cfg.Probe(syslogContext(t), Deps{})
	if len(probe.Found) != 1 || len(probe.Problems) != 1 || !strings.Contains(probe.Problems[0].Remedy, "DNS") {
		t.Errorf("%+v", probe)
	}
	if err := u.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if n, _, err := u.ReadFrom(make([]byte, 9)); err == nil {
		t.Errorf("the collector got a datagram of %d bytes", n)
	}
}

func TestSyslog_ReadsItsTLSFilesAtOnce(t *testing.T) {
	cfg := DefaultSyslog()
	cfg.Address, cfg.Transport, cfg.TLS.CAFile = []string{"127.0.0.1:1"}, "tls", "/nowhere/ca.pem"
	if _, err := cfg.New(Deps{}); err == nil || !strings.Contains(err.Error(), "tls.ca_file") {
		t.Errorf("got %v", err)
	}
	if p := cfg.Probe(t.Context(), Deps{}); len(p.Problems) != 1 {
		t.Errorf("%+v", p)
	}
}
