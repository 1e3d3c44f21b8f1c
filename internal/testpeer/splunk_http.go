package testpeer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// splunkCodes is the collector's table of answers, by code. From 23 on they are of Splunk 9.
// https://help.splunk.com/en/splunk-enterprise/get-data-in/collect-http-event-data/troubleshoot-http-event-collector
var splunkCodes = []struct {
	status int
	text   string
}{
	{200, "Success"},
	{403, "Token disabled"},
	{401, "Token is required"},
	{401, "Invalid authorization"},
	{403, "Invalid token"},
	{400, "No data"},
	{400, "Invalid data format"},
	{400, "Incorrect index"},
	{500, "Internal server error"},
	{503, "Server is busy"},
	{400, "Data channel is missing"},
	{400, "Invalid data channel"}, // no GUID
	{400, "Event field is required"},
	{400, "Event field cannot be blank"},
	{400, "ACK is disabled"},
	{400, "Error in handling indexed fields"},
	{400, "Query string authorization is not enabled"},
	{200, "HEC is healthy"},
	{503, "HEC is unhealthy, queues are full"},
	{503, "HEC is unhealthy, ack service unavailable"},
	{503, "HEC is unhealthy, queues are full, ack service unavailable"},
	{400, "Invalid token"},
	{400, "Token disabled"},
	{503, "Server is shutting down"},
	{200, "Queue is approaching capacity"},
	{200, "ACK channel is approaching capacity"},
	{429, "Queue is at capacity"},
	{429, "ACK channel is at capacity"},
	{400, "Data channel is unknown to this node"},
}

// SplunkCodes returns how many codes there are, from 0 on.
func SplunkCodes() int { return len(splunkCodes) }

// SplunkAnswer returns what a collector says with a code.
func SplunkAnswer(code int) (status int, body string) {
	c := splunkCodes[code]
	return c.status, fmt.Sprintf(`{"text":%q,"code":%d}`, c.text, code)
}

var splunkGUID = regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)

// ServeHTTP implements http.Handler.
func (f *FakeSplunk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
		return // cut off: nothing is taken, and the answer would reach nobody
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index()
	path, channel := strings.TrimPrefix(r.URL.Path, "/services/collector"), r.Header.Get("X-Splunk-Request-Channel")
	if f.answer != nil {
		if status, text := f.answer(path); status != 0 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
			return
		}
	}
	auth := r.Header.Get("Authorization")
	switch {
	case path == "/health":
		say(w, 17)
	case r.Method != http.MethodPost || r.URL.Query().Has("token"):
		say(w, 16)
	case !strings.HasPrefix(auth, "Splunk "):
		say(w, 3)
	case f.deny || auth != "Splunk "+f.Token:
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprintf(w, `{"text":%q,"code":4}`, "Invalid token "+auth) // as unhelpful as a server can be
	case path == "/ack" && !f.Acks:
		say(w, 14)
	case f.Acks && channel == "":
		say(w, 10)
	case f.Acks && !splunkGUID.MatchString(channel):
		say(w, 11)
	case path == "/ack":
		f.tell(w, channel, body)
	case path == "/event":
		f.take(w, r, channel, body)
	default:
		http.NotFound(w, r)
	}
}

func say(w http.ResponseWriter, code int) {
	status, body := SplunkAnswer(code)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// take answers events. The caller holds the lock, as it does of tell.
func (f *FakeSplunk) take(w http.ResponseWriter, r *http.Request, channel string, body []byte) {
	f.requests++
	if f.MaxBytes > 0 && len(body) > f.MaxBytes {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	req := &splunkRequest{at: time.Now()}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	for i := 0; ; i++ {
		var e SplunkEvent
		err := d.Decode(&e)
		if errors.Is(err, io.EOF) {
			break
		}
		if code := f.fault(e, err); code != 0 { // nothing of the request is taken
			w.WriteHeader(splunkCodes[code].status)
			_, _ = fmt.Fprintf(w, `{"text":%q,"code":%d,"invalid-event-number":%d}`, splunkCodes[code].text, code, i)
			return
		}
		req.events = append(req.events, e)
	}
	if len(req.events) == 0 {
		say(w, 5)
		return
	}
	f.memory = append(f.memory, req)
	if !f.Acks {
		say(w, 0)
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
	c := f.channel(name)
	req.owner, req.id = c, c.next
	c.next++
	_, _ = fmt.Fprintf(w, `{"text":"Success","code":0,"ackId":%d}`, req.id)
}

// fault returns the code that is an event's own, 0 for none. err is that of reading it.
func (f *FakeSplunk) fault(e SplunkEvent, err error) int {
	switch {
	case err != nil:
		return 6
	case len(e.Event) == 0:
		return 12
	case string(e.Event) == `""` || string(e.Event) == "null":
		return 13
	case f.refuse[e.Fields["threat_id"]]:
		return 15
	}
	return 0
}

// tell answers a question about acks: what is true is forgotten.
func (f *FakeSplunk) tell(w http.ResponseWriter, channel string, body []byte) {
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
