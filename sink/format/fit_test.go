package format

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
)

// heavyThreat is the ordinary one with a long command line, many indicators, labels and interfaces.
func heavyThreat(t testing.TB) *event.Event {
	t.Helper()
	raw := string(ordinary(t).Raw)
	again := func(text string, n int) string { return strings.TrimSuffix(strings.Repeat(text+",", n), ",") }
	for _, change := range [][2]string{
		{`"indicators":[`, `"indicators":[` + again(`{"category":"General","description":"zzz indicator","ids":[1],"tactics":[]}`, 60) + `,`},
		{`"podLabels":[`, `"podLabels":[` + again(`"zzz=label"`, 200) + `,`},
		{`"networkInterfaces":[`, `"networkInterfaces":[` + again(`{"id":"1","inet":["10.0.0.1"],"name":"zzz interface"}`, 40) + `,`},
		{`"maliciousProcessArguments":"`, `"maliciousProcessArguments":"` + strings.Repeat(`é\"`, 2000)},
	} {
		if !strings.Contains(raw, change[0]) {
			t.Fatalf("the ordinary threat has no %s", change[0])
		}
		raw = strings.Replace(raw, change[0], change[1], 1)
	}
	ev := corpus.Event([]byte(raw))
	return &ev
}

func TestFit_LeavesOutTheHeavyPartsFirstAndSaysSo(t *testing.T) {
	ev := heavyThreat(t)
	sum := sha256.Sum256(ev.Raw)
	for name, told := range map[string]func(whole int) []string{
		"ecs": func(int) []string {
			return []string{`"truncated":true`, fmt.Sprintf(`"original":{"size":%d,"sha256":"%x"}`, len(ev.Raw), sum)}
		},
		"ocsf": func(whole int) []string {
			return []string{fmt.Sprintf(`"is_truncated":true,"untruncated_size":%d`, (whole+1023)/1024), fmt.Sprintf(`"raw_data_size":%d`, len(ev.Raw)),
				`"raw_data_hash":{"algorithm_id":3,"algorithm":"SHA-256","value":"` + hex.EncodeToString(sum[:])}
		},
	} {
		encode := structured(t)[name+"-raw"]
		whole, _, err := encode(nil, ev, 0)
		if err != nil {
			t.Fatal(err)
		}
		// On the way down these are lost in this order, and stay so.
		parts := []string{`zzz indicator\"`, strings.Repeat(`é\"`, 1000), "zzz indicator", "zzz=label", "zzz interface", "agent_policy", "RTM-LT-0417"}
		lost := map[string]int{} // the step that lost it
		limit, steps := len(whole), 0
		for {
			body, shrunk, err := encode(nil, ev, limit-1)
			if err != nil {
				break
			}
			steps++
			limit = len(body)
			if cap(body) > 2*limit {
				t.Errorf("%s: %d bytes pin %d", name, limit, cap(body))
			}
			if !shrunk {
				t.Fatalf("%s: %d bytes of %d, and not shrunk", name, limit, len(whole))
			}
			checkJSON(t, name, body)
			for _, want := range told(len(whole)) {
				if !strings.Contains(string(body), want) {
					t.Errorf("%s: %d bytes do not say %s: %.400s", name, limit, want, body)
				}
			}
			for _, part := range parts {
				switch _, before := lost[part]; {
				case !strings.Contains(string(body), part) && !before:
					lost[part] = steps
				case strings.Contains(string(body), part) && before:
					t.Errorf("%s: %d bytes have %.20q again", name, limit, part)
				}
			}
			if !strings.Contains(string(body), ev.ID) || !strings.Contains(string(body), ev.Version.String()) {
				t.Errorf("%s: %d bytes have lost the identity: %s", name, limit, body)
			}
		}
		for i, part := range parts[:len(parts)-1] {
			if lost[part] == 0 || lost[part] > lost[parts[i+1]] {
				t.Errorf("%s: %.20q is lost at step %d, %.20q at %d", name, part, lost[part], parts[i+1], lost[parts[i+1]])
			}
		}
		if limit > 1000 {
			t.Errorf("%s: the smallest record has %d bytes", name, limit)
		}
	}
}

