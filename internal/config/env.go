package config

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"s1stream/internal/nearest"
	"s1stream/internal/safe"
	"s1stream/sink/format"
	"s1stream/source"
)

// The environment overrides every key: S1STREAM_SECTION__KEY and S1STREAM_SECTION__NAME__KEY, a NAME's "-"
// written "_", tables within tables separated by "__", lists by commas. What is a list of tables is written in the file alone.
const (
	envPrefix    = "S1STREAM_"
	envSeparator = "__"
)

// overlay turns the environment into the tables that override those of the file. Kubernetes sets variables of
// its own for every service, so only what names one of our sections is ours.
func (r *report) overlay(env []string, file map[string]any) map[string]any {
	out := make(map[string]any)
	for _, variable := range slices.Sorted(slices.Values(env)) {
		name, value, _ := strings.Cut(variable, "=")
		rest, ours := strings.CutPrefix(name, envPrefix)
		section, key, separated := strings.Cut(rest, envSeparator)
		if !ours || !separated || section != strings.ToUpper(section) || !slices.Contains(sections, strings.ToLower(section)) {
			continue
		}
		section = strings.ToLower(section)
		path := []string{section}
		if section == "source" || section == "sink" {
			var table string
			if table, key = splitName(key, file[section]); key == "" {
				r.mistake(name, "must name a key: %s%s__NAME__KEY", envPrefix, strings.ToUpper(section))
				continue
			}
			if !validName.MatchString(table) {
				r.mistake(name, "%q is not a NAME: %s", safe.Text(table), nameRule)
				continue
			}
			path = append(path, table)
		}
		o := override{report: r, out: out, file: file, variable: name, path: path}
		o.shape, o.sure = shape(path, file, env)
		o.apply(key, value)
	}
	return out
}

// splitName parts NAME and key. A NAME that the file has wins, so that one with "--" inside is found too.
func splitName(s string, tables any) (table, key string) {
	known, _ := tables.(map[string]any)
	for name := range known {
		prefix := envName(name) + envSeparator
		if len(name) > len(table) && len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
			table, key = name, s[len(prefix):]
		}
	}
	if table == "" {
		table, key, _ = strings.Cut(s, envSeparator)
		table = strings.ReplaceAll(strings.ToLower(table), "_", "-")
	}
	return table, key
}

// envName writes a NAME or a key as a variable has it.
func envName(s string) string { return strings.ToUpper(strings.ReplaceAll(s, "-", "_")) }

// shape returns the structs that the table at path is decoded into, for the types of their keys. It is not sure
// of all of them where the type of a sink is not known, which is a mistake reported elsewhere.
func shape(path []string, file map[string]any, env []string) (structs []any, sure bool) {
	switch path[0] {
	case "source":
		return []any{new(source.Config)}, true
	case "sink":
		name, _ := lookupTable(file, path...)["type"].(string)
		for _, variable := range env {
			key, value, _ := strings.Cut(variable, "=")
			if strings.EqualFold(key, envPrefix+"SINK__"+envName(path[1])+"__TYPE") {
				name = value
			}
		}
		return sinkShape(name)
	}
	return []any{sectionOf(new(Config), path[0])}, true
}

// override is one variable on its way into the tables of out.
type override struct {
	*report
	out, file map[string]any
	variable  string
	path      []string // of the table that shape describes
	shape     []any
	sure      bool // shape has every key
}

