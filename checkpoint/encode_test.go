package checkpoint_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
	"s1stream/internal/event"
)

var update = flag.Bool("update", false, "write the golden files again")

func TestEncode_WritesSchema1AsItAlwaysDid(t *testing.T) {
	golden := filepath.Join("..", "testdata", "checkpoint", "schema1.ckpt")
	saved := time.Date(2026, 3, 1, 12, 30, 0, 654321000, time.UTC)
	got, err := checkpoint.EncodeAt(state(1), 42, saved)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Errorf("the layout of schema 1 changed:\n want %q\n  got %q", want, got)
	}
	st, generation, at, err := checkpoint.Decode(want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state(1), st); diff != "" || generation != 42 || !at.Equal(saved) {
		t.Errorf("read generation %d of %v (-want +got):\n%s", generation, at, diff)
	}
}

func TestEncode_GivesBackWhatItTook(t *testing.T) {
	ids := []string{
		"", "0", "1900000000000000000", "\x00", "\n", "\xff\xfe", "a\x00b", `"}` + "\n{", "\u202e.exe", strings.Repeat("i", 127),
		strings.Repeat("i", 128), strings.Repeat("x", 70000), "ключ", "s1stream_checkpoint",
	}
	times := []time.Time{
		{}, time.Unix(0, 0).UTC(), time.UnixMicro(-1).UTC(), time.Date(1, 1, 1, 0, 0, 0, 1000, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC), time.Date(123456, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(-4000, 5, 6, 7, 8, 9, 0, time.UTC),
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		st := checkpoint.State{
			Fingerprint: checkpoint.Fingerprint{Console: "h<&>\u2028:443", Filter: "q=" + strings.Repeat("\"\\\n", r.IntN(9))},
			Frontier:    times[r.IntN(len(times))],
			Seen:        map[string]checkpoint.Seen{},
		}
		for range r.IntN(20) {
			var v event.Version
			for i := range v {
				v[i] = byte(r.Uint32())
			}
			st.Seen[ids[r.IntN(len(ids))]] = checkpoint.Seen{UpdatedAt: times[r.IntN(len(times))], Version: v}
		}
		b, err := checkpoint.EncodeAt(st, r.Uint64(), times[r.IntN(len(times))])
		if err != nil {
			t.Fatal(err)
		}
		got, _, _, err := checkpoint.Decode(b)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if diff := cmp.Diff(st, got, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("seed %d (-want +got):\n%s", seed, diff)
		}
		again, err := checkpoint.EncodeAt(got, 7, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		first, err := checkpoint.EncodeAt(st, 7, time.Time{})
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("seed %d: the same State gave other bytes (%v)", seed, err)
		}
	}
}

func TestEncode_RefusesAFingerprintThatJSONWouldChange(t *testing.T) {
	st := state(1)
	st.Fingerprint.Filter = "query=\xff"
	if _, err := checkpoint.EncodeAt(st, 1, time.Time{}); err == nil {
		t.Error("stored a fingerprint that is not UTF-8")
	}
}

// TestLoad_SeesEveryDamage tries a damaged main beside a good .prev, and alone.
func TestLoad_SeesEveryDamage(t *testing.T) {
	fsys := crashfs.New()
	f := line(t, fsys)
	save(t, f, state(1))
	save(t, f, state(2))
	whole, err := fsys.ReadFile(mainPath)
	if err != nil {
		t.Fatal(err)
	}
	damages := map[string][]byte{"zero-filled": make([]byte, len(whole)), "one byte more": append(bytes.Clone(whole), 0)}
	for i := range whole {
		damages[fmt.Sprintf("cut to %d", i)] = whole[:i]
		zeros := bytes.Clone(whole)
		clear(zeros[i:])
		if !bytes.Equal(zeros, whole) {
			damages[fmt.Sprintf("zeros from %d", i)] = zeros
		}
		for bit := range 8 {
			flipped := bytes.Clone(whole)
			flipped[i] ^= 1 << bit
			damages[fmt.Sprintf("bit %d of byte %d flipped", bit, i)] = flipped
		}
	}
	prev, err := fsys.ReadFile(prevPath)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range damages {
		poke(t, fsys, mainPath, bytesOf(b))
		poke(t, fsys, prevPath, bytesOf(prev))
		f := line(t, fsys)
		st, err := f.Load()
		if err != nil || !cmp.Equal(st, state(1)) || f.FromPrev() == nil {
			t.Fatalf("%s: err %v, from .prev because: %v, frontier %v", name, err, f.FromPrev(), st.Frontier)
		}
		poke(t, fsys, prevPath, gone)
		if _, err := line(t, fsys).Load(); !errors.Is(err, checkpoint.ErrCorrupt) {
			t.Fatalf("%s, without .prev: %v", name, err)
		}
	}
	if len(damages) < 9*len(whole) {
		t.Errorf("tried %d damages only", len(damages))
	}
}

func TestLoad_RefusesANewerSchema(t *testing.T) {
	newer := withCRC([]byte(`{"s1stream_checkpoint":2,"generation":"of another type"}` + "\nwhatever"))
	tests := map[string]struct{ main, prev []byte }{
		"as the main file":                {main: newer},
		"beside a .prev of ours":          {main: newer, prev: mustEncode(t, state(1))},
		"as .prev of a missing main file": {prev: newer},
		"as .prev of a damaged main file": {main: []byte("x"), prev: newer},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			fsys := crashfs.New()
			open(t, fsys)
			poke(t, fsys, mainPath, bytesOf(tt.main))
			poke(t, fsys, prevPath, bytesOf(tt.prev))
			f := line(t, fsys)
			_, err := f.Load()
			if !errors.Is(err, checkpoint.ErrNewer) || errors.Is(err, checkpoint.ErrCorrupt) {
				t.Fatalf("Load: %v", err)
			}
			if want := `"s1stream checkpoint reset --from TIME prod siem"`; !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not name %s", err, want)
			}
			if err := f.Save(state(2)); !errors.Is(err, checkpoint.ErrNewer) {
				t.Errorf("Save went over a newer checkpoint: %v", err)
			}
		})
	}
}

