package format

import (
	"bytes"
	"encoding/hex"
	"fmt"

	"s1stream/internal/event"
)

// CEFOptions are format_options of the format "cef".
type CEFOptions struct {
	Version string `koanf:"version"` // "0", the default, which every reader takes, or "1", which has keys for ATT&CK

	Console string `koanf:"-"` // the console's host; "" leaves out the link to the threat
	Judge   Judge  `koanf:"-"` // nil: TableJudge
}

// The rules are those of the CEF Implementation Standard, document version 27: header fields and their lengths,
// the extension dictionary with types and lengths, escapes, and what a name may hold.

var (
	cefHeader    = newEscapes(map[byte]string{'\\': `\\`, '|': `\|`, '\t': " "})
	cefExtension = newEscapes(map[byte]string{'\\': `\\`, '=': `\=`, '\n': `\n`, '\r': `\r`})
)

// NewCEF returns what makes a line of CEF of an event: header and extension, nothing before or behind. It answers
// as sink.Encode says; shrunk also means that a value was longer than its key may be.
func NewCEF(o CEFOptions) (func(dst []byte, ev *event.Event, max int) ([]byte, bool, error), error) {
	if o.Version == "" {
		o.Version = "0"
	}
	if o.Version != "0" && o.Version != "1" {
		return nil, fmt.Errorf("version: must be \"0\" or \"1\", not %q", o.Version)
	}
	if o.Judge == nil {
		o.Judge = TableJudge
	}
	return o.encode, nil
}

func (o CEFOptions) encode(dst []byte, ev *event.Event, max int) ([]byte, bool, error) {
	t, err := Parse(ev)
	if err != nil {
		return nil, false, fmt.Errorf("read the threat for cef: %w", err)
	}
	defer t.Release()
	facts := t.Facts()
	severity := o.Judge(ev, facts)
	p := pairs{escapes: cefExtension, separator: ' '}
	return climb(dst, ev, max, p, func(p *pairs) {
		o.header(p, t, facts.Activity(ev), severity)
		o.extension(p, t, ev, facts)
	})
}

// cefNames are constant: a name must not hold what other fields say.
var cefNames = map[Activity]string{Create: "Threat detected", Update: "Threat updated", Close: "Threat resolved"}

const cefVersionMax = 31

func (o CEFOptions) header(p *pairs, t *Threat, a Activity, s Severity) {
	p.dst = append(append(append(p.dst, "CEF:"...), o.Version...), "|SentinelOne|Singularity|"...)
	version := trimmed(t.Realtime.Version)
	switch {
	case len(version) == 0:
		version = []byte("1.0")
	case len(version) > cefVersionMax:
		version, p.cut = clip(version, cefVersionMax), true
	}
	p.dst = append(cefHeader.append(p.dst, version), "|s1.threat."...)
	p.dst = append(append(append(p.dst, a...), '|'), cefNames[a]...)
	p.dst = append(p.dst, '|')
	if s.CEF >= 10 {
		p.dst = append(p.dst, "10|"...)
		return
	}
	p.dst = append(p.dst, '0'+byte(s.CEF), '|') //nolint:gosec // 0 to 9
}

// extension writes the pairs in an order that never changes. The numbers are the lengths of the dictionary.
func (o CEFOptions) extension(p *pairs, t *Threat, ev *event.Event, facts Facts) {
	i, d, r := &t.Info, &t.Detection, &t.Realtime
	p.millis(tierCore, "rt", ev.UpdatedAt)
	if at, ok := Moment(i.IdentifiedAt); ok {
		p.millis(tierPlain, "start", at)
	} else {
		p.millis(tierPlain, "start", ev.CreatedAt)
	}
	if facts.Activity(ev) == Close {
		p.millis(tierPlain, "end", ev.UpdatedAt)
	}
	if id := trimmed(t.ID); len(id) > 0 && len(id) <= 40 {
		p.identity("externalId", id)
	} else { // an id that is cut would be another threat's; the version has 32 characters
		p.identity("externalId", hex.AppendEncode(nil, ev.Version[:]))
	}
	p.exact(tierCore, "deviceExternalId", r.AgentID, 255)
	p.text(tierCore, "act", i.Mitigation, 63)
	switch {
	case i.FailedActions == True:
		p.word(tierCore, "outcome", "failure")
	case facts.Mitigation == "mitigated":
		p.word(tierCore, "outcome", "success")
	}
	p.text(tierCore, "cat", i.Classification, 1023)
	p.text(tierCore, "dvchost", r.ComputerName, 100)
	p.text(tierPlain, "dhost", r.ComputerName, 1023)
	ip := t.firstIPv4()
	p.exact(tierCore, "dvc", ip, 15)
	p.exact(tierPlain, "dst", ip, 15)
	if ip6 := t.firstIPv6(); ip6 != nil {
		p.labelled(tierCustom, "c6a1", "Device IPv6 Address", ip6, 0)
	}
	colons(p, "dmac", t.firstMAC())
	if domain := t.domain(); bytes.IndexByte(domain, '.') > 0 {
		p.text(tierPlain, "destinationDnsDomain", domain, 255)
	} else {
		p.text(tierPlain, "dntdom", domain, 255)
	}
	p.text(tierPlain, "duser", d.UserName, 1023)
	p.text(tierPlain, "suser", i.ProcessUser, 1023)
	p.text(tierPlain, "sproc", i.OriginatorProcess, 1023)
	p.text(tierPlain, "dproc", i.OriginatorProcess, 1023)
	if isIPv4(d.ExternalIP) {
		p.exact(tierPlain, "destinationTranslatedAddress", d.ExternalIP, 15)
	}
	p.text(tierPlain, "deviceFacility", i.DetectionType, 1023)
	p.text(tierPlain, "sourceServiceName", i.InitiatedBy, 1023)
	o.file(p, i)
	p.url(tierPlain, "request", o.Console, t.ID)
	p.text(tierPlain, "reason", t.engineTitles(), 1023)
	o.attack(p, t)
	o.labels(p, t, ev)
	p.text(tierBulky, "msg", o.sentence(t), sentenceMax)
}

