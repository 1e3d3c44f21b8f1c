package jsonscan

import (
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Text reads a string and returns what stands between its quotes, as it is written and not copied, and whether
// that has an escape.
func (s *Scanner) Text() (raw []byte, escaped bool, err error) {
	if s.Space() != '"' {
		return nil, false, s.fail("a string must begin with a quote")
	}
	return s.str()
}

// AppendText appends the text that a string says, given what stands between its quotes. Like encoding/json it
// makes U+FFFD of an escaped surrogate without its partner; bytes that are no UTF-8 are copied as they are.
// raw must be as Text returned it.
func AppendText(dst, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' || i+1 == len(raw) {
			dst = append(dst, raw[i])
			i++
			continue
		}
		switch c := raw[i+1]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := codeUnit(raw[i:])
			i += 6
			if utf16.IsSurrogate(r) {
				// A half whose partner follows is one character with it; else it is none, and its neighbour is
				// read by itself.
				if r = utf16.DecodeRune(r, codeUnit(raw[min(i, len(raw)):])); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
			continue
		default: // quote, backslash, slash
			dst = append(dst, c)
		}
		i += 2
	}
	return dst
}

// codeUnit reads a \u escape at the start of b; -1 where there is none.
func codeUnit(b []byte) rune {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return -1
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(n)
}
