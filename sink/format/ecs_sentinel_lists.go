package format

func sentinelDetection(w *jsonWriter, t *Threat, s *step) {
	d := &t.Detection
	m := w.object(`"detection":`)
	w.text(`"type":`, t.Info.DetectionType)
	w.text(`"state":`, d.State)
	writePair(w, `"account":`, d.AccountID, d.AccountName)
	a := w.object(`"agent":`)
	w.text(`"uuid":`, d.UUID)
	w.text(`"version":`, d.Version)
	w.text(`"asset_version":`, d.AssetVersion)
	w.text(`"domain":`, d.Domain)
	w.text(`"external_ip":`, d.ExternalIP)
	writePair(w, `"group":`, d.GroupID, d.GroupName)
	writeFamily(w, `"ipv4":`, d.IPv4, true)
	writeFamily(w, `"ipv6":`, d.IPv6, false)
	o := w.object(`"last_logged_in":`)
	w.text(`"name":`, d.UserName)
	w.text(`"upn":`, d.UserUPN)
	w.end(o)
	w.text(`"mitigation_mode":`, d.MitigationMode)
	o = w.object(`"os":`)
	w.text(`"name":`, d.OSName)
	w.text(`"version":`, d.OSRevision)
	w.end(o)
	w.moment(`"registered_at":`, d.RegisteredAt)
	w.end(a)
	if !s.noLabels {
		w.tree(`"cloud_providers":`, d.Clouds)
	}
	list := w.list(`"engines":`)
	for i := range t.Info.DetectionEngines {
		if w.items > 0 && i >= w.items {
			break
		}
		o = w.object("")
		w.text(`"key":`, t.Info.DetectionEngines[i].Key)
		w.text(`"title":`, t.Info.DetectionEngines[i].Title)
		w.end(o)
	}
	w.end(list)
	w.end(m)
}

// writeFamily writes the addresses of one family, for the schema's type takes nothing else.
func writeFamily(w *jsonWriter, key string, list [][]byte, wantV4 bool) {
	m := w.list(key)
	for i, text := range list {
		if w.items > 0 && i >= w.items {
			break
		}
		if ip, v4, ok := ipOf(text); ok && v4 == wantV4 {
			w.whole("", ip)
		}
	}
	w.end(m)
}

func sentinelPlaces(w *jsonWriter, t *Threat, s *step) {
	labels := func(key string, list [][]byte) {
		if !s.noLabels {
			w.texts(key, list)
		}
	}
	m := w.object(`"container":`)
	labels(`"labels":`, t.Container.Labels)
	w.flag(`"is_quarantine":`, t.Container.Quarantine)
	w.end(m)

	k := &t.Kubernetes
	m = w.object(`"kubernetes":`)
	w.text(`"cluster":`, k.Cluster)
	o := w.object(`"controller":`)
	w.text(`"kind":`, k.ControllerKind)
	w.text(`"name":`, k.ControllerName)
	labels(`"labels":`, k.ControllerLabels)
	w.end(o)
	w.flag(`"is_quarantine":`, k.Quarantine)
	o = w.object(`"namespace":`)
	w.text(`"name":`, k.Namespace)
	labels(`"labels":`, k.NamespaceLabels)
	w.end(o)
	w.text(`"node":`, k.Node)
	labels(`"node_labels":`, k.NodeLabels)
	o = w.object(`"pod":`)
	w.text(`"name":`, k.Pod)
	labels(`"labels":`, k.PodLabels)
	w.end(o)
	w.end(m)

	e := &t.ECS
	m = w.object(`"aws_ecs":`)
	w.text(`"cluster_name":`, e.ClusterName)
	w.text(`"service_arn":`, e.ServiceARN)
	w.text(`"service_name":`, e.ServiceName)
	w.text(`"task_arn":`, e.TaskARN)
	w.text(`"task_availability_zone":`, e.TaskZone)
	w.text(`"task_definition_arn":`, e.TaskDefinition)
	w.text(`"task_definition_family":`, e.TaskFamily)
	w.text(`"task_definition_revision":`, e.TaskRevision)
	w.text(`"type":`, e.Type)
	w.text(`"version":`, e.Version)
	w.end(m)
}

func sentinelLists(w *jsonWriter, t *Threat, s *step) {
	w.texts(`"whitening_option":`, t.Whitening)
	if !s.noIndicators {
		list := w.list(`"indicators":`)
		for i := range t.Indicators {
			in := &t.Indicators[i]
			o := w.object("")
			c := w.object(`"category":`)
			w.number(`"id":`, in.CategoryID)
			w.text(`"name":`, in.Category)
			w.end(c)
			w.text(`"description":`, in.Description)
			ids := w.list(`"ids":`)
			for _, id := range in.IDs {
				w.number("", id)
			}
			w.end(ids)
			w.end(o)
		}
		w.end(list)
	}
	if s.noLists {
		return
	}
	list := w.list(`"mitigation_status":`)
	for i := range t.Mitigations {
		m := &t.Mitigations[i]
		o := w.object("")
		w.text(`"action":`, m.Action)
		w.text(`"status":`, m.Status)
		c := w.object(`"action_counters":`)
		w.number(`"failed":`, m.Failed)
		w.number(`"not_found":`, m.NotFound)
		w.number(`"pending_reboot":`, m.PendingReboot)
		w.number(`"success":`, m.Success)
		w.number(`"total":`, m.Total)
		w.end(c)
		w.flag(`"agent_supports_report":`, m.SupportsReport)
		w.flag(`"group_not_found":`, m.GroupNotFound)
		w.stamp(`"last_update":`, m.LastUpdate)
		w.stamp(`"mitigation_started_at":`, m.StartedAt)
		w.stamp(`"mitigation_ended_at":`, m.EndedAt)
		w.text(`"latest_report":`, m.Report)
		w.text(`"report_id":`, m.ReportID)
		w.end(o)
	}
	w.end(list)
}
