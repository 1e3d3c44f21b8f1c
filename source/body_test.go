package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/gzip"
)

func zipped(t testing.TB, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// readBody reads a body of that Content-Encoding through b.
func readBody(b *pageBuffer, encoding string, body io.Reader, limit int64) ([]byte, error) {
	h := http.Header{}
	if encoding != "" {
		h.Set("Content-Encoding", encoding)
	}
	return b.read(&http.Response{StatusCode: 200, Header: h, Body: io.NopCloser(body)}, limit)
}

func TestBody_IsWholeOrABadPage(t *testing.T) {
	plain := sample(t)
	zip := zipped(t, plain)
	flip := func(at int) []byte {
		b := bytes.Clone(zip)
		b[(at+len(b))%len(b)] ^= 0x10
		return b
	}
	for _, c := range []struct {
		name, encoding string
		body           []byte
		good           bool
	}{
		{"plain", "", plain, true},
		{"identity", "identity", plain, true},
		{"gzip", "gzip", zip, true},
		{"x-gzip in capitals", "X-GZIP", zip, true},
		{"two members", "gzip", append(zipped(t, plain[:100]), zipped(t, plain[100:])...), true},
		{"garbage behind the end", "gzip", append(bytes.Clone(zip), "garbage"...), false},
		{"one byte behind the end", "gzip", append(bytes.Clone(zip), 0), false},
		{"half a member behind the end", "gzip", append(bytes.Clone(zip), zip[:len(zip)/2]...), false},
		{"a wrong checksum", "gzip", flip(-8), false},
		{"a wrong length", "gzip", flip(-1), false},
		{"a flipped bit in the middle", "gzip", flip(len(zip) / 2), false},
		{"no trailer", "gzip", zip[:len(zip)-8], false},
		{"half a trailer", "gzip", zip[:len(zip)-3], false},
		{"nothing", "gzip", nil, false},
		{"plain text called gzip", "gzip", plain, false},
		{"an unknown coding", "br", zip, false},
		{"two codings", "gzip, gzip", zip, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b pageBuffer
			for range 2 { // the second time with everything used before
				got, err := readBody(&b, c.encoding, bytes.NewReader(c.body), maxPage)
				var pe *pageError
				switch {
				case c.good && (err != nil || !bytes.Equal(got, plain)):
					t.Errorf("%d bytes, %v", len(got), err)
				case !c.good && !errors.As(err, &pe):
					t.Errorf("%d bytes, %v; want a bad page", len(got), err)
				}
			}
			if got, err := readBody(&b, "gzip", bytes.NewReader(zip), maxPage); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("a good page after it: %v", err)
			}
		})
	}
}

func TestWalk_HandsNothingOnOfAPageThatIsCutAnywhere(t *testing.T) {
	plain := []byte(strings.Replace(string(sample(t)), `"eyJpZF9jb2x1bW4iOiJUaHJlYXRWaWV3LmlkIn0%3D"`, "null", 1))
	for encoding, whole := range map[string][]byte{"gzip": zipped(t, plain), "": bytes.TrimSpace(plain)} {
		for cut := range 64 {
			synctest.Test(t, func(t *testing.T) {
				part := whole[:len(whole)*cut/64]
				r := newRig(t, &answers{f: func(n int, _ *http.Request) (*reply, error) {
					body := part
					if n == 1 {
						body = whole
					}
					return respond(200, string(body), "Content-Encoding", encoding), nil
				}})
				pages, err := r.read(t.Context(), ago(time.Hour))
				if err != nil || len(pages) != 1 || len(pages[0].ids) != 3 || r.metric(t, "bad_pages_total") != 1 {
					t.Errorf("%q cut at %d of 64: %v, %v", encoding, cut, pages, err)
				}
			})
		}
	}
}

// counter counts what is read through it.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

// forever repeats its bytes without an end.
type forever struct {
	b  []byte
	at int
}

func (f *forever) Read(b []byte) (int, error) {
	n := copy(b, f.b[f.at:])
	f.at = (f.at + n) % len(f.b)
	return n, nil
}

