//go:build !linux

package sink

import (
	"net"
	"syscall"
)

// syslogControl leaves the system's own timeouts alone: keepalive and the write deadline have to do.
func syslogControl(_, _ string, _ syscall.RawConn) error { return nil }

// relpAckAtOnce leaves delayed acknowledgements alone.
func relpAckAtOnce(net.Conn) func() { return func() {} }
