package splunkaddon

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// knowledge is the add-on, compiled: what a search head knows of our source types.
type knowledge struct {
	types     map[string]*sourceType
	eventType *regexp.Regexp // of a source type
	tags      []string
}

type sourceType struct {
	extracts []*regexp.Regexp // in the order of their classes
	reports  []*transform
	json     bool // KV_MODE = json
	evals    map[string]*expr
	lookups  []lookup
}

// transform is a stanza of transforms.conf for REPORT.
type transform struct {
	name     string
	source   string // the field it reads
	re       *regexp.Regexp
	pairs    bool // FORMAT = $1::$2: its first group names the field
	multiple bool // MV_ADD
}

type lookup struct {
	match, output string
	table         map[string]string
}

// known are the settings of props.conf that have no part in a search, or that this package asks about elsewhere.
var known = []string{"category", "description", "pulldown_type", "SHOULD_LINEMERGE", "LINE_BREAKER", "TRUNCATE", "TIME_PREFIX",
	"TIME_FORMAT", "MAX_TIMESTAMP_LOOKAHEAD", "KV_MODE"}

// load reads the add-on and compiles every expression of it. A reference that leads nowhere fails the test.
func load(t testing.TB) *knowledge {
	t.Helper()
	k := &knowledge{types: map[string]*sourceType{}}
	props, transforms := shipped(t, "default/props.conf"), shipped(t, "default/transforms.conf")
	used := map[string]bool{}
	for name, stanza := range props {
		s := &sourceType{evals: map[string]*expr{}}
		k.types[name] = s
		stanza = slices.Clone(stanza)
		slices.SortStableFunc(stanza, func(a, b setting) int { return strings.Compare(a.key, b.key) })
		for _, set := range stanza {
			if err := s.add(set, transforms, used); err != nil {
				t.Errorf("props.conf [%s] %s: %v", name, set.key, err)
			}
		}
	}
	for name := range transforms {
		if !used[name] {
			t.Errorf("transforms.conf [%s] is used nowhere", name)
		}
	}
	k.loadEventType(t)
	if t.Failed() {
		t.FailNow()
	}
	return k
}

func (s *sourceType) add(set setting, transforms conf, used map[string]bool) error {
	kind, class, _ := strings.Cut(set.key, "-")
	switch kind {
	case "EXTRACT":
		re, err := compile("(?ms)" + set.value)
		if err != nil {
			return err
		}
		if strings.Join(re.SubexpNames(), "") == "" {
			return fmt.Errorf("has no named group")
		}
		if regexp.MustCompile(`\sin\s+\w+$`).MatchString(set.value) {
			return fmt.Errorf("reads a field, which is not known here")
		}
		s.extracts = append(s.extracts, re)
	case "REPORT":
		for name := range strings.SplitSeq(set.value, ",") {
			name = strings.TrimSpace(name)
			used[name] = true
			tr, err := newTransform(transforms, name)
			if err != nil {
				return err
			}
			s.reports = append(s.reports, tr)
		}
	case "EVAL":
		e, err := parseEval(set.value)
		if err != nil {
			return err
		}
		s.evals[class] = e
	case "LOOKUP":
		words := strings.Fields(set.value)
		if len(words) != 4 || words[2] != "OUTPUT" {
			return fmt.Errorf("is more than NAME FIELD OUTPUT FIELD, which is not known here")
		}
		used[words[0]] = true
		table, err := readTable(transforms.get(words[0], "filename"), words[1], words[3])
		if err != nil {
			return err
		}
		s.lookups = append(s.lookups, lookup{words[1], words[3], table})
	default:
		if !slices.Contains(known, set.key) {
			return fmt.Errorf("is a setting that is not known here")
		}
	}
	s.json = s.json || set == setting{"KV_MODE", "json"}
	return nil
}

func newTransform(all conf, name string) (*transform, error) {
	if all.get(name, "REGEX") == "" {
		return nil, fmt.Errorf("transforms.conf has no [%s] with a REGEX", name)
	}
	tr := &transform{name: name, source: "_raw"}
	for _, set := range all[name] {
		switch set.key {
		case "REGEX":
			var err error
			if tr.re, err = compile("(?ms)" + set.value); err != nil {
				return nil, fmt.Errorf("[%s]: %w", name, err)
			}
		case "SOURCE_KEY":
			tr.source = set.value
		case "FORMAT":
			if set.value != "$1::$2" {
				return nil, fmt.Errorf("[%s]: FORMAT %q is not known here", name, set.value)
			}
			tr.pairs = true
		case "MV_ADD":
			tr.multiple = set.value == "true"
		case "MATCH_LIMIT", "DEPTH_LIMIT":
		default:
			return nil, fmt.Errorf("[%s]: %s is not known here", name, set.key)
		}
	}
	return tr, nil
}

