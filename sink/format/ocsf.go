package format

import (
	"cmp"
	"fmt"

	"s1stream/internal/event"
)

// OCSFOptions is the format "ocsf" as configured.
type OCSFOptions struct {
	RawData bool   `koanf:"raw_data"` // the threat's own JSON in raw_data
	Version string `koanf:"version"`  // metadata.version

	Console string `koanf:"-"` // for links to the console; "": none
	Judge   Judge  `koanf:"-"` // nil: TableJudge
}

// DefaultOCSF returns what an absent key means. Version need not be given: "" is the default.
func DefaultOCSF() OCSFOptions { return OCSFOptions{Version: "1.8.0"} }

// Validate returns every mistake at once, each "key: what would be right".
func (o OCSFOptions) Validate() error {
	if o.Version != "" && !isVersion(o.Version) {
		return fmt.Errorf("version: %q is no version of the schema: write it as in \"1.8.0\"", o.Version)
	}
	return nil
}

// ocsf makes events of class 2004, Detection Finding, of the Open Cybersecurity Schema Framework, with the
// profiles host, security_control and incident. https://schema.ocsf.io/1.8.0/classes/detection_finding
//
// The schema allows no attribute that it does not name and no value of another shape. What has no place in it is
// under unmapped, in the console's own names.
type ocsf struct {
	OCSFOptions
}

// NewOCSF returns the format "ocsf".
func NewOCSF(o OCSFOptions) (func(dst []byte, ev *event.Event, max int) ([]byte, bool, error), error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o.Version = cmp.Or(o.Version, DefaultOCSF().Version)
	if o.Judge == nil {
		o.Judge = TableJudge
	}
	f := &ocsf{o}
	return f.encode, nil
}

func (o *ocsf) encode(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
	t, err := Parse(ev)
	if err != nil {
		return nil, false, err
	}
	defer t.Release()
	d := descend(dst, ev, max)
	for d.next() {
		o.write(&d.w, ev, t, &d.s)
	}
	return d.record()
}

func (o *ocsf) write(w *jsonWriter, ev *event.Event, t *Threat, s *step) {
	f := t.Facts()
	activity := f.Activity(ev)
	w.b = append(w.b, '{')
	ocsfClass(w, activity)
	w.enum(`"severity_id":`, `"severity":`, ocsfSeverity(o.Judge(ev, f).OCSF))
	if at, ok := Moment(t.Info.CreatedAt); ok {
		w.integer(`"time":`, at.UnixMilli())
	} else {
		w.integer(`"time":`, ev.UpdatedAt.UnixMilli())
	}
	o.metadata(w, ev, t, s, activity)
	w.enum(`"status_id":`, `"status":`, ocsfStatus(t))
	w.bool(`"is_alert":`, activity != Close)
	if !s.bare {
		w.text(`"status_detail":`, first(t.Info.MitigationDescription, t.Info.Mitigation))
	}
	if !s.core {
		ecsMessage(w, t)
	}
	o.finding(w, ev, t, s)
	if !s.bare {
		w.enum(`"confidence_id":`, `"confidence":`, ocsfConfidence(t))
		action, disposition := ocsfDisposition(t)
		w.enum(`"action_id":`, `"action":`, action)
		w.enum(`"disposition_id":`, `"disposition":`, disposition)
		w.enum(`"verdict_id":`, `"verdict":`, ocsfVerdict(t))
		ocsfDevice(w, t, s)
		ocsfEvidences(w, t, s)
		if !s.summary {
			ocsfAttacks(w, t)
			ocsfMalware(w, t)
			writeURL(w, `"src_url":`, o.Console, t.ID)
			ocsfTickets(w, t)
			ocsfObservables(w, t)
			ocsfUnmapped(w, t, s)
		}
	}
	o.raw(w, ev, s)
	w.b = append(w.b, '}')
}

func ocsfClass(w *jsonWriter, a Activity) {
	switch a {
	case Create:
		w.b = append(w.b, `"activity_id":1,"activity_name":"Create","type_uid":200401,"type_name":"Detection Finding: Create"`...)
	case Close:
		w.b = append(w.b, `"activity_id":3,"activity_name":"Close","type_uid":200403,"type_name":"Detection Finding: Close"`...)
	default:
		w.b = append(w.b, `"activity_id":2,"activity_name":"Update","type_uid":200402,"type_name":"Detection Finding: Update"`...)
	}
	w.b = append(w.b, `,"category_uid":2,"category_name":"Findings","class_uid":2004,"class_name":"Detection Finding"`...)
}

func (o *ocsf) metadata(w *jsonWriter, ev *event.Event, t *Threat, s *step, a Activity) {
	m := w.object(`"metadata":`)
	w.word(`"version":`, o.Version)
	w.key(`"uid":`)
	w.b = appendVersion(w.b, ev)
	w.key(`"profiles":["host","security_control","incident"]`)
	p := w.object(`"product":`)
	w.word(`"name":`, "SentinelOne Singularity")
	w.word(`"vendor_name":`, "SentinelOne")
	if !s.core {
		w.text(`"version":`, first(t.Realtime.Version, t.Detection.Version))
	}
	w.end(p)
	w.word(`"log_name":`, "threats")
	w.whole(`"original_event_uid":`, t.ID)
	w.integer(`"modified_time":`, ev.UpdatedAt.UnixMilli())
	if !s.core {
		w.key(`"event_code":"s1.threat.`)
		w.b = append(append(w.b, a...), '"')
		w.text(`"original_time":`, t.Info.CreatedAt)
		w.text(`"tenant_uid":`, first(t.Realtime.AccountID, t.Detection.AccountID))
	}
	if s.sum != nil {
		w.bool(`"is_truncated":`, true)
		w.integer(`"untruncated_size":`, int64(s.whole+1023)/1024) // in kilobytes, as the schema says
	}
	w.end(m)
}

func (o *ocsf) raw(w *jsonWriter, ev *event.Event, s *step) {
	whole := o.RawData && !s.noRaw
	if whole {
		w.key(`"raw_data":`)
		w.b = appendQuoted(w.b, ev.Raw)
	}
	if whole || s.sum != nil {
		w.integer(`"raw_data_size":`, int64(len(ev.Raw)))
	}
	if s.sum != nil {
		h := w.object(`"raw_data_hash":`)
		w.enum(`"algorithm_id":`, `"algorithm":`, enum{3, "SHA-256"})
		w.whole(`"value":`, s.sum)
		w.end(h)
	}
}
