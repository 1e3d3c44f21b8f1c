package config

import (
	"fmt"
	"strings"

	"s1stream/internal/safe"
)

// ExitCode is what a process ends with that can't use its configuration: EX_CONFIG of sysexits(3).
const ExitCode = 78

// Error is everything that is wrong with a configuration.
type Error struct {
	Path     string   // the file, "" where there is none
	Mistakes []string // one line each: "key: what would be right", never a secret
}

// Error lists one mistake a line.
func (e *Error) Error() string {
	prefix := ""
	if e.Path != "" {
		prefix = e.Path + ": "
	}
	return prefix + strings.Join(e.Mistakes, "\n"+prefix)
}

// ExitCode returns 78.
func (e *Error) ExitCode() int { return ExitCode }

// report collects mistakes and warnings while a configuration is read.
type report struct {
	mistakes []string
	warnings []string
	broken   map[string]bool   // keys whose value could not be read, so that their default is not judged too
	dropped  map[string]bool   // sections that lack a table that could not be read
	origins  map[string]string // keys that an environment variable set, to its name
}

func newReport() *report {
	return &report{broken: make(map[string]bool), dropped: make(map[string]bool), origins: make(map[string]string)}
}

// mistake adds one, and the environment variable that made it.
func (r *report) mistake(key, format string, args ...any) {
	text := safe.Text(key) + ": " + fmt.Sprintf(format, args...)
	if name := r.origins[key]; name != "" {
		text += " (set by " + name + ")"
	}
	r.mistakes = append(r.mistakes, text)
}

// unreadable is mistake for a value that could not be read at all.
func (r *report) unreadable(key, format string, args ...any) {
	r.broken[key] = true
	r.mistake(key, format, args...)
}

func (r *report) warn(key, format string, args ...any) {
	r.warnings = append(r.warnings, key+": "+fmt.Sprintf(format, args...))
}

// invalid adds what a Validate returned: one error or several joined, "key: what would be right" each, with keys
// relative to table. Keys that could not be read have been judged already.
func (r *report) invalid(table string, err error) {
	for _, e := range flatten(err) {
		key, text, ok := strings.Cut(e.Error(), ": ")
		if !ok {
			key, text = "", e.Error()
		}
		full := strings.TrimSuffix(table+"."+key, ".")
		if !r.broken[full] && !r.broken[full+"_file"] && !r.broken[strings.TrimSuffix(full, "_file")] {
			r.mistake(full, "%s", strings.ReplaceAll(text, "\n", " "))
		}
	}
}

// flatten takes apart what errors.Join put together.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error }) //nolint:errorlint // only the outermost is a list of mistakes
	if !ok {
		return []error{err}
	}
	var out []error
	for _, e := range joined.Unwrap() {
		out = append(out, flatten(e)...)
	}
	return out
}
