package cli

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// simulated starts a simulator and returns it with the configuration that it offers.
func simulated(t *testing.T, args ...string) (*process, string) {
	t.Helper()
	p := begin(t, nil, append([]string{"simulate"}, args...)...)
	until(t, "it listens", func() bool { return strings.Contains(p.err.String(), "path = \"-\"\n") })
	_, block, _ := strings.Cut(p.err.String(), "for config.toml:\n")
	file := filepath.Join(t.TempDir(), "config.toml")
	block = strings.Replace(block, "./s1stream-data", filepath.Join(t.TempDir(), "state"), 1)
	if err := os.WriteFile(file, []byte(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return p, file
}

func TestSimulate_OffersAConfigurationThatWorksOverHTTPS(t *testing.T) {
	dir := t.TempDir()
	p, file := simulated(t, "--listen", "127.0.0.1:0", "--threats", "12", "--static", "--tls-dir", dir, "--token", `od"d\token`)
	contains(t, p.err.String(), "simulated console at https://127.0.0.1:", "with 12 threats", "certificate authority: "+filepath.Join(dir, "ca.pem"))
	check := call(t, []string{"S1STREAM_OPS__LISTEN="}, "check", "--config", file)
	check.wantCode(t, 0)
	contains(t, check.out.String(), "may read threats; 12 match")
	p.signal()
	p.end(t)
	p.wantCode(t, 0)
}

func TestSimulate_LivesAndFailsAsToldAndKeepsItsTokenFileToItself(t *testing.T) {
	p, file := simulated(t, "--listen", "127.0.0.1:0", "--threats", "1", "--new", "50", "--faults", "403=1", "--token-file", tokenFile(t))
	if strings.Contains(p.err.String(), testToken) {
		t.Errorf("prints the token of the file:\n%s", p.err)
	}
	threats := call(t, nil, "threats", "--config", file)
	threats.wantCode(t, exitFailed)
	contains(t, threats.err.String(), "403")
}

func TestSimulate_WarnsWhenOthersCanReachIt(t *testing.T) {
	p, _ := simulated(t, "--listen", "0.0.0.0:0", "--threats", "1")
	contains(t, p.err.String(), "warning: other machines can reach it", "add --tls-dir")
	if !regexp.MustCompile(`at http://localhost:\d+`).MatchString(p.err.String()) {
		t.Errorf("no URL that a client can use:\n%s", p.err)
	}
}

func TestSimulate_SaysWhyItCannotListen(t *testing.T) {
	_, server := serve(t, 0)
	p := call(t, nil, "simulate", "--listen", strings.TrimPrefix(server.URL, "http://"))
	p.wantCode(t, exitFailed)
	contains(t, p.err.String(), "listen on 127.0.0.1:", "address already in use")
}
