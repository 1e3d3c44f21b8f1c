package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// receiver is an HTTP collector of JSON lines.
type receiver struct {
	*httptest.Server
	host  string        // of the console
	delay time.Duration // from when it has stored events to when it says so; to be set before the first request

	mu     sync.Mutex
	mood   mood
	copies []delivery
	wrong  []string // what no request should have looked like
}

// mood is how a receiver answers.
type mood struct {
	status int
	takes  bool // it has stored the events all the same
}

var (
	well        = mood{http.StatusOK, true}
	overloaded  = mood{http.StatusServiceUnavailable, false}
	throttling  = mood{http.StatusTooManyRequests, false}
	doubleFaced = mood{http.StatusServiceUnavailable, true} // as a gateway that times out in front of it
)

// receive starts one on an address, as in 127.0.0.1:0.
func receive(t *testing.T, addr, host string) *receiver {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{host: host, mood: well}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(r.serve))
	_ = r.Listener.Close() // the one that httptest opened
	r.Listener = l
	r.Start()
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest) // cut off on its way: nothing was taken
		return
	}
	m := r.store(req, body)
	time.Sleep(r.delay) // nothing tells of the end of a delay
	if m == throttling {
		w.Header().Set("Retry-After", "1")
	}
	w.WriteHeader(m.status)
}

// store takes a request's events, if it is in the mood for it.
func (r *receiver) store(req *http.Request, body []byte) mood {
	r.mu.Lock()
	defer r.mu.Unlock()
	copies, err := identifyLines(r.host, body)
	sum := sha256.New()
	for _, d := range copies {
		sum.Write(d.version[:])
	}
	if key := req.Header.Get("Idempotency-Key"); err != nil || key != hex.EncodeToString(sum.Sum(nil)) {
		r.wrong = append(r.wrong, fmt.Sprintf("a request of %d events with Idempotency-Key %q: %v", len(copies), key, err))
	}
	if r.mood.takes {
		for _, d := range copies {
			d.at = int64(len(r.copies) + 1)
			r.copies = append(r.copies, d)
		}
	}
	return r.mood
}

// count returns how many copies it has stored.
func (r *receiver) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(len(r.copies))
}

func (r *receiver) set(m mood) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mood = m
}

// taken returns what it has stored.
func (r *receiver) taken(t *testing.T) []delivery {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.wrong[:min(3, len(r.wrong))] {
		t.Errorf("http: %s", w)
	}
	return r.copies
}

// identifySyslog identifies RFC 5424 records by their bodies, and wants their structured data to say the same.
func identifySyslog(t *testing.T, host, name string, lines []string) []delivery {
	t.Helper()
	fail := limited(t, name)
	copies := make([]delivery, 0, len(lines))
	read := int64(0)
	for _, line := range lines {
		read += int64(len(line)) + 1
		header, rest, ok := strings.Cut(line, " [s1@32473 ")
		data, body, closed := strings.Cut(rest, `"] `)
		if !ok || !closed || strings.Count(header, " ") != 5 {
			fail("no record of ours: %.300q", line)
			continue
		}
		d, err := identify(host, []byte(body))
		if err != nil {
			fail("%v", err)
			continue
		}
		if want := fmt.Sprintf(`id="%s" version="%v`, d.id, d.version); data != want {
			fail("structured data %q of threat %s in version %v", data, d.id, d.version)
		}
		d.at = read
		copies = append(copies, d)
	}
	return copies
}
