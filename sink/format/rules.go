package format

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"s1stream/internal/event"
)

// Judge decides how grave an event is. It is pure.
type Judge func(ev *event.Event, f Facts) Severity

// TableJudge is the table of Facts.Severity alone.
func TableJudge(_ *event.Event, f Facts) Severity { return f.Severity() }

// SeverityConfig is a sink's severity table: rules that come before the table of Facts.Severity.
type SeverityConfig struct {
	Rules []SeverityRule `koanf:"rules"` // the first one whose conditions all hold decides
}

// SeverityRule is one of them, as in { when = { classification = ["ransomware"] }, level = "critical" }.
type SeverityRule struct {
	When  Fields `koanf:"when"`
	Level string `koanf:"level"` // informational, low, medium, high or critical
}

// levels are the words of a rule's level, the least grave first.
var levels = []struct {
	name string
	is   Severity
}{{"informational", informational}, {"low", low}, {"medium", medium}, {"high", high}, {"critical", critical}}

// Judge compiles the rules. Every mistake is reported at once, each "rules[0].level: what would be right".
func (c SeverityConfig) Judge() (Judge, error) {
	if len(c.Rules) == 0 {
		return TableJudge, nil
	}
	type rule struct {
		when conditions
		is   Severity
	}
	rules := make([]rule, len(c.Rules))
	var mistakes []error
	for i, r := range c.Rules {
		when, err := r.When.compile(fmt.Sprintf("rules[%d].when", i))
		if err == nil && len(when) == 0 {
			err = fmt.Errorf("rules[%d].when: must name a field at least, as in { classification = [\"ransomware\"] }", i)
		}
		mistakes = append(mistakes, err)
		known := slices.IndexFunc(levels, func(l struct {
			name string
			is   Severity
		}) bool {
			return l.name == r.Level
		})
		if known < 0 {
			mistakes = append(mistakes, fmt.Errorf("rules[%d].level: must be informational, low, medium, high or critical", i))
			continue
		}
		rules[i] = rule{when, levels[known].is}
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return func(ev *event.Event, f Facts) Severity {
		for i := range rules {
			if rules[i].when.hold(ev.Raw) {
				return rules[i].is
			}
		}
		return f.Severity()
	}, nil
}

// Fields is what must be in an event: a list of values for each field, by the console's own names. A name without
// a dot is one of threatInfo, agentRealtimeInfo, agentDetectionInfo or the threat itself, looked for in that
// order; any other field is a dotted path, or tables within tables. Where a path leads through lists, one element
// that fits is enough. All fields must fit, each with one of its values. Case does not count; true, false and
// numbers are written as texts; "" is what is absent, null or empty.
type Fields map[string]any

// Only compiles what lets an event through: all of fields must hold. nil where there are none: everything goes
// through. It is decided by the event as the console gave it.
func Only(fields Fields) (func(ev *event.Event) bool, error) {
	compiled, err := fields.compile("only")
	if err != nil || len(compiled) == 0 {
		return nil, err
	}
	return func(ev *event.Event) bool { return compiled.hold(ev.Raw) }, nil
}

// flat returns the fields by dotted path.
func (f Fields) flat(prefix string) (map[string][]string, error) {
	out := make(map[string][]string)
	var mistakes []error
	for _, key := range slices.Sorted(maps.Keys(f)) {
		full := prefix + "." + key
		var nested map[string]any
		switch v := f[key].(type) {
		case []string:
			out[key] = v
		case []any:
			list := make([]string, 0, len(v))
			for _, item := range v {
				text, ok := item.(string)
				if !ok {
					mistakes = append(mistakes, fmt.Errorf("%s: must be a list of texts, as in [\"a\", \"b\"]; write true, false and numbers in quotes", full))
					break
				}
				list = append(list, text)
			}
			out[key] = list
		case map[string]any:
			nested = v
		case Fields:
			nested = v
		default:
			mistakes = append(mistakes, fmt.Errorf("%s: must be a list of texts, as in [\"a\", \"b\"]", full))
		}
		if nested == nil {
			continue
		}
		inner, err := Fields(nested).flat(full)
		mistakes = append(mistakes, err)
		for k, v := range inner {
			out[key+"."+k] = v
		}
	}
	return out, errors.Join(mistakes...)
}

// compile checks names and values, because a mistyped one would leave out every event in silence.
func (f Fields) compile(prefix string) (conditions, error) {
	flat, err := f.flat(prefix)
	if err != nil {
		return nil, err
	}
	var out conditions
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(flat)) {
		path, err := fieldPath(name)
		if err == nil {
			err = checkValues(path, flat[name])
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("%s.%s: %w", prefix, name, err))
			continue
		}
		out = append(out, condition{path: path, values: flat[name], absent: slices.Contains(flat[name], "")})
	}
	return out, errors.Join(mistakes...)
}

// words lists the values of the fields that have a closed set of them, older consoles' included.
var words = map[string][]string{
	"threatInfo.incidentStatus":   {"unresolved", "in_progress", "resolved"},
	"threatInfo.analystVerdict":   {"undefined", "true_positive", "suspicious", "false_positive"},
	"threatInfo.confidenceLevel":  {"malicious", "suspicious", "n/a"},
	"threatInfo.detectionType":    {"static", "dynamic"},
	"threatInfo.mitigationStatus": {"not_mitigated", "mitigated", "marked_as_benign", "active", "blocked", "suspicious", "pending", "suspicious_resolved"},
}

func checkValues(path []string, values []string) error {
	if len(values) == 0 {
		return errors.New("must list a value at least")
	}
	known, closed := words[strings.Join(path, ".")]
	for _, v := range values {
		if closed && v != "" && !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, v) }) {
			return fmt.Errorf("unknown value %q; known: %s", v, strings.Join(known, ", "))
		}
	}
	return nil
}