// apply sets one key. It has its parts separated by "__", in any case.
func (o *override) apply(key, value string) {
	known, at, rest := fields(o.shape...), slices.Clone(o.path), key
	for {
		head, below, nested := strings.Cut(rest, envSeparator)
		head = strings.ToLower(head)
		field, ok := known[head]
		at = append(at, head)
		switch {
		case ok && nested && isTable(field.Type()):
			known, rest = fields(field.Addr().Interface()), below
			continue
		case ok && nested && head == "filter":
			name, v, err := source.FilterText(below, value)
			if name == "" {
				o.unknown(key)
			} else {
				o.set(append(at, name), v, err)
			}
		case ok && nested && field.Type() == reflect.TypeFor[format.Fields]():
			if name := format.FieldNamed(strings.ReplaceAll(below, envSeparator, ".")); name == "" {
				o.unknown(key)
			} else {
				v, err := fromEnv(reflect.TypeFor[[]string](), value)
				o.set(append(at, name), v, err)
			}
		case ok && nested && field.Kind() == reflect.Map:
			o.set(append(at, headerName(below, lookupTable(o.file, at...))), value, nil)
		case ok && isTables(field.Type()):
			o.mistake(o.variable, "is a list of tables, which a variable can't say: write it into the file")
		case ok && !nested && field.Kind() != reflect.Map && !isTable(field.Type()):
			v, err := fromEnv(field.Type(), value)
			o.set(at, v, err)
		default:
			o.unknown(key)
		}
		return
	}
}

// headerName returns the name of an HTTP header given without case and with "_" for "-": as the file has it, if
// it does.
func headerName(s string, file map[string]any) string {
	s = strings.ReplaceAll(strings.ToLower(s), "_", "-")
	for name := range file {
		if strings.EqualFold(name, s) {
			return name
		}
	}
	return s
}

// set puts a value at its place, unless it could not be converted or another variable was there first.
func (o *override) set(path []string, value any, err error) {
	if err != nil {
		o.mistake(o.variable, "%v", err)
		return
	}
	full := strings.Join(path, ".")
	if other := o.origins[full]; other != "" {
		o.mistake(o.variable, "sets the same key as %s: remove one of them", other)
		return
	}
	o.origins[full] = o.variable
	o.table(path[:len(path)-1])[path[len(path)-1]] = value
}

// table returns the table of out at a path, made if need be.
func (o *override) table(path []string) map[string]any {
	table := o.out
	for _, part := range path {
		next, ok := table[part].(map[string]any)
		if !ok {
			next = make(map[string]any)
			table[part] = next
		}
		table = next
	}
	return table
}

// unknown reports a key that does not exist and names the variable that was most likely meant. Where the type of
// a sink is not known, the table without its type is the mistake to report.
func (o *override) unknown(key string) {
	if !o.sure {
		o.table(o.path)
		return
	}
	prefix := envPrefix
	for _, part := range o.path {
		prefix += envName(part) + envSeparator
	}
	o.mistake(o.variable, "is not a key of [%s]; the nearest is %s",
		strings.Join(o.path, "."), prefix+nearest.Of(key, envKeys(fields(o.shape...))))
}

// fromEnv converts text to what TOML would have given for a field of this type.
func fromEnv(t reflect.Type, value string) (any, error) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if hasText(t) {
		return value, nil
	}
	switch t.Kind() {
	case reflect.Bool:
		if value != "true" && value != "false" {
			return nil, errors.New("must be true or false")
		}
		return value == "true", nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return nil, errors.New("must be a whole number")
		}
		return n, nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, errors.New("must be a number")
		}
		return f, nil
	case reflect.Slice:
		items := []any{}
		for item := range strings.SplitSeq(value, ",") {
			if item = strings.TrimSpace(item); item != "" {
				items = append(items, item)
			}
		}
		return items, nil
	}
	return value, nil
}

// envKeys lists the keys of a table as variables have them, those of tables within it included.
func envKeys(known map[string]reflect.Value) []string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(known)) {
		switch field := known[key]; {
		case isTable(field.Type()):
			for _, sub := range envKeys(fields(field.Addr().Interface())) {
				out = append(out, envName(key)+envSeparator+sub)
			}
		case key == "filter":
			for _, name := range source.FilterNames() {
				out = append(out, envName(key)+envSeparator+strings.ToUpper(name))
			}
		case field.Type() == reflect.TypeFor[format.Fields]():
			for _, name := range format.FieldNames() {
				out = append(out, envName(key)+envSeparator+strings.ToUpper(name))
			}
		case isTables(field.Type()): // no variable can say them
		case field.Kind() == reflect.Map:
			out = append(out, envName(key)+envSeparator+"NAME")
		default:
			out = append(out, envName(key))
		}
	}
	return out
}
