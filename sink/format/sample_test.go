package format

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"s1stream/internal/corpus"
	"s1stream/internal/event"
	"s1stream/internal/jsonscan"
)

var update = flag.Bool("update", false, "write the golden files of testdata/golden again")

// ordinary is the corpus's first threat: whole, and of the console's shape.
func ordinary(t testing.TB) *event.Event {
	t.Helper()
	for c := range corpus.Threats(1, 1) {
		return &c.Event
	}
	t.Fatal("the corpus is empty")
	return nil
}

// samples are the threats of testdata/pages/sample.json.
func samples(t testing.TB) []*event.Event {
	t.Helper()
	page, err := os.ReadFile(filepath.Join("..", "..", "testdata", "pages", "sample.json"))
	if err != nil {
		t.Fatal(err)
	}
	list, _ := jsonscan.Lookup(page, "data")
	var out []*event.Event
	s := jsonscan.Scanner{Data: list}
	err = s.Array(func() error {
		raw, err := s.Value()
		ev := corpus.Event(raw)
		out = append(out, &ev)
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("%d threats: %v", len(out), err)
	}
	return out
}

// golden compares what the samples become, one record a line, with testdata/golden. A release never changes what
// one before it wrote of the same event without a line in CHANGELOG.md.
func golden(t *testing.T, name string, encode func(dst []byte, ev *event.Event, max int) ([]byte, bool, error), max int) {
	t.Helper()
	var got []byte
	for _, ev := range samples(t) {
		record, _, err := encode(nil, ev, max)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := encode(make([]byte, 0, 1), ev, max)
		if err != nil || !bytes.Equal(record, again) {
			t.Errorf("%s: not the same bytes twice (err %v)", name, err)
		}
		got = append(append(got, record...), '\n')
	}
	path := filepath.Join("..", "..", "testdata", "golden", name)
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", name, diff)
	}
}

// benchmarkPairs measures an encoder beside the obvious way to the same record.
func benchmarkPairs(b *testing.B, encode func([]byte, *event.Event, int) ([]byte, bool, error), obvious func(*event.Event) []byte) {
	ev := ordinary(b)
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(ev.Raw)))
		for b.Loop() {
			if _, _, err := encode(nil, ev, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("obvious", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(ev.Raw)))
		for b.Loop() {
			obvious(ev)
		}
	})
}