func readTable(file, match, output string) (map[string]string, error) {
	f, err := os.Open(filepath.Join(addon, "lookups", file))
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	from, to := slices.Index(rows[0], match), slices.Index(rows[0], output)
	if from < 0 || to < 0 {
		return nil, fmt.Errorf("%s has no columns %s and %s", file, match, output)
	}
	table := map[string]string{}
	for _, row := range rows[1:] {
		table[row[from]] = row[to]
	}
	return table, nil
}

// loadEventType reads eventtypes.conf and tags.conf: one event type, a list of source types.
func (k *knowledge) loadEventType(t testing.TB) {
	t.Helper()
	const name = "s1stream_threat"
	search := shipped(t, "default/eventtypes.conf").get(name, "search")
	for term := range strings.SplitSeq(search, " OR ") {
		if !regexp.MustCompile(`^sourcetype="[\w:]+"$`).MatchString(term) {
			t.Errorf("eventtypes.conf: %q is not known here", term)
		}
	}
	k.eventType = regexp.MustCompile("^(" + strings.NewReplacer(`sourcetype="`, "", `"`, "", " OR ", "|").Replace(search) + ")$")
	for _, set := range shipped(t, "default/tags.conf")["eventtype="+name] {
		if set.value == "enabled" {
			k.tags = append(k.tags, set.key)
		}
	}
}

// event is what the collector indexed.
type event struct {
	sourceType string
	raw        string
	indexed    fields // "fields" of the envelope, and host and source
}

// options are what may differ from one Splunk to another.
type options struct {
	automatic     int  // KV_MODE = json reads documents of up to so many bytes, and of larger ones nothing
	boolsAreTexts bool // as of evaluator
}

// search returns an event's fields as a search sees them.
func (k *knowledge) search(ev event, o options) (fields, error) {
	s := k.types[ev.sourceType]
	if s == nil {
		return nil, fmt.Errorf("no stanza [%s]", ev.sourceType)
	}
	f := fields{"_raw": ev.raw, "sourcetype": ev.sourceType}
	for name, v := range ev.indexed {
		f[name] = v
	}
	for _, re := range s.extracts {
		groups := re.FindStringSubmatch(ev.raw)
		for i, name := range re.SubexpNames() {
			if groups != nil && name != "" && groups[i] != "" {
				f[name] = groups[i]
			}
		}
	}
	for _, tr := range s.reports {
		tr.apply(f)
	}
	if s.json {
		automatic(f, ev.raw, o.automatic)
	}
	before := evaluator{fields: f, doc: map[string]any{}, boolsAreTexts: o.boolsAreTexts}
	after := fields{}
	for name, e := range s.evals {
		v, err := before.eval(e)
		if _, isBool := v.(bool); err == nil && isBool {
			err = fmt.Errorf("gives a Boolean, which is no field's value: %w", errKind)
		}
		if err != nil {
			return nil, fmt.Errorf("EVAL-%s: %w", name, err)
		}
		after[name] = v
	}
	for name, v := range after {
		if f[name] = v; v == nil {
			delete(f, name)
		}
	}
	for _, l := range s.lookups {
		key, _ := text(f[l.match])
		if out, ok := l.table[key]; ok {
			f[l.output] = out
		} else {
			delete(f, l.output)
		}
	}
	if k.eventType.MatchString(ev.sourceType) {
		f["tag"] = k.tags
	}
	return f, nil
}

func (tr *transform) apply(f fields) {
	source, ok := text(f[tr.source])
	if !ok {
		return
	}
	for _, groups := range tr.re.FindAllStringSubmatch(source, -1) {
		if tr.pairs {
			if _, there := f[groups[1]]; !there && groups[2] != "" { // KEEP_EMPTY_VALS is false
				f[groups[1]] = groups[2]
			}
			continue
		}
		for i, name := range tr.re.SubexpNames() {
			if name == "" || groups[i] == "" {
				continue
			}
			if f[name] == nil {
				f[name] = groups[i]
			} else if tr.multiple {
				f[name] = append(several(f[name]), groups[i])
			}
		}
	}
}

// automatic is what KV_MODE = json makes of a document. Splunk reads a part of one that is over the limit; here it is
// nothing, which is the worst case.
func automatic(f fields, raw string, limit int) {
	if len(raw) > limit {
		return
	}
	doc, _ := readJSON(raw)
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, member := range v {
				walk(strings.TrimPrefix(path+"."+key, "."), member)
			}
		case []any:
			for _, member := range v {
				walk(path+"{}", member)
			}
		default:
			s := fmt.Sprint(v)
			if v == nil {
				s = "null" // as spath writes it
			}
			if list := several(f[path]); list == nil {
				f[path] = s
			} else {
				f[path] = append(list, s)
			}
		}
	}
	walk("", doc)
}
