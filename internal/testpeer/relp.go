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

// StartRsyslogRELP starts Debian's rsyslogd with RELP inputs, or calls Missing:
//
//	relp, relptls, and relpmtls (client certificate named "client" required)
//
// maxMessageSize is rsyslog's global of that name, as in "256k"; "" leaves it as rsyslog has it. A record is stored
// byte for byte, but for what is over that size, and before it is answered: without a queue. (With rsyslog's usual
// queue in memory a SIGKILL may lose what was answered a moment ago, which is no fault of a sender's.)
func StartRsyslogRELP(t testing.TB, c Certs, maxMessageSize string) *Syslog {
	t.Helper()
	bin := "/usr/sbin/rsyslogd"
	modules, _ := filepath.Glob("/usr/lib/*/rsyslog/imrelp.so")
	if _, err := os.Stat(bin); err != nil || len(modules) == 0 {
		Missing(t, "rsyslog's imrelp (rsyslog, rsyslog-relp)")
	}
	s := newSyslog(t, "rsyslog", "relp", "relptls", "relpmtls")
	limit := ""
	if maxMessageSize != "" {
		limit = fmt.Sprintf("maxMessageSize=%q", maxMessageSize)
	}
	// GnuTLS, imrelp's default, refuses every client without a certificate, whatever its options say. With OpenSSL
	// every input needs a CA: one without it breaks the others of the process.
	conf := fmt.Sprintf(`global(workDirectory=%q parser.escapeControlCharactersOnReceive="off" %s)
main_queue(queue.type="direct")
module(load="imrelp" tls.tlslib="openssl")
template(name="raw" type="string" string="%%rawmsg%%\n")
`, s.dir, limit)
	tls := fmt.Sprintf(`tls="on" tls.caCert=%q tls.myCert=%q tls.myPrivKey=%q`, c.CA, c.Server.Cert, c.Server.Key)
	for input, options := range map[string]string{
		"relp": "", "relptls": tls, "relpmtls": tls + ` tls.authMode="name" tls.permittedPeer=["client"]`,
	} {
		conf += fmt.Sprintf("ruleset(name=%q) { action(type=\"omfile\" file=%q template=\"raw\") }\n", input, s.file(input, "raw"))
		conf += fmt.Sprintf("input(type=\"imrelp\" address=\"127.0.0.1\" port=\"%d\" ruleset=%q %s)\n", s.ports[input], input, options)
	}
	s.write("rsyslog.conf", conf)
	s.start = func() *exec.Cmd {
		return exec.CommandContext(t.Context(), bin, "-n", "-C", "-i", "NONE", "-f", filepath.Join(s.dir, "rsyslog.conf")) //nolint:gosec // a test's own binary
	}
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
	s := newSyslog(t, "rlp_03", "relp")
	args := []string{"-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp",
		filepath.Join(dir, "lib", "*") + ":" + filepath.Join(dir, "classes"),
		"RelpServer", fmt.Sprint(s.ports["relp"]), s.file("relp", "raw"), fmt.Sprint(n)}
	switch mode {
	case "plain":
	case "tls":
		args = append(args, c.Server.Cert, c.Server.Key)
	case "mtls":
		args = append(args, c.Server.Cert, c.Server.Key, c.CA)
	default:
		t.Fatalf("unknown mode %q", mode)
	}
	s.start = func() *exec.Cmd { return exec.CommandContext(t.Context(), java, args...) } //nolint:gosec // a test's own binary
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
