package sink

import (
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// syslogControl sets TCP_USER_TIMEOUT, which nothing but Linux has.
func syslogControl(network, _ string, raw syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var err error
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(syslogUserTimeout.Milliseconds())) //nolint:gosec // a descriptor
	}); e != nil {
		return e
	}
	return err
}
