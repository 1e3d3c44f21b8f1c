package source

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"s1stream/internal/nearest"
	"s1stream/internal/safe"
)

// Filter narrows what a console is asked for, on every page of every walk. The zero value asks for everything.
type Filter struct{ values map[string]string }

// ParseFilter checks a [source.NAME.filter] table: API names to text, []any of text, bool, int64 or time.Time.
// The error joins every mistake there is, one "name: what would be right" each, by name. A warning says that the
// filter is over something that can change without a new updatedAt, so that a walk misses such a change.
func ParseFilter(table map[string]any) (Filter, []string, error) {
	f := Filter{values: make(map[string]string, len(table))}
	var warnings []string
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(table)) {
		p, ok := lookupParam(name)
		switch {
		case !ok:
			mistakes = append(mistakes, unknownParam(name, FilterNames()))
			continue
		case p.own != "":
			mistakes = append(mistakes, fmt.Errorf("%s: can't be a filter: %s", name, p.own))
			continue
		}
		v, err := p.check(table[name])
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s: %w", name, err))
			continue
		}
		f.values[name] = v
		if p.live != "" {
			warnings = append(warnings, fmt.Sprintf("%s: %s: a threat may start or stop matching "+
				"without a new updatedAt, which s1stream can't see", name, p.live))
		}
	}
	if err := errors.Join(mistakes...); err != nil {
		return Filter{}, warnings, err
	}
	return f, warnings, nil
}

// Values returns the filter as query parameters. The caller owns the map.
func (f Filter) Values() url.Values {
	v := make(url.Values, len(f.values))
	for name, value := range f.values {
		v.Set(name, value)
	}
	return v
}

// String returns the filter normalised, for a checkpoint's fingerprint: a query string sorted by name, lists
// sorted and without repeats, moments in UTC. Filters that ask for the same give the same.
func (f Filter) String() string { return f.Values().Encode() }

// ParseParam checks one query parameter given as text, any of the endpoint's, the walk's own included, and
// returns its value as the endpoint wants it. Lists are written with commas.
func ParseParam(name, value string) (string, error) {
	p, ok := lookupParam(name)
	if !ok {
		return "", unknownParam(name, ParamNames())
	}
	v, err := p.fromText(value)
	if err == nil {
		value, err = p.check(v)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return value, nil
}

// FilterText turns a filter given as text, as in the environment, into an entry for ParseFilter. The case of name
// does not matter; lists are written with commas. The value is as ParseFilter wants it, but not yet checked.
func FilterText(name, value string) (string, any, error) {
	for _, p := range params {
		if strings.EqualFold(p.name, name) {
			v, err := p.fromText(value)
			if err != nil {
				err = fmt.Errorf("%s: %w", p.name, err)
			}
			return p.name, v, err
		}
	}
	return "", nil, unknownParam(name, FilterNames())
}

func unknownParam(name string, known []string) error {
	return fmt.Errorf("%s: is not a parameter of the threats endpoint; the nearest one is %q",
		safe.Text(name), nearest.Of(name, known))
}

// fromText gives text the type that check wants.
func (p param) fromText(value string) (any, error) {
	switch p.kind {
	case kindList:
		items := strings.Split(value, ",")
		out := make([]any, len(items))
		for i, s := range items {
			out[i] = strings.TrimSpace(s)
		}
		return out, nil
	case kindBool:
		if value != "true" && value != "false" {
			return nil, errors.New("must be true or false")
		}
		return value == "true", nil
	case kindInt:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, p.rangeError()
		}
		return n, nil
	}
	return value, nil
}

