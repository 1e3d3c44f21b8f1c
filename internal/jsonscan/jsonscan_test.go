package jsonscan

import (
	"encoding/json"
	"testing"
)

func valid(b []byte) bool {
	s := Scanner{Data: b}
	if _, err := s.Value(); err != nil {
		return false
	}
	return s.End() == nil
}

// through reads with Object and Array instead of skip, so that both roads are judged.
func through(b []byte) bool {
	s := Scanner{Data: b}
	var value func() error
	value = func() error {
		switch s.Space() {
		case '{':
			return s.Object(func([]byte) error { return value() })
		case '[':
			return s.Array(value)
		}
		_, err := s.Value()
		return err
	}
	return value() == nil && s.End() == nil
}

func TestScanner_AgreesWithEncodingJSON(t *testing.T) {
	for _, in := range []string{
		``, ` `, `{}`, `[]`, `[1,2]`, `[1,]`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `01`, `-`, `-0`, `1.`, `1.5e+3`, `1e`, `.5`,
		`"`, `"a`, `"\q"`, `"\u12"`, `"\u12aF"`, "\"a\nb\"", "\"\x7f\xff\"", `"\ud800"`, `tru`, `true`, `nulls`, `[[[]]]`, `[[[]]`,
		`{"a":{"b":[1,{"c":null}]}}x`, "\ufeff{}", `{"a":1 "b":2}`, `[1 2]`, `"12345678\"90"`, "\"1234567\x1f\"", `{"\u0061":1}`,
	} {
		if want := json.Valid([]byte(in)); valid([]byte(in)) != want || through([]byte(in)) != want {
			t.Errorf("%q: encoding/json says %v, skip %v, through %v", in, want, valid([]byte(in)), through([]byte(in)))
		}
	}
}

func TestLookup_TakesTheLastOfTwoAndExactCase(t *testing.T) {
	obj := []byte(`{"ID":1,"id":2,"t":{"x":"\u0041\n"},"\u0069d":3,"s":true}`)
	if v, ok := Lookup(obj, "id"); !ok || string(v) != "3" {
		t.Errorf("id: %s, %v", v, ok)
	}
	v, ok := Lookup(obj, "t", "x")
	if text, isString := String(v); !ok || !isString || text != "A\n" {
		t.Errorf("t.x: %q, %v", text, ok)
	}
	if _, ok := Lookup(obj, "t", "y"); ok {
		t.Error("t.y is not there, and was found")
	}
	if _, ok := Lookup(obj, "s", "y"); ok {
		t.Error("s is no object, and something was found in it")
	}
	if v, ok := Lookup(obj, "s"); !ok {
		t.Error("s is not found")
	} else if b, isBool := Bool(v); !b || !isBool {
		t.Error("s is not true")
	}
}

func FuzzScanner(f *testing.F) {
	// Small ones alone: the fuzzer spends its time on shortening what it finds where that is a whole page.
	for _, seed := range []string{
		`{"data":[{"id":"1","threatInfo":{"updatedAt":"x"}}],"pagination":{"nextCursor":null}}`, `[1.5e3,"\u00e9\"",{"a":[]}]`,
		`{"a key of sixteen":"a value of sixteen","a key longer than it":"\\","12345678":"1234567","k" : [ "v" , "w" ]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if want := json.Valid(b); valid(b) != want || through(b) != want {
			t.Fatalf("encoding/json says %v, skip %v, through %v", want, valid(b), through(b))
		}
	})
}
