// Package retryafter reads the Retry-After header of an HTTP answer (RFC 9110, section 10.2.3).
package retryafter

import (
	"net/http"
	"strings"
	"time"
)

// Max is the longest wait that a server is given: a slip of its clock or of its mind must not stop a
// stream for a day.
const Max = 15 * time.Minute

// Parse returns how long value asks to wait, between 0 and Max. A number is seconds. An HTTP-date is measured
// against date, the Date header of the same answer, so that a wrong clock on either side does no harm; where
// date is absent or unreadable, against now. Anything else, a negative number and a fraction included, is
// ignored: false.
func Parse(value, date string, now time.Time) (time.Duration, bool) {
	value = strings.Trim(value, " \t")
	if value == "" {
		return 0, false
	}
	if wait, ok := seconds(value); ok {
		return wait, true
	}
	until, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if d, err := http.ParseTime(strings.Trim(date, " \t")); err == nil {
		now = d
	}
	return min(max(until.Sub(now), 0), Max), true
}

// seconds reads 1*DIGIT of any length: what does not fit an integer is only longer than Max.
func seconds(s string) (time.Duration, bool) {
	var wait time.Duration
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		wait = min(wait*10+time.Duration(s[i]-'0')*time.Second, Max)
	}
	return wait, true
}
