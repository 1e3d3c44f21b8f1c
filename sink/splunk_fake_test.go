package sink

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// SplunkFake is a collector as Splunk documents it. It holds clients to the rules: the token and how it is sent, a
// channel where there are acks, envelopes one behind the other, an event in each. What it takes is in memory until it
// is indexed, IndexAfter later, and lost if it restarts before. It acknowledges what is indexed, once.
// https://docs.splunk.com/Documentation/Splunk/latest/Data/AboutHECIDXAck
type SplunkFake struct {
	Token      string
	Acks       bool          // indexer acknowledgment is on for the token
	IndexAfter time.Duration // from an answer to its event being indexed
	MaxBytes   int           // of a request, unzipped
	Sticky     bool          // a load balancer in front, which wants its cookie back

	mu       sync.Mutex
	channels map[string]*splunkFakeChannel
	indexed  []SplunkEvent
	memory   []*splunkFakeRequest
	refuse   map[string]bool // by threat id
	deny     bool
	answer   func(path string) (status int, body string) // instead of its own; status 0 for its own
	requests int                                         // to /event
	asked    int                                         // to /ack
}

// SplunkEvent is one envelope.
type SplunkEvent struct {
	Time       json.Number
	Host       string
	Source     string
	SourceType string
	Index      string
	Fields     map[string]string
	Event      json.RawMessage
}

type splunkFakeRequest struct {
	events []SplunkEvent
	at     time.Time
	owner  *splunkFakeChannel
	id     int64
}

type splunkFakeChannel struct {
	next  int64
	acked map[int64]bool // indexed, and not yet told
}

// Indexed lists what is indexed by now, in order.
func (f *SplunkFake) Indexed() []SplunkEvent {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index()
	return append([]SplunkEvent(nil), f.indexed...)
}

// Restart forgets what is not indexed, and every channel.
func (f *SplunkFake) Restart() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index()
	f.memory, f.channels = nil, nil
}

// Refuse makes the fake call these threats malformed.
func (f *SplunkFake) Refuse(ids ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil {
		f.refuse = map[string]bool{}
	}
	for _, id := range ids {
		f.refuse[id] = true
	}
}

// Deny makes the fake call the token invalid.
func (f *SplunkFake) Deny(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.deny = on
}

// index moves what is due. The caller holds the lock.
func (f *SplunkFake) index() {
	var rest []*splunkFakeRequest
	for _, r := range f.memory {
		if time.Since(r.at) < f.IndexAfter {
			rest = append(rest, r)
			continue
		}
		f.indexed = append(f.indexed, r.events...)
		if r.owner != nil {
			r.owner.acked[r.id] = true
		}
	}
	f.memory = rest
}

func (f *SplunkFake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	in := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		in = z
	}
	body, err := io.ReadAll(in)
	if err != nil {
		return // cut off: the answer would reach nobody
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index()
	say := func(status, code int, text string) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"text":%q,"code":%d}`, text, code)
	}
	path, channel := strings.TrimPrefix(r.URL.Path, "/services/collector"), r.Header.Get("X-Splunk-Request-Channel")
	if f.answer != nil {
		if status, text := f.answer(path); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return
		}
	}
	switch {
	case path == "/health":
		say(200, 17, "HEC is healthy")
	case r.Method != http.MethodPost || r.URL.Query().Has("token"):
		say(400, 16, "Query string authorization is not enabled")
	case !strings.HasPrefix(r.Header.Get("Authorization"), "Splunk "):
		say(401, 3, "Invalid authorization")
	case f.deny || r.Header.Get("Authorization") != "Splunk "+f.Token:
		say(403, 4, "Invalid token "+r.Header.Get("Authorization")) // as unhelpful as a server can be
	case path == "/ack" && !f.Acks:
		say(400, 14, "ACK is disabled")
	case f.Acks && channel == "":
		say(400, 10, "Data channel is missing")
	case f.Acks && !splunkGUID.MatchString(channel):
		say(400, 11, "Invalid data channel")
	case path == "/ack":
		f.asked++
		f.tell(w, channel, body)
	case path == "/event":
		f.take(w, r, channel, body, say)
	default:
		http.NotFound(w, r)
	}
}

// take answers events.
func (f *SplunkFake) take(w http.ResponseWriter, r *http.Request, channel string, body []byte, say func(status, code int, text string)) {
	f.requests++
	if f.MaxBytes > 0 && len(body) > f.MaxBytes {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	guilty := func(code, i int, text string) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = fmt.Fprintf(w, `{"text":%q,"code":%d,"invalid-event-number":%d}`, text, code, i)
	}
	req := &splunkFakeRequest{at: time.Now()}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	for i := 0; ; i++ {
		var e SplunkEvent
		if err := d.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			guilty(6, i, "Invalid data format")
			return
		}
		switch {
		case len(e.Event) == 0:
			guilty(12, i, "Event field is required")
			return
		case string(e.Event) == `""` || string(e.Event) == "null":
			guilty(13, i, "Event field cannot be blank")
			return
		case f.refuse[e.Fields["threat_id"]]:
			guilty(15, i, "Error in handling indexed fields")
			return
		}
		req.events = append(req.events, e)
	}
	if len(req.events) == 0 {
		say(400, 5, "No data")
		return
	}
	f.memory = append(f.memory, req)
	if !f.Acks {
		say(200, 0, "Success")
		return
	}
	name := channel
	if f.Sticky {
		cookie, err := r.Cookie("lb")
		if err != nil { // another node each time
			cookie = &http.Cookie{Name: "lb", Value: fmt.Sprint(f.requests)}
			http.SetCookie(w, cookie)
		}
		name += "@" + cookie.Value
	}
	if f.channels == nil {
		f.channels = map[string]*splunkFakeChannel{}
	}
	if f.channels[name] == nil {
		f.channels[name] = &splunkFakeChannel{acked: map[int64]bool{}}
	}
	c := f.channels[name]
	req.owner, req.id = c, c.next
	c.next++
	_, _ = fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, req.id)
}

// tell answers a question about acks: what is true is forgotten.
func (f *SplunkFake) tell(w http.ResponseWriter, channel string, body []byte) {
	var q struct{ Acks []int64 }
	if err := json.Unmarshal(body, &q); err != nil || len(q.Acks) == 0 {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c := f.channels[channel]
	for name, other := range f.channels {
		if f.Sticky && strings.HasPrefix(name, channel+"@") {
			c = other
		}
	}
	acks := map[string]bool{}
	for _, id := range q.Acks {
		acks[fmt.Sprint(id)] = c != nil && c.acked[id]
		if c != nil {
			delete(c.acked, id)
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"acks": acks})
}
