package format

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

// kept can't be left out: the identity, and what severity and activity are decided by.
var kept = []string{
	"id", "threatInfo", "threatInfo.analystVerdict", "threatInfo.classification", "threatInfo.confidenceLevel", "threatInfo.failedActions",
	"threatInfo.incidentStatus", "threatInfo.mitigationStatus",
}

// Drop compiles dotted paths from the top of the threat, as in "threatInfo.maliciousProcessArguments", into what
// leaves them out of an event, for whatever format comes next; through a list, a path means each of its elements.
// nil where there are none. The event it is given stays as it is, and comes back itself where it has none of them.
// Only Raw is made new: id, version and moments are the event's own.
func Drop(paths []string) (func(ev *event.Event) *event.Event, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	root := &dropNode{}
	var mistakes []error
	for _, name := range paths {
		path, err := dottedPath(name)
		if err == nil && slices.Contains(kept, name) {
			err = errors.New("can't be left out: the event's identity, severity and activity are made of it")
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("drop: %q: %w", name, err))
			continue
		}
		root.add(path)
	}
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return func(ev *event.Event) *event.Event {
		d := dropper{s: jsonscan.Scanner{Data: ev.Raw}}
		var room [16]dropCut
		d.cuts = room[:0]
		// Raw is valid JSON: the scanner can't fail.
		if err := d.value(root); err != nil || len(d.cuts) == 0 {
			return ev
		}
		stripped := *ev
		stripped.Raw = d.rest()
		return &stripped
	}, nil
}

// dropNode is the paths that begin alike.
type dropNode struct {
	names []string
	nodes []*dropNode // nil in it: the member goes as a whole
}

func (n *dropNode) add(path []string) {
	i := slices.Index(n.names, path[0])
	if i < 0 {
		i = len(n.names)
		n.names, n.nodes = append(n.names, path[0]), append(n.nodes, &dropNode{})
	}
	switch {
	case len(path) == 1:
		n.nodes[i] = nil
	case n.nodes[i] != nil:
		n.nodes[i].add(path[1:])
	}
}

type dropCut struct{ from, to int }

type dropper struct {
	s    jsonscan.Scanner
	cuts []dropCut
}

// value reads one value and notes what goes from it.
func (d *dropper) value(n *dropNode) error {
	switch d.s.Space() {
	case '[':
		return d.s.Array(func() error { return d.value(n) })
	case '{':
		return d.object(n)
	}
	_, err := d.s.Value()
	return err
}

// object cuts each member that goes together with the comma before it, or with the one behind where no member
// before it stays.
func (d *dropper) object(n *dropNode) error {
	before := d.s.Pos + 1 // where the member before ends, or the brace
	stays, gone := false, false
	return d.s.Object(func(key []byte) error {
		from := before
		i := slices.IndexFunc(n.names, func(name string) bool { return name == string(key) })
		if i >= 0 && n.nodes[i] == nil {
			_, err := d.s.Value()
			before, gone = d.s.Pos, true
			d.cuts = append(d.cuts, dropCut{from, before})
			return err
		}
		if gone && !stays {
			comma := bytes.IndexByte(d.s.Data[from:], ',') // nothing but space is before it
			d.cuts = append(d.cuts, dropCut{from, from + comma + 1})
		}
		stays = true
		var err error
		if i >= 0 {
			err = d.value(n.nodes[i])
		} else {
			_, err = d.s.Value()
		}
		before = d.s.Pos
		return err
	})
}

// rest copies what is not cut. Cuts are in order and apart.
func (d *dropper) rest() []byte {
	size := len(d.s.Data)
	for _, c := range d.cuts {
		size -= c.to - c.from
	}
	out, from := make([]byte, 0, size), 0
	for _, c := range d.cuts {
		out = append(out, d.s.Data[from:c.from]...)
		from = c.to
	}
	return append(out, d.s.Data[from:]...)
}

// covers reports whether leaving out a path takes away a field.
func covers(path string, field []string) bool {
	whole := strings.Join(field, ".")
	return whole == path || strings.HasPrefix(whole, path+".")
}
