package sink

import (
	"crypto/tls"
	"errors"
	"fmt"

	"s1stream/internal/pki"
)

// TLS is a sink's tls table. The zero value, enabled, is TLS 1.2 or later checked against the system's roots.
type TLS struct {
	Enabled    bool   `koanf:"enabled"`     // kafka alone has to say so; any other tls key says it too
	CAFile     string `koanf:"ca_file"`     // PEM; trusted instead of the system's roots
	CertFile   string `koanf:"cert_file"`   // PEM client certificate, read again at every handshake
	KeyFile    string `koanf:"key_file"`    // PEM key of it
	ServerName string `koanf:"server_name"` // name to check the server's certificate against; default: the host dialled
}

// On reports whether TLS is asked for.
func (t TLS) On() bool { return t != TLS{} }

// Validate checks the table alone; the files are read by Client.
func (t TLS) Validate() error {
	if (t.CertFile == "") != (t.KeyFile == "") {
		return errors.New("tls.cert_file: must be given together with tls.key_file")
	}
	return nil
}

// Client returns the client's side. Certificates are verified in any case; there is no way to skip that.
func (t TLS) Client() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: t.ServerName}
	if t.CAFile != "" {
		pool, err := pki.Pool(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("tls.ca_file: %w", err)
		}
		c.RootCAs = pool
	}
	if t.CertFile != "" {
		if _, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile); err != nil {
			return nil, fmt.Errorf("tls.cert_file, tls.key_file: %w", err)
		}
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
			return &pair, err
		}
	}
	return c, nil
}
