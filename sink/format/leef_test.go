package format

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

func newLEEF(t testing.TB, o LEEFOptions) func([]byte, *event.Event, int) ([]byte, bool, error) {
	t.Helper()
	encode, err := NewLEEF(o)
	if err != nil {
		t.Fatal(err)
	}
	return encode
}

func TestLEEF_IsWhatItWasInTheLastRelease(t *testing.T) {
	golden(t, "leef-2.txt", newLEEF(t, LEEFOptions{Console: "usea1.sentinelone.net"}), 0)
	golden(t, "leef-1.txt", newLEEF(t, LEEFOptions{Version: "1.0", Console: "usea1.sentinelone.net"}), 0)
	golden(t, "leef-2-shrunk.txt", newLEEF(t, LEEFOptions{Delimiter: "^"}), 600)
}

func TestLEEF_SaysWhatWasMeantForEveryThreatOfTheCorpus(t *testing.T) {
	for _, c := range []struct {
		options   LEEFOptions
		delimiter string
		size      int
	}{{LEEFOptions{}, "\t", corpusSize}, {LEEFOptions{Version: "1.0"}, "\t", 60}, {LEEFOptions{Delimiter: "0x5e"}, "^", 200}} {
		encode := newLEEF(t, c.options)
		for threat := range corpus.Threats(1, c.size) {
			line, shrunk, err := encode(nil, &threat.Event, 0)
			if err != nil {
				t.Fatalf("%s: %v", threat.Name, err)
			}
			id, attributes, err := readLEEF(string(line))
			if err != nil {
				t.Fatalf("%s: %v: %.300q", threat.Name, err, line)
			}
			wantID, want := obviousLEEF(&threat.Event, c.delimiter)
			if diff := cmp.Diff(wantID, id) + cmp.Diff(want, attributes); diff != "" {
				t.Fatalf("%s: (-want +got):\n%.2000s", threat.Name, diff)
			}
			if shrunk != (want["truncated"] == "1") {
				t.Fatalf("%s: shrunk is %v, and the record says %q", threat.Name, shrunk, want["truncated"])
			}
		}
	}
}

func TestLEEF_ShrinksToAnySizeAndStaysWhole(t *testing.T) {
	encode := newLEEF(t, LEEFOptions{Console: "usea1.sentinelone.net"})
	var fits, refused int
	for c := range corpus.Threats(2, 250) {
		for _, limit := range []int{64, 380, 480, 560, 800, 1100, 2000, 8000} {
			line, shrunk, err := encode([]byte("before "), &c.Event, limit)
			if err != nil {
				refused++
				continue
			}
			fits++
			body := strings.TrimPrefix(string(line), "before ")
			_, attributes, err := readLEEF(body)
			if err != nil {
				t.Fatalf("%s: %d bytes: %v: %q", c.Name, limit, err, body)
			}
			if len(body) > limit || attributes["threatVersion"] != c.Event.Version.String() || attributes["threatId"] == "" {
				t.Fatalf("%s: %d bytes, limit %d: %q", c.Name, len(body), limit, body)
			}
			if shrunk != (attributes["truncated"] == "1") || shrunk && (attributes["originalSize"] != strconv.Itoa(len(c.Event.Raw)) || len(attributes["originalSha256"]) != 64) {
				t.Fatalf("%s: shrunk %v is not what the record says: %q", c.Name, shrunk, body)
			}
		}
	}
	if fits < 1000 || refused < 250 {
		t.Errorf("%d fit, %d did not: the limits try too little", fits, refused)
	}
}

