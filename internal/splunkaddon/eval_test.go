package splunkaddon

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// evaluator works out expressions on one event. A document is read once: json_extract is asked for many of its parts.
type evaluator struct {
	fields fields
	doc    map[string]any
	// boolsAreTexts: what the documents leave open is whether a JSON true is a Boolean or the word; the add-on has to
	// give the same with both.
	boolsAreTexts bool
}

// eval returns an expression's value. An unknown function, a wrong number or kind of arguments is an error, never NULL.
func (ev *evaluator) eval(e *expr) (value, error) {
	switch e.op {
	case "text":
		return e.name, nil
	case "number":
		return json.Number(e.name), nil
	case "field":
		return ev.fields[e.name], nil
	case "call":
		return ev.call(e)
	}
	args := make([]value, len(e.args))
	for i, a := range e.args {
		var err error
		if args[i], err = ev.eval(a); err != nil {
			return nil, err
		}
	}
	switch e.op {
	case ".":
		left, ok1 := text(args[0])
		right, ok2 := text(args[1])
		if !ok1 || !ok2 {
			return nil, nil
		}
		return left + right, nil
	case "=", "!=":
		return equal(args[0], args[1], e.op == "=")
	case "NOT":
		if b, ok := args[0].(bool); ok {
			return !b, nil
		}
		return nil, nil
	}
	return logic(e.op, args[0], args[1])
}

// errKind is what a value of an unexpected kind meets: what Splunk makes of it is not written down.
var errKind = errors.New("a value of this kind is not known here")

// equal compares with NULL as NULL. A list fits if one of its values does. What isn't text on both sides is refused:
// how Splunk compares it is not written down.
func equal(a, b value, same bool) (value, error) {
	if a == nil || b == nil {
		return nil, nil
	}
	left, right := several(a), several(b)
	if left == nil || right == nil {
		return nil, fmt.Errorf("comparison of %T with %T: %w: use tostring", a, b, errKind)
	}
	return slices.ContainsFunc(left, func(s string) bool { return slices.Contains(right, s) }) == same, nil
}

// logic has NULL as neither true nor false.
func logic(op string, a, b value) (value, error) {
	for _, v := range []value{a, b} {
		if _, ok := v.(bool); v != nil && !ok {
			return nil, fmt.Errorf("%s of a %T", op, v)
		}
	}
	decides := op == "OR"
	switch {
	case a == decides || b == decides:
		return decides, nil
	case a == nil || b == nil:
		return nil, nil
	}
	return !decides, nil
}

// arity is the least and the most arguments of each function that is known; -1 for any number.
var arity = map[string][2]int{
	"case": {2, -1}, "coalesce": {1, -1}, "if": {3, 3}, "isnotnull": {1, 1}, "isnull": {1, 1}, "json_array_to_mv": {1, 1},
	"json_extract": {2, 2}, "lower": {1, 1}, "match": {2, 2}, "mvappend": {1, -1}, "mvdedup": {1, 1}, "mvindex": {2, 2},
	"null": {0, 0}, "nullif": {2, 2}, "replace": {3, 3}, "split": {2, 2}, "tostring": {1, 1}, "true": {0, 0},
}

