package testpeer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Syslog is rsyslog or syslog-ng as a user of deploy/siem runs it: one process for each way in, which loads the files
// that are shipped there and stores what it gets in a directory of its own.
//
//	rsyslog:   tcp (either framing), tls, mtls (client certificate named "client" required), relp, relp-tls and
//	           relp-mtls; and not shipped, but on the shipped ruleset: udp, tls-ossl and mtls-ossl (OpenSSL's driver)
//	syslog-ng: tcp (octet counting alone), tls, mtls; and not shipped: lf (LF alone), udp
type Syslog struct {
	t    testing.TB
	name string
	dir  string
	log  *os.File
	ways map[string]*way
}

// way is one way in and its process.
type way struct {
	addr   string
	start  func() *exec.Cmd
	cmd    *exec.Cmd // nil when it does not run
	exited chan struct{}
}

// SyslogLine is one stored record as the collector took it apart. A field that it found absent is "" or "-".
type SyslogLine struct {
	Pri, Host, App, MsgID, Msg string
	Time                       string            // RFC 3339
	SD                         string            // structured data as it came; rsyslog alone
	Params                     map[string]string // unescaped, as in "s1@32473.id"; syslog-ng alone
}

func newSyslog(t testing.TB, name string) *Syslog {
	t.Helper()
	s := &Syslog{t: t, name: name, dir: t.TempDir(), ways: map[string]*way{}}
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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

// add makes a way in, with a port and a directory that holds the directory "spool". start is called for each process.
func (s *Syslog) add(input string, port int, start func() *exec.Cmd) {
	s.t.Helper()
	s.ways[input] = &way{addr: fmt.Sprintf("127.0.0.1:%d", port), start: start}
	if err := os.MkdirAll(filepath.Join(s.dir, input, "spool"), 0o700); err != nil {
		s.t.Fatal(err)
	}
}

// Addr is an input's host:port.
func (s *Syslog) Addr(input string) string {
	w, ok := s.ways[input]
	if !ok {
		s.t.Fatalf("%s has no input %q", s.name, input)
	}
	return w.addr
}

// Start starts every input, again on the same ports and files after Stop or Kill, and waits until they are open.
func (s *Syslog) Start() {
	s.t.Helper()
	for _, w := range s.ways {
		cmd := w.start()
		cmd.Stdout, cmd.Stderr = s.log, s.log
		if err := cmd.Start(); err != nil {
			s.t.Fatalf("start %s: %v", s.name, err)
		}
		exited := make(chan struct{})
		go func() {
			_ = cmd.Wait() // how it ends is the test's doing
			close(exited)
		}()
		w.cmd, w.exited = cmd, exited
	}
	for input, w := range s.ways {
		if input == "udp" {
			s.waitUDP(w.addr)
		} else {
			WaitTCP(s.t, w.addr, 10*time.Second)
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
	var all sync.WaitGroup
	for _, w := range s.ways {
		if w.cmd == nil {
			continue
		}
		all.Go(func() {
			_ = w.cmd.Process.Signal(sig) // it may have ended
			select {
			case <-w.exited:
			case <-time.After(15 * time.Second):
				s.t.Errorf("%s does not end on %v", s.name, sig)
				_ = w.cmd.Process.Kill()
				<-w.exited
			}
			w.cmd = nil
		})
	}
	all.Wait()
}

// Lines returns what an input has stored by now, each record as it came, without framing. What it has not
// written to its end is left out.
func (s *Syslog) Lines(input string) []string {
	s.t.Helper()
	b, err := os.ReadFile(s.Stored(input))
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
	fi, err := os.Stat(s.Stored(input))
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
		b, err := os.ReadFile(s.file(input, "parsed"))
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

// Stored is the file in which an input stores what it gets.
func (s *Syslog) Stored(input string) string { return s.file(input, "log", "threats.log") }

// Spool is the directory in which an input keeps what it can't send on.
func (s *Syslog) Spool(input string) string { return s.file(input, "spool") }

func (s *Syslog) file(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

func (s *Syslog) write(text string, elem ...string) string {
	s.t.Helper()
	name := s.file(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// wanted is what was asked for, or all there is.
func wanted(asked, all []string) []string {
	if len(asked) == 0 {
		return all
	}
	return slices.Compact(slices.Sorted(slices.Values(asked)))
}

// shipped is a file below deploy/siem.
func shipped(t testing.TB, elem ...string) string {
	t.Helper()
	return filepath.Join(append([]string{Root(t), "deploy", "siem"}, elem...)...)
}
