package format

import "bytes"

// ipOf returns an address without its zone, which no receiver takes; v4 says which kind it is. ok is false for
// everything that is no address.
func ipOf(text []byte) (ip []byte, v4, ok bool) {
	if i := bytes.IndexByte(text, '%'); i >= 0 && i < len(text)-1 {
		text = text[:i]
		return text, false, ipVersion(text) == 6
	}
	version := ipVersion(text)
	return text, version == 4, version != 0
}

// appendMAC appends a hardware address of six or eight bytes in upper case, sep between its bytes. What text has
// between the digits does not matter; ok is false where it is no such address.
func appendMAC(b, text []byte, sep byte) (mac []byte, ok bool) {
	from, digits := len(b), 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F':
			if digits > 0 && digits%2 == 0 {
				b = append(b, sep)
			}
			if c >= 'a' {
				c -= 'a' - 'A'
			}
			b = append(b, c)
			digits++
		case c != ':' && c != '-' && c != '.':
			return b[:from], false
		}
		if digits > 16 {
			return b[:from], false
		}
	}
	if digits != 12 && digits != 16 {
		return b[:from], false
	}
	return b, true
}
