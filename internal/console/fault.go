package console

import (
	"net/http"
	"time"
)

// Kind is what happens to a request.
type Kind uint8

// The kinds of fault. Each has a name in a flag string, see ParseFaults.
const (
	None           Kind = iota
	Throttle            // 429 with the HTML of nginx
	ServerError         // 500, code 5000010
	BadGateway          // 502, HTML
	Unavailable         // 503, HTML
	GatewayTimeout      // 504, HTML
	Drop                // the connection ends without an answer
	Reset               // the connection ends in the middle of the body
	Truncate            // the body, compressed or not, is cut short in an answer that looks whole
	LoginPage           // 200 with the HTML of a login page
	Redirect            // 302 to a login page on this host
	BadJSON             // 200 with a page whose last byte is wrong
	ErrorsOK            // 200 with errors and an empty page
	NullData            // 200 with "data": null
	Unauthorized        // 401
	Forbidden           // 403
	CursorExpired       // 400 for a request that carries a cursor; others pass
	CursorRepeated      // the page's cursor is the one of its request; a page without one passes
	kinds
)

var kindNames = [kinds]string{"none", "429", "500", "502", "503", "504", "drop", "reset", "truncate", "html",
	"redirect", "bad-json", "errors-200", "null-data", "401", "403", "cursor-expire", "cursor-repeat"}

func (k Kind) String() string { return kindNames[k] }

// Fault is one request's fate. The zero value is a good answer.
type Fault struct {
	Kind  Kind
	Delay time.Duration // before the threats are looked up
	Hold  time.Duration // between that and the answer's first byte, Date included: the page is that much older
	// RetryAfter is the header of a 429 or 503, as it is sent; "" sends none.
	RetryAfter string
	DateSkew   time.Duration // how much the Date header is fast
	NoDate     bool
	NoGzip     bool
	// Keep is the part of the body that Truncate and Reset let through, in (0,1); 0 means half.
	Keep float64
}

func (f *Fault) cut(body []byte) []byte {
	keep := f.Keep
	if keep <= 0 || keep >= 1 {
		keep = 0.5
	}
	return body[:int(float64(len(body))*keep)]
}

// fate decides about a request: the hook, or else the faults in force.
func (c *Console) fate(r *http.Request) Fault {
	c.mu.Lock()
	hook := c.hook
	if hook == nil {
		defer c.mu.Unlock()
		return c.roll(time.Now())
	}
	c.mu.Unlock()
	return hook(r)
}

// roll draws as many random numbers for every request, so that one fault more does not change the others' luck.
func (c *Console) roll(now time.Time) Fault {
	fs := &c.fault
	f := Fault{Delay: fs.Slow / 2, Hold: fs.Slow - fs.Slow/2, DateSkew: fs.DateSkew, NoDate: fs.NoDate, NoGzip: fs.NoGzip,
		Keep: c.rng.Float64()}
	if fs.active() {
		f.Kind = c.rollKind(now.Sub(c.since))
	}
	if f.Kind == Throttle || f.Kind == Unavailable {
		f.RetryAfter = fs.retryAfter(now.Add(fs.DateSkew))
	}
	return f
}

func (c *Console) rollKind(age time.Duration) Kind {
	fs := &c.fault
	var luck [kinds]float64
	for k := range luck {
		luck[k] = c.rng.Float64()
	}
	switch {
	case fs.Outage.at(age):
		if luck[None] < 0.5 {
			return Drop
		}
		return Unavailable
	case fs.Storm.at(age):
		return Throttle
	case fs.NoToken.at(age):
		return Unauthorized
	case fs.NoRight.at(age):
		return Forbidden
	}
	for k := Throttle; k < kinds; k++ {
		if luck[k] < fs.Chance[k] {
			return k
		}
	}
	return None
}

func (fs *Faults) retryAfter(now time.Time) string {
	switch fs.RetryAfter {
	case "date":
		return now.Add(2 * time.Second).UTC().Format(http.TimeFormat)
	case "garbage":
		return "soon; NaN"
	case "", "none":
		return ""
	case "seconds":
		return "2"
	default:
		return fs.RetryAfter
	}
}
