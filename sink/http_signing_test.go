package sink

import (
	"bytes"
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/safe"
	"s1stream/internal/testpeer"
	"s1stream/sink/format"
)

const (
	httpTestSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	httpTestSecret2 = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
)

// httpTestVerify is what a receiver does, written from the specification and not from the sink.
func httpTestVerify(h http.Header, body []byte, secret string) bool {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(h.Get("webhook-id") + "." + h.Get("webhook-timestamp") + "." + string(body)))
	for _, s := range strings.Split(h.Get("webhook-signature"), " ") {
		if s == "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
			return true
		}
	}
	return false
}

// The vector is that of the specification's own libraries.
func TestHTTPSigner_SignsAsTheSpecificationSays(t *testing.T) {
	s, _, err := HTTPSigning{Secrets: []safe.Secret{httpTestSecret, httpTestSecret2}, HubSignature: true}.read()
	if err != nil {
		t.Fatal(err)
	}
	h, body := http.Header{}, []byte(`{"test": 2432232314}`)
	s.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 999), body)
	if got := strings.Split(h.Get("webhook-signature"), " "); len(got) != 2 || got[0] != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" || got[1] == got[0] {
		t.Errorf("signatures are %q", got)
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("headers are %v", h)
	}
	if !httpTestVerify(h, body, httpTestSecret) || !httpTestVerify(h, body, httpTestSecret2) || httpTestVerify(h, append(body, ' '), httpTestSecret) {
		t.Error("the test's own verifier judges otherwise")
	}
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(httpTestSecret, "whsec_"))
	mac := hmac.New(sha256.New, key)
	mac.Write(body)
	if want := "sha256=" + hex.EncodeToString(mac.Sum(nil)); h.Get("x-hub-signature-256") != want {
		t.Errorf("X-Hub-Signature-256 is %q, want %q", h.Get("x-hub-signature-256"), want)
	}
}

func TestHTTPSigningKey_TakesWhatTheSpecificationAllows(t *testing.T) {
	secret := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for name, c := range map[string]struct {
		secret string
		bytes  int // 0 for a mistake
	}{
		"24 bytes": {secret(24), 24}, "64 bytes": {secret(64), 64}, "23 bytes": {secret(23), 0}, "65 bytes": {secret(65), 0},
		"without padding": {strings.TrimRight(secret(25), "="), 25},
		"without prefix":  {strings.TrimPrefix(secret(32), "whsec_"), 0},
		"asymmetric":      {"whsk_" + secret(32), 0},
		"URL's alphabet":  {"whsec_" + strings.Repeat("-_", 16), 0},
		"two lines":       {"whsec_" + strings.Repeat("A", 16) + "\n" + strings.Repeat("A", 24), 0},
		"nothing":         {"", 0},
	} {
		key, err := httpSigningKey(c.secret)
		if len(key) != c.bytes || (err == nil) != (c.bytes > 0) {
			t.Errorf("%s: %d bytes, %v; want %d", name, len(key), err, c.bytes)
		}
	}
}

// httpSeen is one request as a receiver has it, decompressed.
type httpSeen struct {
	header http.Header
	body   []byte
}

// httpRecorder keeps requests; answer, if any, says with what status it answers the n-th.
type httpRecorder struct {
	mu     sync.Mutex
	seen   []httpSeen
	answer func(n int) int
}

func (r *httpRecorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	if req.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			body, _ = io.ReadAll(z)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, httpSeen{req.Header.Clone(), body})
	if r.answer != nil {
		w.WriteHeader(r.answer(len(r.seen)))
	}
}

func (r *httpRecorder) take() []httpSeen {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.seen
	r.seen = nil
	return out
}

