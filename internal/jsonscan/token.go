package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

func (s *Scanner) literal(word string) error {
	if len(s.Data)-s.Pos < len(word) || string(s.Data[s.Pos:s.Pos+len(word)]) != word {
		return s.fail("unexpected word")
	}
	s.Pos += len(word)
	return nil
}

func (s *Scanner) number() error {
	d, i := s.Data, s.Pos
	digits := func() bool {
		from := i
		for i < len(d) && d[i] >= '0' && d[i] <= '9' {
			i++
		}
		return i > from
	}
	if d[i] == '-' {
		i++
	}
	switch {
	case i < len(d) && d[i] == '0':
		i++
	case !digits():
		return s.fail("bad number")
	}
	if i < len(d) && d[i] == '.' {
		i++
		if !digits() {
			return s.fail("bad number")
		}
	}
	if i < len(d) && (d[i] == 'e' || d[i] == 'E') {
		i++
		if i < len(d) && (d[i] == '+' || d[i] == '-') {
			i++
		}
		if !digits() {
			return s.fail("bad number")
		}
	}
	s.Pos = i
	return nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special has the high bit of each byte of w set that is a quote, a backslash or a control character. Only the
// lowest bit set is to be trusted.
func special(w uint64) uint64 {
	return (((w ^ ones*'"') - ones) | ((w ^ ones*'\\') - ones) | (w - ones*0x20)) &^ w & highs
}

// Plain returns how many of the first bytes of d may stand in a string as they are: no quote, no backslash and no
// control character.
func Plain(d []byte) int {
	i := 0
	for ; i+8 <= len(d); i += 8 {
		if hit := special(binary.LittleEndian.Uint64(d[i:])); hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
	}
	for i < len(d) && d[i] >= 0x20 && d[i] != '"' && d[i] != '\\' {
		i++
	}
	return i
}

// str reads a string and returns what stands between its quotes, and whether that has an escape. It looks at
// eight bytes at a time for a quote, a backslash or a control character.
func (s *Scanner) str() (raw []byte, escaped bool, err error) {
	d, i := s.Data, s.Pos+1
	start := i
	for {
		for i+8 <= len(d) {
			if hit := special(binary.LittleEndian.Uint64(d[i:])); hit != 0 {
				i += bits.TrailingZeros64(hit) >> 3
				break
			}
			i += 8
		}
		if i >= len(d) {
			s.Pos = i
			return nil, false, s.fail("unexpected end in a string")
		}
		switch c := d[i]; {
		case c == '"':
			s.Pos = i + 1
			return d[start:i], escaped, nil
		case c == '\\':
			escaped = true
			if i+1 >= len(d) {
				s.Pos = i
				return nil, false, s.fail("unexpected end in a string")
			}
			switch d[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if i+6 > len(d) || !hex4(d[i+2:i+6]) {
					s.Pos = i
					return nil, false, s.fail("bad \\u escape")
				}
				i += 6
			default:
				s.Pos = i
				return nil, false, s.fail("bad escape")
			}
		case c < 0x20:
			s.Pos = i
			return nil, false, s.fail("control character in a string")
		default:
			i++
		}
	}
}

func hex4(b []byte) bool {
	for _, c := range b {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return false
		}
	}
	return true
}

// short returns the place behind a string of some 16 plain characters at the most, whose first one stands at i:
// most are. For any other it returns -1.
func short(d []byte, i int) int {
	if i+16 <= len(d) {
		if hit := special(binary.LittleEndian.Uint64(d[i:])); hit != 0 {
			if i += bits.TrailingZeros64(hit) >> 3; d[i] == '"' {
				return i + 1
			}
		} else if hit := special(binary.LittleEndian.Uint64(d[i+8:])); hit != 0 {
			if i += 8 + bits.TrailingZeros64(hit)>>3; d[i] == '"' {
				return i + 1
			}
		}
	}
	return -1
}
