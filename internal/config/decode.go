package config

import (
	"encoding"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"s1stream/internal/nearest"
	"s1stream/internal/safe"
	"s1stream/sink"
	"s1stream/sink/format"
)

// fields maps the koanf keys of some structs, given by pointer, to their fields.
func fields(structs ...any) map[string]reflect.Value {
	out := make(map[string]reflect.Value)
	for _, s := range structs {
		v := reflect.ValueOf(s).Elem()
		for i := range v.NumField() {
			key, option, _ := strings.Cut(v.Type().Field(i).Tag.Get("koanf"), ",")
			switch {
			case option == "squash":
				maps.Copy(out, fields(v.Field(i).Addr().Interface()))
			case key != "" && key != "-":
				out[key] = v.Field(i)
			}
		}
	}
	return out
}

// isTable reports whether a field is a table with keys of its own.
func isTable(t reflect.Type) bool { return t.Kind() == reflect.Struct && !hasText(t) }

// isTables reports whether a field is a list of tables.
func isTables(t reflect.Type) bool { return t.Kind() == reflect.Slice && isTable(t.Elem()) }

// decodeTables sets a list of tables, each as decode does.
func (r *report) decodeTables(key string, value any, field reflect.Value) {
	list, ok := value.([]any)
	if !ok {
		r.unreadable(key, "must be tables: write [[%s]]", key)
		return
	}
	whole := true
	all := reflect.MakeSlice(field.Type(), len(list), len(list))
	for i, item := range list {
		one := fmt.Sprintf("%s[%d]", key, i)
		if table, ok := item.(map[string]any); ok {
			r.decode(one, table, nil, all.Index(i).Addr().Interface())
		} else {
			r.unreadable(one, "must be a table: write [[%s]] above its keys", key)
			whole = false
		}
	}
	if whole {
		field.Set(all)
	}
}

// hasText reports whether values of a type are written as text of a form of their own.
func hasText(t reflect.Type) bool {
	return t == reflect.TypeFor[time.Duration]() ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// decode sets the fields of some structs from a table, strictly: an unknown key and a value of another type are
// mistakes, and every one is reported. elsewhere may say more of an unknown key, or returns "".
func (r *report) decode(prefix string, table map[string]any, elsewhere func(key string) string, structs ...any) {
	known := fields(structs...)
	for _, key := range slices.Sorted(maps.Keys(table)) {
		field, ok := known[key]
		full := prefix + "." + key
		if !ok {
			hint := ""
			if elsewhere != nil {
				hint = elsewhere(key)
			}
			if hint == "" {
				hint = fmt.Sprintf("the nearest known one is %q", nearest.Of(key, slices.Sorted(maps.Keys(known))))
			}
			r.unreadable(prefix+"."+safe.Text(key), "unknown key; %s", hint)
			continue
		}
		if isTable(field.Type()) {
			if sub, ok := table[key].(map[string]any); ok {
				r.decode(full, sub, nil, field.Addr().Interface())
			} else {
				r.unreadable(full, "must be a table: write [%s], or %s.KEY = …", full, key)
			}
			continue
		}
		if isTables(field.Type()) {
			r.decodeTables(full, table[key], field)
			continue
		}
		if err := decodeValue(key, table[key], field); err != nil {
			r.unreadable(full, "%v", err)
		}
	}
}

// decodeValue sets one field from one value. One text stands for a list of one in address and sources alone.
func decodeValue(key string, value any, field reflect.Value) error {
	if s, ok := value.(string); ok && (key == "address" || key == "sources") && field.Kind() == reflect.Slice {
		value = []any{s}
	}
	fresh := reflect.New(field.Type())
	d, err := mapstructure.NewDecoder(&mapstructure.DecoderConfig{
		Result:           fresh.Interface(),
		WeaklyTypedInput: false,
		ErrorUnused:      true,
		DecodeHook:       strict,
	})
	if err != nil {
		return err
	}
	if err := d.Decode(value); err != nil {
		if own := (*valueError)(nil); errors.As(err, &own) {
			return own
		}
		return fmt.Errorf("must be %s, not %s", wanted(field.Type()), found(value))
	}
	field.Set(fresh.Elem())
	return nil
}

// valueError says what would be right; every other error of mapstructure is put into our words.
type valueError struct{ text string }

func (e *valueError) Error() string { return e.text }

// strict converts text where the field has a textual form of its own, and refuses what mapstructure would take
// in silence: a fraction for a whole number, a number for a duration, a number too large for its field.
func strict(from, to reflect.Value) (any, error) {
	value := from.Interface()
	s, isText := value.(string)
	switch {
	case to.Type() == reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(s)
		if err != nil {
			return nil, &valueError{`must be a duration in quotes, as in "30s", "5m" or "1h"`}
		}
		return d, nil
	case hasText(to.Type()):
		if !isText {
			return nil, &valueError{fmt.Sprintf("must be %s, not %s", wanted(to.Type()), found(value))}
		}
		fresh := reflect.New(to.Type())
		if err := fresh.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(s)); err != nil {
			return nil, &valueError{safe.Text(err.Error())}
		}
		return fresh.Elem().Interface(), nil
	case to.CanInt():
		if n, ok := value.(int64); !ok || to.OverflowInt(n) {
			return nil, &valueError{"must be a whole number, without quotes"}
		}
	case to.CanUint():
		if n, ok := value.(int64); !ok || n < 0 || to.OverflowUint(uint64(n)) {
			return nil, &valueError{"must be a whole number from 0, without quotes"}
		}
	}
	return value, nil
}

// wanted says in words what a field takes.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[sink.Size]():
		return `a size in quotes, as in "8MiB" or "900KB"`
	case t.Kind() == reflect.Pointer:
		return wanted(t.Elem())
	case t.Kind() == reflect.Bool:
		return "true or false, without quotes"
	case t.Kind() == reflect.Float64:
		return "a number, without quotes"
	case t.Kind() == reflect.Slice:
		return `a list of texts, as in ["a", "b"]`
	case t == reflect.TypeFor[format.Fields]():
		return `a table of lists, as in { incidentStatus = ["unresolved"] }`
	case t.Kind() == reflect.Map:
		return "a table of texts"
	}
	return "text in quotes"
}

// found says in words what a value is. It never shows the value, which may be a secret in the wrong place.
func found(value any) string {
	switch v := value.(type) {
	case string:
		return "text"
	case bool:
		return "true or false"
	case int64, float64:
		return "a number"
	case []any:
		for _, item := range v {
			if _, ok := item.(string); !ok {
				return "a list that holds " + found(item)
			}
		}
		return "a list"
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			if _, ok := v[key].(string); !ok {
				return "a table that holds " + found(v[key])
			}
		}
		return "a table"
	}
	return "a date or time"
}
