package format

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"s1stream/internal/event"
)

// ECSOptions is the format "ecs" as configured.
type ECSOptions struct {
	EventOriginal bool   `koanf:"event_original"` // the threat's own JSON in event.original
	Version       string `koanf:"version"`        // ecs.version
	Namespace     string `koanf:"namespace"`      // data_stream.namespace

	Console string `koanf:"-"` // for links to the console; "": none
	Judge   Judge  `koanf:"-"` // nil: TableJudge
}

// DefaultECS returns what an absent key means. Neither of its texts need be given: "" is the default.
func DefaultECS() ECSOptions { return ECSOptions{Version: "9.4.0", Namespace: "default"} }

func (o ECSOptions) filled() ECSOptions {
	def := DefaultECS()
	o.Version, o.Namespace = cmp.Or(o.Version, def.Version), cmp.Or(o.Namespace, def.Namespace)
	if o.Judge == nil {
		o.Judge = TableJudge
	}
	return o
}

// Validate returns every mistake at once, each "key: what would be right".
func (o ECSOptions) Validate() error {
	o = o.filled()
	var mistakes []error
	if !isVersion(o.Version) {
		mistakes = append(mistakes, fmt.Errorf("version: %q is no version of the schema: write it as in \"9.4.0\"", o.Version))
	}
	// What Elasticsearch takes as part of a data stream's name, beside the hyphens between its parts.
	if len(o.Namespace) > 100 || o.Namespace != strings.ToLower(o.Namespace) || strings.ContainsAny(o.Namespace, "\\/*?\"<>| ,#:-") {
		mistakes = append(mistakes, fmt.Errorf("namespace: %q is no namespace of a data stream: use up to 100 lower-case letters, digits, dots and underscores", o.Namespace))
	}
	return errors.Join(mistakes...)
}

// isVersion reports whether s is three numbers with dots between.
func isVersion(s string) bool {
	parts := strings.Split(s, ".")
	for _, p := range parts {
		if len(p) > 4 || !isDigits([]byte(p)) {
			return false
		}
	}
	return len(parts) == 3
}

// ecs makes documents of the Elastic Common Schema, with the whole threat under sentinel_one in the names that
// Elastic's own integration uses, so that what is built on that works here too. Names that it does not have are
// ours, and follow its ways. https://www.elastic.co/docs/reference/ecs
//
// Every field is of the type that the schema gives it, for a field of another type costs the whole document.
type ecs struct {
	ECSOptions
	head   []byte // the members that are the same in every document
	events []byte // the same within event
}

// NewECS returns the format "ecs".
func NewECS(o ECSOptions) (func(dst []byte, ev *event.Event, max int) ([]byte, bool, error), error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.filled()
	e := &ecs{ECSOptions: o}
	w := jsonWriter{}
	m := w.object(`"ecs":`)
	w.word(`"version":`, o.Version)
	w.end(m)
	m = w.object(`"data_stream":`)
	w.word(`"type":`, "logs")
	w.word(`"dataset":`, "sentinel_one.threat")
	w.whole(`"namespace":`, []byte(o.Namespace))
	w.end(m)
	e.head = w.b
	w = jsonWriter{}
	w.word(`"kind":`, "alert")
	w.word(`"module":`, "sentinel_one")
	w.word(`"dataset":`, "sentinel_one.threat")
	w.word(`"provider":`, "SentinelOne")
	e.events = w.b
	return e.encode, nil
}

func (e *ecs) encode(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
	t, err := Parse(ev)
	if err != nil {
		return nil, false, err
	}
	defer t.Release()
	d := descend(dst, ev, max)
	for d.next() {
		e.write(&d.w, ev, t, &d.s)
	}
	return d.record()
}

func (e *ecs) write(w *jsonWriter, ev *event.Event, t *Threat, s *step) {
	w.b = append(w.b, '{')
	w.at(`"@timestamp":`, ev.UpdatedAt)
	w.b = append(append(w.b, ','), e.head...)
	e.event(w, ev, t, s)
	switch {
	case s.bare:
	case s.core:
		ecsMessage(w, t)
		ecsCore(w, t)
	default:
		ecsMessage(w, t)
		ecsHost(w, t)
		ecsPeople(w, t)
		ecsProcess(w, t, s)
		ecsFile(w, t)
		ecsThreat(w, t)
		if !s.summary {
			ecsPlaces(w, t)
		}
		ecsRelated(w, t)
	}
	m := w.object(`"sentinel_one":`)
	if s.sum != nil {
		w.bool(`"truncated":`, true)
		o := w.object(`"original":`)
		w.integer(`"size":`, int64(len(ev.Raw)))
		w.whole(`"sha256":`, s.sum)
		w.end(o)
	}
	sentinelOne(w, ev, t, s)
	w.end(m)
	w.b = append(w.b, '}')
}
