package corpus

import "strings"

// change is one thing done to one value of a threat.
type change struct {
	name    string
	fits    func(v *node) bool
	do      func(p place, l *luck)
	hostile bool
}

func anything(*node) bool     { return true }
func isText(v *node) bool     { return strings.HasPrefix(v.lit, `"`) }
func isScalar(v *node) bool   { return v.lit != "" }
func isCompound(v *node) bool { return v.lit == "" }
func isList(v *node) bool     { return v.list }

func becomes(lit string) func(place, *luck) {
	return func(p place, _ *luck) { p.setLit(lit) }
}

// changes lists everything that is done to every value that it fits.
var changes = func() []change {
	all := []change{
		{name: "null", fits: anything, do: becomes("null")},
		{name: "empty", fits: isText, do: becomes(`""`)},
		{name: "empty", fits: isCompound, do: func(p place, _ *luck) { p.set(&node{list: p.value().list}) }},
		{name: "absent", fits: anything, do: func(p place, _ *luck) { p.remove() }},
		{name: "huge", fits: isText, do: func(p place, l *luck) { p.setLit(huge(l)) }},
		{name: "huge", fits: isList, do: grow},
		{name: "a number", fits: anything, do: func(p place, l *luck) { p.setLit(numbers[l.below(len(numbers))]) }},
		{name: "a boolean", fits: anything, do: func(p place, l *luck) { p.setLit([...]string{"true", "false"}[l.below(2)]) }},
		{name: "an object", fits: isScalar, do: func(p place, l *luck) {
			p.set(&node{keys: []string{"k|=\\u005d", "x"}, kids: []*node{{lit: "1"}, {lit: hostile[l.below(len(hostile))].lit}}})
		}},
		{name: "a list", fits: isScalar, do: func(p place, l *luck) {
			p.set(&node{list: true, kids: []*node{{lit: "null"}, {lit: hostile[l.below(len(hostile))].lit}, {lit: `""`}, p.value()}})
		}},
		{name: "text", fits: isCompound, do: func(p place, l *luck) { p.setLit(hostile[l.below(len(hostile))].lit) }},
	}
	for _, h := range hostile {
		all = append(all, change{h.name, isText, becomes(h.lit), true})
	}
	return all
}()

// grow makes a list of hundreds out of one with members, or of texts out of an empty one.
func grow(p place, l *luck) {
	v := p.value()
	from := v.kids
	if len(from) == 0 {
		from = []*node{{lit: `"a,b"`}}
	}
	for n := 60 + l.below(300); len(v.kids) < n; {
		v.kids = append(v.kids, from[l.below(len(from))].clone())
	}
}

// huge is a text of up to 70,000 bytes: past every limit that a receiver has for one field.
func huge(l *luck) string {
	part := [...]string{"A", `\\`, "é", `\u0007`, "😀", `\"`, "a b|c=d,"}[l.below(7)]
	return `"` + strings.Repeat(part, (2_000+l.below(68_000))/len(part)) + `"`
}

var numbers = [...]string{"0", "-1", "7", "1.5", "1e3", "-0", "9223372036854775807", "9223372036854775808",
	"20123456789012345678", "1e400", "0.1e-7", "4294967296", "-9223372036854775809"}

// hostile are texts, as JSON writes them, that end a field, a line, a record or a parser.
var hostile = [...]struct{ name, lit string }{
	{"pipes", `"a|b||c|"`},
	{"backslashes", `"\\a\\\\b\\"`},
	{"equals", `"=k=v a=b =cmd|' /C calc'!A0"`},
	{"brackets", `"]x[y]] [s1@32473 k=\"v\"]"`},
	{"quotes", `"\"'\"\"\u0022"`},
	{"line escapes", `"one\r\ntwo\nthree\rfour\n"`},
	{"tabs", `"\ta\tb\u0009"`},
	{"line separators", "\"a\u2028b\u2029c\\u2028d\\u0085e\""},
	{"invalid UTF-8", "\"ok \xff\xfe \xc3 \xe2\x82 \xf0\x9f\x98 \xed\xa0\x80 end\xc0\""},
	{"lone surrogates", `"\ud800 \udc00\ud83d x \uDFFF\ud83d\ude00"`},
	{"controls", `"\u0000a\u0001\u001b[31mred\u001b[0m\u007f\b\f"`},
	{"direction and width", "\"gpj.\u202eexe\u200b\ufeff \u0301é\U000e0001\""},
	{"spaces around", `"  a  "`},
	{"an id of 20 digits", `"18446744073709551616"`},
	{"comma-joined addresses", `"10.0.0.1, 2001:db8::1,,not-an-ip,fe80::1%eth0,256.1.1.1 ,::ffff:192.0.2.9"`},
	{"markup", `"<script>alert(1)</script>&amp;\u003c%s%n${jndi:ldap://x}\/"`},
	{"a header", `"CEF:0|a|b|c|d|e|10|x=1"`},
	{"JSON", `"{\"a\":[1,2,{\"b\":null}]}"`},
}

