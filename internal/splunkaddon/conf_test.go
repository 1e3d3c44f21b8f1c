package splunkaddon

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// addon is the directory that is packed.
const addon = "../../deploy/siem/splunk/TA-s1stream"

// setting is one line of a stanza, with those that it goes on in.
type setting struct{ key, value string }

// conf is one .conf file: stanzas by name, each with its settings in order.
type conf map[string][]setting

// get returns a setting's value, "" where there is none.
func (c conf) get(stanza, key string) string {
	for _, s := range c[stanza] {
		if s.key == key {
			return s.value
		}
	}
	return ""
}

// readConf reads a file as splunk.conf's specification has it: a comment has a line of its own, a backslash at the end
// of a line joins the next. Twice the same stanza or setting is legal there, and a mistake here.
func readConf(path string) (conf, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	c, stanza := conf{}, ""
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		for strings.HasSuffix(line, `\`) && lines.Scan() {
			line = strings.TrimSuffix(line, `\`) + "\n" + lines.Text()
			n++
		}
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || trimmed[0] == '#':
		case trimmed[0] == '[' && trimmed[len(trimmed)-1] == ']':
			stanza = trimmed[1 : len(trimmed)-1]
			if _, twice := c[stanza]; twice {
				return nil, fmt.Errorf("%s:%d: [%s] stands twice", path, n, stanza)
			}
			c[stanza] = nil
		default:
			key, value, ok := strings.Cut(line, "=")
			key = strings.TrimSpace(key)
			if !ok || key == "" {
				return nil, fmt.Errorf("%s:%d: no setting: %q", path, n, line)
			}
			if c.get(stanza, key) != "" {
				return nil, fmt.Errorf("%s:%d: %s stands twice in [%s]", path, n, key, stanza)
			}
			c[stanza] = append(c[stanza], setting{key, strings.TrimSpace(value)})
		}
	}
	return c, lines.Err()
}

// shipped reads a file of the add-on.
func shipped(t testing.TB, path string) conf {
	t.Helper()
	c, err := readConf(filepath.Join(addon, path))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
