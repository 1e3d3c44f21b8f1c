package format

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// cefLengths are the keys that we write and how many characters the standard's dictionary gives each; 0 for those
// of another type than text.
var cefLengths = map[string]int{
	"rt": 0, "start": 0, "end": 0, "externalId": 40, "deviceExternalId": 255, "act": 63, "outcome": 63, "cat": 1023, "dvchost": 100, "dhost": 1023,
	"dvc": 0, "dst": 0, "c6a1": 0, "c6a1Label": 1023, "dmac": 0, "destinationDnsDomain": 255, "dntdom": 255, "duser": 1023, "suser": 1023,
	"sproc": 1023, "dproc": 1023, "destinationTranslatedAddress": 0, "deviceFacility": 1023, "sourceServiceName": 1023, "fname": 1023,
	"filePath": 1023, "fsize": 0, "fileType": 1023, "fileHash": 255, "request": 1023, "reason": 1023, "threatAttackID": 32, "frameworkName": 256,
	"cs1": 4000, "cs2": 4000, "cs3": 4000, "cs4": 4000, "cs5": 4000, "cs6": 4000, "cs1Label": 1023, "cs2Label": 1023, "cs3Label": 1023,
	"cs4Label": 1023, "cs5Label": 1023, "cs6Label": 1023, "cn1": 0, "cn1Label": 1023, "cn2": 0, "cn2Label": 1023, "cn3": 0, "cn3Label": 1023,
	"deviceCustomDate1": 0, "deviceCustomDate1Label": 1023, "flexString1": 1023, "flexString1Label": 128, "flexString2": 1023,
	"flexString2Label": 128, "msg": 1023,
}

var cefKey = regexp.MustCompile(`(?:^| )([A-Za-z0-9]+)=`)

// readCEF reads a line by the standard's rules, and complains of what a writer may not do.
func readCEF(line string) (header []string, extension map[string]string, err error) {
	if !utf8.ValidString(line) || strings.ContainsAny(line, "\n\r\x00\u0085\u2028\u2029") {
		return nil, nil, errors.New("not one line of UTF-8")
	}
	var field strings.Builder
	for len(header) < 7 {
		switch {
		case line == "":
			return nil, nil, errors.New("the header ends early")
		case line[0] == '|':
			header = append(header, field.String())
			field.Reset()
		case line[0] == '\\':
			if line = line[1:]; line == "" || line[0] != '\\' && line[0] != '|' {
				return nil, nil, errors.New("a backslash in the header that escapes nothing")
			}
			fallthrough
		default:
			field.WriteByte(line[0])
		}
		line = line[1:]
	}
	for i, most := range []int{5, 63, 63, 31, 1023, 512, 2} {
		if len(header[i]) > most || header[i] == "" {
			return nil, nil, fmt.Errorf("header field %d has %d bytes", i, len(header[i]))
		}
	}
	if line != strings.Trim(line, " ") {
		return nil, nil, errors.New("space around the extension")
	}
	extension = map[string]string{}
	keys := cefKey.FindAllStringSubmatchIndex(line, -1)
	if len(keys) == 0 || keys[0][0] != 0 {
		return nil, nil, errors.New("the extension begins with no key")
	}
	for i, k := range keys {
		end := len(line)
		if i+1 < len(keys) {
			end = keys[i+1][0]
		}
		key, value := line[k[2]:k[3]], line[k[1]:end]
		if _, twice := extension[key]; twice || value == "" || value != strings.Trim(value, " ") {
			return nil, nil, fmt.Errorf("%s: twice, empty or with space around it", key)
		}
		if extension[key], err = unescapeCEF(value); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", key, err)
		}
		if most, known := cefLengths[key]; !known || most > 0 && len(extension[key]) > most {
			return nil, nil, fmt.Errorf("%s: %d bytes, or no key of the dictionary", key, len(extension[key]))
		}
	}
	return header, extension, nil
}

func unescapeCEF(value string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '=':
			return "", errors.New("a sign of equality that is not escaped")
		case c != '\\':
			b.WriteByte(c)
		case i+1 == len(value):
			return "", errors.New("a backslash that escapes nothing")
		default:
			i++
			with, ok := map[byte]byte{'\\': '\\', '=': '=', 'n': '\n', 'r': '\r'}[value[i]]
			if !ok {
				return "", fmt.Errorf("no such escape: \\%c", value[i])
			}
			b.WriteByte(with)
		}
	}
	return b.String(), nil
}
