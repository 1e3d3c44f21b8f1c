package testpeer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Syslog is a running rsyslog or syslog-ng. Each of its inputs stores what it gets in files of its own.
//
//	rsyslog:   tcp (either framing), udp, gtls and ossl (TLS by either library), mtls and mtlsgtls (client
//	           certificate named "client" required)
//	syslog-ng: tcp (octet counting alone), lf (LF alone), udp, tls, mtls
type Syslog struct {
	t     testing.TB
	name  string
	dir   string
	ports map[string]int
	start func() *exec.Cmd

	cmd    *exec.Cmd
	exited chan struct{}
	log    *os.File
}

// SyslogLine is one stored record as the collector took it apart. A field that it found absent is "" or "-".
type SyslogLine struct {
	Pri, Host, App, MsgID, Msg string
	Time                       string            // RFC 3339
	SD                         string            // structured data as it came; rsyslog alone
	Params                     map[string]string // unescaped, as in "s1@32473.id"; syslog-ng alone
}

// StartRsyslog starts Debian's rsyslogd, or calls Missing.
func StartRsyslog(t testing.TB, c Certs) *Syslog {
	t.Helper()
	bin := "/usr/sbin/rsyslogd"
	if _, err := os.Stat(bin); err != nil {
		Missing(t, "rsyslog (rsyslog, rsyslog-gnutls, rsyslog-openssl)")
	}
	s := newSyslog(t, "rsyslog", "tcp", "udp", "gtls", "ossl", "mtls", "mtlsgtls")
	conf := fmt.Sprintf(`global(workDirectory=%q maxMessageSize="256k" parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile=%q defaultNetstreamDriverCertFile=%q defaultNetstreamDriverKeyFile=%q)
main_queue(queue.type="linkedList" queue.timeoutshutdown="2000")
module(load="imtcp" maxSessions="200")
module(load="imudp")
template(name="raw" type="string" string="%%rawmsg%%\n")
template(name="parsed" type="list") {
  constant(value="{\"Pri\":\"") property(name="pri")
  constant(value="\",\"Time\":\"") property(name="timereported" dateFormat="rfc3339")
  constant(value="\",\"Host\":\"") property(name="hostname" format="json")
  constant(value="\",\"App\":\"") property(name="app-name" format="json")
  constant(value="\",\"MsgID\":\"") property(name="msgid" format="json")
  constant(value="\",\"SD\":\"") property(name="structured-data" format="json")
  constant(value="\",\"Msg\":\"") property(name="msg" format="json")
  constant(value="\"}\n") }
`, s.dir, c.CA, c.Server.Cert, c.Server.Key)
	tls := func(driver, auth string) string {
		return fmt.Sprintf(`streamDriver.name=%q streamDriver.mode="1" streamDriver.authMode=%q`, driver, auth)
	}
	options := map[string]string{
		"gtls": tls("gtls", "anon"), "ossl": tls("ossl", "anon"),
		"mtls":     tls("ossl", "x509/name") + ` permittedPeer=["client"]`,
		"mtlsgtls": tls("gtls", "x509/name") + ` permittedPeer=["client"]`,
	}
	for _, input := range slices.Sorted(maps.Keys(s.ports)) {
		module := "imtcp"
		if input == "udp" {
			module = "imudp"
		}
		conf += fmt.Sprintf("ruleset(name=%q) { action(type=\"omfile\" file=%q template=\"raw\") action(type=\"omfile\" file=%q template=\"parsed\") }\n",
			input, s.file(input, "raw"), s.file(input, "jsonl"))
		conf += fmt.Sprintf("input(type=%q address=\"127.0.0.1\" port=\"%d\" ruleset=%q %s)\n", module, s.ports[input], input, options[input])
	}
	s.write("rsyslog.conf", conf)
	s.start = func() *exec.Cmd {
		return exec.CommandContext(t.Context(), bin, "-n", "-C", "-i", "NONE", "-f", filepath.Join(s.dir, "rsyslog.conf")) //nolint:gosec // a test's own binary
	}
	s.Start()
	return s
}

