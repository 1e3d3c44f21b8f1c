package sink

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"sync"
)

// splunkChannel is what acks are counted in, with the cookies that keep us on one node: the acks of a channel are known
// to the node alone that took its events, so that a load balancer in front must be sticky.
type splunkChannel struct {
	guid string
	used bool  // the collector has answered in it
	next int64 // above every ack id so far: a collector that has not restarted gives no lower one

	mu      sync.Mutex
	cookies map[string]string
}

// newSplunkChannel makes a channel that nobody has used: beginning as the GUID like does, or random where it is "". It must
// not be that GUID itself: other lines of ours have it too, and two senders in a channel could take each other's acks
// for their own after the collector has restarted and counts from 0 again.
func newSplunkChannel(like string) *splunkChannel {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	guid := h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
	if like != "" {
		guid = like[:24] + guid[24:]
	}
	return &splunkChannel{guid: guid, cookies: map[string]string{}}
}

// put marks a request as the channel's.
func (c *splunkChannel) put(h http.Header) {
	h.Set("X-Splunk-Request-Channel", c.guid)
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, value := range c.cookies {
		h.Add("Cookie", name+"="+value)
	}
}

// keep takes the cookies of an answer.
func (c *splunkChannel) keep(res *http.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, cookie := range res.Cookies() {
		if cookie.MaxAge < 0 || len(c.cookies) >= 16 {
			delete(c.cookies, cookie.Name)
			continue
		}
		c.cookies[cookie.Name] = cookie.Value
	}
}
