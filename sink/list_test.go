package sink

import (
	"reflect"
	"testing"
)

func TestTypes_AreFoundByNameWithDefaultsOfTheirOwn(t *testing.T) {
	for _, want := range []string{"kafka", "syslog", "http", "file", "relp", "elastic", "splunk", "azure"} {
		typ, ok := Lookup(want)
		if !ok || typ.Name != want {
			t.Fatalf("Lookup(%q) = %q, %v", want, typ.Name, ok)
		}
		a, b := typ.Default(), typ.Default()
		if reflect.TypeOf(a).Kind() != reflect.Pointer || reflect.ValueOf(a).Pointer() == reflect.ValueOf(b).Pointer() {
			t.Errorf("%s: Default must return a new pointer each time", want)
		}
		if a.Validate() == nil {
			t.Errorf("%s: the defaults alone name no destination, and are called valid", want)
		}
		if l := typ.Line; l.BatchEvents <= 0 || l.BatchBytes <= 0 || l.BatchWait <= 0 {
			t.Errorf("%s: batch defaults %+v", want, l)
		}
	}
	if _, ok := Lookup("carrier-pigeon"); ok {
		t.Error("Lookup found a type that is none")
	}
	if n := len(Types()); n != 8 {
		t.Errorf("%d types, want 8: test the new one here, and run sinktest on it", n)
	}
}
