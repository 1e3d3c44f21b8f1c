// Package jsonscan reads JSON in one pass without copying it: it validates as RFC 8259 says, and hands out the
// bytes of what is asked for.
//
// It accepts what encoding/json accepts and nothing else (invalid UTF-8 inside a string included), so that a
// page cut off anywhere is an error before any part of it is used.
package jsonscan

import "fmt"

// maxDepth bounds nesting, so that hostile input can't exhaust the stack. encoding/json allows 10,000.
const maxDepth = 10000

// Scanner reads one JSON text from Data. Its methods advance Pos.
type Scanner struct {
	Data  []byte
	Pos   int
	depth int
}

// SyntaxError is the first thing wrong with a text.
type SyntaxError struct {
	Pos  int
	What string
}

func (e *SyntaxError) Error() string { return fmt.Sprintf("bad JSON at byte %d: %s", e.Pos, e.What) }

func (s *Scanner) fail(what string) error { return &SyntaxError{Pos: s.Pos, What: what} }

// Space skips white space and returns the next byte, or 0 at the end.
func (s *Scanner) Space() byte {
	if s.Pos < len(s.Data) && s.Data[s.Pos] > ' ' { // nearly always
		return s.Data[s.Pos]
	}
	if s.Pos = space(s.Data, s.Pos); s.Pos < len(s.Data) {
		return s.Data[s.Pos]
	}
	return 0
}

// End fails unless nothing but white space is left.
func (s *Scanner) End() error {
	if s.Space(); s.Pos < len(s.Data) {
		return s.fail("data after the end")
	}
	return nil
}

// Object reads an object, calling f with each key as it stands between its quotes, the scanner at the key's
// value. f must read that value.
func (s *Scanner) Object(f func(key []byte) error) error {
	if s.Space() != '{' {
		return s.fail("an object must begin with {")
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.Pos++
	if s.Space() == '}' {
		s.Pos++
		s.depth--
		return nil
	}
	for {
		if s.Space() != '"' {
			return s.fail("a key must be a string")
		}
		var key []byte
		var escaped bool
		if i := short(s.Data, s.Pos+1); i > 0 {
			key, s.Pos = s.Data[s.Pos+1:i-1], i
		} else {
			var err error
			if key, escaped, err = s.str(); err != nil {
				return err
			}
		}
		if escaped {
			if text, ok := unquote(key); ok {
				key = []byte(text)
			}
		}
		if s.Space() != ':' {
			return s.fail("a key must be followed by a colon")
		}
		s.Pos++
		s.Space()
		if err := f(key); err != nil {
			return err
		}
		switch s.Space() {
		case ',':
			s.Pos++
		case '}':
			s.Pos++
			s.depth--
			return nil
		default:
			return s.fail("an object must go on with a comma or end")
		}
	}
}

// Array reads an array, calling f with the scanner at each element. f must read that element.
func (s *Scanner) Array(f func() error) error {
	if s.Space() != '[' {
		return s.fail("an array must begin with [")
	}
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	s.Pos++
	if s.Space() == ']' {
		s.Pos++
		s.depth--
		return nil
	}
	for {
		s.Space()
		if err := f(); err != nil {
			return err
		}
		switch s.Space() {
		case ',':
			s.Pos++
		case ']':
			s.Pos++
			s.depth--
			return nil
		default:
			return s.fail("an array must go on with a comma or end")
		}
	}
}

// Value reads one value of any kind and returns its bytes.
func (s *Scanner) Value() ([]byte, error) {
	s.Space()
	start := s.Pos
	if err := s.skip(); err != nil {
		return nil, err
	}
	return s.Data[start:s.Pos], nil
}

// skip reads one value at Pos. It repeats the loops of Object and Array without their callbacks, and with the
// place in a variable: this is where nearly all of a page goes by.
func (s *Scanner) skip() error {
	if s.Pos >= len(s.Data) {
		return s.fail("unexpected end")
	}
	switch c := s.Data[s.Pos]; {
	case c == '"':
		if i := short(s.Data, s.Pos+1); i > 0 {
			s.Pos = i
			return nil
		}
		_, _, err := s.str()
		return err
	case c == '{' || c == '[':
		return s.skipMany(c + 2) // the closing bracket's place in ASCII
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	}
	return s.fail("unexpected byte")
}

func (s *Scanner) skipMany(end byte) error {
	if s.depth++; s.depth > maxDepth {
		return s.fail("nested too deep")
	}
	d := s.Data
	s.Pos++
	if s.Space() == end {
		s.Pos++
		s.depth--
		return nil
	}
	for i := s.Pos; ; {
		if end == '}' {
			if i >= len(d) || d[i] != '"' {
				return s.failAt(i, "a key must be a string")
			}
			from := i
			if i = short(d, i+1); i < 0 {
				s.Pos = from
				if _, _, err := s.str(); err != nil {
					return err
				}
				i = s.Pos
			}
			if i >= len(d) || d[i] != ':' {
				if i = space(d, i); i >= len(d) || d[i] != ':' {
					return s.failAt(i, "a key must be followed by a colon")
				}
			}
			i++
		}
		if i >= len(d) || d[i] <= ' ' {
			i = space(d, i)
		}
		from := i
		if i < len(d) && d[i] == '"' {
			i = short(d, i+1)
		} else {
			i = -1
		}
		if i < 0 {
			s.Pos = from
			if err := s.skip(); err != nil {
				return err
			}
			i = s.Pos
		}
		if i >= len(d) || d[i] <= ' ' {
			i = space(d, i)
		}
		switch {
		case i < len(d) && d[i] == ',':
			if i++; i >= len(d) || d[i] <= ' ' {
				i = space(d, i)
			}
		case i < len(d) && d[i] == end:
			s.Pos = i + 1
			s.depth--
			return nil
		default:
			return s.failAt(i, "a comma or the end is missing")
		}
	}
}

func (s *Scanner) failAt(i int, what string) error {
	s.Pos = i
	return s.fail(what)
}

// space returns the place of the next byte that is no white space.
func space(d []byte, i int) int {
	for i < len(d) && (d[i] == ' ' || d[i] == '\n' || d[i] == '\r' || d[i] == '\t') {
		i++
	}
	return i
}