// StartSyslogNG starts the syslog-ng that is unpacked below .peers/syslog-ng, or calls Missing.
func StartSyslogNG(t testing.TB, c Certs) *Syslog {
	t.Helper()
	root := Dir(t, "syslog-ng", "syslog-ng")
	s := newSyslog(t, "syslog-ng", "tcp", "lf", "udp", "tls", "mtls")
	tls := func(verify string) string {
		return fmt.Sprintf("tls(cert-file(%q) key-file(%q) ca-file(%q) peer-verify(%s))", c.Server.Cert, c.Server.Key, c.CA, verify)
	}
	driver := map[string]string{
		"tcp": `syslog(%s transport("tcp") flags(store-raw-message))`,
		"lf":  `network(%s transport("tcp") flags(syslog-protocol, store-raw-message))`,
		"udp": `syslog(%s transport("udp") flags(store-raw-message))`,
		"tls": `syslog(%s transport("tls") flags(store-raw-message) ` + tls("optional-untrusted") + `)`,

		"mtls": `syslog(%s transport("tls") flags(store-raw-message) ` + tls("required-trusted") + `)`,
	}
	conf := `@version: 3.38
options { keep-hostname(yes); use-dns(no); dns-cache(no); log-msg-size(262144); flush-lines(0); stats-freq(0); ts-format(iso); frac-digits(6); };
template raw { template("${RAWMSG}\n"); };
template parsed { template("$(format-json Pri=$PRI Time=$S_ISODATE Host=$HOST App=$PROGRAM MsgID=$MSGID Msg=$MSG --scope sdata)\n"); };
`
	for _, input := range slices.Sorted(maps.Keys(s.ports)) {
		source := fmt.Sprintf(driver[input], fmt.Sprintf(`ip("127.0.0.1") port(%d)`, s.ports[input]))
		conf += "source s_" + input + " { " + source + "; };\n"
		conf += fmt.Sprintf("destination r_%[1]s { file(%[2]q template(raw)); };\ndestination p_%[1]s { file(%[3]q template(parsed)); };\n"+
			"log { source(s_%[1]s); destination(r_%[1]s); destination(p_%[1]s); };\n", input, s.file(input, "raw"), s.file(input, "jsonl"))
	}
	s.write("syslog-ng.conf", conf)
	lib := filepath.Join(root, "usr", "lib")
	s.start = func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, "usr", "sbin", "syslog-ng"), "-F", "-e", "--no-caps", //nolint:gosec // a test's own binary
			"-f", filepath.Join(s.dir, "syslog-ng.conf"), "--persist-file="+filepath.Join(s.dir, "persist"),
			"--pidfile="+filepath.Join(s.dir, "pid"), "--control="+filepath.Join(s.dir, "ctl"),
			"--module-path="+filepath.Join(lib, "syslog-ng", "3.38"))
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join([]string{
			filepath.Join(lib, "syslog-ng"), filepath.Join(lib, "syslog-ng", "3.38"),
			filepath.Join(lib, "x86_64-linux-gnu"), filepath.Join(root, "lib", "x86_64-linux-gnu"),
		}, ":"))
		return cmd
	}
	s.Start()
	return s
}

func newSyslog(t testing.TB, name string, inputs ...string) *Syslog {
	s := &Syslog{t: t, name: name, dir: t.TempDir(), ports: map[string]int{}}
	for _, in := range inputs {
		s.ports[in] = Port(t)
	}
	log, err := os.Create(filepath.Join(s.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	s.log = log
	t.Cleanup(func() {
		s.Kill()
		_ = log.Close()
		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", name, b)
		}
	})
	return s
}

// Addr is an input's host:port.
func (s *Syslog) Addr(input string) string {
	port, ok := s.ports[input]
	if !ok {
		s.t.Fatalf("%s has no input %q", s.name, input)
	}
	return fmt.Sprintf("127.0.0.1:%d", port)
}

// Start starts it, again on the same ports and files after Stop or Kill, and waits until every input is open.
func (s *Syslog) Start() {
	s.t.Helper()
	cmd := s.start()
	cmd.Stdout, cmd.Stderr = s.log, s.log
	if err := cmd.Start(); err != nil {
		s.t.Fatalf("start %s: %v", s.name, err)
	}
	exited := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ends is the test's doing
		close(exited)
	}()
	s.cmd, s.exited = cmd, exited
	for input := range s.ports {
		if input == "udp" {
			s.waitUDP(s.Addr(input))
		} else {
			WaitTCP(s.t, s.Addr(input), 10*time.Second)
		}
	}
}

