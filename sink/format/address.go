package format

// Addresses are checked here and not by net/netip, which takes strings and so costs an allocation each.

// ipVersion returns 4 or 6 for an address without a zone, 0 for everything else.
func ipVersion(text []byte) int {
	if isIPv4(text) {
		return 4
	}
	if _, ok := parseIPv6(text); ok {
		return 6
	}
	return 0
}

func isIPv4(text []byte) bool {
	_, ok := parseIPv4(text)
	return ok
}

// parseIPv4 reads four numbers up to 255 without leading zeros, with dots between.
func parseIPv4(text []byte) (ip [4]byte, ok bool) {
	part, digits, n := 0, 0, 0
	for _, c := range text {
		switch {
		case c >= '0' && c <= '9':
			if digits > 0 && n == 0 {
				return ip, false // a leading zero
			}
			n = n*10 + int(c-'0')
			if digits++; n > 255 {
				return ip, false
			}
			ip[part] = byte(n)
		case c == '.' && digits > 0 && part < 3:
			part, digits, n = part+1, 0, 0
		default:
			return ip, false
		}
	}
	return ip, part == 3 && digits > 0
}

// parseIPv6 reads the notation of RFC 4291 section 2.2: eight groups of up to four hex digits, two colons at most
// once standing for groups of zeros, the last two groups perhaps an IPv4 address.
func parseIPv6(text []byte) (ip [16]byte, ok bool) {
	at, gap := 0, -1
	if len(text) >= 2 && text[0] == ':' && text[1] == ':' {
		if gap, text = 0, text[2:]; len(text) == 0 {
			return ip, true
		}
	}
	for {
		n, group := 0, 0
		for n < len(text) && n < 5 && isHex(text[n]) {
			group = group<<4 | hexValue(text[n])
			n++
		}
		if n < len(text) && text[n] == '.' {
			v4, ok := parseIPv4(text)
			if !ok || at > 12 {
				return ip, false
			}
			copy(ip[at:], v4[:])
			at += 4
			break
		}
		if n == 0 || n > 4 || at == 16 {
			return ip, false
		}
		ip[at], ip[at+1] = byte(group>>8), byte(group) //nolint:gosec // four hex digits are 16 bits
		at += 2
		if text = text[n:]; len(text) == 0 {
			break
		}
		if text[0] != ':' || len(text) == 1 {
			return ip, false
		}
		if text = text[1:]; text[0] == ':' {
			if gap >= 0 {
				return ip, false
			}
			if gap, text = at, text[1:]; len(text) == 0 {
				break
			}
		}
	}
	if gap < 0 {
		return ip, at == 16
	}
	if at == 16 {
		return ip, false // two colons stand for one group at least
	}
	moved := copy(ip[16-(at-gap):], ip[gap:at])
	clear(ip[gap : 16-moved])
	return ip, true
}

// isRoutableIPv6 reports whether an address is one that another network may meet: not link-local, loopback,
// unspecified or multicast. What is mapped from IPv4 counts as such.
func isRoutableIPv6(text []byte) bool {
	ip, ok := parseIPv6(text)
	if !ok {
		return false
	}
	var zero [16]byte
	mapped := zero
	mapped[10], mapped[11] = 0xff, 0xff
	if [12]byte(ip[:12]) == [12]byte(mapped[:12]) {
		return true
	}
	linkLocal := ip[0] == 0xfe && ip[1]&0xc0 == 0x80
	one := zero
	one[15] = 1
	return !linkLocal && ip != one && ip != zero && ip[0] != 0xff
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func hexValue(c byte) int {
	if c >= 'a' {
		return int(c-'a') + 10
	}
	if c >= 'A' {
		return int(c-'A') + 10
	}
	return int(c - '0')
}

// isMAC reports whether text is six pairs of hex digits with colons between all of them, or hyphens.
func isMAC(text []byte) bool {
	if len(text) != 17 {
		return false
	}
	for i, c := range text {
		if i%3 == 2 {
			if c != text[2] || c != ':' && c != '-' {
				return false
			}
		} else if !isHex(c) {
			return false
		}
	}
	return true
}