// words are what the API documents for its enumerations, and some that it doesn't.
var words = map[string][]string{
	"threatInfo.confidenceLevel":  {`"malicious"`, `"suspicious"`, `"n/a"`, `"N/A"`, `"new"`},
	"threatInfo.mitigationStatus": {`"not_mitigated"`, `"mitigated"`, `"marked_as_benign"`, `"blocked"`, `"active"`},
	"threatInfo.incidentStatus":   {`"unresolved"`, `"in_progress"`, `"resolved"`, `"RESOLVED"`, `"parked"`},
	"threatInfo.analystVerdict":   {`"undefined"`, `"true_positive"`, `"false_positive"`, `"suspicious"`, `"maybe"`},
	"threatInfo.classification": {`"Trojan"`, `"Malware"`, `"PUA"`, `"Ransomware"`, `"Exploit"`, `"Infostealer"`, `"Downloader"`,
		`"Backdoor"`, `"rootkit"`, `"Virus"`, `"Worm"`, `"Keylogger"`, `"Adware"`, `"Something new"`},
	"threatInfo.failedActions":                        {"true", "false", `"true"`},
	"threatInfo.pendingActions":                       {"true", "false"},
	"threatInfo.rebootRequired":                       {"true", "false"},
	"threatInfo.mitigatedPreemptively":                {"true", "false"},
	"threatInfo.detectionType":                        {`"static"`, `"dynamic"`, `"reputation"`},
	"threatInfo.fileVerificationType":                 {`"NotSigned"`, `"SignedVerified"`, `"SignedInvalid"`},
	"threatInfo.createdAt":                            {`"2026-11-21T13:06:44.5Z"`, `"2026-11-21T15:06:43+02:00"`, `"yesterday"`, `"0001-01-01T00:00:00Z"`},
	"threatInfo.updatedAt":                            {`"2026-11-21T13:06:44Z"`, `"9999-12-31T23:59:59.999999999Z"`, `"2026-11-21 13:06:44"`, "1792000000"},
	"threatInfo.identifiedAt":                         {`"1969-12-31T23:59:59.999Z"`, `"2026-02-30T00:00:00Z"`, `"2026-11-21T13:06:44,5Z"`},
	"agentRealtimeInfo.agentMachineType":              {`"server"`, `"desktop"`, `"laptop"`, `"kubernetes node"`, `"mobile"`},
	"agentRealtimeInfo.agentOsType":                   {`"windows"`, `"linux"`, `"macos"`, `"windows_legacy"`, `"plan9"`},
	"agentRealtimeInfo.agentDecommissionedAt":         {"true", "false", `"2026-01-01T00:00:00Z"`},
	"mitigationStatus[0].action":                      {`"kill"`, `"quarantine"`, `"unquarantine"`, `"remediate"`, `"rollback"`, `"network_quarantine"`, `"new"`},
	"mitigationStatus[0].status":                      {`"success"`, `"failed"`, `"pending"`, `"pending_reboot"`},
	"mitigationStatus[1].action":                      {`"kill"`, `"quarantine"`, `"unquarantine"`, `"remediate"`, `"rollback"`, `"network-quarantine"`},
	"indicators[1].tactics[0].techniques[0].name":     {`"T1055"`, `"T1055.001"`, `"t1055"`, `"TA0005"`, `"Process Injection"`},
	"indicators[1].tactics[0].source":                 {`"MITRE"`, `"DEFAULT"`, `"mitre"`},
	"agentRealtimeInfo.networkInterfaces[0].physical": {`"02-00-5e-10-7a-3c"`, `"02005E107A3C"`, `"0200.5e10.7a3c"`, `"00:00:00:00:00:00:00:e0"`, `"none"`},
	"threatInfo.fileSize":                             {"0", "9007199254740993", `"413696"`, "-5", "1.5"},
	"threatInfo.filePath":                             {`"C:\\"`, `"/usr/bin/"`, `"\\\\srv\\share\\a.exe"`, `"/a\\b/c.EXE"`, `".."`},
	"threatInfo.processUser":                          {`"DOM\\\\user"`, `"DOM\\"`, `"\\user"`, `"a\\b\\c"`, `"NT AUTHORITY\\SYSTEM"`},
	"threatInfo.isValidCertificate":                   {"true", "false"},
}
