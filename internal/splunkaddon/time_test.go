package splunkaddon

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// readTime is what Splunk does to an event that brings no time: it looks behind TIME_PREFIX, in MAX_TIMESTAMP_LOOKAHEAD
// characters, for TIME_FORMAT, and without one for what it knows by itself, ISO 8601 among others.
func readTime(raw string, props conf, sourceType string) (time.Time, error) {
	prefix, err := compile(props.get(sourceType, "TIME_PREFIX"))
	if err != nil {
		return time.Time{}, err
	}
	at := prefix.FindStringIndex(raw)
	ahead, err := strconv.Atoi(props.get(sourceType, "MAX_TIMESTAMP_LOOKAHEAD"))
	if at == nil || err != nil {
		return time.Time{}, fmt.Errorf("TIME_PREFIX is found nowhere in %.300s", raw)
	}
	stamp := raw[at[1]:min(at[1]+ahead, len(raw))]
	switch f := props.get(sourceType, "TIME_FORMAT"); f {
	case "":
		return time.Parse(time.RFC3339Nano, stamp[:strings.IndexByte(stamp, 'Z')+1])
	case "%Y-%m-%dT%H:%M:%S.%6N%Z":
		return time.Parse("2006-01-02T15:04:05.000000Z07:00", stamp[:strings.IndexByte(stamp, 'Z')+1])
	case "%s%3N":
		ms, err := strconv.ParseInt(stamp, 10, 64)
		return time.UnixMilli(ms), err
	default:
		return time.Time{}, fmt.Errorf("TIME_FORMAT %q is not known here", f)
	}
}
