package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"

	"s1stream/internal/safe"
)

// syslogProbe connects to every address, shakes hands and hangs up. It sends no event.
func syslogProbe(ctx context.Context, c *SyslogConfig) Probe {
	p := Probe{Grade: BestEffort, Connections: 1}
	var conf *tls.Config
	if c.Transport == "tls" {
		var err error
		if conf, err = c.TLS.Client(); err != nil {
			p.Problems = append(p.Problems, Problem{What: err.Error(), Remedy: "give PEM files that this user can read"})
			return p
		}
	}
	for _, addr := range c.Address {
		var found string
		var err error
		if c.Transport == "udp" {
			found, err = syslogProbeUDP(ctx, addr)
		} else {
			found, err = syslogProbeStream(ctx, addr, conf)
		}
		if err != nil {
			remedy, _ := syslogRemedy(err)
			p.Problems = append(p.Problems, Problem{What: addr + ": " + safe.Text(err.Error()), Remedy: remedy})
			continue
		}
		p.Found = append(p.Found, addr+": "+found)
	}
	return p
}

func syslogProbeUDP(ctx context.Context, addr string) (string, error) {
	conn, err := (&net.Dialer{Timeout: syslogDialTimeout}).DialContext(ctx, "udp", addr)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close() }()
	return fmt.Sprintf("resolves to %s; UDP can't tell whether a collector listens there", conn.RemoteAddr()), nil
}

func syslogProbeStream(ctx context.Context, addr string, conf *tls.Config) (string, error) {
	c, err := syslogDial(ctx, addr, conf, nil)
	if err != nil {
		return "", err
	}
	defer c.close()
	// A collector that refuses the sender's address accepts and hangs up.
	if err := c.stands(ctx, syslogGrace); err != nil {
		return "", err
	}
	session, ok := c.Conn.(*tls.Conn)
	if !ok {
		return "connected, without TLS", nil
	}
	_ = c.end(syslogGrace) // good manners; the finding stands
	st := session.ConnectionState()
	cert := st.PeerCertificates[0]
	return fmt.Sprintf("connected, %s, certificate of %s valid until %s", tls.VersionName(st.Version),
		safe.Text(syslogNames(cert)), cert.NotAfter.UTC().Format(time.DateOnly)), nil
}

func syslogNames(cert *x509.Certificate) string {
	names := cert.DNSNames
	for _, ip := range cert.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return cert.Subject.CommonName
	}
	return strings.Join(names[:min(len(names), 5)], ", ")
}

// syslogRemedy says what to do about an error of a connection, and whether nothing but an operator's act can
// mend it.
func syslogRemedy(err error) (remedy string, denied bool) {
	var (
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		header    tls.RecordHeaderError
		op        *net.OpError
		dns       *net.DNSError
		timeout   net.Error
	)
	switch {
	case errors.As(err, &authority):
		return "set tls.ca_file to the certificate of the authority that signed the collector's", true
	case errors.As(err, &hostname):
		return "set tls.server_name to a name that the collector's certificate holds", true
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "renew the collector's certificate, or set this machine's clock", true
	case errors.As(err, &invalid):
		return "give the collector a server certificate that is fit for its name and use", true
	case errors.As(err, &header):
		return `give the collector's TLS port, often 6514, or set transport = "tcp"`, true
	case errors.Is(err, errSyslogTLS):
		return `set transport = "tls", or give the collector's port for plain TCP`, true
	case errors.Is(err, errSyslogRefused):
		return "set tls.cert_file and tls.key_file to a client certificate that the collector trusts", true
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		if text := err.Error(); strings.Contains(text, "internal error") {
			return "look into the collector's log", false
		} else if strings.Contains(text, "certificate") || strings.Contains(text, "access denied") {
			return "set tls.cert_file and tls.key_file to a client certificate that the collector trusts", true
		}
		return "set tls.cert_file and tls.key_file if the collector asks for a client certificate, and let it speak TLS 1.2 or later", true
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check address and transport, and that the collector runs", false
	case errors.As(err, &dns):
		return "check the name in address, and this machine's DNS", false
	case errors.Is(err, errSyslogEnded), errors.Is(err, syscall.ECONNRESET):
		return "let the collector accept this machine's address", false
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "no answer: check address, and firewalls on the way", false
	}
	return "check address and transport, and the collector's log", false
}

func syslogTooLarge(size, limit int) error {
	return &RefusedError{Err: fmt.Errorf("a record of %d bytes is larger than max_message_bytes = %d", size, limit)}
}
