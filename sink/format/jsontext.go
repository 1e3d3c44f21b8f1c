package format

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// appendQuoted appends a text as a JSON string.
func appendQuoted(b, text []byte) []byte {
	return append(appendEscaped(append(b, '"'), text), '"')
}

// appendEscaped appends a text as it stands inside a JSON string. Bytes that are no UTF-8 become U+FFFD, one each.
// Beyond what JSON asks for, U+0085, U+2028 and U+2029 are escaped: there are readers of lines that break at them.
func appendEscaped(b, text []byte) []byte {
	from := 0
	for i := plainEnd(text, 0); i < len(text); i = plainEnd(text, i) {
		c := text[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(text[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(append(b, text[from:i]...), "\uFFFD"...)
				from = i + size
			case r == 0x85 || r == 0x2028 || r == 0x2029:
				b = appendUnicode(append(b, text[from:i]...), r)
				from = i + size
			}
			i += size
			continue
		}
		b = append(b, text[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = appendUnicode(b, rune(c))
		}
		i++
		from = i
	}
	return append(b, text[from:]...)
}

func appendUnicode(b []byte, r rune) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
}

const (
	everyByte = 0x0101010101010101
	topBits   = 0x8080808080808080
)

// plainEnd returns where the next byte stands that is not printable ASCII or needs an escape. It looks at eight bytes
// at a time.
func plainEnd(text []byte, i int) int {
	for ; i+8 <= len(text); i += 8 {
		w := binary.LittleEndian.Uint64(text[i:])
		quote, slash := w^(everyByte*'"'), w^(everyByte*'\\')
		// A byte's top bit is set where that byte is zero after the exclusive or, below 0x20, or not ASCII. What
		// is borrowed may set bits above the first such byte, never below.
		hit := ((quote-everyByte)&^quote | (slash-everyByte)&^slash | (w-everyByte*0x20)&^w | w) & topBits
		if hit != 0 {
			return i + bits.TrailingZeros64(hit)>>3
		}
	}
	for ; i < len(text); i++ {
		if c := text[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return i
}

// clip returns the longest beginning of a text that is no longer than max bytes and ends between characters.
func clip(text []byte, max int) []byte {
	if len(text) <= max {
		return text
	}
	n := max
	for n > 0 && n > max-utf8.UTFMax && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
