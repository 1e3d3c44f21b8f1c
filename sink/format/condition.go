package format

import (
	"bytes"

	"s1stream/internal/jsonscan"
)

// condition holds where a field has one of the values.
type condition struct {
	path   []string
	values []string
	absent bool // "" is one of them
}

type conditions []condition

func (c conditions) hold(raw []byte) bool {
	for i := range c {
		if !c[i].holds(raw) {
			return false
		}
	}
	return true
}

func (c *condition) holds(raw []byte) bool {
	fits, given := c.look(raw, c.path)
	return fits || c.absent && !given
}

// look reports whether a value at path is one of the values, and whether there is any that is not empty.
func (c *condition) look(value []byte, path []string) (fits, given bool) {
	s := jsonscan.Scanner{Data: value}
	switch first := s.Space(); {
	case first == '[':
		// Raw is valid JSON: the scanner can't fail.
		_ = s.Array(func() error {
			element, err := s.Value()
			f, g := c.look(element, path)
			fits, given = fits || f, given || g
			return err
		})
		return fits, given
	case len(path) > 0:
		var member []byte
		if first == '{' {
			member, _ = jsonscan.Lookup(value, path[0])
		}
		if member == nil {
			return false, false
		}
		return c.look(member, path[1:])
	case first == '"':
		text, _, _ := s.Text()
		if bytes.IndexByte(text, '\\') >= 0 {
			text = jsonscan.AppendText(nil, text)
		}
		return c.has(text), len(text) > 0
	case first == 'n' || first == '{':
		return false, first == '{'
	}
	return c.has(value), true
}

func (c *condition) has(text []byte) bool {
	for _, v := range c.values {
		if v != "" && equalFold(text, v) {
			return true
		}
	}
	return false
}

// equalFold is bytes.EqualFold against a string, without a copy of it where both are ASCII.
func equalFold(b []byte, s string) bool {
	if len(b) == len(s) {
		same := true
		for i := range b {
			x, y := b[i], s[i]
			if x >= 0x80 || y >= 0x80 {
				return bytes.EqualFold(b, []byte(s))
			}
			if x == y {
				continue
			}
			if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
				same = false
			}
		}
		return same
	}
	return bytes.EqualFold(b, []byte(s)) // letters of other scripts may differ in length
}
