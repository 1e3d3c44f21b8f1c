package source

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Start resolves the configured start to a frontier: "now" and "-24h" against the console's clock, "all" to
// the beginning of time as computers have it. It asks the console until it has its clock or ctx ends.
func (c *Console) Start(ctx context.Context) (time.Time, error) {
	at, back, err := parseStart(c.cfg.Start)
	if err != nil {
		return time.Time{}, err
	}
	if !at.IsZero() {
		return at, nil
	}
	now, err := c.Now(ctx)
	if err != nil {
		return time.Time{}, err
	}
	return now.Add(-back), nil
}

// StartAt resolves a start against a clock of the caller's: "now", "all", "-24h" or RFC 3339.
func StartAt(text string, now time.Time) (time.Time, error) {
	at, back, err := parseStart(text)
	if err == nil && at.IsZero() {
		at = now.Add(-back).UTC().Truncate(time.Microsecond)
	}
	return at, err
}

// parseStart reads "now", "all", "-24h" or RFC 3339: a moment, or how long back from now.
func parseStart(text string) (at time.Time, back time.Duration, err error) {
	switch {
	case text == "now":
		return time.Time{}, 0, nil
	case text == "all":
		return time.Unix(0, 0).UTC(), 0, nil
	case strings.HasPrefix(text, "-"):
		if d, err := time.ParseDuration(text[1:]); err == nil && d >= 0 {
			return time.Time{}, d, nil
		}
	default:
		if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
			return t.UTC().Truncate(time.Microsecond), 0, nil
		}
	}
	return time.Time{}, 0, fmt.Errorf("%q: must be \"now\", \"all\", a time back such as \"-24h\", or RFC 3339", text)
}
