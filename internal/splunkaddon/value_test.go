package splunkaddon

import (
	"encoding/json"
	"strconv"
	"strings"
)

// A value of eval: nil (NULL), string, json.Number, bool, or []string of several values.
type value any

// fields are an event's.
type fields map[string]value

// text is a value as a string; false for NULL and for what has no one string.
func text(v value) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case []string:
		if len(v) == 1 {
			return v[0], true
		}
	}
	return "", false
}

// several is a value as a list; nil for NULL.
func several(v value) []string {
	if list, ok := v.([]string); ok {
		return list
	}
	if s, ok := text(v); ok {
		return []string{s}
	}
	return nil
}

// packed is the opposite: NULL for an empty list, as in Splunk.
func packed(list []string) value {
	switch len(list) {
	case 0:
		return nil
	case 1:
		return list[0]
	}
	return list
}

// extractJSON is json_extract: a value as Splunk's own kind, a JSON null as NULL, what is nested as JSON, and a JSON list
// where the path leads through {}. It has no limit of size.
// https://docs.splunk.com/Documentation/Splunk/latest/SearchReference/JSONFunctions
func extractJSON(doc any, path string) value {
	found, wide := []any{doc}, false
	for _, step := range strings.Split(path, ".") {
		name, index, indexed := strings.Cut(step, "{")
		index = strings.TrimSuffix(index, "}")
		var next []any
		for _, at := range found {
			if name != "" {
				object, _ := at.(map[string]any)
				member, ok := object[name]
				if !ok {
					continue
				}
				at = member
			}
			list, _ := at.([]any)
			n, err := strconv.Atoi(index)
			switch {
			case !indexed:
				next = append(next, at)
			case index == "":
				next = append(next, list...)
			case err == nil && n < len(list):
				next = append(next, list[n])
			}
		}
		wide = wide || indexed && index == ""
		found = next
	}
	if len(found) == 0 {
		return nil
	}
	if wide {
		return marshalled(found)
	}
	switch v := found[0].(type) {
	case nil, string, bool, json.Number:
		return v
	}
	return marshalled(found[0])
}

func marshalled(v any) value {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return string(b)
}

// readJSON reads a document with its numbers as they are written; ok is false for what is none.
func readJSON(s string) (doc any, ok bool) {
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if d.Decode(&doc) != nil || d.More() {
		return nil, false
	}
	return doc, true
}
