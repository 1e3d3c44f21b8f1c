package testpeer

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// syslogNGWays are the sources of deploy/siem/syslog-ng by the setting that has their port, and what the tests add.
var syslogNGWays = map[string]struct{ port, added string }{
	"tcp": {port: "s1_tcp_port"}, "tls": {port: "s1_tls_port"}, "mtls": {port: "s1_mtls_port"},
	"lf":  {added: `network(ip("127.0.0.1") port(%s) transport("tcp") log-msg-size(262144) keep-hostname(yes) flags(syslog-protocol, store-raw-message))`},
	"udp": {added: `syslog(ip("127.0.0.1") port(%s) transport("udp") log-msg-size(262144) keep-hostname(yes) flags(store-raw-message))`},
}

// StartSyslogNG starts the syslog-ng that is unpacked below .peers/syslog-ng on the files of deploy/siem/syslog-ng, once
// for each input named, or for all of them. Without it, it calls Missing.
func StartSyslogNG(t testing.TB, c Certs, inputs ...string) *Syslog {
	t.Helper()
	return StartSyslogNGWith(t, c, nil, inputs...)
}

// StartSyslogNGWith is StartSyslogNG with values of 50-s1stream-settings.conf changed. With s1_next
// 70-s1stream-forward.conf is there too.
func StartSyslogNGWith(t testing.TB, c Certs, settings map[string]string, inputs ...string) *Syslog {
	t.Helper()
	root := Dir(t, "syslog-ng", "syslog-ng")
	s := newSyslog(t, "syslog-ng")
	certs := pemDir(t, c)
	for _, input := range wanted(inputs, slices.Sorted(maps.Keys(syslogNGWays))) {
		w, port := syslogNGWays[input], Port(t)
		set := map[string]string{
			"s1_ip": "127.0.0.1", "s1_in": "s1stream_" + input, "s1_certs": certs,
			"s1_log": s.file(input, "log"), "s1_spool": s.file(input, "spool"),
		}
		if w.port != "" {
			set[w.port] = fmt.Sprint(port)
		}
		maps.Copy(set, settings)
		defaults := shipped(t, "syslog-ng", "50-s1stream-settings.conf")
		conf := fmt.Sprintf("@version: 3.38\noptions { stats-freq(0); };\n@include %q\n", defaults)
		for _, name := range slices.Sorted(maps.Keys(set)) { // a later value takes the place of the first
			conf += fmt.Sprintf("@define %s %q\n", name, set[name])
		}
		mustDefine(t, defaults, set)
		files := []string{"60-s1stream-tls.conf", "60-s1stream.conf"}
		if settings["s1_next"] != "" {
			files = append(files, "70-s1stream-forward.conf")
		}
		for _, file := range files {
			conf += fmt.Sprintf("@include %q\n", shipped(t, "syslog-ng", file))
		}
		if w.added != "" {
			conf += fmt.Sprintf("source s1stream_%s { "+w.added+"; };\n", input, fmt.Sprint(port))
		}
		conf += fmt.Sprintf(`destination d_parsed { file(%q template("$(format-json Pri=$PRI Time=$S_ISODATE Host=$HOST App=$PROGRAM MsgID=$MSGID Msg=$MSG --scope sdata)\n") ts-format(iso) frac-digits(6)); };
log { source(s1stream_%s); destination(d_parsed); };
`, s.file(input, "parsed"), input)
		main := s.write(conf, input, "syslog-ng.conf")
		s.add(input, port, func() *exec.Cmd {
			lib := filepath.Join(root, "usr", "lib")
			cmd := exec.CommandContext(t.Context(), filepath.Join(root, "usr", "sbin", "syslog-ng"), "-F", "-e", "--no-caps", //nolint:gosec // a test's own binary
				"-f", main, "--persist-file="+s.file(input, "persist"), "--pidfile="+s.file(input, "pid"), "--control="+s.file(input, "ctl"),
				"--module-path="+filepath.Join(lib, "syslog-ng", "3.38"))
			cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+strings.Join([]string{
				filepath.Join(lib, "syslog-ng"), filepath.Join(lib, "syslog-ng", "3.38"),
				filepath.Join(lib, "x86_64-linux-gnu"), filepath.Join(root, "lib", "x86_64-linux-gnu"),
			}, ":"))
			return cmd
		})
	}
	s.Start()
	return s
}

// mustDefine fails the test where a setting is not one of the file's.
func mustDefine(t testing.TB, file string, set map[string]string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name := range set {
		if !strings.Contains(string(b), "\n@define "+name+" ") {
			t.Fatalf("%s does not define %s", file, name)
		}
	}
}
