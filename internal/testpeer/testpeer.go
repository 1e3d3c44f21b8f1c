// Package testpeer starts the real receivers that tests meet: Kafka, rsyslog, syslog-ng, OpenSearch and others. Each
// listens on loopback, on ports that were free, and ends with its test. Where no real one can be had, a strict fake
// stands for it, under the name Fake.
//
// `.ci/peers` installs them: Debian packages, and a directory .peers at the root of the repository.
// Under CI=true a missing peer fails the test; elsewhere it skips it and says what to install.
package testpeer

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"s1stream/internal/pki"
)

// Missing skips the test, or fails it under CI=true, because a peer is not installed.
func Missing(t testing.TB, what string) {
	t.Helper()
	Skip(t, what+" is not installed: run .ci/peers")
}

// Long skips the test under -short.
func Long(t testing.TB, why string) {
	t.Helper()
	if testing.Short() {
		Skip(t, why)
	}
}

// Skip is the one way by which a test is left out. Under CI=true none may be: there it fails.
func Skip(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Dir returns a directory below .peers, or calls Missing.
func Dir(t testing.TB, what string, elem ...string) string {
	t.Helper()
	dir := filepath.Join(append([]string{Root(t), ".peers"}, elem...)...)
	if fi, err := os.Stat(dir); err != nil || !fi.IsDir() {
		Missing(t, what)
	}
	return dir
}

// Root is the repository's root.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the working directory")
		}
		dir = up
	}
}

// Port returns a TCP and UDP port on 127.0.0.1 that was free a moment ago.
func Port(t testing.TB) int {
	t.Helper()
	for range 20 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		u, err := net.ListenPacket("udp", l.Addr().String())
		_ = l.Close()
		if err == nil {
			_ = u.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// WaitTCP waits until addr accepts a connection.
func WaitTCP(t testing.TB, addr string, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		c, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s accepts no connection after %v: %v", addr, limit, err)
		}
	}
}

// Certs is a set of certificates for one test: an authority with a server and a client certificate, and a
// client certificate of another authority.
type Certs struct {
	CA            string // file
	Authority     *pki.CA
	Server        pki.Leaf // localhost, 127.0.0.1
	Client, Rogue pki.Leaf
}

// NewCerts makes them in a directory of the test.
func NewCerts(t testing.TB) Certs {
	t.Helper()
	must := func(l pki.Leaf, err error) pki.Leaf {
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	dir := t.TempDir()
	ca, err := pki.New(filepath.Join(dir, "ca"), "Test CA")
	if err != nil {
		t.Fatal(err)
	}
	other, err := pki.New(filepath.Join(dir, "other"), "Other CA")
	if err != nil {
		t.Fatal(err)
	}
	return Certs{
		CA:        ca.File(),
		Authority: ca,
		Server:    must(ca.Leaf("server", 0, "localhost", "127.0.0.1", "::1")),
		Client:    must(ca.Leaf("client", 0, "client")),
		Rogue:     must(other.Leaf("rogue", 0, "client")),
	}
}
