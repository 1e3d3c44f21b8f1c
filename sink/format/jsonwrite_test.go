package format

import (
	"net"
	"net/netip"
	"strings"
	"testing"
)

func TestJSONWriter_TakesBackWhatStaysEmpty(t *testing.T) {
	var w jsonWriter
	root := w.object("")
	a := w.object(`"a":`)
	b := w.list(`"b":`)
	w.text("", nil)
	w.end(b)
	w.end(a)
	w.text(`"c":`, []byte("x"))
	d := w.object(`"d":`)
	w.flag(`"e":`, Unset)
	w.flag(`"f":`, False)
	w.number(`"g":`, []byte("1.5"))
	w.number(`"h":`, []byte("-7"))
	w.moment(`"i":`, []byte("yesterday"))
	w.stamp(`"j":`, []byte("yesterday"))
	w.millis(`"k":`, []byte("1970-01-01T00:00:01.0019Z"))
	w.moment(`"l":`, []byte("2026-11-21T23:30:00+02:00"))
	w.lower(`"M":`, []byte("AbÉ\n"))
	w.end(d)
	w.list(`"z":`)
	w.b = w.b[:len(w.b)-len(`,"z":[`)]
	w.end(root)
	want := `{"c":"x","d":{"f":false,"h":-7,"j":"yesterday","k":1001,"l":"2026-11-21T21:30:00.000000Z","M":"abÉ\n"}}`
	if string(w.b) != want {
		t.Errorf("got %s\nwant %s", w.b, want)
	}
}

func TestJSONWriter_ShortensTextsAndLists(t *testing.T) {
	w := jsonWriter{limit: 8, items: 2}
	w.text(`"a":`, []byte("ééééé"))
	w.textTo(`"b":`, []byte("0123456789"), 5)
	w.textTo(`"c":`, []byte("01234567"), 100)
	w.texts(`"d":`, [][]byte{[]byte("1"), []byte("2"), []byte("3")})
	w.sentence(`"e":`, []byte("one "), []byte("0123456789"))
	w.whole(`"f":`, []byte("0123456789"))
	if want := `"a":"éé…","b":"01…","c":"01234567","d":["1","2"],"e":"one 01234…","f":"0123456789"`; string(w.b) != want {
		t.Errorf("got %s\nwant %s", w.b, want)
	}
}

func TestJSONWriter_CopiesATreeWithoutWhatReceiversRefuse(t *testing.T) {
	for raw, want := range map[string]string{
		`{"AWS":{"a":"x","n":1.50,"t":true,"z":null,"e":"","l":["y",null,[],{}],"o":{}}}`: `"k":{"AWS":{"a":"x","n":"1.50","t":"true","l":["y"]}}`,
		`{"a":1,"a":2,"":3,"b\u0000c":4,"d.e":5}`:                                         `"k":{"a":"1","d.e":"5"}`,
		`{"a":{"b":{"c":{"d":{"e":1},"f":2}}}}`:                                           `"k":{"a":{"b":{"c":{"f":"2"}}}}`,
		`{"` + strings.Repeat("n", treeName) + `n":1,"a":2}`:                              `"k":{"a":"2"}`,
		`{"a":null}`:              ``,
		`{"\u0061\"":"\ud800\n"}`: `"k":{"a\"":"` + "\uFFFD" + `\n"}`,
	} {
		var w jsonWriter
		w.tree(`"k":`, []byte(raw))
		if string(w.b) != want {
			t.Errorf("%s: got %s, want %s", raw, w.b, want)
		}
	}
	var w jsonWriter
	w.elements(`"k":`, []byte(`["a", null, {"b": 1}, 7, "", [ ]]`))
	if want := `"k":["a","{\"b\": 1}","7","[ ]"]`; string(w.b) != want {
		t.Errorf("got %s, want %s", w.b, want)
	}
}

func TestAppendMAC_TakesEverySpellingOfSixOrEightBytes(t *testing.T) {
	for text, want := range map[string]string{
		"02:00:5e:10:7a:3c": "02-00-5E-10-7A-3C", "02005E107A3C": "02-00-5E-10-7A-3C", "0200.5e10.7a3c": "02-00-5E-10-7A-3C",
		"00:00:00:00:fe:80:00:00": "00-00-00-00-FE-80-00-00", "": "", "none": "", "02:00:5e:10:7a": "", "02:00:5e:10:7a:3c:00": "",
		strings.Repeat("0", 40): "",
	} {
		got, ok := appendMAC([]byte("x"), []byte(text), '-')
		if string(got) != "x"+want || ok != (want != "") {
			t.Errorf("%q: got %q, %v", text, got, ok)
		}
		if mac, err := net.ParseMAC(text); err == nil && len(mac) <= 8 && !ok {
			t.Errorf("%q is an address", text)
		}
	}
}

func TestIPOf_LeavesOutTheZone(t *testing.T) {
	for text, want := range map[string]string{"10.0.0.1": "10.0.0.1", "fe80::1%eth0": "fe80::1", "fe80::1%": "", "10.0.0.1%eth0": "", "x": "", "": "", "::ffff:192.0.2.9": "::ffff:192.0.2.9"} {
		ip, v4, ok := ipOf([]byte(text))
		if ok != (want != "") || ok && (string(ip) != want || v4 != netip.MustParseAddr(want).Is4()) {
			t.Errorf("%q: %q, v4 %v, ok %v", text, ip, v4, ok)
		}
	}
}

func TestTacticID_KnowsAttacksOwnTacticsInAnySpelling(t *testing.T) {
	for _, c := range []struct{ name, source, want string }{
		{"Defense Evasion", "MITRE", "TA0005"}, {"DefenseEvasion", "mitre", "TA0005"}, {"command-and-control", "MITRE", "TA0011"},
		{"Execution", "DEFAULT", ""}, {"Execution", "", ""}, {"Something else of great length", "MITRE", ""}, {"", "MITRE", ""},
	} {
		if got := tacticID(&Tactic{Name: []byte(c.name), Source: []byte(c.source)}); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.name, c.source, got, c.want)
		}
	}
	for id, want := range map[string]string{"T1053.005": "T1053", "T1053": "", "t1053.005": "", "T1053.05": "", "T105.005": "", "T1053.005.1": ""} {
		parent, ok := techniqueParent([]byte(id))
		if ok != (want != "") || ok && string(parent) != want {
			t.Errorf("%s: %q, %v", id, parent, ok)
		}
	}
}