func TestFit_KeepsTechniquesAsLongAsThereIsASummary(t *testing.T) {
	for name, limit := range map[string]int{"ecs": 1700, "ocsf": 2400} {
		body, shrunk, err := structured(t)[name](nil, heavyThreat(t), limit)
		if err != nil || !shrunk || !strings.Contains(string(body), "T1053.005") || !strings.Contains(string(body), "TA0002") {
			t.Errorf("%s: shrunk %v, err %v: %s", name, shrunk, err, body)
		}
	}
}

func TestFit_IsAnErrorBelowTheIdentity(t *testing.T) {
	for name, encode := range structured(t) {
		dst := []byte("before")
		if body, _, err := encode(dst, ordinary(t), 300); err == nil || !strings.Contains(err.Error(), "max_message_bytes") {
			t.Errorf("%s: %d bytes, err %v", name, len(body), err)
		}
	}
}

// FuzzStructured makes records of any JSON object, of any size: they are JSON, UTF-8, on one line, and fit, or there is an
// error; and they have what the schemas allow.
func FuzzStructured(f *testing.F) {
	n := 0
	for c := range corpus.Threats(7, 40) {
		if len(c.Event.Raw) < 20_000 {
			f.Add(c.Event.Raw, 600+n*100)
		}
		n++
	}
	f.Add([]byte(`{"id":7,"threatInfo":{"threatName":"\ud800\u0085"}}`), 0)
	formats, ecs, ocsf := structured(f), readECSTable(f), readOCSFTable(f)
	f.Fuzz(func(t *testing.T, raw []byte, limit int) {
		raw = bytes.TrimSpace(raw)
		if !json.Valid(raw) || raw[0] != '{' {
			return // the source hands on objects alone
		}
		limit = max(0, min(limit, 20_000))
		ev := corpus.Event(bytes.Clone(raw))
		for name, encode := range formats {
			body, shrunk, err := encode(nil, &ev, limit)
			if !bytes.Equal(raw, ev.Raw) {
				t.Fatal("the event was written to")
			}
			if err != nil {
				continue
			}
			if limit > 0 && len(body) > limit || limit == 0 && shrunk {
				t.Fatalf("%s: %d bytes, limit %d, shrunk %v", name, len(body), limit, shrunk)
			}
			checkJSON(t, name, body)
			doc := decode(t, body)
			if strings.HasPrefix(name, "ecs") {
				err = ecs.check("", doc, map[string]bool{})
			} else {
				err = checkOCSF(ocsf, "detection_finding", "", doc)
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	})
}

// FuzzQuoted holds our strings against encoding/json's reading.
func FuzzQuoted(f *testing.F) {
	for _, seed := range []string{"", `"\`, "plain text of more than eight bytes", "é\u2028\u2029\u0085", "\x00\x1f\x7f\r\n\t", "\xff\xc3\xe2\x82", "12345678\"", "😀"} {
		f.Add([]byte(seed), 5)
	}
	f.Fuzz(func(t *testing.T, text []byte, max int) {
		quoted := appendQuoted(nil, text)
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		want := string([]rune(string(text))) // each byte that is no UTF-8 becomes U+FFFD
		if got != want || bytes.ContainsAny(quoted, "\u2028\u2029\u0085\n\r") {
			t.Fatalf("%q: got %q", text, got)
		}
		if max = min(max, len(text)); max >= utf8.UTFMax && utf8.Valid(text) {
			part := clip(text, max)
			if len(part) > max || len(part) <= max-utf8.UTFMax && len(text) > max || !utf8.Valid(part) || !bytes.HasPrefix(text, part) {
				t.Fatalf("clip %q to %d: %q", text, max, part)
			}
		}
	})
}
