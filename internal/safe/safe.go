// Package safe keeps secrets out of what people read, and hostile text out of terminals and logs.
//
// A URL of a webhook or a proxy is a secret too: only its scheme and host are ever shown.
package safe

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode/utf8"
)

const hidden = "***"

// Secret is text that no log, error, metric or page shows. Reveal is the one way to its value.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer without the value.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// GoString implements fmt.GoStringer, for %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText implements encoding.TextMarshaler without the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue implements slog.LogValuer without the value.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// ReadSecret returns value, or the first line of file where value is empty. Both empty gives "". The file's
// surrounding white space is dropped; an empty file, one with a line break inside, and what ReadFile refuses, a
// device or more than 64 KiB, is an error.
func ReadSecret(value Secret, file string) (Secret, error) {
	if file == "" {
		return value, nil
	}
	b, err := ReadFile(file, maxSecret)
	if err != nil {
		return "", err
	}
	b = bytes.TrimSpace(b)
	if len(b) == 0 {
		return "", fmt.Errorf("%s: is empty", file)
	}
	if bytes.ContainsAny(b, "\r\n\x00") {
		return "", fmt.Errorf("%s: must hold one line", file)
	}
	return Secret(b), nil
}

// ReadSecrets returns the lines of a file, each without surrounding white space; those that are empty are passed over. A
// file without any other, and what ReadFile refuses, is an error.
func ReadSecrets(file string) ([]Secret, error) {
	b, err := ReadFile(file, maxSecret)
	if err != nil {
		return nil, err
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, fmt.Errorf("%s: must be text", file)
	}
	var out []Secret
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			out = append(out, Secret(line))
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: is empty", file)
	}
	return out, nil
}

// OpenToOthers reports whether a secret file can be read by users outside its owner and group.
func OpenToOthers(file string) bool {
	fi, err := os.Stat(file)
	return err == nil && fi.Mode().Perm()&0o004 != 0
}

// Hideable returns the secrets that can be hidden, each once, the longest first. A text of less than four characters can't
// be kept secret, and hiding it would garble everything.
func Hideable(secrets []string) []string {
	secrets = slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return len(s) < 4 })
	slices.SortFunc(secrets, func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) })
	return slices.Compact(secrets)
}

// Hider puts *** in the place of each secret that can be hidden.
func Hider(secrets ...string) *strings.Replacer {
	var pairs []string
	for _, s := range Hideable(secrets) {
		pairs = append(pairs, s, hidden)
	}
	return strings.NewReplacer(pairs...)
}

// Origin returns scheme and host of a URL: all of it that may be shown.
func Origin(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		return "(an unreadable URL)"
	}
	return u.Scheme + "://" + Text(u.Host)
}

// URLError takes the URL out of an error of net/http or net/url, which would show path and query.
func URLError(err error) error {
	var ue *url.Error
	if !errors.As(err, &ue) {
		return err
	}
	return ue.Err
}

// Text returns s fit for a terminal or a log: control, bidi and invisible format characters become "?" and
// invalid UTF-8 the replacement character. Tabs and line breaks become spaces.
func Text(s string) string {
	clean := true
	for i := 0; i < len(s); i++ {
		if s[i] < 0x20 || s[i] >= 0x7f {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		switch {
		case r == '\t' || r == '\n' || r == '\r':
			b.WriteByte(' ')
		case hostile(r):
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Snippet is Text of at most n bytes, for quoting what a server said.
func Snippet(b []byte, n int) string {
	cut := len(b) > n
	if cut {
		b = b[:n]
		for len(b) > 0 && !utf8.Valid(b) && len(b) > n-utf8.UTFMax {
			b = b[:len(b)-1]
		}
	}
	s := Text(string(bytes.TrimSpace(b)))
	if cut {
		s += "…"
	}
	return s
}

func hostile(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r == 0x061c, r >= 0x200b && r <= 0x200f, r >= 0x2028 && r <= 0x202e, r >= 0x2060 && r <= 0x206f, r == 0xfeff:
		return true
	case r >= 0xfff9 && r <= 0xfffb, r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}
