package format

func ocsfDevice(w *jsonWriter, t *Threat, s *step) {
	a := &t.Realtime
	m := w.object(`"device":`)
	w.text(`"hostname":`, a.ComputerName)
	w.text(`"uid":`, a.AgentID)
	var space [16][]byte
	if list := hostAddresses(t, space[:0]); len(list) > 0 {
		w.whole(`"ip":`, list[0])
	}
	if w.empty(m) { // the schema asks for one of these at least
		w.end(m)
		return
	}
	w.enumOr(`"type_id":`, `"type":`, ocsfMachine(a.MachineType), a.MachineType)
	if s.core {
		w.end(m)
		return
	}
	w.text(`"uid_alt":`, a.UUID)
	w.text(`"domain":`, a.Domain)
	ocsfOS(w, a)
	ocsfGroupAndOrg(w, t)
	if !s.noLists {
		ocsfInterfaces(w, a)
	}
	list := w.list(`"agent_list":`)
	o := w.object("")
	w.word(`"name":`, "SentinelOne Agent")
	w.enum(`"type_id":`, `"type":`, enum{1, "Endpoint Detection and Response"})
	w.text(`"uid":`, a.UUID)
	w.text(`"version":`, a.Version)
	w.end(o)
	w.end(list)
	w.end(m)
}

func ocsfMachine(kind []byte) enum {
	switch {
	case len(kind) == 0:
		return enumUnknown
	case equalFold(kind, "server"):
		return enum{1, "Server"}
	case equalFold(kind, "desktop"):
		return enum{2, "Desktop"}
	case equalFold(kind, "laptop"):
		return enum{3, "Laptop"}
	}
	return enumOther
}

// ocsfOS writes the operating system, which must have a name.
func ocsfOS(w *jsonWriter, a *Realtime) {
	name := first(a.OSName, a.OSType)
	if name == nil {
		return
	}
	m := w.object(`"os":`)
	w.text(`"name":`, name)
	kind := enumOther
	switch osType(a.OSType) {
	case "windows":
		kind = enum{100, "Windows"}
	case "linux":
		kind = enum{200, "Linux"}
	case "macos":
		kind = enum{300, "macOS"}
	case "ios":
		kind = enum{301, "iOS"}
	case "android":
		kind = enum{201, "Android"}
	}
	if len(a.OSType) == 0 {
		kind = enumUnknown
	}
	w.enumOr(`"type_id":`, `"type":`, kind, a.OSType)
	w.text(`"build":`, a.OSRevision)
	w.end(m)
}

func ocsfGroupAndOrg(w *jsonWriter, t *Threat) {
	a := &t.Realtime
	list := w.list(`"groups":`)
	o := w.object("")
	w.text(`"uid":`, a.GroupID)
	w.text(`"name":`, a.GroupName)
	w.end(o)
	w.end(list)
	o = w.object(`"org":`)
	w.text(`"uid":`, first(a.AccountID, t.Detection.AccountID))
	w.text(`"name":`, first(a.AccountName, t.Detection.AccountName))
	if w.empty(o) { // a unit of nothing is not allowed
		w.end(o)
		return
	}
	w.text(`"ou_uid":`, first(a.SiteID, t.Detection.SiteID))
	w.text(`"ou_name":`, first(a.SiteName, t.Detection.SiteName))
	w.end(o)
}

// ocsfInterfaces writes one address of each interface, for the schema has no room for more; all of them are
// observables.
func ocsfInterfaces(w *jsonWriter, a *Realtime) {
	list := w.list(`"network_interfaces":`)
	for i := range a.Interfaces {
		f := &a.Interfaces[i]
		m := w.object("")
		w.text(`"name":`, f.Name)
		w.text(`"uid":`, f.ID)
		ocsfMAC(w, `"mac":`, f.MAC)
		if ip := firstAddress(f.IPv4); ip != nil {
			w.whole(`"ip":`, ip)
		} else if ip := firstAddress(f.IPv6); ip != nil {
			w.whole(`"ip":`, ip)
		}
		w.end(m)
	}
	w.end(list)
}

func firstAddress(list [][]byte) []byte {
	for _, text := range list {
		if ip, _, ok := ipOf(text); ok {
			return ip
		}
	}
	return nil
}

// ocsfMAC writes an address of six bytes, for the schema knows no other.
func ocsfMAC(w *jsonWriter, key string, mac []byte) {
	var buf [32]byte
	if text, ok := appendMAC(buf[:0], mac, ':'); ok && len(text) == len("00:00:00:00:00:00") {
		w.whole(key, text)
	}
}
