package sink

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSyslog_BoundsHowLongAVanishedPeerIsWrittenTo(t *testing.T) {
	p := newSyslogPeer(t)
	c, err := syslogDial(t.Context(), p.Addr().String(), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	raw, err := c.raw.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range []struct {
		name               string
		level, option, min int
		max                int
	}{
		{"TCP_USER_TIMEOUT", unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 15_000, 15_000},
		{"SO_KEEPALIVE", unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1, 1},
		{"TCP_KEEPIDLE", unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 10, 10},
		{"TCP_KEEPINTVL", unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 5, 5},
		{"TCP_KEEPCNT", unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3, 3},
		{"SO_SNDBUF", unix.SOL_SOCKET, unix.SO_SNDBUF, 1, 2 * syslogSendBuffer},
	} {
		var got int
		var opt error
		if err := raw.Control(func(fd uintptr) { got, opt = unix.GetsockoptInt(int(fd), o.level, o.option) }); err != nil || opt != nil { //nolint:gosec // a descriptor
			t.Fatal(err, opt)
		}
		if got < o.min || got > o.max {
			t.Errorf("%s is %d, want %d to %d", o.name, got, o.min, o.max)
		}
	}
}
