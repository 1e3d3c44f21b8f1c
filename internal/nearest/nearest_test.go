package nearest

import "testing"

func TestOf_NamesTheWordWithTheFewestEdits(t *testing.T) {
	known := []string{"batch_events", "batch_bytes", "batch_wait", "topic"}
	for word, want := range map[string]string{
		"batch_event":  "batch_events",
		"BATCH-WAIT":   "batch_wait",
		"batchbytes":   "batch_bytes",
		"topics":       "topic",
		"tpoic":        "topic",
		"batch_events": "batch_events",
	} {
		if got := Of(word, known); got != want {
			t.Errorf("Of(%q) = %q, want %q", word, got, want)
		}
	}
	if got := Of("anything", nil); got != "" {
		t.Errorf("Of with nothing known = %q, want \"\"", got)
	}
}

func TestOf_TrustsTheBeginningOfAWord(t *testing.T) {
	if got := Of("computerNames", []string{"osNames", "computerName__contains"}); got != "computerName__contains" {
		t.Errorf("got %q", got)
	}
}

func TestDistance_CountsInsertionsDeletionsAndSubstitutions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"kitten", "sitting", 3}, {"flaw", "lawn", 2}, {"naïve", "naive", 1},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
