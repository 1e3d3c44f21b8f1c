package config

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"s1stream/internal/nearest"
	"s1stream/sink"
	"s1stream/source"
)

// allSources is what sources says for every source.
const allSources = "all"

// stdout is the path of a file sink that writes to standard output.
const stdout = "-"

// validate judges the meaning of what was read, fills in what depends on several tables, and reads no file.
func (r *report) validate(c *Config) {
	for _, section := range sections[:4] {
		if v, ok := sectionOf(c, section).(interface{ Validate() error }); ok {
			r.invalid(section, v.Validate())
		}
	}
	if c.Ops.Exposed() {
		r.warn("ops.listen", "%s can be reached from other machines: metrics and reasons are shown to all who can", c.Ops.Listen)
	}
	for i := range c.Sources {
		r.validateSource(&c.Sources[i])
	}
	for i := range c.Sinks {
		r.validateSink(c, &c.Sinks[i])
	}
	if len(c.Sources) == 0 && !r.dropped["source"] {
		r.mistake("source", "must not be empty: write a table [source.NAME] with url and token_file")
	}
	if len(c.Sinks) == 0 && !r.dropped["sink"] {
		r.mistake("sink", "must not be empty: write a table [sink.NAME] with type, one of %s", strings.Join(typeNames(), ", "))
	}
	r.unread(c)
	r.sharedFiles(c)
}

func (r *report) validateSource(s *Source) {
	key := "source." + s.Name
	r.invalid(key, s.Config.Validate())
	filter, warnings, err := source.ParseFilter(s.Config.Filter)
	r.invalid(key+".filter", err)
	for _, w := range warnings {
		r.warnings = append(r.warnings, key+".filter."+w)
	}
	s.Filter = filter
}

func (r *report) validateSink(c *Config, s *Sink) {
	key := "sink." + s.Name
	if s.Line.DeadLetter == "" {
		s.Line.DeadLetter = c.Checkpoint.DeadLetterPath(s.Name)
	}
	r.invalid(key, s.Line.Validate())
	r.invalid(key, s.Config.Validate())
	if c, ok := s.Config.(sink.Carrier); ok {
		r.invalid(key, c.Carries(s.Line.Format))
	}
	r.resolveSources(c, s)
	path := textOf(s.Config, "path")
	if s.Type == "file" && path != "" && path != stdout && len(s.Sources) > 1 && !r.broken[key+".sources"] && !strings.Contains(path, "{source}") {
		r.mistake(key+".path", "must have {source} in it, because the sink takes %d sources and each needs a file of its own",
			len(s.Sources))
	}
}

// resolveSources turns the configured sources into NAMEs.
func (r *report) resolveSources(c *Config, s *Sink) {
	known := make([]string, len(c.Sources))
	for i := range c.Sources {
		known[i] = c.Sources[i].Name
	}
	if len(s.Line.Sources) == 0 || len(s.Line.Sources) == 1 && s.Line.Sources[0] == allSources {
		s.Sources = known
		return
	}
	key := "sink." + s.Name + ".sources"
	for _, name := range s.Line.Sources {
		switch {
		case name == allSources:
			r.mistake(key, "%q can't be mixed with the NAMEs of sources", allSources)
		case slices.Contains(s.Sources, name):
			r.mistake(key, "has %q twice", name)
		case slices.Contains(known, name):
			s.Sources = append(s.Sources, name)
		case len(known) == 0 || r.broken["source."+name]: // reported already
		default:
			r.dropped["sink"] = true // whichever source was meant is taken
			r.mistake(key, "there is no [source.%s]; the nearest is %q", shown(name), nearest.Of(name, known))
		}
	}
	slices.Sort(s.Sources)
}

// unread reports sources that no sink takes: nobody would notice that they are not read.
func (r *report) unread(c *Config) {
	if len(c.Sinks) == 0 || r.dropped["sink"] {
		return
	}
	for _, src := range c.Sources {
		if !slices.ContainsFunc(c.Sinks, func(s Sink) bool { return slices.Contains(s.Sources, src.Name) }) {
			r.mistake("source."+src.Name, "no sink takes it: add %q to the sources of a sink, or remove it", src.Name)
		}
	}
}

// sharedFiles reports files that two sinks would write, and mangle.
func (r *report) sharedFiles(c *Config) {
	writers := make(map[string]string) // absolute path to the key that names it
	claim := func(key, path string) {
		if absolute, err := filepath.Abs(path); err == nil && path != stdout {
			path = absolute
		}
		if other := writers[path]; other != "" && other != key {
			r.mistake(key, "must not be the same file as %s", other)
			return
		}
		writers[path] = key
	}
	for _, s := range c.Sinks {
		key := "sink." + s.Name
		if path := textOf(s.Config, "path"); s.Type == "file" && path != "" {
			for _, name := range s.Sources {
				claim(key+".path", strings.ReplaceAll(path, "{source}", name))
			}
		}
		claim(key+".dead_letter", s.Line.DeadLetter)
	}
}

// Validate judges a configuration again, as Load did: nil for every Config that Load or Parse returned.
func (c *Config) Validate() error {
	r := newReport()
	again := *c
	again.Sources, again.Sinks = slices.Clone(c.Sources), slices.Clone(c.Sinks)
	for i := range again.Sinks {
		again.Sinks[i].Sources = nil
	}
	r.validate(&again)
	if len(r.mistakes) > 0 {
		return &Error{Mistakes: r.mistakes}
	}
	return nil
}

func shown(s string) string { return strings.Trim(fmt.Sprintf("%q", s), `"`) }
