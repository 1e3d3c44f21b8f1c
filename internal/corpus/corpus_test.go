package corpus

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestThreats_AreValidJSONObjectsAndAllDifferent(t *testing.T) {
	names, n := map[string]bool{}, 0
	for c := range Threats(1, Size) {
		n++
		if !json.Valid(c.Event.Raw) || c.Event.Raw[0] != '{' {
			t.Fatalf("%s: no JSON object: %.200q", c.Name, c.Event.Raw)
		}
		if c.Event.ID == "" || c.Event.UpdatedAt.IsZero() {
			t.Errorf("%s: an event without id or time", c.Name)
		}
		if names[c.Name] {
			t.Errorf("%s: twice", c.Name)
		}
		names[c.Name] = true
	}
	if n != Size {
		t.Errorf("%d cases, want %d", n, Size)
	}
}

func TestThreats_HoldEveryChangeOfEveryField(t *testing.T) {
	seen := map[string]bool{}
	var invalid, pretty, long int
	for c := range Threats(1, Size) {
		seen[c.Name[5:]] = true
		if !utf8.Valid(c.Event.Raw) {
			invalid++
		}
		if bytes.ContainsAny(c.Event.Raw, "\r\n") {
			pretty++
		}
		if len(c.Event.Raw) > 50_000 {
			long++
		}
	}
	root := parse(threatJSON)
	for _, h := range hostile {
		n := 0
		for name := range seen {
			if strings.HasSuffix(name, ": "+h.name) {
				n++
			}
		}
		if n < 30 {
			t.Errorf("%s stands in %d fields alone: too few", h.name, n)
		}
	}
	for _, p := range root.places("") {
		for _, ch := range changes {
			if ch.fits(p.value()) && !ch.hostile && !seen[p.path+": "+ch.name] {
				t.Errorf("%s: %s is missing", p.path, ch.name)
			}
		}
	}
	if mixtures := Size - len(systematic(root)) - 1; mixtures < 500 {
		t.Errorf("only %d random mixtures fit: raise Size", mixtures)
	}
	if invalid < 100 || pretty < 50 || long < 30 {
		t.Errorf("%d with invalid UTF-8, %d on several lines, %d huge: too few", invalid, pretty, long)
	}
}

func TestThreats_AreTheSameForTheSameSeedForEver(t *testing.T) {
	sum := func(seed uint64) string {
		h := sha256.New()
		for c := range Threats(seed, 300) {
			h.Write([]byte(c.Name))
			h.Write(c.Event.Raw)
		}
		return hex.EncodeToString(h.Sum(nil))[:16]
	}
	const want = "579a9f0c82d51e0b"
	if got := sum(1); got != want {
		t.Errorf("the corpus of seed 1 is %s, was %s: a failure of before can't be named any more; if that is meant, change this", got, want)
	}
	if sum(1) == sum(2) {
		t.Error("another seed gives the same corpus")
	}
}

func TestWords_StandAtPlacesThatExist(t *testing.T) {
	root := parse(threatJSON)
	for path, list := range words {
		if _, ok := root.at(path); !ok {
			t.Errorf("the embedded threat has no %s", path)
		}
		for _, lit := range list {
			if !json.Valid([]byte(lit)) {
				t.Errorf("%s: %s is not JSON", path, lit)
			}
		}
	}
}

func TestNode_WritesWhatItRead(t *testing.T) {
	var want bytes.Buffer
	if err := json.Compact(&want, threatJSON); err != nil {
		t.Fatal(err)
	}
	if got := string(parse(threatJSON).append(nil, "")); got != want.String() {
		t.Errorf("got %s\nwant %s", got, want.String())
	}
	if strings.Contains(want.String(), "null") {
		t.Error("the ordinary threat has a null: every field is to be filled")
	}
}