func TestLEEF_WritesADateInWordsWhereMillisecondsWouldNotHave13Digits(t *testing.T) {
	for year, want := range map[int]string{1999: "Jan 02 1999 03:04:05.678 GMT", 2300: "Jan 02 2300 03:04:05.678 GMT", 2026: "1767323045678"} {
		ev := event.Event{Raw: []byte(`{}`), ID: "1", UpdatedAt: time.Date(year, 1, 2, 3, 4, 5, 678e6, time.UTC)}
		line, _, err := newLEEF(t, LEEFOptions{})(nil, &ev, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, attributes, err := readLEEF(string(line)); err != nil || attributes["devTime"] != want || (attributes["devTimeFormat"] == "") != (year == 2026) {
			t.Errorf("%d: %q as %q, err %v", year, attributes["devTime"], attributes["devTimeFormat"], err)
		}
	}
}

func TestLEEF_TakesADelimiterThatCanBeNoPartOfAPair(t *testing.T) {
	for option, want := range map[string]string{"": "x09", "tab": "x09", "\t": "x09", "x09": "x09", "0x09": "x09", "^": "^", "x5E": "^", "0x5e": "^", "#": "#", "~": "~"} {
		line, _, err := newLEEF(t, LEEFOptions{Delimiter: option})(nil, ordinary(t), 0)
		if err != nil || !strings.HasPrefix(string(line), "LEEF:2.0|SentinelOne|Singularity|1.0|ThreatCreated|"+want+"|devTime=") {
			t.Errorf("%q: %.80s, err %v", option, line, err)
		}
	}
	for _, option := range []string{"=", "|", "x7c", "x3D", " ", "a", "7", "\n", "x0a", "x00", "é", "xA6", "x12345", "x", "0x", "tabs", "^^", "xzz"} {
		if _, err := NewLEEF(LEEFOptions{Delimiter: option}); err == nil || !strings.HasPrefix(err.Error(), "delimiter: ") {
			t.Errorf("%q: %v", option, err)
		}
	}
	for _, o := range []LEEFOptions{{Version: "1.0", Delimiter: "^"}, {Version: "3"}} {
		if _, err := NewLEEF(o); err == nil {
			t.Errorf("%+v: want an error", o)
		}
	}
}

// predefined are the keys of IBM's table "Predefined LEEF event attributes", and how long a value may be.
var predefined = map[string]int{
	"cat": 0, "devTime": 0, "devTimeFormat": 0, "proto": 0, "sev": 2, "src": 0, "dst": 0, "srcPort": 5, "dstPort": 5, "srcPreNAT": 0, "dstPreNAT": 0,
	"srcPostNAT": 0, "dstPostNAT": 0, "usrName": 255, "srcMAC": 17, "dstMAC": 17, "srcPreNATPort": 5, "dstPreNATPort": 5, "srcPostNATPort": 5,
	"dstPostNATPort": 5, "identSrc": 0, "identHostName": 255, "identNetBios": 255, "identGrpName": 255, "identMAC": 0, "vSrc": 0, "vSrcName": 255,
	"accountName": 255, "srcBytes": 0, "dstBytes": 0, "srcPackets": 0, "dstPackets": 0, "totalPackets": 0, "role": 0, "realm": 0, "policy": 0,
	"resource": 0, "url": 0, "groupID": 0, "domain": 0, "isLoginEvent": 0, "isLogoutEvent": 0, "identSecondlp": 0, "calLanguage": 2, "calCountryOrRegion": 2,
}

// ours are the keys that we add. IBM asks for single words that are none of its own.
var ours = []string{
	"threatId", "threatVersion", "threatName", "filePath", "fileSize", "sha256", "sha1", "md5", "storyline", "confidenceLevel", "mitigationStatus",
	"incidentStatus", "analystVerdict", "engines", "agentId", "agentVersion", "siteName", "osName", "initiatedBy", "detectionType", "processUser",
	"originatorProcess", "cmdLine", "mitreTechniques", "truncated", "originalSize", "originalSha256",
}

// readLEEF reads a line as IBM's guide says: the header at its bars, attributes at the delimiter, each cut at its
// first sign of equality. It complains of what a writer may not do.
func readLEEF(line string) (id string, attributes map[string]string, err error) {
	if !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r\x00\u0085\u2028\u2029") {
		return "", nil, errors.New("not one line of UTF-8")
	}
	fields := 6
	if strings.HasPrefix(line, "LEEF:2.0|") {
		fields = 7
	} else if !strings.HasPrefix(line, "LEEF:1.0|") {
		return "", nil, errors.New("no LEEF")
	}
	header := strings.SplitN(line, "|", fields)
	if len(header) != fields || header[1] == "" || header[2] == "" || header[3] == "" || header[4] == "" || len(header[4]) > 255 {
		return "", nil, errors.New("a header field is missing or too long")
	}
	delimiter := "\t"
	if fields == 7 {
		delimiter = header[5]
		if code, isCode := strings.CutPrefix(strings.TrimPrefix(delimiter, "0"), "x"); isCode {
			n, err := strconv.ParseUint(code, 16, 16)
			if err != nil {
				return "", nil, err
			}
			delimiter = string(rune(n))
		}
		if utf8.RuneCountInString(delimiter) != 1 {
			return "", nil, fmt.Errorf("delimiter %q", delimiter)
		}
	}
	attributes = map[string]string{}
	for _, pair := range strings.Split(header[fields-1], delimiter) {
		key, value, found := strings.Cut(pair, "=")
		if _, twice := attributes[key]; !found || twice || value == "" {
			return "", nil, fmt.Errorf("attribute %q: no pair, twice or empty", pair)
		}
		if most, isIBMs := predefined[key]; isIBMs && most > 0 && len(value) > most || !isIBMs && !slices.Contains(ours, key) {
			return "", nil, fmt.Errorf("attribute %q: too long, or a key of nobody's", pair)
		}
		attributes[key] = value
	}
	if attributes["identSrc"] == "" && attributes["identHostName"]+attributes["identGrpName"] != "" {
		return "", nil, errors.New("identity without identSrc")
	}
	if sev, err := strconv.Atoi(attributes["sev"]); err != nil || sev < 1 || sev > 10 {
		return "", nil, fmt.Errorf("sev %q", attributes["sev"])
	}
	return header[4], attributes, nil
}

func TestLEEF_HasNoKeyOfItsOwnThatIsIBMs(t *testing.T) {
	for _, key := range ours {
		if _, is := predefined[key]; is || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") != "" {
			t.Errorf("%s is IBM's, or no single word", key)
		}
	}
}

// FuzzLEEF reads back whatever text a threat has, in whatever size.
func FuzzLEEF(f *testing.F) {
	f.Add([]byte(`{"threatInfo":{"threatName":"a|b=c\\d\ne\tf","classification":"Trojan"},"agentDetectionInfo":{"agentIpV4":"x, 10.0.0.1"}}`), 0)
	f.Add([]byte("{\"threatInfo\":{\"threatName\":\"\xff =\u2028\",\"maliciousProcessArguments\":\"\\ud800\\u0000\"}}"), 500)
	encode, err := NewLEEF(LEEFOptions{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		ev := event.Event{Raw: raw, ID: "7", UpdatedAt: time.UnixMilli(1795266404908)}
		line, _, err := encode(nil, &ev, max(0, limit))
		if err != nil {
			return
		}
		if _, _, err := readLEEF(string(line)); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		if limit > 0 && len(line) > limit {
			t.Fatalf("%d bytes, limit %d", len(line), limit)
		}
	})
}
