package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"s1stream/internal/event"
)

// The obvious way to CEF and LEEF: encoding/json into a struct, a map of what was meant, pairs. Tests compare with
// its maps, benchmarks with its cost.

type obviousThreat struct {
	Info struct {
		Name           string   `json:"threatName"`
		IdentifiedAt   string   `json:"identifiedAt"`
		Verdict        string   `json:"analystVerdict"`
		Incident       string   `json:"incidentStatus"`
		Mitigation     string   `json:"mitigationStatus"`
		Confidence     string   `json:"confidenceLevel"`
		Classification string   `json:"classification"`
		DetectionType  string   `json:"detectionType"`
		Engines        []string `json:"engines"`
		Titles         []struct {
			Title string `json:"title"`
		} `json:"detectionEngines"`
		InitiatedBy       string          `json:"initiatedBy"`
		ProcessUser       string          `json:"processUser"`
		OriginatorProcess string          `json:"originatorProcess"`
		Arguments         string          `json:"maliciousProcessArguments"`
		FilePath          string          `json:"filePath"`
		FileType          string          `json:"fileExtensionType"`
		MD5               string          `json:"md5"`
		SHA1              string          `json:"sha1"`
		SHA256            string          `json:"sha256"`
		Storyline         string          `json:"storyline"`
		FileSize          json.RawMessage `json:"fileSize"`
		FailedActions     bool            `json:"failedActions"`
	} `json:"threatInfo"`
	Detection struct {
		Account        string `json:"accountName"`
		Site           string `json:"siteName"`
		Group          string `json:"groupName"`
		GroupID        string `json:"groupId"`
		Version        string `json:"agentVersion"`
		Domain         string `json:"agentDomain"`
		OSName         string `json:"agentOsName"`
		IPv4           string `json:"agentIpV4"`
		IPv6           string `json:"agentIpV6"`
		ExternalIP     string `json:"externalIp"`
		User           string `json:"agentLastLoggedInUserName"`
		MitigationMode string `json:"agentMitigationMode"`
	} `json:"agentDetectionInfo"`
	Realtime struct {
		Account        string          `json:"accountName"`
		Site           string          `json:"siteName"`
		Group          string          `json:"groupName"`
		GroupID        string          `json:"groupId"`
		AgentID        string          `json:"agentId"`
		Version        string          `json:"agentVersion"`
		Computer       string          `json:"agentComputerName"`
		Domain         string          `json:"agentDomain"`
		OSName         string          `json:"agentOsName"`
		MitigationMode string          `json:"agentMitigationMode"`
		ActiveThreats  json.RawMessage `json:"activeThreats"`
		Interfaces     []struct {
			MAC  string   `json:"physical"`
			IPv4 []string `json:"inet"`
			IPv6 []string `json:"inet6"`
		} `json:"networkInterfaces"`
	} `json:"agentRealtimeInfo"`
	Indicators []struct {
		Tactics []struct {
			Name       string `json:"name"`
			Techniques []struct {
				Name string `json:"name"`
			} `json:"techniques"`
		} `json:"tactics"`
	} `json:"indicators"`
}

func obviousRead(ev *event.Event) *obviousThreat {
	t := new(obviousThreat)
	// What is of another type stays absent, and encoding/json reads on.
	_ = json.Unmarshal(ev.Raw, t)
	return t
}

// meant is what a record says, by key. A text that is too long for its key is shortened, and seen to be so.
type meant struct {
	m   map[string]string
	cut bool
}

// bare is without spaces and control characters around it.
func bare(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return r == ' ' || isControl(r) })
}

func (w *meant) text(key, value string, max int) {
	if value = bare(value); value == "" {
		return
	}
	if max > 0 && len(value) > max {
		for value = value[:max-len("…")]; !utf8.ValidString(value); {
			value = value[:len(value)-1]
		}
		value += "…"
		w.cut = true
	}
	w.m[key] = value
}

func (w *meant) label(key, label, value string, max int) {
	if w.text(key, value, max); w.m[key] != "" {
		w.m[key+"Label"] = label
	}
}

func (w *meant) exact(key, value string, max int) {
	if max > 0 && len(bare(value)) > max {
		w.cut = true
		return
	}
	w.text(key, value, 0)
}

