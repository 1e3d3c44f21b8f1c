package console

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Faults is what goes wrong, by chance or by the clock. The zero value is a console in good health.
type Faults struct {
	Chance     [kinds]float64 // of each kind, a request; the first that strikes is the request's fate
	Storm      Cycle          // every request is throttled
	Outage     Cycle          // every request is dropped, or gets 503
	NoToken    Window         // every request gets 401
	NoRight    Window         // every request gets 403
	RetryAfter string         // "none" or "", "seconds", a number of them, "date" or "garbage"
	Slow       time.Duration  // added to every request, half of it after the threats were looked up
	DateSkew   time.Duration
	NoDate     bool
	NoGzip     bool
	// Late is the longest that a change of the living set takes to become visible.
	Late time.Duration
}

// Cycle is Length in the middle of every Every: 10s/40s lasts from 15 s to 25 s, from 55 s to 65 s, and so on.
type Cycle struct{ Length, Every time.Duration }

// at reports whether the cycle is on, so long after the faults began.
func (c Cycle) at(age time.Duration) bool {
	if c.Every <= 0 {
		return false
	}
	phase := age%c.Every - (c.Every-c.Length)/2
	return phase >= 0 && phase < c.Length
}

// Window begins After and lasts Length, or for good where that is 0. The zero value never begins.
type Window struct {
	On            bool
	After, Length time.Duration
}

func (w Window) at(age time.Duration) bool {
	return w.On && age >= w.After && (w.Length == 0 || age < w.After+w.Length)
}

func (fs *Faults) active() bool {
	return fs.Storm.Every > 0 || fs.Outage.Every > 0 || fs.NoToken.On || fs.NoRight.On || fs.Chance != [kinds]float64{}
}

// FaultSyntax explains ParseFaults, for a flag's help.
const FaultSyntax = `faults, comma-separated:
  429=P 500=P 502=P 503=P 504=P   that status, with probability P a request (0.05; without =P always)
  401=P 403=P redirect=P html=P   refused; sent to, or answered with, a login page
  drop=P reset=P truncate=P       connection dropped before or within the answer; body cut short
  bad-json=P errors-200=P null-data=P   200 with a broken page
  cursor-expire=P cursor-always   a cursor is refused with probability P, or every one
  cursor-repeat=P                 a page hands back the cursor it was asked with
  429-storm=10s/40s outage=5s/60s that long, in the middle of every such period
  401-after=20s 403-after=20s+5s  the token is refused from then on, or for 5 s
  retry-after=none|seconds|N|date|garbage   on 429 and 503
  slow=200ms                      added to every request
  no-date date-skew=-1h           the Date header is missing, or wrong by so much
  no-gzip                         never compressed
  late=2s                         changes become visible up to so much later than their updatedAt`

// ParseFaults reads the syntax that FaultSyntax shows. "" and "none" are no faults at all. The error says what
// is wrong with which one.
func ParseFaults(s string) (Faults, error) {
	var fs Faults
	for item := range strings.SplitSeq(s, ",") {
		item = strings.TrimSpace(item)
		if item == "" || item == "none" {
			continue
		}
		name, value, given := strings.Cut(item, "=")
		if err := fs.set(strings.TrimSpace(name), strings.TrimSpace(value), given); err != nil {
			return Faults{}, fmt.Errorf("fault %q: %w", item, err)
		}
	}
	return fs, nil
}

// set takes one item; given tells "name=" from "name".
func (fs *Faults) set(name, value string, given bool) (err error) {
	switch name {
	case "no-date", "no-gzip", "cursor-always":
		if given {
			return fmt.Errorf("takes no value")
		}
		fs.NoDate = fs.NoDate || name == "no-date"
		fs.NoGzip = fs.NoGzip || name == "no-gzip"
		if name == "cursor-always" {
			fs.Chance[CursorExpired] = 1
		}
	case "429-storm":
		fs.Storm, err = parseCycle(value)
	case "outage":
		fs.Outage, err = parseCycle(value)
	case "401-after":
		fs.NoToken, err = parseWindow(value)
	case "403-after":
		fs.NoRight, err = parseWindow(value)
	case "slow":
		fs.Slow, err = parsePositive(value)
	case "late":
		fs.Late, err = parsePositive(value)
	case "date-skew":
		fs.DateSkew, err = time.ParseDuration(strings.TrimPrefix(value, "±"))
		if err != nil {
			return fmt.Errorf("must be a duration such as -1h")
		}
	case "retry-after":
		fs.RetryAfter, err = value, checkRetryAfter(value)
	default:
		k := slices.Index(kindNames[:], name)
		if k <= int(None) {
			return fmt.Errorf("is not known; known are %s", strings.Join(faultNames(), ", "))
		}
		fs.Chance[k], err = parseChance(value, given)
	}
	return err
}

func faultNames() []string {
	names := append(slices.Clone(kindNames[1:]), "cursor-always", "429-storm", "outage", "401-after", "403-after",
		"retry-after", "slow", "no-date", "date-skew", "no-gzip", "late")
	slices.Sort(names)
	return names
}

func parseChance(s string, given bool) (float64, error) {
	if !given {
		return 1, nil
	}
	p, err := strconv.ParseFloat(s, 64)
	if err != nil || !(p >= 0 && p <= 1) { // the negation refuses NaN too
		return 0, fmt.Errorf("must be a probability from 0 to 1")
	}
	return p, nil
}

func parsePositive(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("must be a duration such as 2s")
	}
	return d, nil
}

func parseCycle(s string) (Cycle, error) {
	length, every, _ := strings.Cut(s, "/")
	l, err1 := parsePositive(length)
	e, err2 := parsePositive(every)
	if err1 != nil || err2 != nil || l <= 0 || e <= l {
		return Cycle{}, fmt.Errorf("must be a length and a longer period, such as 10s/40s")
	}
	return Cycle{Length: l, Every: e}, nil
}

func parseWindow(s string) (Window, error) {
	after, length, bounded := strings.Cut(s, "+")
	w := Window{On: true}
	var err error
	if w.After, err = parsePositive(after); err == nil && bounded {
		if w.Length, err = parsePositive(length); w.Length == 0 {
			err = fmt.Errorf("zero")
		}
	}
	if err != nil {
		return Window{}, fmt.Errorf("must be a duration, or a duration and a length, such as 20s or 20s+5s")
	}
	return w, nil
}

func checkRetryAfter(s string) error {
	switch s {
	case "none", "seconds", "date", "garbage":
		return nil
	}
	if n, err := strconv.Atoi(s); err != nil || n < 0 {
		return fmt.Errorf("must be none, seconds, a number of seconds, date or garbage")
	}
	return nil
}
