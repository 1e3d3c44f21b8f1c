package format

import (
	"encoding/csv"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

// sheet reads a list of deploy/siem: rows by the names of their columns.
func sheet(t *testing.T, elem ...string) (rows []map[string]string) {
	t.Helper()
	f, err := os.Open(filepath.Join(append([]string{"..", "..", "deploy", "siem"}, elem...)...))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	records, err := csv.NewReader(f).ReadAll() // which wants the same number of columns in each row
	if err != nil || len(records) < 2 {
		t.Fatalf("%d rows: %v", len(records), err)
	}
	for _, record := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = record[i]
		}
		rows = append(rows, row)
	}
	return rows
}

// goldenLines are the lines of files of testdata/golden.
func goldenLines(t *testing.T, pattern string) (lines []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "golden", pattern))
	if err != nil || len(files) < 2 {
		t.Fatalf("%s: %d files, %v", pattern, len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")...)
	}
	return lines
}

// siemLines are the golden records, and those of the corpus, whole and shrunk.
func siemLines(t *testing.T, pattern string, encoders ...func([]byte, *event.Event, int) ([]byte, bool, error)) []string {
	t.Helper()
	lines := goldenLines(t, pattern)
	for c := range corpus.Threats(1, corpusSize) {
		for _, encode := range encoders {
			for _, limit := range []int{0, 900} {
				line, _, err := encode(nil, &c.Event, limit)
				if err == nil { // else not even its summary fits
					lines = append(lines, string(line))
				}
			}
		}
	}
	return lines
}

// normalized are the LEEF attributes that we write and that QRadar shows without a custom property: IBM, "Predefined LEEF
// event attributes".
var normalized = []string{"devTime", "devTimeFormat", "sev", "cat", "src", "identSrc", "identHostName", "identGrpName", "usrName", "srcMAC", "srcPostNAT"}

// checkProperties returns what is wrong with a list of QRadar's custom properties, which is to have every attribute that
// the lines have and QRadar does not normalize, no other, and to find its value.
func checkProperties(rows []map[string]string, lines []string) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	seen, expressions := map[string]bool{}, map[string]*regexp.Regexp{}
	for _, row := range rows {
		e, err := regexp.Compile(row["regex"])
		if err != nil || expressions[row["key"]] != nil {
			bad("%s: twice, or no expression: %v", row["key"], err)
			return wrong
		}
		expressions[row["key"]] = e
	}
	for _, line := range lines {
		_, attributes, err := readLEEF(line)
		if err != nil {
			bad("%v", err)
			continue
		}
		for key := range attributes {
			if expressions[key] == nil && !slices.Contains(normalized, key) {
				bad("%s is no property", key)
			}
		}
		for _, row := range rows {
			key := row["key"]
			value, has := attributes[key]
			seen[key] = seen[key] || has
			found := expressions[key].FindStringSubmatch(line)
			if has != (len(found) == 2) || has && found[1] != value {
				bad("%s finds %q, want %q", row["regex"], found, value)
			}
			if _, err := strconv.ParseInt(value, 10, 64); has && row["type"] == "Number" && err != nil || !slices.Contains([]string{"Text", "Number"}, row["type"]) {
				bad("%s: %q is no %s", key, value, row["type"])
			}
		}
	}
	for _, row := range rows {
		if !seen[row["key"]] {
			bad("no event has %s", row["key"])
		}
	}
	return wrong
}

func TestQRadar_PropertiesAreWhatLEEFHas(t *testing.T) {
	console := "usea1.sentinelone.net"
	lines := siemLines(t, "leef-[12].txt", newLEEF(t, LEEFOptions{Console: console}), newLEEF(t, LEEFOptions{Version: "1.0", Console: console}))
	rows := sheet(t, "qradar", "properties.csv")
	if wrong := checkProperties(rows, lines); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000q", len(wrong), wrong)
	}
	for column, broken := range map[string]string{"key": "threatID", "regex": `\tthreatId=([0-9]{3})`, "type": "Number"} {
		other := slices.Clone(rows)
		other[0] = maps.Clone(rows[0])
		other[0][column] = broken
		if column == "type" {
			other[0] = maps.Clone(rows[2])
			other[0][column], other[2] = broken, rows[0]
		}
		if len(checkProperties(other, lines)) == 0 {
			t.Errorf("with %s = %q nothing is wrong: this checks nothing", column, broken)
		}
	}
	if len(checkProperties(rows[1:], lines)) == 0 {
		t.Error("without its first row nothing is wrong: this checks nothing")
	}
	names := map[string]bool{}
	for _, row := range rows {
		if names[row["property"]] {
			t.Errorf("two properties are called %s", row["property"])
		}
		names[row["property"]] = true
	}
}