func (t *obviousThreat) ips() (v4, v6, mac string) {
	list4, list6 := strings.Split(t.Detection.IPv4, ","), strings.Split(t.Detection.IPv6, ",")
	for _, i := range t.Realtime.Interfaces {
		list4, list6 = append(list4, i.IPv4...), append(list6, i.IPv6...)
		if mac == "" && len(i.MAC) == 17 && strings.Trim(strings.ToLower(i.MAC), "0123456789abcdef:-") == "" {
			groups := strings.FieldsFunc(i.MAC, func(r rune) bool { return r == rune(i.MAC[2]) })
			if (i.MAC[2] == ':' || i.MAC[2] == '-') && len(groups) == 6 && !slices.ContainsFunc(groups, func(g string) bool { return len(g) != 2 || strings.ContainsAny(g, ":-") }) {
				mac = strings.ReplaceAll(i.MAC, "-", ":")
			}
		}
	}
	for _, s := range list4 {
		if a, err := netip.ParseAddr(strings.TrimSpace(s)); err == nil && a.Is4() && v4 == "" {
			v4 = strings.TrimSpace(s)
		}
	}
	for _, s := range list6 {
		a, err := netip.ParseAddr(strings.TrimSpace(s))
		if err == nil && a.Is6() && a.Zone() == "" && (a.Is4In6() || !a.IsLinkLocalUnicast() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsMulticast()) && v6 == "" {
			v6 = strings.TrimSpace(s)
		}
	}
	return v4, v6, mac
}

func (t *obviousThreat) engines() string {
	var titles []string
	for _, e := range t.Info.Titles {
		titles = append(titles, e.Title)
	}
	titles = slices.DeleteFunc(titles, func(s string) bool { return s == "" })
	if len(titles) == 0 {
		titles = slices.DeleteFunc(t.Info.Engines, func(s string) bool { return s == "" })
	}
	return strings.Join(titles, ", ")
}

// techniques is all of ATT&CK, up to the first entry behind max bytes.
func (t *obviousThreat) techniques(max int) string {
	var list []string
	size := func() int { return len(strings.Join(list, ", ")) }
	for _, in := range t.Indicators {
		for _, tactic := range in.Tactics {
			names := []string{}
			for _, technique := range tactic.Techniques {
				names = append(names, technique.Name)
			}
			if len(names) == 0 {
				names = []string{""}
			}
			for _, name := range names {
				entry := tactic.Name
				if entry != "" && name != "" {
					entry += " "
				}
				entry += name
				if entry != "" && !slices.Contains(list, entry) && size() <= max {
					list = append(list, entry)
				}
			}
		}
	}
	return strings.Join(list, ", ")
}

func (t *obviousThreat) facts() Facts {
	i := &t.Info
	return Facts{Verdict: i.Verdict, Mitigation: i.Mitigation, Incident: i.Incident, Confidence: i.Confidence, Classification: i.Classification, FailedActions: i.FailedActions}
}

