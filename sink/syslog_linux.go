package sink

import (
	"net"
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

// relpAckAtOnce returns a function that has the kernel confirm what has arrived, now and for a while. It is for
// before each read: the kernel goes back to its own ways whenever something is sent (tcp(7), TCP_QUICKACK).
func relpAckAtOnce(conn net.Conn) func() {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return func() {}
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return func() {}
	}
	set := func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_QUICKACK, 1) //nolint:gosec // a descriptor
	}
	return func() { _ = raw.Control(set) } // without it answers are late, and that is all
}
