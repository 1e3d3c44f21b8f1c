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

const rsyslogd = "/usr/sbin/rsyslogd"

// rsyslogWays are the inputs of deploy/siem/rsyslog by their switch in settings.env, and what the tests add to its
// ruleset: other transports, or another TLS library.
var rsyslogWays = map[string]struct{ key, added string }{
	"tcp": {key: "S1_TCP"}, "tls": {key: "S1_TLS"}, "mtls": {key: "S1_MTLS"},
	"relp": {key: "S1_RELP"}, "relp-tls": {key: "S1_RELP_TLS"}, "relp-mtls": {key: "S1_RELP_MTLS"},
	"udp":       {added: `module(load="imudp") input(type="imudp" `},
	"tls-ossl":  {added: `input(type="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon" `},
	"mtls-ossl": {added: `input(type="imtcp" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="x509/name" permittedPeer="client" `},
}

// rsyslogParsed has a line of JSON for each record as rsyslog took it apart. Templates stand outside of rulesets.
const rsyslogParsed = `template(name="parsed" type="list") {
  constant(value="{\"Pri\":\"") property(name="pri")
  constant(value="\",\"Time\":\"") property(name="timereported" dateFormat="rfc3339")
  constant(value="\",\"Host\":\"") property(name="hostname" format="json")
  constant(value="\",\"App\":\"") property(name="app-name" format="json")
  constant(value="\",\"MsgID\":\"") property(name="msgid" format="json")
  constant(value="\",\"SD\":\"") property(name="structured-data" format="json")
  constant(value="\",\"Msg\":\"") property(name="msg" format="json")
  constant(value="\"}\n") }
`

// StartRsyslog starts Debian's rsyslogd on the files of deploy/siem/rsyslog, once for each input named, or for all of
// them. Without it, it calls Missing.
func StartRsyslog(t testing.TB, c Certs, inputs ...string) *Syslog {
	t.Helper()
	return StartRsyslogWith(t, c, nil, inputs...)
}

// StartRsyslogWith is StartRsyslog with values of settings.env changed. With S1_NEXT forward.conf is there too.
func StartRsyslogWith(t testing.TB, c Certs, settings map[string]string, inputs ...string) *Syslog {
	t.Helper()
	modules, _ := filepath.Glob("/usr/lib/*/rsyslog/*.so")
	for _, need := range []string{"imrelp.so", "lmnsd_gtls.so", "lmnsd_ossl.so"} {
		if !slices.ContainsFunc(modules, func(m string) bool { return filepath.Base(m) == need }) {
			Missing(t, "rsyslog's "+need+" (rsyslog, rsyslog-relp, rsyslog-gnutls, rsyslog-openssl)")
		}
	}
	s := newSyslog(t, "rsyslog")
	certs := pemDir(t, c)
	for _, input := range wanted(inputs, slices.Sorted(maps.Keys(rsyslogWays))) {
		w, port := rsyslogWays[input], Port(t)
		set := map[string]string{
			"S1_TCP": "off", "S1_TLS": "off", "S1_MTLS": "off", "S1_RELP": "off", "S1_RELP_TLS": "off", "S1_RELP_MTLS": "off",
			"S1_ADDRESS": "127.0.0.1", "S1_CERTS": certs, "S1_CLIENT": "client",
			"S1_LOG": s.file(input, "log"), "S1_SPOOL": s.file(input, "spool"), "S1_MORE": s.file(input, "more"),
		}
		conf := fmt.Sprintf("global(workDirectory=%q)\n%s", s.file(input, "spool"), rsyslogParsed)
		// In the order in which /etc/rsyslog.conf would include them.
		for _, file := range []string{"50-s1stream.conf", "60-s1stream-relp.conf", "60-s1stream-syslog.conf"} {
			conf += fmt.Sprintf("include(file=%q)\n", shipped(t, "rsyslog", file))
		}
		if w.key != "" {
			set[w.key], set[w.key+"_PORT"] = "on", fmt.Sprint(port)
		} else {
			tls := fmt.Sprintf(`streamDriver.caFile=%q streamDriver.certFile=%q streamDriver.keyFile=%q`, c.CA, c.Server.Cert, c.Server.Key)
			if input == "udp" {
				tls = ""
			}
			conf += fmt.Sprintf("%s name=%q ruleset=\"s1stream\" address=\"127.0.0.1\" port=\"%d\" %s)\n", w.added, input, port, tls)
		}
		maps.Copy(set, settings)
		env := rsyslogEnv(t, set)
		main := s.write(conf, input, "rsyslog.conf")
		s.write(fmt.Sprintf("action(type=\"omfile\" file=%q template=\"parsed\")\n", s.file(input, "parsed")), input, "more", "parsed.conf")
		if settings["S1_NEXT"] != "" {
			if err := os.Symlink(shipped(t, "rsyslog", "forward.conf"), s.file(input, "more", "forward.conf")); err != nil {
				t.Fatal(err)
			}
		}
		s.add(input, port, func() *exec.Cmd {
			cmd := exec.CommandContext(t.Context(), rsyslogd, "-n", "-C", "-i", "NONE", "-f", main) //nolint:gosec // a test's own binary
			cmd.Env = env
			return cmd
		})
	}
	s.Start()
	return s
}

// rsyslogEnv is the environment that settings.env gives rsyslogd, with some of its values changed.
func rsyslogEnv(t testing.TB, set map[string]string) (env []string) {
	t.Helper()
	b, err := os.ReadFile(shipped(t, "rsyslog", "settings.env"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if changed, ok := set[key]; ok {
			value = changed
			delete(set, key)
		}
		env = append(env, key+"="+value)
	}
	if len(set) > 0 {
		t.Fatalf("settings.env does not have %q", slices.Sorted(maps.Keys(set)))
	}
	return env
}

// pemDir is a directory with ca.pem, cert.pem and key.pem of a server.
func pemDir(t testing.TB, c Certs) string {
	t.Helper()
	dir := t.TempDir()
	for name, file := range map[string]string{"ca.pem": c.CA, "cert.pem": c.Server.Cert, "key.pem": c.Server.Key} {
		if err := os.Symlink(file, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
