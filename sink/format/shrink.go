package format

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

// argumentsMax is what is left of a long command line, in bytes of JSON.
const argumentsMax = 512

// cut replaces one value of the threat. Cuts are made in the order of their step, all of a step together.
type cut struct {
	step, from, to int
	with           string
}

// heavy names what a threat can do without, and in which order it goes. Step 0 is shortened, the rest becomes
// null, which is what the console itself writes for a value that it does not have.
var heavy = map[string]map[string]int{
	"":               {"indicators": 1, "mitigationStatus": 4},
	"threatInfo":     {"maliciousProcessArguments": 0},
	"kubernetesInfo": {"controllerLabels": 2, "namespaceLabels": 2, "nodeLabels": 2, "podLabels": 2},
	"containerInfo":  {"labels": 2},

	"agentRealtimeInfo": {"networkInterfaces": 3},
}

const heavySteps = 5

// shrink appends the threat without its heavy parts, or a summary of it.
func shrink(dst []byte, ev *event.Event, max int) ([]byte, error) {
	sum := sha256.Sum256(ev.Raw)
	head := make([]byte, 0, 128)
	head = append(head, `{"_truncated":true,"_size":`...)
	head = strconv.AppendInt(head, int64(len(ev.Raw)), 10)
	head = append(head, `,"_sha256":"`...)
	head = hex.AppendEncode(head, sum[:])
	head = append(head, `",`...)

	cuts, rest := findCuts(ev.Raw)
	for step := range heavySteps {
		if len(cuts) == 0 || rest < 0 {
			break
		}
		size := len(head) + len(ev.Raw) - rest
		for _, c := range cuts {
			if c.step <= step {
				size += len(c.with) - (c.to - c.from)
			}
		}
		if size > max {
			continue
		}
		dst = append(slices.Grow(dst, size), head...)
		for _, c := range cuts {
			if c.step <= step {
				dst = append(append(dst, ev.Raw[rest:c.from]...), c.with...)
				rest = c.to
			}
		}
		return append(dst, ev.Raw[rest:]...), nil
	}
	return summary(dst, ev, head, max)
}

// findCuts returns the heavy values by where they stand, and where the threat's first member begins; -1 where
// it has none.
func findCuts(raw []byte) (cuts []cut, first int) {
	s := jsonscan.Scanner{Data: raw}
	var object func(parent string) error
	object = func(parent string) error {
		steps := heavy[parent]
		return s.Object(func(key []byte) error {
			if _, nested := heavy[string(key)]; nested && parent == "" && len(key) > 0 && s.Space() == '{' {
				return object(string(key))
			}
			value, err := s.Value()
			if err != nil {
				return err
			}
			c := cut{from: s.Pos - len(value), to: s.Pos, with: "null"}
			var is bool
			if c.step, is = steps[string(key)]; !is {
				return nil
			}
			if c.step == 0 {
				c.with = string(appendScalar(nil, value, argumentsMax))
			}
			if len(c.with) < len(value) {
				cuts = append(cuts, c)
			}
			return nil
		})
	}
	if object("") != nil {
		return nil, -1
	}
	s = jsonscan.Scanner{Data: raw}
	s.Space()
	s.Pos++ // the brace
	if s.Space() == '}' {
		return nil, -1
	}
	return cuts, s.Pos
}

// core is what a summary keeps, the most needed first. The names are the console's own.
var core = [...]struct {
	parent string
	keys   []string
}{
	{"threatInfo", []string{
		"updatedAt", "createdAt", "threatName", "classification", "confidenceLevel", "analystVerdict",
		"incidentStatus", "mitigationStatus", "sha1", "sha256", "md5", "filePath", "storyline", "identifiedAt",
		"processUser", "originatorProcess", "detectionType", "initiatedBy", "failedActions", "maliciousProcessArguments",
	}},
	{"agentRealtimeInfo", []string{"agentComputerName", "agentId", "siteName", "accountName", "agentOsType"}},
}

