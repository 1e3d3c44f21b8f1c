package source

import (
	"errors"
	"io"

	"s1stream/internal/jsonscan"
)

func (g *giantReader) byte() (byte, error) {
	c, err := g.r.ReadByte()
	if err != nil {
		return 0, err
	}
	g.n++
	if g.hashing {
		if len(g.hashed) == cap(g.hashed) {
			g.sum.Write(g.hashed)
			g.hashed = g.hashed[:0]
		}
		g.hashed = append(g.hashed, c)
	}
	return c, nil
}

func (g *giantReader) back() {
	_ = g.r.UnreadByte() // never fails after a ReadByte
	g.n--
	if g.hashing {
		g.hashed = g.hashed[:len(g.hashed)-1]
	}
}

// peek skips white space and returns the byte behind it, not read.
func (g *giantReader) peek() (byte, error) {
	c, err := g.space()
	if err == nil {
		g.back()
	}
	return c, err
}

// space skips white space and returns the byte behind it, read.
func (g *giantReader) space() (byte, error) {
	for {
		c, err := g.byte()
		if err != nil || c != ' ' && c != '\t' && c != '\n' && c != '\r' {
			return c, err
		}
	}
}

// many reads "open item, item, … end". Its ends are found here, so item is never called on an empty one.
func (g *giantReader) many(open, end byte, item func() error) error {
	if c, err := g.space(); err != nil {
		return err
	} else if c != open {
		return errGiant
	}
	if g.depth++; g.depth > giantDepth {
		return errGiant
	}
	defer func() { g.depth-- }()
	c, err := g.space()
	if err != nil || c == end {
		return err
	}
	g.back()
	for {
		if err := item(); err != nil {
			return err
		}
		switch c, err := g.space(); {
		case err != nil:
			return err
		case c == end:
			return nil
		case c != ',':
			return errGiant
		}
	}
}

func (g *giantReader) array(item func() error) error { return g.many('[', ']', item) }

func (g *giantReader) object(field func(key string) error) error {
	return g.many('{', '}', func() error {
		if c, err := g.space(); err != nil {
			return err
		} else if c != '"' {
			return errGiant
		}
		key, err := g.string()
		if err != nil {
			return err
		}
		name, _ := jsonscan.String([]byte(key))
		if c, err := g.space(); err != nil {
			return err
		} else if c != ':' {
			return errGiant
		}
		return field(name)
	})
}

// value reads any value. It returns the text of a scalar, a long string cut and so no string any more, and ""
// for an empty list or object, "…" for a full one.
func (g *giantReader) value() (string, error) {
	c, err := g.space()
	if err != nil {
		return "", err
	}
	inside := ""
	switch c {
	case '"':
		return g.string()
	case '{':
		g.back()
		err := g.object(func(string) error { inside = "…"; _, err := g.value(); return err })
		return inside, err
	case '[':
		g.back()
		err := g.array(func() error { inside = "…"; _, err := g.value(); return err })
		return inside, err
	}
	var word []byte
	for {
		switch {
		case errors.Is(err, io.EOF) || c == ',' || c == ']' || c == '}' || c <= ' ':
			if err == nil {
				g.back()
			}
			if len(word) == 0 {
				return "", errGiant
			}
			return string(word), nil
		case err != nil:
			return "", err
		case len(word) < maxToken:
			word = append(word, c)
		}
		c, err = g.byte()
	}
}

// string reads a string behind its opening quote and returns it as it stands, quotes included.
func (g *giantReader) string() (string, error) {
	text := []byte{'"'}
	for escaped := false; ; {
		if !escaped {
			text = g.plain(text)
		}
		c, err := g.byte()
		switch {
		case err != nil:
			return "", err
		case c < ' ':
			return "", errGiant
		}
		if len(text) < maxToken {
			text = append(text, c)
		}
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			return string(text), nil
		}
	}
}

// plain reads what is at hand of a string and needs no look at each byte, and appends it to text, up to maxToken.
func (g *giantReader) plain(text []byte) []byte {
	at, _ := g.r.Peek(g.r.Buffered()) // never fails: it is all there
	at = at[:jsonscan.Plain(at)]
	text = append(text, at[:min(len(at), max(maxToken-len(text), 0))]...)
	if g.hashing {
		g.sum.Write(g.hashed)
		g.sum.Write(at)
		g.hashed = g.hashed[:0] // a byte follows before anything goes back
	}
	g.n += int64(len(at))
	_, _ = g.r.Discard(len(at)) // never fails, as above
	return text
}
