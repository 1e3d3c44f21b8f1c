package format

import "bytes"

func ecsHost(w *jsonWriter, t *Threat) {
	a := &t.Realtime
	m := w.object(`"host":`)
	w.text(`"name":`, a.ComputerName)
	w.text(`"id":`, a.AgentID)
	w.text(`"domain":`, a.Domain)
	var space [16][]byte
	w.texts(`"ip":`, hostAddresses(t, space[:0]))
	macs := w.list(`"mac":`)
	for i := range a.Interfaces {
		writeMAC(w, "", a.Interfaces[i].MAC, '-')
	}
	w.end(macs)
	os := w.object(`"os":`)
	w.text(`"name":`, a.OSName)
	w.word(`"type":`, osType(a.OSType))
	w.text(`"version":`, a.OSRevision)
	w.end(os)
	w.text(`"type":`, a.MachineType)
	w.end(m)

	m = w.object(`"observer":`)
	w.word(`"vendor":`, "SentinelOne")
	w.word(`"product":`, "Singularity")
	w.word(`"type":`, "edr")
	w.text(`"version":`, a.Version)
	w.end(m)
}

// osType returns the one of the values that host.os.type may have.
func osType(text []byte) string {
	for _, known := range [...]string{"windows", "linux", "macos", "ios", "android", "unix"} {
		if len(text) >= len(known) && equalFold(text[:len(known)], known) {
			return known
		}
	}
	return ""
}

// hostAddresses appends the endpoint's own addresses to list, each once.
func hostAddresses(t *Threat, list [][]byte) [][]byte {
	add := func(all [][]byte) {
		for _, text := range all {
			if ip, _, ok := ipOf(text); ok {
				list = addOnce(list, ip)
			}
		}
	}
	add(t.Detection.IPv4)
	add(t.Detection.IPv6)
	for i := range t.Realtime.Interfaces {
		add(t.Realtime.Interfaces[i].IPv4)
		add(t.Realtime.Interfaces[i].IPv6)
	}
	return list
}

// onceMax bounds lists of distinct values, which are searched from their beginning.
const onceMax = 512

func addOnce(list [][]byte, text []byte) [][]byte {
	if len(text) == 0 || len(list) >= onceMax {
		return list
	}
	for _, have := range list {
		if bytes.Equal(have, text) {
			return list
		}
	}
	return append(list, text)
}

func writeMAC(w *jsonWriter, key string, mac []byte, sep byte) {
	var buf [32]byte
	if text, ok := appendMAC(buf[:0], mac, sep); ok {
		w.whole(key, text)
	}
}

// ecsCore is what a small record has of host, user, file and ATT&CK.
func ecsCore(w *jsonWriter, t *Threat) {
	m := w.object(`"host":`)
	w.text(`"name":`, t.Realtime.ComputerName)
	w.end(m)
	m = w.object(`"user":`)
	domain, name := ecsUser(t)
	w.text(`"name":`, name)
	w.text(`"domain":`, domain)
	w.end(m)
	m = w.object(`"file":`)
	w.text(`"path":`, t.Info.FilePath)
	h := w.object(`"hash":`)
	if w.text(`"sha256":`, t.Info.SHA256); w.empty(h) {
		w.text(`"sha1":`, t.Info.SHA1)
	}
	w.end(h)
	w.end(m)
	m = w.object(`"threat":`)
	ecsAttack(w, t)
	w.end(m)
}

// ecsPeople writes who was logged in, or else whose process it was, and where the endpoint belongs.
func ecsPeople(w *jsonWriter, t *Threat) {
	m := w.object(`"user":`)
	domain, name := ecsUser(t)
	w.text(`"name":`, name)
	w.text(`"domain":`, domain)
	w.text(`"email":`, t.Detection.UserMail)
	w.end(m)

	m = w.object(`"group":`)
	w.text(`"id":`, t.Realtime.GroupID)
	w.text(`"name":`, t.Realtime.GroupName)
	w.end(m)

	m = w.object(`"organization":`)
	w.text(`"id":`, first(t.Realtime.AccountID, t.Detection.AccountID))
	w.text(`"name":`, first(t.Realtime.AccountName, t.Detection.AccountName))
	w.end(m)
}

func ecsUser(t *Threat) (domain, name []byte) {
	return splitUser(first(t.Detection.UserName, t.Info.ProcessUser))
}

func first(texts ...[]byte) []byte {
	for _, text := range texts {
		if len(text) > 0 {
			return text
		}
	}
	return nil
}

