package format

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"s1stream/internal/event"
)

// Options are a sink's format_options: those of every format together. Each format has some of them, and one that it
// does not have is a mistake. What is not given is the format's own default.
type Options struct {
	Version       string `koanf:"version"`        // of ecs, ocsf, cef or leef
	EventOriginal *bool  `koanf:"event_original"` // ecs
	Namespace     string `koanf:"namespace"`      // ecs
	RawData       *bool  `koanf:"raw_data"`       // ocsf
	Delimiter     string `koanf:"delimiter"`      // leef
}

// form is a format: the options that it has, and what its records are called where a protocol asks.
type form struct {
	name        string
	options     []string
	contentType string
}

var formats = []form{
	{"json", nil, JSONType},
	{"ecs", []string{"event_original", "namespace", "version"}, JSONType},
	{"ocsf", []string{"raw_data", "version"}, JSONType},
	{"cef", []string{"version"}, TextType},
	{"leef", []string{"delimiter", "version"}, TextType},
}

// The content types of one record.
const (
	JSONType = "application/json"
	TextType = "text/plain; charset=utf-8"
)

// Names lists the formats.
func Names() []string {
	out := make([]string, len(formats))
	for i, f := range formats {
		out[i] = f.name
	}
	return out
}

// ContentType is what a record of a format is, TextType for those that are lines of text. It is JSONType for a format
// that does not exist.
func ContentType(name string) string {
	for _, f := range formats {
		if f.name == name {
			return f.contentType
		}
	}
	return JSONType
}

// New returns the format of a name, as a sink.Encode. console is the console's host, for links to the threat; judge is
// nil for the table of severities. It reports every mistake at once, each "format_options.KEY: what would be right".
func New(name string, o Options, console string, judge Judge) (func(dst []byte, ev *event.Event, max int) ([]byte, bool, error), error) {
	var encode func(dst []byte, ev *event.Event, max int) ([]byte, bool, error)
	err := o.foreign(name)
	var own error
	switch name {
	case "json":
		encode = JSON
	case "ecs":
		encode, own = NewECS(ECSOptions{EventOriginal: isTrue(o.EventOriginal), Version: o.Version, Namespace: o.Namespace, Console: console, Judge: judge})
	case "ocsf":
		encode, own = NewOCSF(OCSFOptions{RawData: isTrue(o.RawData), Version: o.Version, Console: console, Judge: judge})
	case "cef":
		encode, own = NewCEF(CEFOptions{Version: o.Version, Console: console, Judge: judge})
	case "leef":
		encode, own = NewLEEF(LEEFOptions{Version: o.Version, Delimiter: o.Delimiter, Console: console, Judge: judge})
	default:
		return nil, fmt.Errorf("format: unknown format %q; known: %s", name, strings.Join(Names(), ", "))
	}
	if own != nil {
		err = errors.Join(err, prefixed("format_options", own))
	}
	if err != nil {
		return nil, err
	}
	return encode, nil
}

func isTrue(b *bool) bool { return b != nil && *b }

// foreign returns the options that are given and that a format does not have.
func (o Options) foreign(name string) error {
	i := slices.IndexFunc(formats, func(f form) bool { return f.name == name })
	if i < 0 {
		return nil
	}
	has := formats[i].options
	var mistakes []error
	for _, given := range []struct {
		key string
		is  bool
	}{
		{"delimiter", o.Delimiter != ""}, {"event_original", o.EventOriginal != nil}, {"namespace", o.Namespace != ""},
		{"raw_data", o.RawData != nil}, {"version", o.Version != ""},
	} {
		switch {
		case !given.is || slices.Contains(has, given.key):
		case len(has) == 0:
			mistakes = append(mistakes, fmt.Errorf("format_options.%s: the format %q has no options", given.key, name))
		default:
			mistakes = append(mistakes, fmt.Errorf("format_options.%s: is no option of the format %q, which has %s", given.key, name, strings.Join(has, ", ")))
		}
	}
	return errors.Join(mistakes...)
}
