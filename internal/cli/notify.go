package cli

import (
	"context"
	"net"
	"strings"
	"time"
)

// notify tells systemd, or whoever set NOTIFY_SOCKET, how far a run is: "READY=1", "STOPPING=1" (sd_notify(3)).
// Without that variable it does nothing.
func (a *app) notify(ctx context.Context, words string) error {
	socket := a.getenv("NOTIFY_SOCKET")
	if socket == "" {
		return nil
	}
	if name, abstract := strings.CutPrefix(socket, "@"); abstract {
		socket = "\x00" + name // Linux's abstract namespace
	}
	// Detached: STOPPING is said because ctx has ended.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unixgram", socket)
	if err != nil {
		return err
	}
	_, err = conn.Write([]byte(words + "\n"))
	_ = conn.Close() // a datagram is gone with Write
	return err
}
