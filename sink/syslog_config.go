package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"s1stream/internal/safe"
	"s1stream/sink/rfc5424"
)

// Sizes of one record, header included and framing not, in bytes.
const (
	// syslogMaxStream is the default over TCP and TLS: rsyslog 8.2302 cuts at 8096, and many parsers at 8192.
	syslogMaxStream = 8000
	// syslogMaxUDP is the default over UDP: what fits one Ethernet frame.
	syslogMaxUDP = 1400
	// syslogHardStream is the most that is ever sent over TCP: a larger octet count makes rsyslog's imtcp (its
	// maxFrameSize) lose the framing, and the rest of the connection becomes bogus records.
	syslogHardStream = 200_000
	// syslogHardUDP is the most an IPv4 datagram holds.
	syslogHardUDP = 65_507
)

// SyslogConfig is a sink of type "syslog".
type SyslogConfig struct {
	Address   []string `koanf:"address"`   // host:port, tried in order at every connection; IPv6 in brackets
	Transport string   `koanf:"transport"` // udp (RFC 5426), tcp (RFC 6587) or tls (RFC 5425)
	Header    string   `koanf:"header"`    // rfc5424 or rfc3164
	Framing   string   `koanf:"framing"`   // over TCP: octet-counting or lf
	Facility  string   `koanf:"facility"`  // a name such as local0, or 0 to 23
	AppName   string   `koanf:"app_name"`
	Hostname  string   `koanf:"hostname"` // default: this machine's name
	// EnterpriseNumber is the IANA number of the structured data's id, "s1@32473" by default: the number that
	// RFC 5612 sets aside for documentation, for an operator without one.
	EnterpriseNumber uint32 `koanf:"enterprise_number"`
	TLS              TLS    `koanf:"tls"` // transport says whether TLS is used; tls.enabled is not needed
}

var _ Config = (*SyslogConfig)(nil)

// DefaultSyslog returns a configuration that lacks only its address.
func DefaultSyslog() *SyslogConfig {
	return &SyslogConfig{
		Transport: "tcp", Header: "rfc5424", Framing: "octet-counting",
		Facility: "local0", AppName: "sentinelone", EnterpriseNumber: 32473,
	}
}

// Validate implements Config.
func (c *SyslogConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, got string, want ...string) {
		for _, w := range want {
			if got == w {
				return
			}
		}
		bad("%s: %q must be one of %s", key, safe.Text(got), strings.Join(want, ", "))
	}

	if len(c.Address) == 0 {
		bad(`address: must not be empty: give the collector as host:port, as in "siem.example.com:6514"`)
	}
	for _, a := range c.Address {
		if !syslogAddress(a) {
			bad("address: %q must be host:port, without a scheme; IPv6 in brackets", safe.Text(a))
		}
	}
	oneOf("transport", c.Transport, "udp", "tcp", "tls")
	oneOf("header", c.Header, "rfc5424", "rfc3164")
	oneOf("framing", c.Framing, "octet-counting", "lf")
	if c.Framing == "lf" && c.Transport != "tcp" {
		bad(`framing: "lf" is for transport = "tcp" alone: TLS is always octet-counted (RFC 5425), a datagram needs no framing`)
	}
	if _, ok := syslogFacility(c.Facility); !ok {
		bad("facility: %q must be 0 to 23 or a name: %s", safe.Text(c.Facility), strings.Join(syslogFacilities[:], ", "))
	}
	if !rfc5424.Valid(c.AppName, rfc5424.MaxAppName) {
		bad("app_name: %q must be 1 to %d printable ASCII characters without spaces", safe.Text(c.AppName), rfc5424.MaxAppName)
	} else if c.Header == "rfc3164" && !syslogTag(c.AppName) {
		bad(`app_name: %q must be 1 to 32 letters and digits with header = "rfc3164"`, safe.Text(c.AppName))
	}
	if c.Hostname != "" && !rfc5424.Valid(c.Hostname, rfc5424.MaxHostname) {
		bad("hostname: %q must be at most %d printable ASCII characters without spaces", safe.Text(c.Hostname), rfc5424.MaxHostname)
	}
	if c.EnterpriseNumber == 0 {
		bad("enterprise_number: must be a private enterprise number of IANA, 1 or more")
	}
	if c.Transport != "tls" && c.TLS.On() {
		bad(`tls: its keys need transport = "tls"; with %q events would travel in clear text`, safe.Text(c.Transport))
	}
	if err := c.TLS.Validate(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// MaxBytes implements Config. What no receiver can take is capped, whatever is configured.
func (c *SyslogConfig) MaxBytes(configured int) int {
	usual, hard := syslogMaxStream, syslogHardStream
	if c.Transport == "udp" {
		usual, hard = syslogMaxUDP, syslogHardUDP
	}
	if configured <= 0 {
		return usual
	}
	return min(configured, hard)
}

// New implements Config.
func (c *SyslogConfig) New(d Deps) (Sink, error) {
	s, err := NewSyslog(*c, d)
	if err != nil {
		return nil, err // not (*Syslog)(nil) as a Sink
	}
	return s, nil
}

// Probe implements Config.
func (c *SyslogConfig) Probe(ctx context.Context, _ Deps) Probe { return syslogProbe(ctx, c) }

// Secrets implements Config.
func (c *SyslogConfig) Secrets() []string {
	if c.TLS.KeyFile == "" {
		return nil
	}
	return []string{c.TLS.KeyFile}
}

// syslogFacilities are the names by number, RFC 5424 section 6.2.1, as syslog.conf writes them.
var syslogFacilities = [24]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

func syslogFacility(s string) (int, bool) {
	for n, name := range syslogFacilities {
		if s == name || s == strconv.Itoa(n) {
			return n, true
		}
	}
	return 0, false
}

func syslogAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/@, \t\r\n") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}

// syslogTag reports whether s is a TAG of RFC 3164 section 4.1.3.
func syslogTag(s string) bool {
	for _, r := range s {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
