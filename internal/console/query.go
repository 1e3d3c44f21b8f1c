package console

import (
	"bytes"
	"math"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// column is what threats are sorted by. The id settles ties, and is the order where sortBy names a column that
// this console does not sort by.
type column uint8

const (
	byID column = iota
	byCreated
	byUpdated
)

// span is a range of stamps, both ends included. Stamps are whole microseconds, so `gt` is `gte` of the next.
type span struct{ from, to Stamp }

var always = span{math.MinInt64, math.MaxInt64}

func (s span) holds(at Stamp) bool { return s.from <= at && at <= s.to }

// query is one request for threats, checked.
type query struct {
	limit, skip          int
	countOnly, skipCount bool
	sort                 column
	desc                 bool
	cursor               string  // as it came; read when the order is known
	after                *cursor // where it points
	created, updated     span
	ids                  []uint64 // sorted; nil for all

	// match holds the filters that need a look at each threat.
	match []func(t *Threat, f *facts) bool
	text  []byte // full-text filter, in lower case and escaped as in JSON; nil for none
}

// apiError is an answer other than 200.
type apiError struct {
	status int
	code   int
	title  string
	detail string // "" gives null
}

func invalid(detail string) *apiError {
	return &apiError{status: 400, code: 4000010, title: "Validation Error", detail: detail}
}

// parseQuery checks every parameter as the console does, names first. These filter: ids, updatedAt__*,
// createdAt__*, incidentStatuses, analystVerdicts, mitigationStatuses, confidenceLevels, classifications (and
// their Nin), siteIds, accountIds, groupIds, computerName__contains, contentHashes, resolved, and query, which
// looks at the whole body. All other parameters of the endpoint are checked and then ignored.
func parseQuery(values url.Values) (*query, *apiError) {
	q := &query{limit: 10, created: always, updated: always}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names) // so that the same request always gets the same error
	for _, name := range names {
		p, known := params[name]
		if !known {
			return nil, invalid(name + ": Unknown field")
		}
		value := values[name][len(values[name])-1] // of a parameter given twice, the last counts
		if complaint := p.check(value); complaint != "" {
			return nil, invalid(name + ": " + complaint)
		}
		if err := q.set(name, value); err != nil {
			return nil, err
		}
	}
	if q.cursor != "" {
		c, ok := parseCursor(q.cursor, q.sort, q.desc)
		if !ok {
			return nil, invalid("Invalid cursor value received")
		}
		q.after = &c
	}
	return q, nil
}

// set takes one parameter whose value is well-formed.
func (q *query) set(name, value string) *apiError {
	switch name {
	case "limit":
		if q.limit, _ = strconv.Atoi(value); q.limit < 1 || q.limit > 1000 {
			return invalid("limit: Must be greater than or equal to 1 and less than or equal to 1000")
		}
	case "skip":
		if q.skip, _ = strconv.Atoi(value); q.skip > 1000 {
			return &apiError{status: 400, code: 4000080, title: "Bad Request", detail: "Cannot display more than 1000 results"}
		} else if q.skip < 0 {
			return invalid("skip: Must be greater than or equal to 0 and less than or equal to 1000")
		}
	case "countOnly":
		q.countOnly, _ = parseBool(value)
	case "skipCount":
		q.skipCount, _ = parseBool(value)
	case "sortBy":
		q.sort = map[string]column{"createdAt": byCreated, "updatedAt": byUpdated}[value]
	case "sortOrder":
		q.desc = value == "desc"
	case "ids":
		q.ids = make([]uint64, 0, 8)
		for item := range strings.SplitSeq(value, ",") {
			id, _ := strconv.ParseUint(item, 10, 64)
			q.ids = append(q.ids, id)
		}
		slices.Sort(q.ids)
		q.ids = slices.Compact(q.ids)
	case "cursor":
		q.cursor = value
	case "query":
		if value != "" {
			q.text = bytes.ToLower(appendEscaped(nil, value))
		}
	default:
		if at, err := time.Parse(time.RFC3339Nano, value); err == nil && params[name].kind == datetime {
			q.bound(name, StampOf(at))
		} else {
			q.filter(name, value)
		}
	}
	return nil
}

// bound narrows a range by one of the eight parameters such as updatedAt__gt.
func (q *query) bound(name string, at Stamp) {
	which, op, _ := strings.Cut(name, "__")
	s := &q.created
	if which == "updatedAt" {
		s = &q.updated
	}
	switch op {
	case "gt":
		s.from = max(s.from, at+1)
	case "gte":
		s.from = max(s.from, at)
	case "lt":
		s.to = min(s.to, at-1)
	case "lte":
		s.to = min(s.to, at)
	}
}

// filter adds what looks at each threat; a parameter that is not here does not filter.
func (q *query) filter(name, value string) {
	items := strings.Split(value, ",")
	name, not := strings.CutSuffix(name, "Nin")
	// one keeps the threats whose value is among the items, or, for a name with Nin, is not.
	one := func(of func(t *Threat, f *facts) string) {
		q.match = append(q.match, func(t *Threat, f *facts) bool { return slices.Contains(items, of(t, f)) != not })
	}
	switch name {
	case "incidentStatuses":
		one(func(t *Threat, _ *facts) string { return t.Incident.String() })
	case "analystVerdicts":
		one(func(t *Threat, _ *facts) string { return t.Verdict.String() })
	case "mitigationStatuses":
		one(func(t *Threat, _ *facts) string { return t.Mitigation.String() })
	case "confidenceLevels":
		one(func(_ *Threat, f *facts) string { return f.confidence })
	case "classifications":
		one(func(_ *Threat, f *facts) string { return f.classification })
	case "accountIds":
		one(func(_ *Threat, f *facts) string { return f.accountID })
	case "siteIds":
		one(func(_ *Threat, f *facts) string { return f.siteID })
	case "groupIds":
		one(func(_ *Threat, f *facts) string { return f.groupID })
	case "contentHashes":
		one(func(_ *Threat, f *facts) string { return f.sha1 })
	case "computerName__contains":
		q.match = append(q.match, func(_ *Threat, f *facts) bool {
			return slices.ContainsFunc(items, func(s string) bool {
				return strings.Contains(strings.ToLower(f.computer), strings.ToLower(s))
			})
		})
	case "resolved":
		want, _ := parseBool(value)
		q.match = append(q.match, func(t *Threat, _ *facts) bool { return t.resolved() == want })
	}
}
