package format

import (
	"s1stream/internal/event"
)

// sentinelOne writes the threat in the names of Elastic's integration, in its order of objects. What it has no
// name for, and moves nowhere else, is named here in its way.
func sentinelOne(w *jsonWriter, ev *event.Event, t *Threat, s *step) {
	if !s.core {
		m := w.object(`"account":`)
		w.text(`"name":`, first(t.Realtime.AccountName, t.Detection.AccountName))
		w.end(m)
		m = w.object(`"site":`)
		w.text(`"id":`, first(t.Detection.SiteID, t.Realtime.SiteID))
		w.text(`"name":`, first(t.Detection.SiteName, t.Realtime.SiteName))
		w.end(m)
		m = w.object(`"threat_classification":`)
		w.text(`"name":`, t.Info.Classification)
		w.text(`"source":`, t.Info.ClassificationSource)
		w.end(m)
	}
	m := w.object(`"threat":`)
	w.whole(`"id":`, t.ID)
	w.key(`"version":`)
	w.b = appendVersion(w.b, ev)
	if s.core && !s.bare {
		sentinelCore(w, &t.Info)
	}
	if !s.core {
		sentinelInfo(w, &t.Info, s)
		if !s.summary {
			sentinelMore(w, &t.Info, s)
		}
		sentinelAgent(w, &t.Realtime, s)
		if !s.summary {
			sentinelDetection(w, t, s)
			sentinelPlaces(w, t, s)
			sentinelLists(w, t, s)
		}
	}
	w.end(m)
}

func appendVersion(b []byte, ev *event.Event) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, c := range ev.Version {
		b = append(b, hex[c>>4], hex[c&15])
	}
	return append(b, '"')
}

// sentinelCore writes what the smallest summary has.
func sentinelCore(w *jsonWriter, i *Info) {
	w.text(`"name":`, i.Name)
	w.text(`"confidence_level":`, i.Confidence)
	m := w.object(`"analysis":`)
	w.text(`"verdict":`, i.Verdict)
	w.end(m)
	m = w.object(`"incident":`)
	w.text(`"status":`, i.Incident)
	w.end(m)
	m = w.object(`"mitigation":`)
	w.text(`"status":`, i.Mitigation)
	w.end(m)
	w.text(`"storyline":`, i.Storyline)
}

// sentinelInfo writes what a summary has too.
func sentinelInfo(w *jsonWriter, i *Info, s *step) {
	w.text(`"threat_id":`, i.ThreatID)
	w.text(`"name":`, i.Name)
	w.text(`"confidence_level":`, i.Confidence)
	m := w.object(`"analysis":`)
	w.text(`"verdict":`, i.Verdict)
	w.text(`"description":`, i.VerdictDescription)
	w.end(m)
	m = w.object(`"incident":`)
	w.text(`"status":`, i.Incident)
	w.text(`"status_description":`, i.IncidentDescription)
	w.end(m)
	m = w.object(`"mitigation":`)
	w.text(`"status":`, i.Mitigation)
	w.text(`"description":`, i.MitigationDescription)
	w.end(m)
	w.moment(`"created_at":`, i.CreatedAt)
	w.text(`"storyline":`, i.Storyline)
	w.flag(`"failed_actions":`, i.FailedActions)
	w.flag(`"pending_actions":`, i.PendingActions)
	w.textTo(`"malicious_process_arguments":`, i.Arguments, s.arguments)
}

