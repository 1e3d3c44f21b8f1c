package format

import "s1stream/internal/event"

func (o *ocsf) finding(w *jsonWriter, ev *event.Event, t *Threat, s *step) {
	i := &t.Info
	m := w.object(`"finding_info":`)
	w.whole(`"uid":`, t.ID)
	w.integer(`"modified_time":`, ev.UpdatedAt.UnixMilli())
	if s.bare {
		w.end(m)
		return
	}
	w.text(`"title":`, i.Name)
	w.text(`"uid_alt":`, i.Storyline)
	w.millis(`"created_time":`, i.CreatedAt)
	w.millis(`"first_seen_time":`, i.IdentifiedAt)
	if len(i.Classification) > 0 {
		types := w.list(`"types":`)
		w.text("", i.Classification)
		w.end(types)
	}
	if !s.core {
		writeURL(w, `"src_url":`, o.Console, t.ID)
		ocsfEngines(w, t, s)
	}
	ocsfAttacks(w, t)
	w.end(m)
}

// ocsfEngines writes what found it.
func ocsfEngines(w *jsonWriter, t *Threat, s *step) {
	i := &t.Info
	ocsfAnalytics(w, t, s)
	sources := w.list(`"data_sources":`)
	for k := range i.DetectionEngines {
		if w.items == 0 || k < w.items {
			w.text("", first(i.DetectionEngines[k].Title, i.DetectionEngines[k].Key))
		}
	}
	if w.empty(sources) {
		w.end(sources)
		w.texts(`"data_sources":`, i.Engines)
	} else {
		w.end(sources)
	}
}

// ocsfAnalytics writes the engine that found it, then the others.
func ocsfAnalytics(w *jsonWriter, t *Threat, s *step) {
	kind := enumUnknown
	switch d := t.Info.DetectionType; {
	case equalFold(d, "static"), equalFold(d, "reputation"):
		kind = enum{5, "Fingerprinting"}
	case equalFold(d, "dynamic"):
		kind = enum{2, "Behavioral"}
	}
	one := func(key string, name, uid []byte, kind enum) {
		a := w.object(key)
		w.text(`"name":`, name)
		w.text(`"uid":`, uid)
		w.enum(`"type_id":`, `"type":`, kind)
		w.end(a)
	}
	engines := t.Info.DetectionEngines
	switch {
	case len(engines) > 0:
		one(`"analytic":`, engines[0].Title, engines[0].Key, kind)
	case len(t.Info.Engines) > 0:
		one(`"analytic":`, t.Info.Engines[0], nil, kind)
	}
	if len(engines) > 1 && !s.summary {
		list := w.list(`"related_analytics":`)
		for i := range engines[1:] {
			if w.items == 0 || i < w.items {
				one("", engines[i+1].Title, engines[i+1].Key, enumUnknown)
			}
		}
		w.end(list)
	}
}

// ocsfAttacks writes each pair of a tactic and a technique once.
func ocsfAttacks(w *jsonWriter, t *Threat) {
	type pair struct{ tactic, technique []byte }
	var space [16]pair
	seen := space[:0]
	list := w.list(`"attacks":`)
	for i := range t.Indicators {
		for k := range t.Indicators[i].Tactics {
			tactic := &t.Indicators[i].Tactics[k]
			techniques := tactic.Techniques
			if len(techniques) == 0 {
				techniques = []Technique{{}}
			}
		next:
			for q := range techniques {
				p := pair{tactic.Name, techniques[q].ID}
				if len(seen) >= onceMax || w.items > 0 && len(seen) >= w.items {
					break
				}
				for _, have := range seen {
					if string(have.tactic) == string(p.tactic) && string(have.technique) == string(p.technique) {
						continue next
					}
				}
				seen = append(seen, p)
				ocsfAttack(w, tactic, &techniques[q])
			}
		}
	}
	w.end(list)
}

func ocsfAttack(w *jsonWriter, tactic *Tactic, q *Technique) {
	a := w.object("")
	o := w.object(`"tactic":`)
	w.text(`"name":`, tactic.Name)
	w.word(`"uid":`, tacticID(tactic))
	w.end(o)
	parent, isSub := techniqueParent(q.ID)
	if isSub {
		o = w.object(`"technique":`)
		w.text(`"uid":`, parent)
		w.end(o)
		o = w.object(`"sub_technique":`)
	} else {
		o = w.object(`"technique":`)
	}
	if len(q.ID) > 0 { // a link alone is not allowed
		if isSub || isTechnique(q.ID) {
			w.text(`"uid":`, q.ID)
		} else {
			w.text(`"name":`, q.ID)
		}
		w.text(`"src_url":`, q.Link)
	}
	w.end(o)
	w.end(a)
}

func ocsfMalware(w *jsonWriter, t *Threat) {
	class, ok := ocsfMalwareClass(t.Info.Classification)
	if !ok || len(t.Info.Name) == 0 {
		return
	}
	list := w.list(`"malware":`)
	m := w.object("")
	w.text(`"name":`, t.Info.Name)
	ids := w.list(`"classification_ids":`)
	w.integer("", int64(class.id))
	w.end(ids)
	ids = w.list(`"classifications":`)
	w.word("", class.caption)
	w.end(ids)
	if len(t.Info.DetectionEngines) > 0 {
		w.text(`"provider":`, first(t.Info.DetectionEngines[0].Title, t.Info.DetectionEngines[0].Key))
	}
	w.text(`"path":`, t.Info.FilePath)
	files := w.list(`"files":`)
	ocsfFile(w, "", &t.Info)
	w.end(files)
	w.end(m)
	w.end(list)
}

func ocsfTickets(w *jsonWriter, t *Threat) {
	if len(t.Info.TicketID) == 0 || t.Info.TicketExists == False {
		return
	}
	list := w.list(`"tickets":`)
	m := w.object("")
	w.text(`"uid":`, t.Info.TicketID)
	w.enum(`"type_id":`, `"type":`, enum{2, "External"})
	w.end(m)
	w.end(list)
}