// check returns the value as the endpoint wants it.
func (p param) check(value any) (string, error) {
	switch p.kind {
	case kindList:
		return p.checkList(value)
	case kindBool:
		if b, ok := value.(bool); ok {
			return strconv.FormatBool(b), nil
		}
		return "", errors.New("must be true or false, without quotes")
	case kindInt:
		if n, ok := value.(int64); ok && n >= int64(p.min) && n <= int64(p.max) {
			return strconv.FormatInt(n, 10), nil
		}
		return "", p.rangeError()
	case kindTime:
		return checkTime(value)
	}
	s, ok := value.(string)
	switch {
	case !ok || s == "":
		return "", errors.New("must be one text, in quotes")
	case p.kind == kindJSON && !json.Valid([]byte(s)):
		return "", errors.New("must be JSON, as one text in quotes")
	}
	return s, p.checkEnum(s)
}

func (p param) rangeError() error {
	return fmt.Errorf("must be a whole number from %d to %d", p.min, p.max)
}

// checkList takes one text or several. Order and repeats mean nothing to the endpoint, so they are dropped.
func (p param) checkList(value any) (string, error) {
	var items []any
	switch v := value.(type) {
	case string:
		items = []any{v}
	case []any:
		items = v
	default:
		return "", errors.New(`must be a list of texts, as in ["a", "b"]`)
	}
	switch {
	case len(items) == 0:
		return "", errors.New("must not be empty: leave the key out to ask for everything")
	case len(items) > p.max:
		return "", fmt.Errorf("must have %d items at most, has %d", p.max, len(items))
	}
	out := make([]string, len(items))
	for i, item := range items {
		s, ok := item.(string)
		if !ok {
			return "", fmt.Errorf("item %d must be text, in quotes", i+1)
		}
		if err := p.checkItem(s); err != nil {
			return "", err
		}
		out[i] = s
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), ","), nil
}

func (p param) checkItem(s string) error {
	switch {
	case strings.Contains(s, ","):
		return fmt.Errorf("%s holds a comma, which the endpoint can't tell from the one between two items: "+
			"write a list, as in [\"a\", \"b\"]", quoteParam(s))
	case strings.TrimSpace(s) != s || s == "":
		return fmt.Errorf("%s must not be empty, nor begin or end with white space", quoteParam(s))
	case p.item == idItem && !isID(s):
		return fmt.Errorf("%s is not an id: it must be a number of 18 digits or more", quoteParam(s))
	case p.item == sha1Item && (len(s) != 40 || strings.Trim(s, "0123456789abcdefABCDEF") != ""):
		return fmt.Errorf("%s is not a SHA-1 hash of 40 hex digits, the only kind the endpoint knows", quoteParam(s))
	case p.item == wordItem && utf8.RuneCountInString(s) < 2:
		return fmt.Errorf("%s is too short: 2 characters at least", quoteParam(s))
	}
	return p.checkEnum(s)
}

func (p param) checkEnum(s string) error {
	if p.enum == nil || slices.Contains(p.enum, s) {
		return nil
	}
	return fmt.Errorf("unknown value %s, the nearest one is %q; known: %s",
		quoteParam(s), nearest.Of(s, p.enum), strings.Join(p.enum, ", "))
}

// filterTime is the one form of a moment that is documented for requests.
const filterTime = "2006-01-02T15:04:05.000000Z"

func checkTime(value any) (string, error) {
	t, ok := value.(time.Time)
	if s, isText := value.(string); isText {
		var err error
		t, err = time.Parse(time.RFC3339Nano, s)
		ok = err == nil
	}
	if y := t.UTC().Year(); !ok || y < 1 || y > 9999 {
		return "", errors.New("must be a moment with its time zone, as in 2026-01-31T08:00:00Z")
	}
	return t.UTC().Format(filterTime), nil
}

// isID reports whether s is a decimal number not below 100000000000000000, the smallest id there is.
func isID(s string) bool {
	return len(s) >= 18 && len(s) <= 20 && s[0] != '0' && strings.Trim(s, "0123456789") == ""
}

// quoteParam shows a value of the operator's own, without what would make a line of an error unreadable.
func quoteParam(s string) string { return strconv.Quote(safe.Snippet([]byte(s), 60)) }