func sentinelMore(w *jsonWriter, i *Info, s *step) {
	w.flag(`"automatically_resolved":`, i.AutomaticallyResolved)
	w.text(`"browser_type":`, i.BrowserType)
	m := w.object(`"certificate":`)
	w.text(`"id":`, i.CertificateID)
	w.end(m)
	w.text(`"cloudfiles_hash_verdict":`, i.CloudVerdict)
	m = w.object(`"collection":`)
	w.text(`"id":`, i.CollectionID)
	w.end(m)
	w.texts(`"engines":`, i.Engines)
	m = w.object(`"external_ticket":`)
	w.flag(`"exist":`, i.TicketExists)
	w.text(`"id":`, i.TicketID)
	w.end(m)
	m = w.object(`"file":`)
	x := w.object(`"extension":`)
	w.text(`"type":`, i.FileExtensionType)
	w.end(x)
	w.stamp(`"identified_at":`, i.IdentifiedAt)
	w.text(`"verification_type":`, i.FileVerification)
	w.end(m)
	m = w.object(`"initiated":`)
	w.text(`"name":`, i.InitiatedBy)
	w.text(`"description":`, i.InitiatedByDescription)
	w.end(m)
	m = w.object(`"initiating_user":`)
	w.text(`"id":`, i.InitiatingUserID)
	w.text(`"name":`, i.InitiatingUser)
	w.end(m)
	w.flag(`"is_fileless":`, i.Fileless)
	w.flag(`"is_valid_certificate":`, i.ValidCertificate)
	w.flag(`"mitigated_preemptively":`, i.MitigatedPreemptively)
	w.text(`"originator_process":`, i.OriginatorProcess)
	w.text(`"process_user":`, i.ProcessUser)
	m = w.object(`"publisher":`)
	w.text(`"name":`, i.Publisher)
	w.end(m)
	w.flag(`"reached_events_limit":`, i.ReachedEventsLimit)
	w.flag(`"reboot_required":`, i.RebootRequired)
	w.text(`"root_process_upn":`, i.RootProcessUPN)
	if !s.noLabels {
		w.elements(`"macro_modules":`, i.Modules)
	}
}

func sentinelAgent(w *jsonWriter, a *Realtime, s *step) {
	m := w.object(`"agent":`)
	w.text(`"id":`, a.AgentID)
	w.text(`"uuid":`, a.UUID)
	writePair(w, `"account":`, a.AccountID, a.AccountName)
	writePair(w, `"group":`, a.GroupID, a.GroupName)
	writePair(w, `"site":`, a.SiteID, a.SiteName)
	w.number(`"active_threats":`, a.ActiveThreats)
	w.flag(`"infected":`, a.Infected)
	w.flag(`"is_active":`, a.Active)
	w.flag(`"is_decommissioned":`, a.Decommissioned)
	w.text(`"network_status":`, a.NetworkStatus)
	w.text(`"mitigation_mode":`, a.MitigationMode)
	if s.summary {
		w.end(m)
		return
	}
	w.moment(`"decommissioned_date":`, a.DecommissionedAt) // decommissioned_at is a boolean there
	w.text(`"machine_type":`, a.MachineType)
	w.text(`"operational_state":`, a.OperationalState)
	o := w.object(`"os":`)
	w.text(`"type":`, a.OSType)
	w.text(`"version":`, a.OSRevision)
	w.end(o)
	w.flag(`"reboot_required":`, a.RebootRequired)
	o = w.object(`"scan":`)
	w.text(`"status":`, a.ScanStatus)
	w.stamp(`"started_at":`, a.ScanStartedAt)
	w.stamp(`"finished_at":`, a.ScanFinishedAt)
	w.stamp(`"aborted_at":`, a.ScanAbortedAt)
	w.end(o)
	o = w.object(`"storage":`)
	w.text(`"name":`, a.StorageName)
	w.text(`"type":`, a.StorageType)
	w.end(o)
	w.texts(`"user_action_needed":`, a.ActionsNeeded)
	if !s.noLists {
		list := w.list(`"network_interface":`)
		for k := range a.Interfaces {
			f := &a.Interfaces[k]
			o = w.object("")
			w.text(`"id":`, f.ID)
			w.text(`"name":`, f.Name)
			w.text(`"physical":`, f.MAC)
			w.texts(`"inet":`, f.IPv4)
			w.texts(`"inet6":`, f.IPv6)
			w.end(o)
		}
		w.end(list)
	}
	w.end(m)
}

func writePair(w *jsonWriter, key string, id, name []byte) {
	m := w.object(key)
	w.text(`"id":`, id)
	w.text(`"name":`, name)
	w.end(m)
}
