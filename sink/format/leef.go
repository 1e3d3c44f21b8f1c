package format

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"s1stream/internal/event"
)

// LEEFOptions are format_options of the format "leef".
type LEEFOptions struct {
	Version string `koanf:"version"` // "2.0", the default, or "1.0"
	// Delimiter stands between the attributes of LEEF 2.0: "tab", the default, one character, or its code as in
	// "x5E" or "0x5E". LEEF 1.0 has tabs.
	Delimiter string `koanf:"delimiter"`

	Console string `koanf:"-"` // the console's host; "" leaves out the link to the threat
	Judge   Judge  `koanf:"-"` // nil: TableJudge
}

// The rules are those of IBM's QRadar Log Event Extended Format (LEEF) guide, version 2: header, delimiter,
// predefined attributes with types and lengths, dates, custom keys. LEEF has no escapes: what would break a
// record is replaced by a space.

// leef is LEEFOptions, compiled.
type leef struct {
	console string
	judge   Judge
	begin   string // of every line, to before the event id
	after   string // from behind the event id to the attributes
	pairs   pairs
}

// NewLEEF returns what makes a line of LEEF of an event: header and attributes, nothing before or behind. It
// answers as sink.Encode says; shrunk also means that a value was longer than its attribute may be.
func NewLEEF(o LEEFOptions) (func(dst []byte, ev *event.Event, max int) ([]byte, bool, error), error) {
	delimiter, err := delimiterOf(o.Delimiter)
	l := leef{console: o.Console, judge: o.Judge, after: "|"}
	switch o.Version {
	case "", "2.0":
		l.begin = "LEEF:2.0|SentinelOne|Singularity|1.0|"
		// A character that is hard to see is written as its code.
		shown := string(rune(delimiter))
		if delimiter == '\t' {
			shown = "x09"
		}
		l.after = "|" + shown + "|"
	case "1.0":
		l.begin = "LEEF:1.0|SentinelOne|Singularity|1.0|"
		if err == nil && delimiter != '\t' {
			err = errors.New("delimiter: must be \"tab\" for version \"1.0\"")
		}
	default:
		err = errors.Join(fmt.Errorf("version: must be \"2.0\" or \"1.0\", not %q", o.Version), err)
	}
	if err != nil {
		return nil, err
	}
	if l.judge == nil {
		l.judge = TableJudge
	}
	l.pairs = pairs{escapes: newEscapes(map[byte]string{delimiter: " "}), separator: delimiter}
	return l.encode, nil
}

// delimiterOf reads the option. A delimiter that could be part of a key, the header's own bar, the sign of a pair
// and what ends a line are none.
func delimiterOf(option string) (byte, error) {
	c := byte('\t')
	code, isCode := strings.CutPrefix(strings.TrimPrefix(option, "0"), "x")
	switch {
	case option == "" || option == "tab":
	case len(option) == 1:
		c = option[0]
	case isCode && len(code) <= 4:
		n, err := strconv.ParseUint(code, 16, 8)
		if c = byte(n); err != nil { //nolint:gosec // 8 bits
			c = 0 // which is refused below
		}
	default:
		c = 0
	}
	letter := c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
	if c != '\t' && (c <= ' ' || c >= 0x7f || c == '=' || c == '|' || letter) {
		return 0, errors.New(`delimiter: must be "tab", a punctuation mark other than "=" and "|", or the code of one of these, as in "x5E"`)
	}
	return c, nil
}

func (l *leef) encode(dst []byte, ev *event.Event, max int) ([]byte, bool, error) {
	t, err := Parse(ev)
	if err != nil {
		return nil, false, fmt.Errorf("read the threat for leef: %w", err)
	}
	defer t.Release()
	facts := t.Facts()
	severity := l.judge(ev, facts)
	return climb(dst, ev, max, l.pairs, func(p *pairs) {
		p.dst = append(append(append(p.dst, l.begin...), leefIDs[facts.Activity(ev)]...), l.after...)
		l.predefined(p, t, ev, severity)
		l.own(p, t, ev)
	})
}

// leefIDs and the attribute cat together select what QRadar calls the event: both are from short fixed lists.
var leefIDs = map[Activity]string{Create: "ThreatCreated", Update: "ThreatUpdated", Close: "ThreatResolved"}

const leefTextMax = 255

