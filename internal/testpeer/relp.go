package testpeer

import (
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// StartRsyslogAsItComes starts Debian's rsyslogd with one input, "relp", and nothing set that has to do with sizes: what
// deploy/siem/rsyslog is there to set right. Without it, it calls Missing. A record is stored before it is answered.
func StartRsyslogAsItComes(t testing.TB) *Syslog {
	t.Helper()
	if modules, _ := filepath.Glob("/usr/lib/*/rsyslog/imrelp.so"); len(modules) == 0 {
		Missing(t, "rsyslog's imrelp (rsyslog, rsyslog-relp)")
	}
	s, port := newSyslog(t, "rsyslog"), Port(t)
	main := s.write(fmt.Sprintf(`global(workDirectory=%q)
main_queue(queue.type="direct")
module(load="imrelp")
template(name="raw" type="string" string="%%rawmsg%%\n")
ruleset(name="relp") { action(type="omfile" file=%q template="raw") }
input(type="imrelp" address="127.0.0.1" port="%d" ruleset="relp")
`, s.dir, s.Stored("relp"), port), "rsyslog.conf")
	s.add("relp", port, func() *exec.Cmd {
		return exec.CommandContext(t.Context(), rsyslogd, "-n", "-C", "-i", "NONE", "-f", main) //nolint:gosec // a test's own binary
	})
	s.Start()
	return s
}

// RELPServer is a running Teragrep rlp_03, a RELP server with no code in common with rsyslog.
type RELPServer struct{ *Syslog }

// StartRELPServer starts the server below .peers/rlp, or calls Missing. Its one input is "relp". What it has answered
// with 200 is stored; every n-th record is not, and is answered 500, unless n is 0. mode is "plain", "tls" or "mtls"
// (any client certificate of c's authority).
func StartRELPServer(t testing.TB, c Certs, mode string, n int) RELPServer {
	t.Helper()
	dir := Dir(t, "the RELP server", "rlp")
	java, err := exec.LookPath("java")
	if err != nil {
		Missing(t, "java")
	}
	s, port := newSyslog(t, "rlp_03"), Port(t)
	args := []string{"-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
		filepath.Join(dir, "lib", "*") + ":" + filepath.Join(dir, "classes"),
		"RelpServer", fmt.Sprint(port), s.Stored("relp"), fmt.Sprint(n)}
	switch mode {
	case "plain":
	case "tls":
		args = append(args, c.Server.Cert, c.Server.Key)
	case "mtls":
		args = append(args, c.Server.Cert, c.Server.Key, c.CA)
	default:
		t.Fatalf("unknown mode %q", mode)
	}
	s.add("relp", port, func() *exec.Cmd { return exec.CommandContext(t.Context(), java, args...) }) //nolint:gosec // a test's own binary
	if err := os.MkdirAll(filepath.Dir(s.Stored("relp")), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Start()
	return RELPServer{s}
}

// Records returns what is stored by now, byte for byte.
func (s RELPServer) Records() (out []string) {
	s.t.Helper()
	for _, line := range s.Lines("relp") {
		b, err := base64.StdEncoding.DecodeString(strings.TrimSpace(line))
		if err != nil {
			s.t.Fatalf("%s stored %q: %v", s.name, line, err)
		}
		out = append(out, string(b))
	}
	return out
}
