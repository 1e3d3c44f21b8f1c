package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"s1stream/internal/nearest"
	"s1stream/internal/pipeline"
	"s1stream/internal/safe"
	"s1stream/sink"
	"s1stream/source"
)

// validName is what a NAME looks like: it stands in file names, labels and variables.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,30}$`)

const nameRule = `use 1 to 31 of a-z, 0-9 and "-", and begin with a letter or digit`

// drop is unreadable for a whole table of a section.
func (r *report) drop(section, key, format string, args ...any) {
	r.dropped[section] = true
	r.unreadable(key, format, args...)
}

// named calls each with every table [section.NAME], by NAME.
func (r *report) named(section string, value any, each func(name, key string, table map[string]any)) {
	tables, ok := value.(map[string]any)
	if value != nil && !ok {
		r.drop(section, section, "must be tables with a NAME each: write [%s.NAME]", section)
	}
	var stray []string
	for _, name := range sortedKeys(tables) {
		key := section + "." + safe.Text(name)
		table, ok := tables[name].(map[string]any)
		switch {
		case !ok:
			stray = append(stray, name)
		case !validName.MatchString(name):
			r.drop(section, key, "%q is not a NAME: %s", safe.Text(name), nameRule)
		case name == allSources && section == "source":
			r.drop(section, key, "%q stands for every source: choose another NAME", name)
		default:
			each(name, key, table)
		}
	}
	if stray != nil {
		r.drop(section, section, "must be tables with a NAME each: write [%s.NAME] above %s", section, safe.Text(strings.Join(stray, ", ")))
	}
}

func (r *report) decodeSources(value any) []Source {
	var out []Source
	r.named("source", value, func(name, key string, table map[string]any) {
		s := Source{Name: name, Config: source.DefaultConfig()}
		filter, given := table["filter"]
		delete(table, "filter") // its keys are the endpoint's, with types of their own
		r.decode(key, table, nil, &s.Config)
		if f, ok := filter.(map[string]any); ok {
			s.Config.Filter = f
		} else if given {
			r.unreadable(key+".filter", "must be a table: write [%s.filter]", key)
		}
		out = append(out, s)
	})
	return out
}

// sinkHead is what picks the type of a sink.
type sinkHead struct {
	Type string `koanf:"type"`
}

// sinkShape returns the structs that a sink of some type is decoded into, and whether that type exists.
func sinkShape(typeName string) ([]any, bool) {
	shape := []any{new(sinkHead), new(pipeline.LineConfig)}
	t, ok := sink.Lookup(typeName)
	if ok {
		shape = append(shape, t.Default())
	}
	return shape, ok
}

func typeNames() []string {
	var out []string
	for _, t := range sink.Types() {
		out = append(out, t.Name)
	}
	return out
}

func (r *report) decodeSinks(value any) []Sink {
	var out []Sink
	r.named("sink", value, func(name, key string, table map[string]any) {
		typeName, isText := table["type"].(string)
		t, ok := sink.Lookup(typeName)
		switch {
		case !isText:
			r.drop("sink", key+".type", "must be one of %s, in quotes", strings.Join(typeNames(), ", "))
		case !ok:
			r.drop("sink", key+".type", "unknown type; the nearest is %q, known are %s",
				nearest.Of(typeName, typeNames()), strings.Join(typeNames(), ", "))
		default:
			s := Sink{Name: name, Type: t.Name, Line: lineDefaults(t), Config: t.Default()}
			r.decode(key, table, elsewhere(t.Name), new(sinkHead), &s.Line, s.Config)
			out = append(out, s)
		}
	})
	return out
}

// lineDefaults lets a type of sink have its say about batches and queues.
func lineDefaults(t sink.Type) pipeline.LineConfig {
	line := pipeline.DefaultLineConfig()
	line.BatchEvents, line.BatchBytes, line.BatchWait = t.Line.BatchEvents, t.Line.BatchBytes, t.Line.BatchWait
	if t.Line.QueueEvents > 0 {
		line.QueueEvents, line.QueueBytes = t.Line.QueueEvents, t.Line.QueueBytes
	}
	return line
}

// elsewhere knows the keys of the other types of sink.
func elsewhere(typeName string) func(key string) string {
	return func(key string) string {
		var others []string
		for _, t := range sink.Types() {
			if _, ok := fields(t.Default())[key]; ok && t.Name != typeName {
				others = append(others, fmt.Sprintf("%q", t.Name))
			}
		}
		if others == nil {
			return ""
		}
		return fmt.Sprintf("a sink of type %q has no such key; one of type %s has", typeName, strings.Join(others, " or "))
	}
}

// textOf returns the text that a config struct, given by pointer, has at a key of its own, or "".
func textOf(config any, key string) string {
	if f, ok := fields(config)[key]; ok && f.Kind() == reflect.String {
		return f.String()
	}
	return ""
}