// tries are the ever smaller summaries: bytes a text, keys an object, objects.
var tries = [...]struct{ text, keys, parts int }{{256, 99, 2}, {96, 99, 2}, {48, 14, 2}, {48, 8, 1}, {32, 1, 1}}

// summary appends the threat's core fields, with ever shorter texts until it fits. The id is never shortened.
func summary(dst []byte, ev *event.Event, head []byte, max int) ([]byte, error) {
	id, _ := jsonscan.Lookup(ev.Raw, "id")
	if len(id) == 0 || id[0] == '{' || id[0] == '[' || string(id) == "null" {
		id, _ = json.Marshal(ev.ID) // a string always can be
	}
	values := coreValues(ev.Raw)
	start := len(dst)
	for _, try := range tries {
		dst = append(append(append(dst[:start], head...), `"id":`...), id...)
		for i, part := range core[:try.parts] {
			dst = append(append(append(dst, `,"`...), part.parent...), `":{`...)
			for k, key := range part.keys[:min(len(part.keys), try.keys)] {
				value := values[i][k]
				if value == nil {
					continue
				}
				if dst[len(dst)-1] != '{' {
					dst = append(dst, ',')
				}
				dst = append(append(append(dst, '"'), key...), '"', ':')
				dst = appendScalar(dst, value, try.text)
			}
			dst = append(dst, '}')
		}
		dst = append(dst, '}')
		if len(dst)-start <= max {
			return dst, nil
		}
	}
	return nil, fmt.Errorf("shrink the threat of %d bytes: not even its summary fits into %d bytes: raise max_message_bytes", len(ev.Raw), max)
}

// coreValues reads the fields of core in one pass an object; nil where a field is absent or no scalar.
func coreValues(raw []byte) (values [len(core)][][]byte) {
	for i, part := range core {
		values[i] = make([][]byte, len(part.keys))
		info, _ := jsonscan.Lookup(raw, part.parent)
		s := jsonscan.Scanner{Data: info}
		// An absent object, or something else in its place, leaves its fields absent.
		_ = s.Object(func(key []byte) error {
			value, err := s.Value()
			if k := slices.Index(part.keys, string(key)); k >= 0 && err == nil && value[0] != '{' && value[0] != '[' {
				values[i][k] = value
			}
			return err
		})
	}
	return values
}

// appendScalar appends a JSON value. A string longer than limit bytes, quotes included, is shortened between
// characters and between escapes, and ends in an ellipsis; another value that long (a number of a thousand digits) becomes null.
func appendScalar(dst, value []byte, limit int) []byte {
	const ellipsis = `…"`
	switch {
	case len(value) <= limit:
		return append(dst, value...)
	case value[0] != '"':
		return append(dst, "null"...)
	}
	end := 1
	for end < len(value) {
		n := unit(value[end:])
		if end+n+len(ellipsis) > limit {
			break
		}
		end += n
	}
	return append(append(dst, value[:end]...), ellipsis...)
}

// unit is the length of the next character of a JSON string as it is written: an escape, a pair of \u escapes
// that are surrogates of each other, or a UTF-8 sequence.
func unit(b []byte) int {
	switch {
	case b[0] != '\\':
		_, n := utf8.DecodeRune(b)
		return n
	case len(b) < 6 || b[1] != 'u':
		return 2
	case len(b) >= 12 && b[6] == '\\' && b[7] == 'u' && surrogate(b[2:4], '8', 'b') && surrogate(b[8:10], 'c', 'f'):
		return 12
	}
	return 6
}

// surrogate reports whether two hex digits begin a surrogate: d, then lo to hi.
func surrogate(hex []byte, lo, hi byte) bool {
	c := hex[1] | 0x20 // lower case; digits stay as they are
	return hex[0]|0x20 == 'd' && c >= lo && c <= hi
}