func TestBody_IsBoundedAsSentAndDecompressed(t *testing.T) {
	bomb := bytes.Repeat(zipped(t, make([]byte, 16<<20)), 64) // 1 GiB
	const small = 1 << 20
	for _, c := range []struct {
		name, encoding string
		body           io.Reader
		limit          int64
		bad            bool // a bad page; else one that is too large
	}{
		{"a gzip bomb of 1 GiB", "gzip", bytes.NewReader(bomb), maxPage, false},
		{"plain text for ever", "", &forever{b: bytes.Repeat([]byte(" "), 32<<10)}, maxPage, false},
		{"empty gzip members for ever", "gzip", &forever{b: zipped(t, nil)}, small, false},
		{"a gzip header for ever", "gzip", io.MultiReader(bytes.NewReader([]byte{0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 0, 255}), &forever{b: []byte("a")}), small, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b pageBuffer
			in := &counter{r: c.body}
			got, err := readBody(&b, c.encoding, in, c.limit)
			var pe *pageError
			if errors.As(err, &pe) != c.bad || errors.Is(err, errTooLarge) == c.bad {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if in.n > c.limit+1 {
				t.Errorf("read %d bytes for a limit of %d", in.n, c.limit)
			}
			if int64(cap(b.body)) > c.limit+(64<<10) {
				t.Errorf("holds %d bytes for a limit of %d", cap(b.body), c.limit)
			}
		})
	}
	t.Run("as much as allowed is taken", func(t *testing.T) {
		var b pageBuffer
		for _, encoding := range []string{"", "gzip"} {
			body := bytes.Repeat([]byte("x"), small)
			if encoding != "" {
				body = zipped(t, body)
			}
			if got, err := readBody(&b, encoding, bytes.NewReader(body), small); err != nil || len(got) != small {
				t.Errorf("%q: %d bytes, %v", encoding, len(got), err)
			}
		}
	})
}

// wire is the real transport to a server that answers each connection by f, over pipes, so that a fake clock
// runs while both wait. A connection that closes is all the news f gets.
func wire(t *testing.T, cfg *Config, f func(n int, c net.Conn)) http.RoundTripper {
	t.Helper()
	rt, err := transport(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	tr := rt.(*http.Transport)
	n := 0
	tr.DialContext = func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go func(n int) { // ends when the client closes: CloseIdleConnections below
			defer func() { _ = server.Close() }()
			f(n, server)
		}(n)
		n++
		return client, nil
	}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// request reads one request's header.
func request(c net.Conn) bool {
	b := make([]byte, 64<<10)
	for got := 0; ; {
		n, err := c.Read(b[got:])
		if err != nil {
			return false
		}
		if got += n; bytes.Contains(b[:got], []byte("\r\n\r\n")) {
			return true
		}
	}
}

const rawHeader = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Sat, 01 Jan 2000 00:00:00 GMT\r\nContent-Length: %d\r\n\r\n"

func TestBody_ADripIsCutOffByTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := page("null", threat("1", time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)))
		cfg := DefaultConfig()
		rt := wire(t, &cfg, func(n int, c net.Conn) {
			for request(c) {
				if _, err := fmt.Fprintf(c, rawHeader, len(body)); err != nil {
					return
				}
				for i := range len(body) {
					if n == 0 {
						time.Sleep(10 * time.Second) // a byte at a time keeps every idle timeout away
					}
					if _, err := c.Write([]byte{body[i]}); err != nil {
						return
					}
				}
			}
		})
		r := newRig(t, rt, func(c *Config) { c.URL = "http://127.0.0.1:9440" })
		begin := time.Now()
		pages, err := r.read(t.Context(), ago(48*time.Hour))
		if err != nil || all(pages) != "1" {
			t.Fatalf("%v, %v", pages, err)
		}
		if took := time.Since(begin); took < time.Minute || took > 62*time.Second {
			t.Errorf("the drip was borne for %v, want the timeout of a minute", took)
		}
		rt.(*http.Transport).CloseIdleConnections()
		time.Sleep(time.Minute) // the servers wake up and see it
	})
}

func TestFetch_OutlivesConnectionsThatEndIdleOrInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := page("null", threat("1", time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)))
		cfg := DefaultConfig()
		rt := wire(t, &cfg, func(n int, c net.Conn) {
			if !request(c) {
				return
			}
			switch n {
			case 1: // the answer ends in its header
				_, _ = io.WriteString(c, "HTTP/1.1 200 O")
			case 2: // in its body
				_, _ = fmt.Fprintf(c, rawHeader+body[:20], len(body))
			case 3: // it is no HTTP
				_, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.9\r\n")
			default: // it is good, and the connection closes while idle
				_, _ = fmt.Fprintf(c, rawHeader+body, len(body))
				time.Sleep(time.Second)
			}
		})
		r := newRig(t, rt, func(c *Config) { c.URL = "http://127.0.0.1:9440" })
		for walk := range 5 {
			if pages, err := r.read(t.Context(), ago(48*time.Hour)); err != nil || all(pages) != "1" {
				t.Fatalf("walk %d: %v, %v", walk, pages, err)
			}
			time.Sleep(5 * time.Second)
		}
		rt.(*http.Transport).CloseIdleConnections()
		time.Sleep(time.Minute) // the servers wake up and see it
	})
}