func or(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func millis(at time.Time) string {
	if at.UnixMilli() <= 0 {
		return ""
	}
	return strconv.FormatInt(at.UnixMilli(), 10)
}

// obviousCEF returns the header, from the version on, and the extension, of version 0 without a console.
func obviousCEF(ev *event.Event) ([]string, map[string]string) {
	t := obviousRead(ev)
	i, d, r := &t.Info, &t.Detection, &t.Realtime
	activity := t.facts().Activity(ev)
	names := map[Activity]string{Create: "Threat detected", Update: "Threat updated", Close: "Threat resolved"}
	w := meant{m: map[string]string{}}
	w.text("version", r.Version, 0)
	version := or(w.m["version"], "1.0")
	delete(w.m, "version")
	if len(version) > 31 {
		version, w.cut = version[:31], true
		for !utf8.ValidString(version) {
			version = version[:len(version)-1]
		}
	}
	header := []string{"CEF:0", "SentinelOne", "Singularity", version, "s1.threat." + string(activity), names[activity], strconv.Itoa(t.facts().Severity().CEF)}

	w.text("rt", millis(ev.UpdatedAt), 0)
	start := ev.CreatedAt
	if at, err := time.Parse(time.RFC3339, i.IdentifiedAt); err == nil {
		start = at
	}
	w.text("start", millis(start), 0)
	if activity == Close {
		w.text("end", millis(ev.UpdatedAt), 0)
	}
	id := string([]rune(ev.ID)) // valid UTF-8
	w.text("externalId", id, 0)
	if len(bare(id)) > 40 || bare(id) == "" {
		w.m["externalId"] = ev.Version.String()
	}
	w.exact("deviceExternalId", r.AgentID, 255)
	w.text("act", i.Mitigation, 63)
	if strings.EqualFold(i.Mitigation, "mitigated") {
		w.m["outcome"] = "success"
	}
	if i.FailedActions {
		w.m["outcome"] = "failure"
	}
	w.text("cat", i.Classification, 1023)
	w.text("dvchost", r.Computer, 100)
	w.text("dhost", r.Computer, 1023)
	v4, v6, mac := t.ips()
	w.text("dvc", v4, 0)
	w.text("dst", v4, 0)
	w.label("c6a1", "Device IPv6 Address", v6, 0)
	w.text("dmac", mac, 0)
	if domain := or(d.Domain, r.Domain); strings.Index(domain, ".") > 0 {
		w.text("destinationDnsDomain", domain, 255)
	} else {
		w.text("dntdom", domain, 255)
	}
	w.text("duser", d.User, 1023)
	w.text("suser", i.ProcessUser, 1023)
	w.text("sproc", i.OriginatorProcess, 1023)
	w.text("dproc", i.OriginatorProcess, 1023)
	if a, err := netip.ParseAddr(d.ExternalIP); err == nil && a.Is4() {
		w.m["destinationTranslatedAddress"] = d.ExternalIP
	}
	w.text("deviceFacility", i.DetectionType, 1023)
	w.text("sourceServiceName", i.InitiatedBy, 1023)
	w.text("fname", i.Name, 1023)
	w.text("filePath", i.FilePath, 1023)
	if n, err := strconv.ParseInt(string(i.FileSize), 10, 64); err == nil && n >= 0 && n < 1<<31 {
		w.m["fsize"] = strconv.FormatInt(n, 10)
	}
	w.text("fileType", i.FileType, 1023)
	w.exact("fileHash", or(i.SHA256, or(i.SHA1, i.MD5)), 255)
	w.text("reason", t.engines(), 1023)
	w.label("cs1", "Storyline", i.Storyline, 4000)
	w.label("cs2", "ConfidenceLevel", i.Confidence, 4000)
	w.label("cs3", "AnalystVerdict", i.Verdict, 4000)
	w.label("cs4", "IncidentStatus", i.Incident, 4000)
	site, group := or(d.Site, r.Site), or(d.Group, r.Group)
	if site != "" && group != "" {
		site += "/"
	}
	w.label("cs5", "SiteGroup", site+group, 4000)
	w.label("cs6", "CommandLine", i.Arguments, 4000)
	if n, err := strconv.ParseInt(string(r.ActiveThreats), 10, 64); err == nil {
		w.label("cn1", "ActiveThreats", strconv.FormatInt(n, 10), 0)
	}
	w.label("deviceCustomDate1", "CreatedAt", millis(ev.CreatedAt), 0)
	w.label("flexString2", "Account", or(d.Account, r.Account), 1023)
	msg := "Threat"
	for _, part := range [][3]string{{" ", i.Name, ""}, {" (", i.Confidence, ")"}, {" on ", r.Computer, ""}, {": ", i.Mitigation, ""}, {"; ATT&CK: ", t.techniques(1023), ""}} {
		if p := bare(part[1]); p != "" {
			msg += part[0] + p + part[2]
		}
	}
	w.text("msg", msg, 1023)
	if before := w.cut; true {
		w.label("flexString1", "SHA1", i.SHA1, 1023)
		if w.cut = before || w.cut; w.cut {
			sum := sha256.Sum256(ev.Raw)
			w.label("flexString1", "OriginalSHA256", hex.EncodeToString(sum[:]), 0)
			w.label("cn2", "OriginalSize", strconv.Itoa(len(ev.Raw)), 0)
			w.label("cn3", "Truncated", "1", 0)
		}
	}
	for k, v := range w.m {
		w.m[k] = controls(v, "\n\r\t")
	}
	for k, v := range header {
		header[k] = controls(v, "")
	}
	return header, w.m
}

func isControl(r rune) bool {
	return r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029
}

// controls makes a space of every control character, but for those to keep.
func controls(s, keep string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) && !strings.ContainsRune(keep, r) {
			return ' '
		}
		return r
	}, s)
}

var (
	obviousHeader    = strings.NewReplacer(`\`, `\\`, `|`, `\|`)
	obviousExtension = strings.NewReplacer(`\`, `\\`, `=`, `\=`, "\n", `\n`, "\r", `\r`)
)

func obviousCEFLine(ev *event.Event) []byte {
	header, extension := obviousCEF(ev)
	var b bytes.Buffer
	for _, h := range header {
		b.WriteString(obviousHeader.Replace(h) + "|")
	}
	for i, k := range sortedKeys(extension) {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%s=%s", k, obviousExtension.Replace(extension[k]))
	}
	return b.Bytes()
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
