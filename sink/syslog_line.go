package sink

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"s1stream/internal/safe"
	"s1stream/sink/format"
	"s1stream/sink/rfc5424"
)

// SyslogLine is what the sinks that send syslog lines have in common: how each line begins.
type SyslogLine struct {
	Header   string `koanf:"header"`   // rfc5424 or rfc3164
	Facility string `koanf:"facility"` // a name such as local0, or 0 to 23
	AppName  string `koanf:"app_name"`
	Hostname string `koanf:"hostname"` // default: this machine's name
	// EnterpriseNumber is the IANA number of the structured data's id, "s1@32473" by default: the number that
	// RFC 5612 sets aside for documentation, for an operator without one.
	EnterpriseNumber uint32 `koanf:"enterprise_number"`
}

func defaultSyslogLine() SyslogLine {
	return SyslogLine{Header: "rfc5424", Facility: "local0", AppName: "sentinelone", EnterpriseNumber: 32473}
}

// mistakes returns every one, each "key: what would be right".
func (l SyslogLine) mistakes() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if l.Header != "rfc5424" && l.Header != "rfc3164" {
		bad("header: %q must be one of rfc5424, rfc3164", safe.Text(l.Header))
	}
	if _, ok := syslogFacility(l.Facility); !ok {
		bad("facility: %q must be 0 to 23 or a name: %s", safe.Text(l.Facility), strings.Join(syslogFacilities[:], ", "))
	}
	if !rfc5424.Valid(l.AppName, rfc5424.MaxAppName) {
		bad("app_name: %q must be 1 to %d printable ASCII characters without spaces", safe.Text(l.AppName), rfc5424.MaxAppName)
	} else if l.Header == "rfc3164" && !syslogTag(l.AppName) {
		bad(`app_name: %q must be 1 to 32 letters and digits with header = "rfc3164"`, safe.Text(l.AppName))
	}
	if l.Hostname != "" && !rfc5424.Valid(l.Hostname, rfc5424.MaxHostname) {
		bad("hostname: %q must be at most %d printable ASCII characters without spaces", safe.Text(l.Hostname), rfc5424.MaxHostname)
	}
	if l.EnterpriseNumber == 0 {
		bad("enterprise_number: must be a private enterprise number of IANA, 1 or more")
	}
	return errs
}

// begin returns what is to be written. The line has no mistakes. judge is nil for the table of severities.
func (l SyslogLine) begin(judge format.Judge) (syslogHeader, error) {
	facility, _ := syslogFacility(l.Facility)
	h := syslogHeader{
		legacy: l.Header == "rfc3164", facility: facility, hostname: l.Hostname,
		appName: l.AppName, enterprise: l.EnterpriseNumber, judge: judge,
	}
	if judge == nil {
		h.judge = format.TableJudge
	}
	if h.hostname == "" {
		name, err := os.Hostname()
		if err != nil {
			return h, fmt.Errorf("read this machine's name: %w: set hostname", err)
		}
		h.hostname = name
	}
	return h, nil
}

// syslogFacilities are the names by number, RFC 5424 section 6.2.1, as syslog.conf writes them.
var syslogFacilities = [24]string{
	"kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
	"ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
}

func syslogFacility(s string) (int, bool) {
	for n, name := range syslogFacilities {
		if s == name || s == strconv.Itoa(n) {
			return n, true
		}
	}
	return 0, false
}

// syslogTag reports whether s is a TAG of RFC 3164 section 4.1.3.
func syslogTag(s string) bool {
	for _, r := range s {
		if plain := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'; !plain {
			return false
		}
	}
	return s != "" && len(s) <= 32
}
