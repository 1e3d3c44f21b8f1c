package format

import "bytes"

// ocsfEvidences writes the file, the process and the people, and the container where there is one of these.
func ocsfEvidences(w *jsonWriter, t *Threat, s *step) {
	list := w.list(`"evidences":`)
	m := w.object("")
	ocsfFile(w, `"file":`, &t.Info)
	if len(t.Info.Storyline) > 0 && !s.core { // what tells processes apart; without it the schema allows none
		p := w.object(`"process":`)
		w.text(`"uid":`, t.Info.Storyline)
		w.text(`"name":`, t.Info.OriginatorProcess)
		w.textTo(`"cmd_line":`, t.Info.Arguments, s.arguments)
		domain, name := splitUser(t.Info.ProcessUser)
		ocsfUser(w, domain, name, nil)
		w.end(p)
	}
	domain, name := ecsUser(t)
	mail := t.Detection.UserMail
	if s.core {
		mail = nil
	}
	ocsfUser(w, domain, name, mail)
	if !w.empty(m) && !s.summary {
		ocsfContainer(w, &t.Container, s)
	}
	w.end(m)
	w.end(list)
}

// ocsfFile writes a file, which must have a name.
func ocsfFile(w *jsonWriter, key string, i *Info) {
	name := first(baseName(i.FilePath), i.Name)
	if name == nil {
		return
	}
	m := w.object(key)
	w.text(`"name":`, name)
	w.enum(`"type_id":`, `"type":`, enum{1, "Regular File"})
	w.text(`"path":`, i.FilePath)
	w.text(`"ext":`, i.FileExtension)
	w.number(`"size":`, i.FileSize)
	w.text(`"company_name":`, i.Publisher)
	list := w.list(`"hashes":`)
	for _, h := range ocsfHashes(i) {
		if isHash(h.value, h.size) {
			o := w.object("")
			w.enum(`"algorithm_id":`, `"algorithm":`, h.is)
			w.text(`"value":`, h.value)
			w.end(o)
		}
	}
	w.end(list)
	w.end(m)
}

// ocsfHash is a hash as the console gives it, and how many bytes one of its kind has.
type ocsfHash struct {
	is    enum
	value []byte
	size  int
}

func ocsfHashes(i *Info) [3]ocsfHash {
	return [...]ocsfHash{{enum{3, "SHA-256"}, i.SHA256, 32}, {enum{2, "SHA-1"}, i.SHA1, 20}, {enum{1, "MD5"}, i.MD5, 16}}
}

// isHash reports whether text is a hash of that many bytes, in hex.
func isHash(text []byte, size int) bool {
	for _, c := range text {
		if !isHex(c) {
			return false
		}
	}
	return len(text) == size*2
}

func ocsfUser(w *jsonWriter, domain, name, mail []byte) {
	if len(name) == 0 {
		return
	}
	m := w.object(`"user":`)
	w.text(`"name":`, name)
	w.text(`"domain":`, domain)
	if isMail(mail) {
		w.whole(`"email_addr":`, mail)
	}
	w.end(m)
}

// isMail is what the schema takes as an address: a name, an at sign, and a domain of two parts at least.
func isMail(text []byte) bool {
	name, domain, ok := bytes.Cut(text, []byte{'@'})
	host, rest, dotted := bytes.Cut(domain, []byte{'.'})
	if !ok || !dotted || len(name) == 0 || len(host) == 0 || len(rest) == 0 {
		return false
	}
	for _, c := range name {
		if !isLetterOrDigit(c) && bytes.IndexByte([]byte("!#$%&'*+,-./=?^_`{|}~"), c) < 0 {
			return false
		}
	}
	for _, c := range domain {
		if !isLetterOrDigit(c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isLetterOrDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func ocsfContainer(w *jsonWriter, c *Container, s *step) {
	if len(c.ID) == 0 && len(c.Name) == 0 {
		return
	}
	m := w.object(`"container":`)
	w.text(`"uid":`, c.ID)
	w.text(`"name":`, c.Name)
	if len(c.Image) > 0 { // its reference is what names an image
		o := w.object(`"image":`)
		w.text(`"uid":`, c.Image)
		w.text(`"name":`, c.Image)
		w.end(o)
	}
	if !s.noLabels {
		w.texts(`"labels":`, c.Labels)
	}
	w.end(m)
}

// ocsfObservables writes what an analyst pivots on, by where it stands in the event.
func ocsfObservables(w *jsonWriter, t *Threat) {
	list := w.list(`"observables":`)
	n := 0
	one := func(name string, is enum, value []byte) {
		if n++; len(value) == 0 || w.items > 0 && n > w.items*4 {
			return
		}
		o := w.object("")
		w.word(`"name":`, name)
		w.enum(`"type_id":`, `"type":`, is)
		w.text(`"value":`, value)
		w.end(o)
	}
	i := &t.Info
	hash, user := enum{8, "Hash"}, enum{4, "User Name"}
	for _, h := range ocsfHashes(i) {
		if isHash(h.value, h.size) {
			one("evidences[].file.hashes[].value", hash, h.value)
		}
	}
	one("evidences[].file.name", enum{7, "File Name"}, first(baseName(i.FilePath), i.Name))
	one("evidences[].file.path", enum{45, "File Path"}, i.FilePath)
	one("evidences[].process.name", enum{9, "Process Name"}, i.OriginatorProcess)
	_, name := ecsUser(t)
	one("evidences[].user.name", user, name)
	if _, process := splitUser(i.ProcessUser); !bytes.Equal(process, name) {
		one("evidences[].process.user.name", user, process)
	}
	one("device.hostname", enum{1, "Hostname"}, t.Realtime.ComputerName)
	ip := enum{2, "IP Address"}
	var space [16][]byte
	for _, address := range hostAddresses(t, space[:0]) {
		one("device.network_interfaces[].ip", ip, address)
	}
	if external, _, ok := ipOf(t.Detection.ExternalIP); ok {
		one("unmapped.agentDetectionInfo.externalIp", ip, external)
	}
	for k := range t.Realtime.Interfaces {
		var buf [32]byte
		if mac, ok := appendMAC(buf[:0], t.Realtime.Interfaces[k].MAC, ':'); ok {
			one("device.network_interfaces[].mac", enum{3, "MAC Address"}, mac)
		}
	}
	w.end(list)
}