// waitUDP waits until somebody else has the port.
func (s *Syslog) waitUDP(addr string) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		l, err := net.ListenPacket("udp", addr)
		if err != nil {
			return
		}
		_ = l.Close()
		time.Sleep(20 * time.Millisecond) // leave it free for a while
	}
	s.t.Fatalf("%s does not open %s/udp", s.name, addr)
}

// Stop ends it as an operator does (SIGTERM) and waits.
func (s *Syslog) Stop() { s.t.Helper(); s.signal(syscall.SIGTERM) }

// Kill ends it at once (SIGKILL) and waits. It is safe where it has ended.
func (s *Syslog) Kill() { s.t.Helper(); s.signal(syscall.SIGKILL) }

// Restart is Stop and Start.
func (s *Syslog) Restart() { s.t.Helper(); s.Stop(); s.Start() }

func (s *Syslog) signal(sig syscall.Signal) {
	s.t.Helper()
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(sig) // it may have ended
	select {
	case <-s.exited:
	case <-time.After(15 * time.Second):
		s.t.Errorf("%s does not end on %v", s.name, sig)
		_ = s.cmd.Process.Kill()
		<-s.exited
	}
	s.cmd = nil
}

// Lines returns what an input has stored by now, each record as it came, without framing. What it has not
// written to its end is left out.
func (s *Syslog) Lines(input string) []string {
	s.t.Helper()
	b, err := os.ReadFile(s.file(input, "raw"))
	if err != nil && !os.IsNotExist(err) {
		s.t.Fatal(err)
	}
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 {
		return nil
	}
	return strings.Split(string(b[:end]), "\n")
}

// Size returns how many bytes an input has stored by now: every record's, and one for its end.
func (s *Syslog) Size(input string) int64 {
	s.t.Helper()
	fi, err := os.Stat(s.file(input, "raw"))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return fi.Size()
}

// WaitLines waits until an input has stored n records or more.
func (s *Syslog) WaitLines(input string, n int, limit time.Duration) []string {
	s.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if lines := s.Lines(input); len(lines) >= n {
			return lines
		} else if time.Now().After(end) {
			s.t.Fatalf("%s stored %d records on %s within %v, want %d", s.name, len(lines), input, limit, n)
		}
	}
}

// Parsed returns the same records as the collector took them apart. Call it after WaitLines: the file is
// written right behind the other one.
func (s *Syslog) Parsed(input string, n int) []SyslogLine {
	s.t.Helper()
	var out []SyslogLine
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(s.file(input, "jsonl"))
		if err == nil && bytes.Count(b, []byte("\n")) >= n {
			for line := range bytes.Lines(b) {
				out = append(out, s.parse(line))
			}
			return out
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s took apart %d records on %s, want %d", s.name, bytes.Count(b, []byte("\n")), input, n)
		}
	}
}

// parse reads one line of the "parsed" template. syslog-ng writes structured data as nested objects:
// {"_SDATA":{"s1@32473":{"id":"…"}}}.
func (s *Syslog) parse(line []byte) SyslogLine {
	s.t.Helper()
	var v struct {
		SyslogLine
		Data map[string]map[string]string `json:"_SDATA"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		s.t.Fatalf("%s wrote %q: %v", s.name, line, err)
	}
	for id, params := range v.Data {
		for name, value := range params {
			if v.Params == nil {
				v.Params = map[string]string{}
			}
			v.Params[id+"."+name] = value
		}
	}
	return v.SyslogLine
}

func (s *Syslog) file(input, kind string) string { return filepath.Join(s.dir, input+"."+kind) }

func (s *Syslog) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}
