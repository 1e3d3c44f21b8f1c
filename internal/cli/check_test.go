package cli

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"s1stream/internal/console"
)

func TestCheck_PassesWhenEverythingIsReached(t *testing.T) {
	_, server := serve(t, 4)
	s := configure(t, server.URL, "", "")
	p := call(t, nil, "check", "--config", s.file)
	p.wantCode(t, 0)
	contains(t, p.out.String(), "ok    config: 1 source, 1 sink", "ok    source prod: reached "+server.URL,
		"ok    source prod: the token is accepted; console version S-25.1.4#42", "ok    source prod: its clock agrees",
		"ok    source prod: may read threats; 4 match", "ok    sink siem for prod: file, acknowledged, 0 connections")
	if n := len(s.lines(t)); n != 0 {
		t.Errorf("%d events were sent", n)
	}
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("the checkpoint directory was made")
	}
}

func TestCheck_SaysWhatToDoAboutEachThingThatFails(t *testing.T) {
	c, server := serve(t, 4)
	onThreats := func(f console.Fault) func(*http.Request) console.Fault {
		return func(r *http.Request) console.Fault {
			if strings.HasSuffix(r.URL.Path, "/threats") {
				return f
			}
			return console.Fault{}
		}
	}
	always := func(f console.Fault) func(*http.Request) console.Fault {
		return func(*http.Request) console.Fault { return f }
	}
	for name, tc := range map[string]struct {
		url    string
		filter string
		more   string
		hook   func(*http.Request) console.Fault
		want   []string
		code   int
	}{
		"console down":     {url: "http://" + closedAddr(t), want: []string{"FAIL  source prod: reach http://127", "is it up?"}, code: 1},
		"token revoked":    {hook: onInfo(console.Fault{Kind: console.Unauthorized}), want: []string{"FAIL  source prod: the console answered 401", "make a new API token"}, code: 1},
		"no permission":    {hook: onThreats(console.Fault{Kind: console.Forbidden}), want: []string{"FAIL", "403", "Threats.view"}, code: 1},
		"throttled":        {hook: onThreats(console.Fault{Kind: console.Throttle}), want: []string{"FAIL", "429", "another program uses this token"}, code: 1},
		"login page":       {hook: onThreats(console.Fault{Kind: console.LoginPage}), want: []string{"FAIL", "not JSON", "proxy or a login page"}, code: 1},
		"errors in a 200":  {hook: onThreats(console.Fault{Kind: console.ErrorsOK}), want: []string{"FAIL", "Internal server error"}, code: 1},
		"redirect":         {hook: always(console.Fault{Kind: console.Redirect}), want: []string{"FAIL", "302", "correct url"}, code: 1},
		"clock a bit off":  {hook: always(console.Fault{DateSkew: time.Minute}), want: []string{"warn  source prod: its clock is", "ahead of ours", "NTP"}, code: 0},
		"clock far behind": {hook: always(console.Fault{DateSkew: -time.Hour}), want: []string{"FAIL  source prod: its clock is", "behind ours", "NTP"}, code: 1},
		"no Date":          {hook: always(console.Fault{NoDate: true}), want: []string{"FAIL  source prod: the console sends no Date"}, code: 1},
		"sink down": {more: fmt.Sprintf("[sink.tcp]\ntype = \"syslog\"\naddress = %q", closedAddr(t)),
			want: []string{"FAIL  sink tcp for prod: syslog, best-effort, 1 connection", "FAIL  sink tcp for prod: ", "ok    sink siem for prod"}, code: 1},
		"filter over live fields": {filter: `agentIsActive = true`, want: []string{"warn  config: source.prod.filter.agentIsActive"}, code: 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.SetHook(tc.hook)
			defer c.SetHook(nil)
			url := tc.url
			if url == "" {
				url = server.URL
			}
			s := configure(t, url, tc.filter, tc.more)
			p := call(t, nil, "check", "--config", s.file)
			p.wantCode(t, tc.code)
			contains(t, p.out.String(), tc.want...)
			if (tc.code != 0) != strings.Contains(p.err.String(), "checks failed") {
				t.Errorf("standard error: %s", p.err)
			}
		})
	}
}

func onInfo(f console.Fault) func(*http.Request) console.Fault {
	return func(r *http.Request) console.Fault {
		if strings.HasSuffix(r.URL.Path, "/system/info") {
			return f
		}
		return console.Fault{}
	}
}

// Where not even a summary fits, run would make a dead letter of every threat.
func TestCheck_FailsWhereNoThreatFits(t *testing.T) {
	_, server := serve(t, 1)
	receiver := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(receiver.Close)
	for _, kind := range []struct{ name, keys, small, enough string }{
		{"an envelope", "type = \"http\"\nbody = \"cloudevents\"\nurl = " + strconv.Quote(receiver.URL), "300B", "2KiB"},
		{"lines of text", "type = \"http\"\nformat = \"cef\"\nurl = " + strconv.Quote(receiver.URL), "20B", "2KiB"},
		{"none", "type = \"file\"\npath = \"-\"", "9B", "1KiB"},
	} {
		for limit, fits := range map[string]bool{kind.small: false, kind.enough: true} {
			s := configure(t, server.URL, "", "[sink.tight]\n"+kind.keys+"\nmax_message_bytes = "+strconv.Quote(limit)+"\n")
			p := call(t, nil, "check", "--config", s.file)
			said := strings.Contains(p.out.String(), "does not fit into max_message_bytes")
			if said == fits || !fits && !strings.Contains(p.out.String(), "-> raise max_message_bytes") {
				t.Errorf("%s, max_message_bytes = %s:\n%s", kind.name, limit, p.out.String())
			}
			if !fits {
				p.wantCode(t, 1)
			}
		}
	}
}

func TestCheck_TellsAnAuthorityThatIsNotTrustedAndPassesWithIt(t *testing.T) {
	c := console.New(console.Config{Token: testToken, Tiny: true})
	server, err := c.Serve(context.Background(), "127.0.0.1:0", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	s := configure(t, server.URL, "", "")
	p := call(t, nil, "check", "--config", s.file)
	p.wantCode(t, exitFailed)
	contains(t, p.out.String(), "FAIL  source prod: reach https://127", "set ca_file")
	p = call(t, []string{"S1STREAM_SOURCE__PROD__CA_FILE=" + server.CAFile}, "check", "--config", s.file)
	p.wantCode(t, 0)
	contains(t, p.out.String(), "TLS 1.3")
}

func TestProbe_TakesAPanicForAFailure(t *testing.T) {
	p := &probe{subject: "sink x", look: func(context.Context) []finding { panic("boom") }}
	p.run(context.Background())
	if len(p.found) != 1 || p.found[0].level != "FAIL" {
		t.Errorf("found %+v", p.found)
	}
}