func TestHTTP_SignsTheBodyOfEveryKindBeforeItIsCompressed(t *testing.T) {
	for _, body := range httpBodies {
		for _, zip := range []bool{false, true} {
			rec := &httpRecorder{}
			s := httpTestSink(t, rec, func(c *HTTPConfig) {
				c.Body, c.Gzip = body, zip
				c.Signing = HTTPSigning{Secrets: []safe.Secret{httpTestSecret, httpTestSecret2}}
			})
			if err := s.Write(t.Context(), httpTestRecords(3, 10)); err != nil {
				t.Fatal(err)
			}
			for _, r := range rec.take() {
				if !httpTestVerify(r.header, r.body, httpTestSecret) || !httpTestVerify(r.header, r.body, httpTestSecret2) {
					t.Errorf("%s, gzip %v: a signature is wrong: %v", body, zip, r.header)
				}
				if id := r.header.Get("webhook-id"); id != r.header.Get("Idempotency-Key") || id == "" || strings.Contains(id, ".") {
					t.Errorf("%s: webhook-id is %q", body, id)
				}
				if r.header.Get("X-Hub-Signature-256") != "" {
					t.Errorf("%s: X-Hub-Signature-256 was not asked for", body)
				}
			}
		}
	}
}

func TestHTTP_SignsAnotherAttemptAnewUnderTheSameID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &HTTP{cfg: *DefaultHTTP()}
		h.cfg.URL, h.cfg.Signing.Secrets = "https://siem.example.com/in", []safe.Secret{httpTestSecret}
		target, err := h.cfg.readTarget(format.JSONType)
		if err != nil {
			t.Fatal(err)
		}
		h.target = target
		records := httpTestRecords(1, 10)
		first, err1 := h.newRequest(t.Context(), records, "")
		time.Sleep(90 * time.Second)
		second, err2 := h.newRequest(t.Context(), records, "")
		if err1 != nil || err2 != nil {
			t.Fatal(err1, err2)
		}
		if a, b := first.Header.Get("webhook-id"), second.Header.Get("webhook-id"); a != b || a != records[0].Event.Version.String() {
			t.Errorf("ids are %q and %q", a, b)
		}
		if a, b := first.Header.Get("webhook-timestamp"), second.Header.Get("webhook-timestamp"); a != "946684800" || b != "946684890" {
			t.Errorf("timestamps are %s and %s", a, b)
		}
		if !httpTestVerify(second.Header, records[0].Body, httpTestSecret) {
			t.Error("the second attempt's signature is wrong")
		}
	})
}

func TestHTTP_SignsByASecretFileAsItIsNow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secrets")
	write := func(text string) {
		t.Helper()
		fresh := file + ".new" // put in place at once, as whoever rotates secrets does
		if err := errors.Join(os.WriteFile(fresh, []byte(text), 0o600), os.Rename(fresh, file)); err != nil {
			t.Fatal(err)
		}
	}
	write(httpTestSecret + "\n")
	rec := &httpRecorder{}
	s := httpTestSink(t, rec, func(c *HTTPConfig) { c.Signing.SecretsFile = file })
	signed := func(first, second bool) {
		t.Helper()
		if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
			t.Fatal(err)
		}
		r := rec.take()[0]
		if a, b := httpTestVerify(r.header, r.body, httpTestSecret), httpTestVerify(r.header, r.body, httpTestSecret2); a != first || b != second {
			t.Errorf("signed by the first secret: %v, by the second: %v", a, b)
		}
	}
	signed(true, false)
	write(httpTestSecret2 + "\n\n" + httpTestSecret + "\n")
	signed(true, true)
	write("whsec_spoiled\n")
	signed(true, true) // what was read last stands
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	signed(true, true)
	write(httpTestSecret2 + "\n")
	signed(false, true)

	// What could not be read is tried again though the file looks the same, as after chown.
	spoiled := "whsec_!" + strings.TrimPrefix(httpTestSecret, "whsec_")[1:] + "\n"
	write(spoiled)
	signed(false, true)
	was, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(file, []byte(httpTestSecret+"\n"), 0o600), os.Chtimes(file, was.ModTime(), was.ModTime())); err != nil {
		t.Fatal(err)
	}
	signed(true, false)
}

