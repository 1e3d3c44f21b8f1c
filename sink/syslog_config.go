package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"s1stream/internal/safe"
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
	SyslogLine `koanf:",squash"`
	Address    []string `koanf:"address"`   // host:port, tried in order at every connection; IPv6 in brackets
	Transport  string   `koanf:"transport"` // udp (RFC 5426), tcp (RFC 6587) or tls (RFC 5425)
	Framing    string   `koanf:"framing"`   // over TCP: octet-counting or lf
	TLS        TLS      `koanf:"tls"`       // transport says whether TLS is used; tls.enabled is not needed
}

var _ Config = (*SyslogConfig)(nil)

// DefaultSyslog returns a configuration that lacks only its address.
func DefaultSyslog() *SyslogConfig {
	return &SyslogConfig{
		SyslogLine: defaultSyslogLine(), Transport: "tcp", Framing: "octet-counting",
	}
}

// Validate implements Config.
func (c *SyslogConfig) Validate() error {
	errs := syslogAddresses(c.Address, "siem.example.com:6514")
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	oneOf := func(key, got string, want ...string) {
		if !slices.Contains(want, got) {
			bad("%s: %q must be one of %s", key, safe.Text(got), strings.Join(want, ", "))
		}
	}
	oneOf("transport", c.Transport, "udp", "tcp", "tls")
	oneOf("framing", c.Framing, "octet-counting", "lf")
	if c.Framing == "lf" && c.Transport != "tcp" {
		bad(`framing: "lf" is for transport = "tcp" alone: TLS is always octet-counted (RFC 5425), a datagram needs no framing`)
	}
	errs = append(errs, c.mistakes()...)
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

// syslogAddresses returns what is wrong with a list of receivers. example has the protocol's usual port.
func syslogAddresses(list []string, example string) (errs []error) {
	if len(list) == 0 {
		return []error{fmt.Errorf("address: must not be empty: give the collector as host:port, as in %q", example)}
	}
	for _, a := range list {
		if !syslogAddress(a) {
			errs = append(errs, fmt.Errorf("address: %q must be host:port, without a scheme; IPv6 in brackets", addressShown(a)))
		}
	}
	return errs
}

// addressShown is what may be shown of what should be host:port, and may be a URL with a user and password instead.
func addressShown(s string) string {
	if i := strings.LastIndexByte(s, '@'); i >= 0 {
		s = "***" + s[i:]
	}
	return safe.Text(s)
}

func syslogAddress(s string) bool {
	host, port, err := net.SplitHostPort(s)
	if err != nil || host == "" || strings.ContainsAny(host, "/@, \t\r\n") {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0
}