func ecsProcess(w *jsonWriter, t *Threat, s *step) {
	m := w.object(`"process":`)
	w.text(`"name":`, t.Info.OriginatorProcess)
	w.textTo(`"command_line":`, t.Info.Arguments, s.arguments)
	u := w.object(`"user":`)
	_, name := splitUser(t.Info.ProcessUser)
	w.text(`"name":`, name)
	w.end(u)
	w.end(m)
}

func ecsFile(w *jsonWriter, t *Threat) {
	i := &t.Info
	m := w.object(`"file":`)
	w.text(`"path":`, i.FilePath)
	w.text(`"name":`, first(baseName(i.FilePath), i.Name))
	ecsFileFacts(w, i)
	s := w.object(`"code_signature":`)
	w.text(`"subject_name":`, i.Publisher)
	w.flag(`"valid":`, i.ValidCertificate)
	if len(i.FileVerification) > 0 {
		w.bool(`"exists":`, !equalFold(i.FileVerification, "NotSigned"))
	}
	w.end(s)
	w.end(m)
}

func ecsFileFacts(w *jsonWriter, i *Info) {
	w.lower(`"extension":`, i.FileExtension)
	w.number(`"size":`, i.FileSize)
	h := w.object(`"hash":`)
	w.text(`"md5":`, i.MD5)
	w.text(`"sha1":`, i.SHA1)
	w.text(`"sha256":`, i.SHA256)
	w.end(h)
}

// baseName returns what stands behind a path's last slash of either kind.
func baseName(path []byte) []byte { return path[bytes.LastIndexAny(path, `\/`)+1:] }

// ecsThreat writes the indicator as Elastic's integration does, what MITRE ATT&CK calls it, and the rule.
func ecsThreat(w *jsonWriter, t *Threat) {
	m := w.object(`"threat":`)
	i := w.object(`"indicator":`)
	f := w.object(`"file":`)
	w.text(`"path":`, t.Info.FilePath)
	ecsFileFacts(w, &t.Info)
	if !w.empty(f) {
		w.end(f)
		w.word(`"type":`, "file")
	} else {
		w.end(f)
	}
	w.end(i)
	ecsAttack(w, t)
	w.end(m)

	m = w.object(`"rule":`)
	if len(t.Info.DetectionEngines) > 0 {
		w.text(`"name":`, first(t.Info.DetectionEngines[0].Title, t.Info.DetectionEngines[0].Key))
	}
	w.text(`"category":`, t.Info.Classification)
	w.end(m)
}

func ecsAttack(w *jsonWriter, t *Threat) {
	var space [6][16][]byte
	names, techniques, links := space[0][:0], space[1][:0], space[2][:0]
	subs, subLinks, frameworks := space[3][:0], space[4][:0], space[5][:0]
	ids := make([]string, 0, 16)
	for i := range t.Indicators {
		for k := range t.Indicators[i].Tactics {
			tactic := &t.Indicators[i].Tactics[k]
			names = addOnce(names, tactic.Name)
			if id := tacticID(tactic); id != "" && !containsWord(ids, id) {
				ids = append(ids, id)
			}
			frameworks = addOnce(frameworks, framework(tactic))
			for _, q := range tactic.Techniques {
				techniques = addOnce(techniques, q.ID)
				links = addOnce(links, q.Link)
				if _, ok := techniqueParent(q.ID); ok {
					subs = addOnce(subs, q.ID)
					subLinks = addOnce(subLinks, q.Link)
				}
			}
		}
	}
	if len(frameworks) > 0 {
		w.text(`"framework":`, frameworks[0])
	}
	m := w.object(`"tactic":`)
	list := w.list(`"id":`)
	for _, id := range ids {
		w.word("", id)
	}
	w.end(list)
	w.texts(`"name":`, names)
	w.end(m)
	m = w.object(`"technique":`)
	w.texts(`"id":`, techniques)
	w.texts(`"reference":`, links)
	sub := w.object(`"subtechnique":`)
	w.texts(`"id":`, subs)
	w.texts(`"reference":`, subLinks)
	w.end(sub)
	w.end(m)
}

func containsWord(list []string, word string) bool {
	for _, have := range list {
		if have == word {
			return true
		}
	}
	return false
}

var mitreFramework = []byte("MITRE ATT&CK")

func framework(t *Tactic) []byte {
	if isMITRE(t) {
		return mitreFramework
	}
	return t.Source
}