func (o CEFOptions) file(p *pairs, i *Info) {
	p.text(tierCore, "fname", i.Name, 1023)
	p.text(tierPlain, "filePath", i.FilePath, 1023)
	// The dictionary's integer has 32 bits.
	if size, ok := Integer(i.FileSize); ok && size >= 0 && size <= 1<<31-1 {
		p.number(tierPlain, "fsize", size)
	}
	p.text(tierPlain, "fileType", i.FileExtensionType, 1023)
	p.exact(tierCore, "fileHash", either(i.SHA256, either(i.SHA1, i.MD5)), 255)
}

func (o CEFOptions) attack(p *pairs, t *Threat) {
	if o.Version == "0" {
		return // the keys are of the standard's version 1.2
	}
	if id := t.attackID(32); id != nil {
		before := len(p.dst)
		if p.exact(tierPlain, "threatAttackID", id, 32); len(p.dst) > before {
			p.word(tierPlain, "frameworkName", "MITRE ATT&CK")
		}
	}
}

func (o CEFOptions) labels(p *pairs, t *Threat, ev *event.Event) {
	i := &t.Info
	p.labelled(tierCustom, "cs1", "Storyline", i.Storyline, 4000)
	p.labelled(tierCustom, "cs2", "ConfidenceLevel", i.Confidence, 4000)
	p.labelled(tierCustom, "cs3", "AnalystVerdict", i.Verdict, 4000)
	p.labelled(tierCustom, "cs4", "IncidentStatus", i.Incident, 4000)
	p.labelled(tierCustom, "cs5", "SiteGroup", t.joined("/", t.site(), t.group()), 4000)
	p.labelled(tierBulky, "cs6", "CommandLine", i.Arguments, 4000)
	if n, ok := Integer(t.Realtime.ActiveThreats); ok {
		p.number(tierCustom, "cn1", n)
		p.word(tierCustom, "cn1Label", "ActiveThreats")
	}
	if ms := ev.CreatedAt.UnixMilli(); ms > 0 {
		p.number(tierCustom, "deviceCustomDate1", ms)
		p.word(tierCustom, "deviceCustomDate1Label", "CreatedAt")
	}
	p.labelled(tierCustom, "flexString2", "Account", t.account(), 1023)
	if !p.marked {
		p.labelled(tierCustom, "flexString1", "SHA1", i.SHA1, 1023)
		return
	}
	whole := hashOf(ev)
	p.number(tierCore, "cn2", int64(len(ev.Raw)))
	p.word(tierCore, "cn2Label", "OriginalSize")
	p.number(tierCore, "cn3", 1)
	p.word(tierCore, "cn3Label", "Truncated")
	p.dst = append(p.key("flexString1"), whole[:]...)
	p.word(tierCore, "flexString1Label", "OriginalSHA256")
}

const sentenceMax = 1023

// sentence is for people; it alone has all of ATT&CK.
func (o CEFOptions) sentence(t *Threat) []byte {
	techniques := t.techniques(sentenceMax)
	b, from := t.scratch.decoded, len(t.scratch.decoded)
	add := func(before string, part []byte, behind string) {
		if part = trimmed(part); len(part) > 0 {
			b = append(append(append(b, before...), part...), behind...)
		}
	}
	b = append(b, "Threat"...)
	add(" ", t.Info.Name, "")
	add(" (", t.Info.Confidence, ")")
	add(" on ", t.Realtime.ComputerName, "")
	add(": ", t.Info.Mitigation, "")
	add("; ATT&CK: ", techniques, "")
	t.scratch.decoded = b
	return b[from:]
}
