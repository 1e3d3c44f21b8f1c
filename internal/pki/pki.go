// Package pki reads certificate authorities, and makes a throw-away one with the certificates it signs, for
// `simulate --tls-dir` and for tests against real receivers. Nothing it makes is meant to guard anything.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// validity is how long a certificate lasts: longer than any demonstration, too short to be relied on.
const validity = 30 * 24 * time.Hour

// CA is a certificate authority whose files live in one directory.
type CA struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Leaf names the files of one certificate.
type Leaf struct {
	Cert string // PEM certificate
	Key  string // PEM key, PKCS #8, mode 0600
}

// New makes an authority and writes dir/ca.pem. The directory is made where it is missing.
func New(dir, name string) (*CA, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(name)
	t.IsCA, t.BasicConstraintsValid = true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ca := &CA{dir: dir, cert: cert, key: key}
	return ca, writePEM(ca.File(), "CERTIFICATE", der, 0o644)
}

// File is the authority's certificate, to be trusted by clients.
func (ca *CA) File() string { return filepath.Join(ca.dir, "ca.pem") }

// Pool holds the authority alone.
func (ca *CA) Pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(ca.cert)
	return p
}

// Leaf signs a certificate for servers and clients and writes dir/name.pem and dir/name.key. Each host is an
// IP address or a DNS name; lifetime 0 means the usual, a negative one a certificate that has expired.
func (ca *CA) Leaf(name string, lifetime time.Duration, hosts ...string) (Leaf, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Leaf{}, err
	}
	t := template(name)
	if lifetime != 0 {
		t.NotAfter = time.Now().Add(lifetime)
	}
	t.KeyUsage = x509.KeyUsageDigitalSignature
	t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, &key.PublicKey, ca.key)
	if err != nil {
		return Leaf{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Leaf{}, err
	}
	l := Leaf{Cert: filepath.Join(ca.dir, name+".pem"), Key: filepath.Join(ca.dir, name+".key")}
	if err := writePEM(l.Cert, "CERTIFICATE", der, 0o644); err != nil {
		return Leaf{}, err
	}
	return l, writePEM(l.Key, "PRIVATE KEY", pkcs8, 0o600)
}

func template(name string) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		panic(fmt.Sprintf("read random numbers: %v", err)) // crypto/rand does not fail on any supported system
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(validity),
	}
}

func writePEM(file, kind string, der []byte, mode os.FileMode) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