// A receiver that reads the body as text before it verifies would call the signature of invalid UTF-8 wrong.
func TestHTTP_SendsValidUTF8WhereItSigns(t *testing.T) {
	for _, on := range []bool{false, true} {
		rec := &httpRecorder{}
		s := httpTestSink(t, rec, func(c *HTTPConfig) {
			if on {
				c.Signing.Secrets = []safe.Secret{httpTestSecret}
			}
		})
		r := httpTestRecords(1, 10)[0]
		r.Event.Raw = []byte("{\"a\":\"\xff\xfe\"}")
		var err error
		if r.Body, _, err = s.Wrap(format.JSON)(nil, r.Event, 1000); err != nil {
			t.Fatal(err)
		}
		if err := s.Write(t.Context(), []Record{r}); err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: "{\"a\":\"\xff\xfe\"}", true: "{\"a\":\"\uFFFD\"}"}[on]
		if got := string(rec.take()[0].body); got != want {
			t.Errorf("signed %v: the body is %q, want %q", on, got, want)
		}
	}
}

// What docs/webhooks.md tells a receiver to run is run, on requests that were really sent.
func TestHTTP_TheDocumentedReceiverVerifiesWhatIsSent(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		testpeer.Missing(t, "python3")
	}
	page, err := os.ReadFile(filepath.Join(testpeer.Root(t), "docs", "webhooks.md"))
	if err != nil {
		t.Fatal(err)
	}
	recipe := regexp.MustCompile("(?s)```python\n(.*?)```").FindSubmatch(page)
	if recipe == nil {
		t.Fatal("docs/webhooks.md has no recipe")
	}
	rec := &httpRecorder{}
	s := httpTestSink(t, rec, func(c *HTTPConfig) {
		c.Signing = HTTPSigning{Secrets: []safe.Secret{httpTestSecret2, httpTestSecret}, HubSignature: true}
	})
	if err := s.Write(t.Context(), httpTestRecords(1, 10)); err != nil {
		t.Fatal(err)
	}
	sent := rec.take()[0]
	verify := func(change func(h http.Header, body []byte) []byte, secret string) string {
		h := sent.header.Clone()
		body := change(h, bytes.Clone(sent.body))
		var headers strings.Builder
		for name, values := range h {
			headers.WriteString(strings.ToLower(name) + "=" + values[0] + "\n")
		}
		cmd := exec.CommandContext(t.Context(), python, "-c", string(recipe[1])+`
import os, sys
headers = dict(line.split("=", 1) for line in os.environ["HEADERS"].splitlines())
body = sys.stdin.buffer.read()
print(verify(headers, body, [os.environ["SECRET"]]), verify_hub(headers, body, os.environ["SECRET"]))
`)
		cmd.Env = append(os.Environ(), "HEADERS="+headers.String(), "SECRET="+secret)
		cmd.Stdin = bytes.NewReader(body)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("the recipe fails: %v\n%s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	same := func(_ http.Header, body []byte) []byte { return body }
	for _, c := range []struct {
		name   string
		change func(h http.Header, body []byte) []byte
		secret string
		want   string
	}{
		{"the newest secret", same, httpTestSecret2, "True True"},
		{"the older secret", same, httpTestSecret, "True False"},
		{"another secret", same, "whsec_" + strings.Repeat("A", 32), "False False"},
		{"a body that was changed", func(_ http.Header, body []byte) []byte { return append(body, ' ') }, httpTestSecret2, "False False"},
		{"another id", func(h http.Header, body []byte) []byte { h.Set("webhook-id", "1"); return body }, httpTestSecret2, "False True"},
		{"an old timestamp", func(h http.Header, body []byte) []byte { h.Set("webhook-timestamp", "1614265330"); return body }, httpTestSecret2, "False True"},
	} {
		if got := verify(c.change, c.secret); got != c.want {
			t.Errorf("%s: the recipe says %s, want %s", c.name, got, c.want)
		}
	}
}

func FuzzHTTPSigningKey(f *testing.F) {
	f.Add(httpTestSecret)
	f.Add("whsec_====")
	f.Fuzz(func(t *testing.T, secret string) {
		key, err := httpSigningKey(secret)
		if err != nil {
			return
		}
		if len(key) < 24 || len(key) > 64 {
			t.Errorf("%q reads as %d bytes", secret, len(key))
		}
		again, err := httpSigningKey("whsec_" + base64.StdEncoding.EncodeToString(key))
		if err != nil || !bytes.Equal(again, key) {
			t.Errorf("%q reads as %x and back as %x, %v", secret, key, again, err)
		}
	})
}
