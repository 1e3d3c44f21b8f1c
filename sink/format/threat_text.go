package format

import "bytes"

// joined returns the parts that are there with sep between them. It is made in the threat's own memory.
func (t *Threat) joined(sep string, parts ...[]byte) []byte {
	b, from := t.scratch.decoded, len(t.scratch.decoded)
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		if len(b) > from {
			b = append(b, sep...)
		}
		b = append(b, part...)
	}
	t.scratch.decoded = b
	return b[from:]
}

// engineTitles returns the engines that found the threat, by name.
func (t *Threat) engineTitles() []byte {
	b, from := t.scratch.decoded, len(t.scratch.decoded)
	add := func(title []byte) {
		if len(title) == 0 {
			return
		}
		if len(b) > from {
			b = append(b, ", "...)
		}
		b = append(b, title...)
	}
	for _, e := range t.Info.DetectionEngines {
		add(e.Title)
	}
	if len(b) == from {
		for _, title := range t.Info.Engines {
			add(title)
		}
	}
	t.scratch.decoded = b
	return b[from:]
}

// techniques returns the tactics and techniques of ATT&CK, as in "Persistence T1053.005, Execution T1059.001", each
// pair once. What is longer than max bytes may lack what comes behind them.
func (t *Threat) techniques(max int) []byte {
	list := entries{b: t.scratch.decoded, from: len(t.scratch.decoded), max: max}
	var room [32]int // none is made for a threat of the usual size
	list.ends = room[:0]
	for i := range t.Indicators {
		for _, tactic := range t.Indicators[i].Tactics {
			for _, technique := range tactic.Techniques {
				list.add(tactic.Name, technique.ID)
			}
			if len(tactic.Techniques) == 0 {
				list.add(tactic.Name, nil)
			}
		}
	}
	t.scratch.decoded = list.b
	return list.b[list.from:]
}

// entries is a list with ", " between its entries, each once.
type entries struct {
	b         []byte
	from, max int
	ends      []int
}

func (l *entries) add(tactic, technique []byte) {
	at := len(l.b)
	if at-l.from > l.max || len(tactic)+len(technique) == 0 {
		return
	}
	if at > l.from {
		l.b = append(l.b, ", "...)
	}
	entry := len(l.b)
	l.b = append(l.b, tactic...)
	if len(tactic) > 0 && len(technique) > 0 {
		l.b = append(l.b, ' ')
	}
	l.b = append(l.b, technique...)
	begin := l.from
	for _, end := range l.ends {
		if bytes.Equal(l.b[begin:end], l.b[entry:]) {
			l.b = l.b[:at]
			return
		}
		begin = end + len(", ")
	}
	l.ends = append(l.ends, len(l.b))
}

// lower returns an ASCII word in lower case.
func (t *Threat) lower(text []byte) []byte {
	from := len(t.scratch.decoded)
	t.scratch.decoded = append(t.scratch.decoded, text...)
	out := t.scratch.decoded[from:]
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}
