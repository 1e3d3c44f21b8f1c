package corpus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// node is a JSON value that keeps the order of its members, so that a threat's bytes are under control.
type node struct {
	lit  string   // a scalar as written in JSON; "" for an object or a list
	keys []string // an object's keys, as written between quotes; nil for a list
	kids []*node
	list bool
}

func parse(text []byte) *node {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	n, err := read(d)
	if err != nil {
		panic(fmt.Sprintf("corpus: the embedded threat is not JSON: %v", err))
	}
	return n
}

func read(d *json.Decoder) (*node, error) {
	tok, err := d.Token()
	if err != nil {
		return nil, err
	}
	open, isDelim := tok.(json.Delim)
	if !isDelim {
		return &node{lit: literal(tok)}, nil
	}
	n := &node{list: open == '['}
	for d.More() {
		if !n.list {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			text := literal(key)
			n.keys = append(n.keys, text[1:len(text)-1])
		}
		kid, err := read(d)
		if err != nil {
			return nil, err
		}
		n.kids = append(n.kids, kid)
	}
	_, err = d.Token() // the closing bracket
	return n, err
}

// literal is a token as it is written. Nothing is escaped that need not be.
func literal(tok any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(tok); err != nil {
		panic(fmt.Sprintf("corpus: %v", err)) // a token of a decoder can be encoded
	}
	return string(bytes.TrimSpace(b.Bytes()))
}

func (n *node) clone() *node {
	c := *n
	c.keys = append([]string(nil), n.keys...)
	c.kids = make([]*node, len(n.kids))
	for i, kid := range n.kids {
		c.kids[i] = kid.clone()
	}
	return &c
}

// append writes the value; between stands before every token but the first of a line (white space).
func (n *node) append(b []byte, between string) []byte {
	if n.lit != "" {
		return append(b, n.lit...)
	}
	open, end := byte('{'), byte('}')
	if n.list {
		open, end = '[', ']'
	}
	b = append(b, open)
	for i, kid := range n.kids {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, between...)
		if !n.list {
			b = append(append(append(b, '"'), n.keys[i]...), '"', ':')
			b = append(b, between...)
		}
		b = kid.append(b, between)
	}
	return append(append(b, between...), end)
}

// place is one value of a threat: where it hangs, and its path in words, as in threatInfo.engines[0].
type place struct {
	parent *node
	index  int
	path   string
}

func (p place) value() *node      { return p.parent.kids[p.index] }
func (p place) set(v *node)       { p.parent.kids[p.index] = v }
func (p place) setLit(lit string) { p.set(&node{lit: lit}) }

func (p place) remove() {
	p.parent.kids = append(p.parent.kids[:p.index:p.index], p.parent.kids[p.index+1:]...)
	if !p.parent.list {
		p.parent.keys = append(p.parent.keys[:p.index:p.index], p.parent.keys[p.index+1:]...)
	}
}

// places lists every value below n, parents before their members.
func (n *node) places(path string) []place {
	var all []place
	for i, kid := range n.kids {
		var at string
		switch {
		case n.list:
			at = path + "[" + strconv.Itoa(i) + "]"
		case path == "":
			at = n.keys[i]
		default:
			at = path + "." + n.keys[i]
		}
		all = append(all, place{n, i, at})
		all = append(all, kid.places(at)...)
	}
	return all
}

// at finds a place by its path.
func (n *node) at(path string) (place, bool) {
	for _, p := range n.places("") {
		if p.path == path {
			return p, true
		}
	}
	return place{}, false
}
