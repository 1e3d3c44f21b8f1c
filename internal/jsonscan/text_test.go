package jsonscan

import (
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// FuzzAppendText holds what a string says against encoding/json.
func FuzzAppendText(f *testing.F) {
	for _, seed := range []string{``, `a`, `\"\\\/\b\f\n\r\t`, `\u00e9\u20AC`, `\ud83d\ude00`, `\ud83d`, `\ude00\ud83d`, `\ud83dx`, `\ud83d\n`, `\ud83d\u0041`,
		`\ud83d\ud83d\ude00`, `\ufffd`, `\u0000`, `é😀`, `\ud83`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, written string) {
		quoted := []byte(`"` + written + `"`)
		var want string
		if !utf8.ValidString(written) || json.Unmarshal(quoted, &want) != nil {
			return
		}
		s := Scanner{Data: quoted}
		raw, escaped, err := s.Text()
		if err != nil || string(raw) != written || s.End() != nil {
			t.Fatalf("%s: read %q, %v", quoted, raw, err)
		}
		if got := string(AppendText([]byte("before "), raw)); got != "before "+want {
			t.Fatalf("%s: %q, want %q", quoted, got, want)
		}
		if !escaped && want != written {
			t.Fatalf("%s: no escape was seen", quoted)
		}
	})
}

func TestText_IsAnErrorForWhatIsNoString(t *testing.T) {
	for _, in := range []string{``, `7`, `null`, `"a`, `{"a":1}`} {
		s := Scanner{Data: []byte(in)}
		if raw, _, err := s.Text(); err == nil {
			t.Errorf("%s: %q", in, raw)
		}
	}
}
