package format

import (
	"bytes"
	"sync"
	"unicode/utf8"

	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

// pool hands out Threats, so that the memory of their lists is made once.
var pool = sync.Pool{New: func() any { return new(Threat) }}

// scratch is the memory that a Threat's lists and decoded texts are cut from. A list that outgrows it moves; what
// was cut before stays where it was.
type scratch struct {
	decoded     []byte
	texts       [][]byte
	engines     []Engine
	interfaces  []Interface
	indicators  []Indicator
	tactics     []Tactic
	techniques  []Technique
	mitigations []Mitigation
}

// scratchMax is what a scratch may hold on to: of each list as many entries, of decoded texts as many bytes times 64.
const scratchMax = 1024

// Parse reads a threat in one pass. The caller releases it once its record is made. Raw that is no JSON object is
// an error, as it was on its way in.
func Parse(ev *event.Event) (*Threat, error) {
	raw := ev.Raw
	if !utf8.Valid(raw) { // such bytes can stand inside texts alone; each becomes U+FFFD, as in encoding/json
		raw = []byte(string(bytes.Runes(raw)))
	}
	t, _ := pool.Get().(*Threat)
	r := reader{s: jsonscan.Scanner{Data: raw}, scratch: &t.scratch}
	if err := r.threat(t); err != nil {
		t.Release()
		return nil, err
	}
	from := len(r.decoded)
	if r.decoded = append(r.decoded, ev.ID...); !utf8.ValidString(ev.ID) {
		r.decoded = append(r.decoded[:from], string([]rune(ev.ID))...)
	}
	t.ID = r.decoded[from:len(r.decoded):len(r.decoded)]
	return t, nil
}

// Release gives the threat back. Nothing that was read from it may be used after that.
func (t *Threat) Release() {
	s := t.scratch
	// Cleared, so that an idle Threat pins no event.
	*t = Threat{scratch: scratch{
		texts: empty(s.texts), engines: empty(s.engines), interfaces: empty(s.interfaces), indicators: empty(s.indicators),
		tactics: empty(s.tactics), techniques: empty(s.techniques), mitigations: empty(s.mitigations),
	}}
	if cap(s.decoded) <= scratchMax*64 {
		t.scratch.decoded = s.decoded[:0]
	}
	pool.Put(t)
}

// empty returns the memory of a list, cleared, unless it is too much to hold on to.
func empty[T any](list []T) []T {
	if cap(list) > scratchMax {
		return nil
	}
	clear(list)
	return list[:0]
}

// reader reads one threat. Each of its methods reads exactly one value, whatever that is.
type reader struct {
	s jsonscan.Scanner
	*scratch
}

func (r *reader) skip() error {
	_, err := r.s.Value()
	return err
}

// object reads the members of an object; a value of another kind has none.
func (r *reader) object(each func(key []byte) error) error {
	if r.s.Space() != '{' {
		return r.skip()
	}
	return r.s.Object(each)
}

// array reads the elements of an array; a value of another kind has none.
func (r *reader) array(each func() error) error {
	if r.s.Space() != '[' {
		return r.skip()
	}
	return r.s.Array(each)
}

func (r *reader) text(p *[]byte) error {
	*p = nil // where a key stands twice, the last one counts
	if r.s.Space() != '"' {
		return r.skip()
	}
	raw, escaped, err := r.s.Text()
	if err != nil || len(raw) == 0 {
		return err
	}
	if escaped {
		from := len(r.decoded)
		r.decoded = jsonscan.AppendText(r.decoded, raw)
		raw = r.decoded[from:]
	}
	*p = raw[:len(raw):len(raw)]
	return nil
}

func (r *reader) flag(p *Flag) error {
	value, err := r.s.Value()
	*p = Unset
	switch v, ok := jsonscan.Bool(value); {
	case ok && v:
		*p = True
	case ok:
		*p = False
	}
	return err
}

func (r *reader) number(p *[]byte) error {
	value, err := r.s.Value()
	*p = nil
	if len(value) > 0 && (value[0] == '-' || value[0] >= '0' && value[0] <= '9') {
		*p = value[:len(value):len(value)]
	}
	return err
}

// texts reads an array of texts, without the absent ones.
func (r *reader) texts(p *[][]byte) error { return r.list(p, false) }

// numbers reads an array of numbers.
func (r *reader) numbers(p *[][]byte) error { return r.list(p, true) }

// list takes a flag and no function for its elements: one that it does not know would cost an allocation each.
func (r *reader) list(p *[][]byte, numbers bool) error {
	from := len(r.scratch.texts)
	err := r.array(func() error {
		var one []byte
		var err error
		if numbers {
			err = r.number(&one)
		} else {
			err = r.text(&one)
		}
		if one != nil {
			r.scratch.texts = append(r.scratch.texts, one)
		}
		return err
	})
	*p = cutFrom(r.scratch.texts, from)
	return err
}

// addresses reads a comma-joined list.
func (r *reader) addresses(p *[][]byte) error {
	var joined []byte
	err := r.text(&joined)
	from := len(r.scratch.texts)
	for len(joined) > 0 {
		var one []byte
		one, joined, _ = bytes.Cut(joined, []byte{','})
		if one = bytes.TrimSpace(one); len(one) > 0 {
			r.scratch.texts = append(r.scratch.texts, one)
		}
	}
	*p = cutFrom(r.scratch.texts, from)
	return err
}

// cutFrom returns what was appended to list since it was that long; nil for nothing.
func cutFrom[T any](list []T, from int) []T {
	if len(list) == from {
		return nil
	}
	return list[from:len(list):len(list)]
}
