package format

import (
	"errors"
	"fmt"

	"s1stream/internal/event"
)

// Choice is what every sink's table has to choose what it gets.
type Choice struct {
	Only     Fields         `koanf:"only"`     // which events, see Fields
	Drop     []string       `koanf:"drop"`     // dotted paths that are left out of them
	Severity SeverityConfig `koanf:"severity"` // rules before the table of severities
}

// Chosen is a Choice, compiled.
type Chosen struct {
	Takes func(ev *event.Event) bool         // nil: every event
	Strip func(ev *event.Event) *event.Event // nil: nothing is left out
	Judge Judge                              // never nil
}

// Compile reports every mistake at once, each "key: what would be right". A severity rule about what drop leaves
// out is one: the format sees the event without it.
func (c Choice) Compile() (Chosen, error) {
	var out Chosen
	var only, drop, severity error
	out.Takes, only = Only(c.Only)
	out.Strip, drop = Drop(c.Drop)
	out.Judge, severity = c.Severity.Judge()
	if severity != nil {
		severity = prefixed("severity", severity)
	}
	mistakes := []error{only, drop, severity}
	if drop == nil && severity == nil {
		for i, r := range c.Severity.Rules {
			when, _ := r.When.compile("") // it has been compiled just now
			for _, w := range when {
				for _, path := range c.Drop {
					if covers(path, w.path) {
						mistakes = append(mistakes, fmt.Errorf("severity.rules[%d].when: drop leaves out %q, which the rule asks for", i, path))
					}
				}
			}
		}
	}
	return out, errors.Join(mistakes...)
}

// prefixed puts a key before each of the errors that are joined in err.
func prefixed(key string, err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return fmt.Errorf("%s.%w", key, err)
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, prefixed(key, e))
	}
	return errors.Join(out...)
}
