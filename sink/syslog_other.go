//go:build !linux

package sink

import "syscall"

// syslogControl leaves the system's own timeouts alone: keepalive and the write deadline have to do.
func syslogControl(_, _ string, _ syscall.RawConn) error { return nil }