func TestLoad_TakesADamagedSchemaNumberForDamage(t *testing.T) {
	b := bytes.Replace(mustEncode(t, state(1)), []byte(`checkpoint":1`), []byte(`checkpoint":2`), 1)
	if _, _, _, err := checkpoint.Decode(b); err == nil || errors.Is(err, checkpoint.ErrNewer) {
		t.Errorf("a flipped schema number gave %v", err)
	}
}

func mustEncode(t testing.TB, st checkpoint.State) []byte {
	t.Helper()
	b, err := checkpoint.EncodeAt(st, 1, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func FuzzLoad(f *testing.F) {
	f.Add(mustEncode(f, state(1)))
	f.Add(mustEncode(f, checkpoint.State{}))
	f.Add(withCRC([]byte(`{"s1stream_checkpoint":2}` + "\n")))
	f.Add(withCRC([]byte(`{"s1stream_checkpoint":1,"seen":1,"body_bytes":26}` + "\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01aaaaaaaaaaaaaaaa")))
	f.Fuzz(func(t *testing.T, b []byte) {
		// As it is, and with its checksum put right: else nothing but the checksum would be tried.
		for _, b := range [][]byte{b, withCRC(b), withCRC(b[:max(0, len(b)-4)])} {
			fsys := crashfs.New()
			open(t, fsys)
			poke(t, fsys, mainPath, bytesOf(append([]byte{}, b...)))
			file := line(t, fsys)
			st, err := file.Load()
			if err != nil {
				if !errors.Is(err, checkpoint.ErrCorrupt) && !errors.Is(err, checkpoint.ErrNewer) {
					t.Fatalf("Load: %v", err)
				}
				continue
			}
			save(t, file, st)
			wantState(t, fsys, st)
		}
	})
}

func BenchmarkSave(b *testing.B) {
	st := state(1)
	for i := range 200_000 {
		id := fmt.Sprintf("%019d", 1_900_000_000_000_000_000+i*7_919_333)
		st.Seen[id] = checkpoint.Seen{UpdatedAt: st.Frontier, Version: event.NewVersion("h", id, "u")}
	}
	b.Run("encode", func(b *testing.B) {
		for b.Loop() {
			if _, err := checkpoint.EncodeAt(st, 1, st.Frontier); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("to disk", func(b *testing.B) {
		d, err := checkpoint.Open(checkpoint.OS{}, b.TempDir())
		if err != nil {
			b.Fatal(err)
		}
		f := d.Line("prod", "siem")
		for b.Loop() {
			save(b, f, st)
		}
	})
}