// predefined writes IBM's own attributes.
func (l *leef) predefined(p *pairs, t *Threat, ev *event.Event, s Severity) {
	i, d, r := &t.Info, &t.Detection, &t.Realtime
	l.devTime(p, ev.UpdatedAt)
	p.number(tierCore, "sev", int64(s.LEEF))
	p.text(tierCore, "cat", t.lower(i.Classification), leefTextMax)
	ip := either(t.firstIPv4(), t.firstIPv6())
	p.exact(tierCore, "src", ip, 0)
	p.exact(tierPlain, "identSrc", ip, 0)
	if ip != nil { // QRadar reads them with identSrc alone
		p.text(tierPlain, "identHostName", r.ComputerName, leefTextMax)
		p.text(tierPlain, "identGrpName", t.group(), leefTextMax)
	}
	p.text(tierPlain, "usrName", either(d.UserName, i.ProcessUser), leefTextMax)
	colons(p, "srcMAC", t.firstMAC())
	if ipVersion(d.ExternalIP) != 0 {
		p.exact(tierPlain, "srcPostNAT", d.ExternalIP, 0)
	}
	p.text(tierPlain, "accountName", t.account(), leefTextMax)
	p.text(tierPlain, "domain", t.domain(), 0)
	p.text(tierCore, "resource", r.ComputerName, 0)
	p.exact(tierPlain, "groupID", either(d.GroupID, r.GroupID), 0)
	p.text(tierPlain, "policy", either(d.MitigationMode, r.MitigationMode), 0)
	p.url(tierPlain, "url", l.console, t.ID)
}

// devTime needs no devTimeFormat where it has 13 digits: from September 2001 to November 2286.
func (l *leef) devTime(p *pairs, at time.Time) {
	if ms := at.UnixMilli(); ms >= 1e12 && ms < 1e13 {
		p.number(tierCore, "devTime", ms)
		return
	}
	p.word(tierCore, "devTime", at.UTC().Format("Jan 02 2006 15:04:05.000 GMT"))
	p.word(tierCore, "devTimeFormat", "MMM dd yyyy HH:mm:ss.SSS z")
}

// techniquesMax bounds a list that a threat could have without end.
const techniquesMax = 8000

// own writes attributes of our own. None has the name of one of IBM's.
func (l *leef) own(p *pairs, t *Threat, ev *event.Event) {
	i, r := &t.Info, &t.Realtime
	if id := trimmed(t.ID); len(id) > 0 {
		p.identity("threatId", id)
	}
	p.dst = hex.AppendEncode(p.key("threatVersion"), ev.Version[:])
	p.text(tierCore, "threatName", i.Name, 0)
	p.text(tierPlain, "filePath", i.FilePath, 0)
	if size, ok := Integer(i.FileSize); ok {
		p.number(tierCustom, "fileSize", size)
	}
	p.exact(tierCore, "sha256", i.SHA256, 0)
	p.exact(tierPlain, "sha1", i.SHA1, 0)
	p.exact(tierPlain, "md5", i.MD5, 0)
	p.text(tierCustom, "storyline", i.Storyline, 0)
	p.text(tierCore, "confidenceLevel", i.Confidence, 0)
	p.text(tierCore, "mitigationStatus", i.Mitigation, 0)
	p.text(tierCore, "incidentStatus", i.Incident, 0)
	p.text(tierCore, "analystVerdict", i.Verdict, 0)
	p.text(tierCustom, "engines", t.engineTitles(), 0)
	p.exact(tierCore, "agentId", r.AgentID, 0)
	p.text(tierCustom, "agentVersion", either(r.Version, t.Detection.Version), 0)
	p.text(tierCustom, "siteName", t.site(), 0)
	p.text(tierCustom, "osName", either(r.OSName, t.Detection.OSName), 0)
	p.text(tierCustom, "initiatedBy", i.InitiatedBy, 0)
	p.text(tierCustom, "detectionType", i.DetectionType, 0)
	p.text(tierCustom, "processUser", i.ProcessUser, 0)
	p.text(tierCustom, "originatorProcess", i.OriginatorProcess, 0)
	p.text(tierBulky, "cmdLine", i.Arguments, 0)
	p.text(tierBulky, "mitreTechniques", t.techniques(techniquesMax), techniquesMax)
	if p.marked {
		whole := hashOf(ev)
		p.word(tierCore, "truncated", "1")
		p.number(tierCore, "originalSize", int64(len(ev.Raw)))
		p.dst = append(p.key("originalSha256"), whole[:]...)
	}
}
