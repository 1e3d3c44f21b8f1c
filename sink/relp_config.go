package sink

import (
	"context"
	"errors"
	"fmt"

	"s1stream/sink/relp"
)

// Bounds of a RELP sink.
const (
	// relpMaxMessage is what rsyslog 8.2302 takes unless its maxMessageSize says otherwise; 8192 in later releases. It cuts
	// what is longer and acknowledges it all the same, so that nothing longer may ever be sent unasked.
	relpMaxMessage = 8096
	relpWindow     = 128 // librelp's own default; measured against rsyslog, 16 carries less, and 1024 no more
	relpMaxWindow  = 4096
)

// RELPConfig is a sink of type "relp".
type RELPConfig struct {
	SyslogLine `koanf:",squash"`
	Address    []string `koanf:"address"` // host:port, tried in order at every connection; IPv6 in brackets
	Window     int      `koanf:"window"`  // records without an answer at most, 1 to 4096
	TLS        TLS      `koanf:"tls"`     // any key of it, enabled included, switches TLS on
}

var _ Config = (*RELPConfig)(nil)

// DefaultRELP returns a configuration that lacks only its address.
func DefaultRELP() *RELPConfig {
	return &RELPConfig{SyslogLine: defaultSyslogLine(), Window: relpWindow}
}

// Validate implements Config.
func (c *RELPConfig) Validate() error {
	errs := syslogAddresses(c.Address, "siem.example.com:2514")
	errs = append(errs, c.mistakes()...)
	if c.Window < 1 || c.Window > relpMaxWindow {
		errs = append(errs, fmt.Errorf("window: must be from 1 to %d", relpMaxWindow))
	}
	return errors.Join(append(errs, c.TLS.Validate())...)
}

// MaxBytes implements Config.
func (c *RELPConfig) MaxBytes(configured int) int {
	if configured <= 0 {
		return relpMaxMessage
	}
	return min(configured, relp.MaxData)
}

// New implements Config.
func (c *RELPConfig) New(d Deps) (Sink, error) {
	r, err := NewRELP(*c, d)
	if err != nil {
		return nil, err // not (*RELP)(nil) as a Sink
	}
	return r, nil
}

// Probe implements Config.
func (c *RELPConfig) Probe(ctx context.Context, d Deps) Probe {
	return relpProbe(ctx, c, c.MaxBytes(d.MaxMessageBytes))
}

// Secrets implements Config.
func (c *RELPConfig) Secrets() []string {
	if c.TLS.KeyFile == "" {
		return nil
	}
	return []string{c.TLS.KeyFile}
}
