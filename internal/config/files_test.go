package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// mistakesIn loads a text and returns what is wrong with it.
func mistakesIn(t *testing.T, text string, env ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file, env)
	var e *Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("not a config.Error: %v", err)
	}
	if e == nil {
		return ""
	}
	return strings.Join(e.Mistakes, "\n")
}

func TestLoad_RefusesAConfigurationThatIsNoRegularFileOrTooLarge(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(large, make([]byte, maxConfig+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for file, want := range map[string]string{"/dev/zero": "is a device", pipe: "is a pipe", dir: "is a directory", large: "larger than 1024 KiB"} {
		if _, err := Load(file, nil); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--config") {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}

func TestLoad_ReadsAFileOfSeveralSecrets(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	if err := os.WriteFile(file, []byte("whsec_one\n\n whsec_two \r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := minimal + "[sink.hook]\ntype = \"http\"\nurl = \"https://siem.example.com/in\"\nsigning.secrets_file = %q\n"
	if got := mistakesIn(t, fmt.Sprintf(text, file)); got != "" {
		t.Errorf("mistakes: %s", got)
	}
	if err := os.WriteFile(file, []byte(" \n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := mistakesIn(t, fmt.Sprintf(text, file)); !strings.Contains(got, "sink.hook.signing.secrets_file: ") || !strings.Contains(got, "is empty") {
		t.Errorf("mistakes of an empty file: %s", got)
	}
}

func TestLoad_RefusesSecretsAndCertificatesThatAreNoRegularFiles(t *testing.T) {
	got := mistakesIn(t, `
[source.main]
url = "https://example.sentinelone.net"
token_file = "/dev/zero"
ca_file = "/dev/zero"
[sink.out]
type = "syslog"
address = "siem.example:6514"
transport = "tls"
tls.ca_file = "/dev/zero"
tls.cert_file = "/dev/zero"
tls.key_file = "/dev/zero"
`)
	for _, key := range []string{"source.main.token_file", "source.main.ca_file", "sink.out.tls.ca_file", "sink.out.tls.cert_file", "sink.out.tls.key_file"} {
		if !strings.Contains(got, key+": /dev/zero: is a device, and must be a regular file") {
			t.Errorf("%s is missing:\n%s", key, got)
		}
	}
}

func TestLoad_RefusesATokenFileThatHoldsMoreThanTheToken(t *testing.T) {
	for content, want := range map[string]string{
		"ApiToken eyJhbGci":  `must be the token alone: take "ApiToken" away`,
		"bearer eyJhbGci":    `must be the token alone: take "bearer" away`,
		"eyJh bGci":          "must be one word",
		"eyJh\x1b[31mbGci":   "must be one word",
		"eyJh\u200bbGci":     "must be one word", // a zero-width space, as web pages have it
		"\xef\xbb\xbfeyJhbG": "must be one word", // a byte order mark, as editors leave it
	} {
		file := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(file, []byte(content+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		got := mistakesIn(t, strings.Replace(minimal, `token = "t"`, fmt.Sprintf("token_file = %q", file), 1))
		if !strings.Contains(got, "source.main.token_file: "+want) || strings.Contains(got, "eyJh") {
			t.Errorf("%q: %s", content, got)
		}
	}
}

// net/http would drop such a variable and dial the console directly.
func TestLoad_RefusesAProxyVariableThatCannotBeReadWhereOneIsUsed(t *testing.T) {
	const broken = "HTTPS_PROXY=http://user:hunter2%zz@h:1"
	const hook = "[sink.hook]\ntype = \"http\"\nurl = \"https://siem.example/in\"\n"
	const elastic = "[sink.hook]\ntype = \"elastic\"\nurls = [\"https://a.example:9200\", \"https://b.example:9200\"]\ntarget = \"threats\"\n"
	const azure = "[sink.hook]\ntype = \"azure\"\nendpoint = \"https://a-b.eastus-1.ingest.monitor.azure.com\"\n" +
		"rule_id = \"dcr-00000000000000000000000000000000\"\ntenant_id = \"example.com\"\nclient_id = \"c\"\nclient_secret = \"s\"\n"
	const kafka = "[sink.hook]\ntype = \"kafka\"\nbrokers = [\"k:9092\"]\ntls.enabled = true\n"
	source := strings.Replace(minimal, "token =", "proxy = \"direct\"\ntoken =", 1)
	oauth := func(table string) string {
		text := strings.ReplaceAll("T.token_url = \"https://login.example/token\"\nT.client_id = \"c\"\nT.client_secret = \"s\"\n", "T.", table+".")
		if table == "auth" {
			text += "auth.type = \"oauth2\"\n"
		}
		return text
	}
	for name, tc := range map[string]struct{ text, want string }{
		"a source":                     {minimal, "source.main.proxy: is not set, and the environment's HTTPS_PROXY"},
		"an http sink":                 {minimal + hook, "sink.hook.proxy: is not set"},
		"a source with its own":        {strings.Replace(minimal, "token =", "proxy = \"direct\"\ntoken =", 1), ""},
		"a source on loopback":         {strings.Replace(minimal, "example.sentinelone.net", "127.0.0.1", 1), ""},
		"an http sink with its own":    {strings.Replace(minimal, "token =", "proxy = \"direct\"\ntoken =", 1) + hook + "proxy = \"direct\"\n", ""},
		"an http sink's tokens":        {source + strings.Replace(hook, "siem.example", "127.0.0.1", 1) + oauth("auth"), "sink.hook.proxy: is not set"},
		"a splunk sink":                {source + "[sink.hook]\ntype = \"splunk\"\nurl = \"https://splunk.example:8088\"\ntoken = \"t\"\n", "sink.hook.proxy: is not set"},
		"an elastic sink":              {source + elastic, "sink.hook.proxy: is not set"},
		"an azure sink":                {source + azure, "sink.hook.proxy: is not set"},
		"an azure sink's tokens":       {source + strings.Replace(azure, "https://a-b.eastus-1.ingest.monitor.azure.com", "http://127.0.0.1:1", 1), "sink.hook.proxy: is not set"},
		"a kafka sink's tokens":        {source + kafka + oauth("sasl") + "sasl.mechanism = \"OAUTHBEARER\"\n", "sink.hook.sasl.token_url: is reached by the environment's HTTPS_PROXY"},
		"a kafka sink without":         {source + kafka, ""},
		"an elastic sink with its own": {source + elastic + "proxy = \"direct\"\n", ""},
		"an elastic sink on loopback":  {source + strings.NewReplacer("a.example", "localhost", "b.example", "[::1]").Replace(elastic), ""},
		"an http sink in clear text":   {strings.Replace(minimal, "token =", "proxy = \"direct\"\ntoken =", 1) + strings.Replace(hook, "https:", "http:", 1), ""},
	} {
		got := mistakesIn(t, tc.text, broken)
		if exempt := mistakesIn(t, tc.text, broken, "NO_PROXY=*"); exempt != got {
			t.Errorf("%s: with NO_PROXY it is %q, want %q", name, exempt, got)
		}
		if strings.Count(got, "sink.hook") > 1 {
			t.Errorf("%s: said more than once: %q", name, got)
		}
		if (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
