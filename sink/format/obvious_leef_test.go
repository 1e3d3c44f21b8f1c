package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"s1stream/internal/event"
)

// obviousLEEF returns the event id and the attributes, without a console.
func obviousLEEF(ev *event.Event, delimiter string) (string, map[string]string) {
	t := obviousRead(ev)
	i, d, r := &t.Info, &t.Detection, &t.Realtime
	w := meant{m: map[string]string{}}
	if ms := millis(ev.UpdatedAt); len(ms) == 13 {
		w.m["devTime"] = ms
	} else {
		w.m["devTime"] = ev.UpdatedAt.UTC().Format("Jan 02 2006 15:04:05.000 GMT")
		w.m["devTimeFormat"] = "MMM dd yyyy HH:mm:ss.SSS z"
	}
	w.m["sev"] = strconv.Itoa(t.facts().Severity().LEEF)
	w.text("cat", strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, i.Classification), 255)
	v4, v6, mac := t.ips()
	if ip := or(v4, v6); ip != "" {
		w.text("src", ip, 0)
		w.text("identSrc", ip, 0)
		w.text("identHostName", r.Computer, 255)
		w.text("identGrpName", or(d.Group, r.Group), 255)
	}
	w.text("usrName", or(d.User, i.ProcessUser), 255)
	w.text("srcMAC", mac, 0)
	if a, err := netip.ParseAddr(d.ExternalIP); err == nil && a.Zone() == "" {
		w.text("srcPostNAT", d.ExternalIP, 0)
	}
	w.text("accountName", or(d.Account, r.Account), 255)
	w.text("domain", or(d.Domain, r.Domain), 0)
	w.text("resource", r.Computer, 0)
	w.text("groupID", or(d.GroupID, r.GroupID), 0)
	w.text("policy", or(d.MitigationMode, r.MitigationMode), 0)
	w.text("threatId", string([]rune(ev.ID)), 0)
	w.text("threatVersion", ev.Version.String(), 0)
	w.text("threatName", i.Name, 0)
	w.text("filePath", i.FilePath, 0)
	if n, err := strconv.ParseInt(string(i.FileSize), 10, 64); err == nil {
		w.m["fileSize"] = strconv.FormatInt(n, 10)
	}
	for k, v := range map[string]string{
		"sha256": i.SHA256, "sha1": i.SHA1, "md5": i.MD5, "storyline": i.Storyline, "confidenceLevel": i.Confidence, "mitigationStatus": i.Mitigation,
		"incidentStatus": i.Incident, "analystVerdict": i.Verdict, "engines": t.engines(), "agentId": r.AgentID, "agentVersion": or(r.Version, d.Version),
		"siteName": or(d.Site, r.Site), "osName": or(r.OSName, d.OSName), "initiatedBy": i.InitiatedBy, "detectionType": i.DetectionType,
		"processUser": i.ProcessUser, "originatorProcess": i.OriginatorProcess, "cmdLine": i.Arguments,
	} {
		w.text(k, v, 0)
	}
	w.text("mitreTechniques", t.techniques(8000), 8000)
	if w.cut {
		sum := sha256.Sum256(ev.Raw)
		w.m["truncated"], w.m["originalSize"], w.m["originalSha256"] = "1", strconv.Itoa(len(ev.Raw)), hex.EncodeToString(sum[:])
	}
	for k, v := range w.m {
		v = controls(v, "\t")
		w.m[k] = strings.ReplaceAll(v, delimiter, " ")
	}
	return map[Activity]string{Create: "ThreatCreated", Update: "ThreatUpdated", Close: "ThreatResolved"}[t.facts().Activity(ev)], w.m
}

func obviousLEEFLine(ev *event.Event) []byte {
	id, attributes := obviousLEEF(ev, "\t")
	var b bytes.Buffer
	fmt.Fprintf(&b, "LEEF:2.0|SentinelOne|Singularity|1.0|%s|x09|", id)
	for i, k := range sortedKeys(attributes) {
		if i > 0 {
			b.WriteByte('\t')
		}
		fmt.Fprintf(&b, "%s=%s", k, attributes[k])
	}
	return b.Bytes()
}
