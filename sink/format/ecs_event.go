package format

import (
	"bytes"

	"s1stream/internal/event"
)

// activityPast are the words of event.action.
func activityPast(a Activity) string {
	switch a {
	case Create:
		return "threat-created"
	case Close:
		return "threat-resolved"
	}
	return "threat-updated"
}

func (e *ecs) event(w *jsonWriter, ev *event.Event, t *Threat, s *step) {
	f := t.Facts()
	activity := f.Activity(ev)
	m := w.object(`"event":`)
	w.b = append(w.b, e.events...)
	kind, category := ecsCategory(t.Info.Classification)
	w.key(`"category":["`)
	w.b = append(append(w.b, category...), `"],"type":["`...)
	w.b = append(append(w.b, kind...), `"]`...)
	w.whole(`"id":`, t.ID)
	w.word(`"action":`, activityPast(activity))
	w.key(`"code":"s1.threat.`)
	w.b = append(append(w.b, activity...), '"')
	w.integer(`"severity":`, int64(e.Judge(ev, f).ECS))
	w.word(`"outcome":`, outcome(t))
	if !s.core {
		w.moment(`"created":`, t.Info.CreatedAt)
		if len(t.Info.IdentifiedAt) > 0 {
			w.moment(`"start":`, t.Info.IdentifiedAt)
		} else {
			w.moment(`"start":`, t.Info.CreatedAt)
		}
		if activity == Close {
			w.at(`"end":`, ev.UpdatedAt)
		}
		w.text(`"reason":`, t.Info.MitigationDescription)
		writeURL(w, `"url":`, e.Console, t.ID)
	}
	if e.EventOriginal && !s.noRaw {
		w.key(`"original":`)
		w.b = appendQuoted(w.b, ev.Raw)
	}
	w.end(m)
}

// ecsCategory returns the values of event.type and event.category. Elastic's integration knows the first four and
// exploit and PUA, and leaves the others without; here, other names of malware are malware too, and what is left is
// a threat. The schema allows a threat no other type than indicator.
func ecsCategory(classification []byte) (kind, category string) {
	for _, malware := range [...]string{"malware", "ransomware", "trojan", "downloader", "infostealer", "cryptominer", "backdoor",
		"rootkit", "virus", "worm", "keylogger", "dropper", "spyware", "wiper", "webshell", "bootkit"} {
		if equalFold(classification, malware) {
			return "info", "malware"
		}
	}
	return "indicator", "threat"
}

// outcome is success where everything was mitigated, failure where an action failed, else unknown.
func outcome(t *Threat) string {
	switch {
	case t.Info.FailedActions == True:
		return "failure"
	case equalFold(t.Info.Mitigation, "mitigated"):
		return "success"
	}
	return "unknown"
}

// writeURL writes where the console shows the threat, unless its id is none of the console's.
func writeURL(w *jsonWriter, key, host string, id []byte) {
	if host == "" || !isDigits(id) {
		return
	}
	w.key(key)
	w.b = append(append(append(w.b, `"https://`...), host...), "/incidents/threats/"...)
	w.b = append(append(w.b, id...), `/overview"`...)
}

// ecsMessage is the sentence that Elastic's integration makes.
func ecsMessage(w *jsonWriter, t *Threat) {
	if len(t.Info.Name) == 0 || len(t.Info.Confidence) == 0 {
		return
	}
	w.sentence(`"message":`, []byte("Threat Detected: "), t.Info.Name, []byte(" ("), t.Info.Confidence, []byte(")"))
}

// splitUser parts DOMAIN\user.
func splitUser(text []byte) (domain, name []byte) {
	if domain, name, ok := bytes.Cut(text, []byte{'\\'}); ok && len(name) > 0 {
		return domain, name
	}
	return nil, text
}
