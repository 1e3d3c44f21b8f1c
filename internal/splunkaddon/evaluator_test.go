package splunkaddon

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The examples are those of Splunk's own reference, as far as there are any.
func TestEvaluator_DoesWhatTheReferenceSays(t *testing.T) {
	raw := `{"cities":[{"name":"London","Bridges":[{"name":"Tower Bridge","length":801},{"name":"Millennium Bridge"}]},` +
		`{"name":"Venice","Bridges":[{"name":"Rialto Bridge"}]}],"none":null,"no":false,"big":229000097554787685012,"empty":""}`
	f := fields{"_raw": raw, "a": "x", "list": []string{"b", "a", "b"}, "path": `C:\dir\file.exe`, "escaped": `C:\\dir a\=b`, "slash": "a/b"}
	for expression, want := range map[string]value{
		`json_extract(_raw, "cities{}.name")`:                         `["London","Venice"]`,
		`json_extract(_raw, "cities{}.Bridges{}.name")`:               `["Tower Bridge","Millennium Bridge","Rialto Bridge"]`,
		`json_extract(_raw, "cities{0}.Bridges{0}")`:                  `{"length":801,"name":"Tower Bridge"}`,
		`json_extract(_raw, "cities{0}.Bridges{0}.length")`:           json.Number("801"),
		`json_extract(_raw, "cities{9}.name")`:                        nil,
		`json_extract(_raw, "none")`:                                  nil,
		`json_extract(_raw, "cities.name")`:                           nil,
		`json_extract(a, "name")`:                                     nil,
		`tostring(json_extract(_raw, "no"))`:                          "False",
		`tostring(json_extract(_raw, "big"))`:                         json.Number("229000097554787685012"),
		`json_array_to_mv(json_extract(_raw, "cities{}.name"))`:       []string{"London", "Venice"},
		`json_array_to_mv("[]")`:                                      nil,
		`json_array_to_mv("no list")`:                                 nil,
		`nullif(json_extract(_raw, "empty"), "")`:                     nil,
		`coalesce(nothing, null(), a)`:                                "x",
		`case(nothing="x", "1", a="y", "2", a="x", "3", true(), "4")`: "3",
		`case(nothing="x", "1")`:                                      nil,
		`if(nothing="x", "yes", "no")`:                                "no",
		`if(nothing!="x" OR a="x", "yes", "no")`:                      "yes",
		`if(nothing!="x" AND a="x", "yes", "no")`:                     "no",
		`if(NOT a="y" AND isnull(nothing), "yes", "no")`:              "yes",
		`a . "-" . a`:                             "x-x",
		`a . nothing`:                             nil,
		`lower("ÄB")`:                             "äb",
		`mvindex(split(slash, "/"), 1)`:           "b",
		`mvindex(nothing, 0)`:                     nil,
		`mvdedup(list)`:                           []string{"b", "a"},
		`mvdedup(mvappend(nothing, a, list))`:     []string{"x", "b", "a"},
		`replace(path, "^.*[\\\\/]", "")`:         "file.exe",
		`replace(escaped, "\\\\([\\\\=])", "\1")`: `C:\dir a=b`,
		`replace("1/14/2024", "^(\d{1,2})/(\d{1,2})/", "\2/\1/")`:          "14/1/2024",
		`if(match(a, "^X$"), "yes", "no")`:                                 "no",
		`if(match(nothing, "x"), "yes", "no")`:                             "no",
		`"a \"quoted\" text"`:                                              `a "quoted" text`,
		`if(list="a", "one of them", "none")`:                              "one of them",
		`if((a="x" OR a="y") AND isnotnull('a'), "brackets", "wrong")`:     "brackets",
		`coalesce(tostring(json_extract(_raw, "nowhere")), "is NULL too")`: "is NULL too",
	} {
		e, err := parseEval(expression)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
			continue
		}
		got, err := (&evaluator{fields: f, doc: map[string]any{}}).eval(e)
		if err != nil {
			t.Errorf("%s: %v", expression, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", expression, diff)
		}
	}
}

func TestEvaluator_RefusesWhatItDoesNotKnow(t *testing.T) {
	f := fields{"_raw": `{"yes":true}`, "a": "x", "list": []string{"a", "b"}}
	for _, expression := range []string{
		``, `a =`, `(a`, `lower(a`, `lower(a,)`, `a b`, `a < "x"`, `a + a`, `"open`, `lower()`, `lower(a, a)`, `spath(_raw, "yes")`,
		`case(a="x")`, `case(a="x", "1", "2")`, `if(a, "1", "2")`, `if(a="x", "1")`, `lower(list)`, `match(a, a)`, `match(a, "(?=x)")`,
		`replace(a, "(", "")`, `json_extract(_raw, "yes") = "true"`, `a="x" AND a`,
	} {
		e, err := parseEval(expression)
		if err == nil {
			_, err = (&evaluator{fields: f, doc: map[string]any{}}).eval(e)
		}
		if err == nil {
			t.Errorf("%q is taken", expression)
		}
	}
}