func TestQRadar_MapsEveryEventOfEveryUsualCategory(t *testing.T) {
	ids, categories, low, all := map[string]bool{}, map[string]bool{}, map[string]string{}, map[string]bool{}
	for _, row := range sheet(t, "qradar", "event-mapping.csv") {
		ids[row["event_id"]], categories[row["category"]] = true, true
		all[row["event_id"]+"|"+row["category"]] = true
		if was, ok := low[row["low_level_category"]]; ok && was != row["category_id"] || row["name"] == "" {
			t.Errorf("%s has two numbers, or no name", row["low_level_category"])
		}
		low[row["low_level_category"]] = row["category_id"]
	}
	if len(all) != len(ids)*len(categories) || len(ids) != len(leefIDs) {
		t.Errorf("%d rows for %d events of %d categories; want every pair once, of %d events", len(all), len(ids), len(categories), len(leefIDs))
	}
	for _, id := range leefIDs {
		if !ids[id] {
			t.Errorf("%s is not mapped", id)
		}
	}
	for _, line := range goldenLines(t, "leef-[12].txt") {
		id, attributes, err := readLEEF(line)
		if pair := id + "|" + attributes["cat"]; err != nil || !all[pair] {
			t.Errorf("%s is not mapped: %v", pair, err)
		}
	}
	for _, word := range []string{"malware", "trojan", "ransomware", "infostealer", "exploit", "pua", "downloader", "manual", "backdoor", "rootkit", "virus", "worm"} {
		if !categories[word] {
			t.Errorf("the category %s is not mapped", word)
		}
	}
}

// checkFields returns what is wrong with a list of CEF's keys, which is to have every key and label that the lines have,
// no other, and their types and lengths.
func checkFields(rows []map[string]string, lines []string) (wrong []string) {
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	known, seen := map[string]map[string]string{}, map[string]bool{}
	for _, row := range rows {
		known[row["key"]+"|"+row["label"]] = row
		if want := cefLengths[row["key"]]; row["max"] != strings.TrimPrefix(strconv.Itoa(want), "0") || row["arcsight_field"] == "" {
			bad("%s: the dictionary's length is %d", row["key"], want)
		}
	}
	for _, line := range lines {
		_, extension, err := readCEF(line)
		if err != nil {
			bad("%v", err)
			continue
		}
		for key, value := range extension {
			if of, isLabel := strings.CutSuffix(key, "Label"); isLabel {
				if _, has := extension[of]; !has {
					bad("%s labels nothing", key)
				}
				continue
			}
			name := key + "|" + extension[key+"Label"]
			row := known[name]
			if seen[name] = true; row == nil {
				bad("%s is no field", name)
			} else if !fieldIs(row["type"], value) {
				bad("%s: %q is no %s", name, value, row["type"])
			}
		}
	}
	for name := range known {
		if !seen[name] {
			bad("no event has %s", name)
		}
	}
	return wrong
}

var macAddress = regexp.MustCompile(`^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$`)

// fieldIs reports whether a value has a type of fields.csv.
func fieldIs(kind, value string) bool {
	switch kind {
	case "text":
		return value != ""
	case "mac":
		return macAddress.MatchString(value)
	case "integer", "time":
		n, err := strconv.ParseInt(value, 10, 64)
		return err == nil && (kind == "integer" || n > 0)
	}
	a, err := netip.ParseAddr(value)
	return err == nil && (kind == "ipv4" && a.Is4() || kind == "ipv6" && a.Is6())
}

func TestArcSight_FieldsAreWhatCEFHas(t *testing.T) {
	console := "usea1.sentinelone.net"
	lines := siemLines(t, "cef-*.txt", newCEF(t, CEFOptions{Console: console}), newCEF(t, CEFOptions{Version: "1", Console: console}))
	rows := sheet(t, "arcsight", "fields.csv")
	if wrong := checkFields(rows, lines); len(wrong) > 0 {
		t.Errorf("%d faults: %.2000q", len(wrong), wrong)
	}
	labelled := slices.IndexFunc(rows, func(r map[string]string) bool { return r["key"] == "cs1" })
	for column, broken := range map[string]string{"key": "cs7", "label": "storyline", "type": "ipv4", "max": "1023"} {
		other := slices.Clone(rows)
		other[labelled] = maps.Clone(rows[labelled])
		other[labelled][column] = broken
		if len(checkFields(other, lines)) == 0 {
			t.Errorf("with %s = %q nothing is wrong: this checks nothing", column, broken)
		}
	}
	if len(checkFields(rows[1:], lines)) == 0 {
		t.Error("without its first row nothing is wrong: this checks nothing")
	}
}
