// Package config reads TOML and the environment into the structs that live beside each component.
//
// It is strict: an unknown key, a value of another type and a mistake in meaning are all errors, each names its
// key and what would be right, and all of them are reported at once. Secrets come from files or the environment;
// "${…}" means nothing. The environment overrides every key, as in S1STREAM_SINK__SIEM__TOPIC.
package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/v2"
	gotoml "github.com/pelletier/go-toml/v2"

	"s1stream/internal/nearest"
	"s1stream/internal/pipeline"
	"s1stream/internal/safe"
	"s1stream/sink"
	"s1stream/source"
)

// Config is everything an operator can say.
type Config struct {
	Log        Log
	Ops        Ops
	Checkpoint Checkpoint
	Pipeline   Pipeline
	Sources    []Source // by NAME
	Sinks      []Sink   // by NAME
	Warnings   []string // what works, but hardly as meant: "key: why" each
}

// Source is a [source.NAME] table.
type Source struct {
	Name   string
	Config source.Config
	Filter source.Filter // Config.Filter, checked
}

// Sink is a [sink.NAME] table.
type Sink struct {
	Name    string
	Type    string              // as sink.Lookup knows it
	Sources []string            // NAMEs of the sources it takes, "all" resolved, sorted
	Line    pipeline.LineConfig // with the batches of its type and its dead-letter file filled in
	Config  sink.Config         // of its type
}

// The largest files that are read, in bytes: far above what anybody writes, far below what harms.
const (
	maxConfig = 1 << 20
	maxKey    = 1 << 20
	maxCA     = 16 << 20 // the roots of a system are a quarter of a megabyte
)

// Load reads a file and the environment, given as os.Environ does, and the files that they name. An empty path
// reads the environment alone. What is wrong, all of it, is an *Error.
func Load(path string, env []string) (*Config, error) {
	r := newReport()
	c, err := r.load(path, env)
	if err != nil {
		return nil, err
	}
	if c != nil {
		r.checkFiles(c)
		r.checkProxies(c, env)
		if path != "" && safe.OpenToOthers(path) {
			r.warnInline(c, path)
		}
		c.Warnings = r.warnings
	}
	return r.result(c, path)
}

// LoadOffline is Load without the files that the configuration names, for what connects to nothing: the copies of
// secrets that systemd makes are gone while the service is stopped.
func LoadOffline(path string, env []string) (*Config, error) {
	r := newReport()
	c, err := r.load(path, env)
	if err != nil {
		return nil, err
	}
	return r.result(c, path)
}

func (r *report) load(path string, env []string) (*Config, error) {
	if path == "" {
		return r.parse(nil, env), nil
	}
	data, err := safe.ReadFile(path, maxConfig)
	if err != nil {
		return nil, &Error{Mistakes: []string{err.Error() + ": name another file with --config"}}
	}
	return r.parse(data, env), nil
}

// Parse is Load without any file: data is the configuration itself, and what it names need not exist.
func Parse(data []byte, env []string) (*Config, error) {
	r := newReport()
	return r.result(r.parse(data, env), "")
}

func (r *report) result(c *Config, path string) (*Config, error) {
	if len(r.mistakes) > 0 {
		return nil, &Error{Path: path, Mistakes: r.mistakes}
	}
	c.Warnings = r.warnings
	return c, nil
}

// parse returns what could be read, mistakes or not; nil where it is not even TOML.
func (r *report) parse(data []byte, env []string) *Config {
	tables, err := r.layers(data, env)
	if err != nil {
		at, text := "not TOML", strings.TrimPrefix(err.Error(), "toml: ")
		if e := (*gotoml.DecodeError)(nil); errors.As(err, &e) {
			row, column := e.Position()
			at = fmt.Sprintf("line %d, column %d", row, column)
		}
		r.mistake(at, "%s", safe.Text(unquoted(text)))
		return nil
	}
	c := defaults(env)
	r.decodeSections(c, tables)
	c.Sources = r.decodeSources(tables["source"])
	c.Sinks = r.decodeSinks(tables["sink"])
	r.validate(c)
	return c
}

// unquoted says what to do about a text without its quotes, which the parser takes for a number, and quotes: it may be a
// secret.
func unquoted(text string) string {
	text, _, _ = strings.Cut(text, ": strconv.")
	for _, sign := range []string{"number", "float", "digit", "expected newline"} {
		if strings.Contains(text, sign) {
			return text + ": texts, durations and sizes are written in quotes"
		}
	}
	return text
}

// delimiter separates keys inside koanf. It can't be "." because a TOML key may hold one.
const delimiter = "\x00"

// layers merges the file and, over it, the environment.
func (r *report) layers(data []byte, env []string) (map[string]any, error) {
	k := koanf.New(delimiter)
	if err := k.Load(rawBytes(data), toml.Parser()); err != nil {
		return nil, err
	}
	if err := k.Load(envTables(r.overlay(env, k.Raw())), nil); err != nil {
		return nil, err
	}
	return k.Raw(), nil
}

// sections are the tables at the top, in the order they are reported.
var sections = []string{"log", "ops", "checkpoint", "pipeline", "source", "sink"}

// defaults returns what an empty configuration means. The checkpoint's directory is the one that systemd gives.
func defaults(env []string) *Config {
	dir := "/var/lib/s1stream"
	for _, variable := range env {
		if v, ok := strings.CutPrefix(variable, "STATE_DIRECTORY="); ok {
			if first, _, _ := strings.Cut(v, ":"); first != "" {
				dir = first
			}
		}
	}
	return &Config{
		Log:        Log{Level: "info", Format: "text"},
		Ops:        Ops{Listen: "127.0.0.1:9464"},
		Checkpoint: Checkpoint{Dir: dir, Interval: 5 * time.Second},
		Pipeline:   Pipeline{Patience: time.Minute, DrainTimeout: 20 * time.Second},
	}
}

// sectionOf returns the struct of a section that has no NAMEs.
func sectionOf(c *Config, section string) any {
	switch section {
	case "log":
		return &c.Log
	case "ops":
		return &c.Ops
	case "checkpoint":
		return &c.Checkpoint
	default:
		return &c.Pipeline
	}
}

func (r *report) decodeSections(c *Config, tables map[string]any) {
	for _, key := range sortedKeys(tables) {
		if !slices.Contains(sections, key) {
			r.mistake(safe.Text(key), "unknown key; the nearest known table is [%s]", nearest.Of(key, sections))
		}
	}
	for _, section := range sections[:4] {
		value, given := tables[section]
		table, ok := value.(map[string]any)
		switch {
		case ok:
			r.decode(section, table, nil, sectionOf(c, section))
		case given:
			r.unreadable(section, "must be a table: write [%s]", section)
		}
	}
}

// DeadLetterPath returns where a sink's dead letters go unless it says otherwise.
func (c Checkpoint) DeadLetterPath(sinkName string) string {
	return filepath.Join(c.Dir, sinkName+".dead.jsonl")
}