func (ev *evaluator) call(e *expr) (value, error) {
	n, known := arity[e.name]
	if !known || len(e.args) < n[0] || n[1] >= 0 && len(e.args) > n[1] {
		return nil, fmt.Errorf("%s with %d arguments is not known here", e.name, len(e.args))
	}
	if e.name == "case" || e.name == "if" {
		return ev.choose(e)
	}
	args := make([]value, len(e.args))
	for i, a := range e.args {
		var err error
		if args[i], err = ev.eval(a); err != nil {
			return nil, err
		}
	}
	switch e.name {
	case "coalesce":
		for _, a := range args {
			if a != nil {
				return a, nil
			}
		}
		return nil, nil
	case "isnotnull":
		return args[0] != nil, nil
	case "isnull":
		return args[0] == nil, nil
	case "null":
		return nil, nil
	case "true":
		return true, nil
	case "tostring":
		if b, ok := args[0].(bool); ok { // "True" and "False", as its reference says
			return strings.ToUpper(strconv.FormatBool(b)[:1]) + strconv.FormatBool(b)[1:], nil
		}
		return args[0], nil
	case "mvappend":
		var all []string
		for _, a := range args {
			all = append(all, several(a)...)
		}
		return packed(all), nil
	case "mvindex":
		n, err := strconv.Atoi(e.args[1].name)
		if list := several(args[0]); err == nil && n < len(list) {
			return list[n], nil
		}
		return nil, err
	case "mvdedup":
		var once []string
		for _, s := range several(args[0]) {
			if !slices.Contains(once, s) {
				once = append(once, s)
			}
		}
		return packed(once), nil
	}
	return ev.onTexts(e, args)
}

// choose evaluates no more than it needs.
func (ev *evaluator) choose(e *expr) (value, error) {
	args := e.args
	if e.name == "if" {
		args = []*expr{args[0], args[1], {op: "call", name: "true"}, args[2]}
	}
	if len(args)%2 != 0 {
		return nil, fmt.Errorf("case with an odd number of arguments")
	}
	for i := 0; i < len(args); i += 2 {
		holds, err := ev.eval(args[i])
		if err != nil {
			return nil, err
		}
		if _, ok := holds.(bool); holds != nil && !ok {
			return nil, fmt.Errorf("%s: a condition is a %T", e.name, holds)
		}
		if holds == true {
			return ev.eval(args[i+1])
		}
	}
	return nil, nil
}

// onTexts are the functions that answer NULL to NULL.
func (ev *evaluator) onTexts(e *expr, args []value) (value, error) {
	if args[0] == nil {
		return nil, nil
	}
	first, ok := text(args[0])
	if !ok {
		return nil, fmt.Errorf("%s of a %T: %w", e.name, args[0], errKind)
	}
	rest := make([]string, len(args))
	for i, a := range args[1:] {
		if e.args[i+1].op != "text" && e.name != "nullif" {
			return nil, fmt.Errorf("%s: argument %d is no text that is written out", e.name, i+2)
		}
		rest[i+1], _ = text(a)
	}
	switch e.name {
	case "lower":
		return strings.ToLower(first), nil
	case "nullif":
		if first == rest[1] {
			return nil, nil
		}
		return args[0], nil
	case "split":
		return packed(strings.Split(first, rest[1])), nil
	case "match":
		re, err := compile(rest[1])
		return err == nil && re.MatchString(first), err
	case "replace":
		re, err := compile(rest[1])
		if err != nil {
			return nil, err
		}
		return re.ReplaceAllString(first, regexp.MustCompile(`\\(\d)`).ReplaceAllString(rest[2], "$${$1}")), nil
	case "json_extract":
		if _, read := ev.doc[first]; !read {
			ev.doc[first], _ = readJSON(first)
		}
		found := extractJSON(ev.doc[first], rest[1])
		if b, ok := found.(bool); ok && ev.boolsAreTexts {
			return strconv.FormatBool(b), nil
		}
		return found, nil
	case "json_array_to_mv":
		var list []json.RawMessage
		if json.Unmarshal([]byte(first), &list) != nil {
			return nil, nil
		}
		var out []string
		for _, raw := range list {
			var s string
			if json.Unmarshal(raw, &s) != nil {
				s = string(raw)
			}
			out = append(out, s)
		}
		return packed(out), nil
	}
	return nil, fmt.Errorf("%s is not known here", e.name)
}

// compile takes what PCRE and RE2 read alike. Go refuses look-around, back references, possessive and atomic groups.
func compile(pattern string) (*regexp.Regexp, error) { return regexp.Compile(pattern) }
