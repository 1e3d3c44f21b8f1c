package checkpoint_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"s1stream/checkpoint"
	"s1stream/checkpoint/crashfs"
	"s1stream/internal/event"
)

const (
	dirPath  = "/var/lib/s1stream"
	mainPath = dirPath + "/prod.siem.ckpt"
	prevPath = mainPath + ".prev"
)

var fingerprint = checkpoint.Fingerprint{Console: "usea1.example.net:8443", Filter: "incidentStatuses=unresolved&siteIds=1%2C2"}

// state makes a small State whose frontier, seen-set and identity all tell n.
func state(n int) checkpoint.State {
	at := time.Date(2026, 3, 1, 12, n, 0, 123456000, time.UTC)
	return checkpoint.State{
		Fingerprint: fingerprint,
		Frontier:    at,
		Seen: map[string]checkpoint.Seen{
			fmt.Sprintf("19001%d", n): {UpdatedAt: at.Add(time.Second), Version: event.NewVersion("h", "a", fmt.Sprint(n))},
			"1900000000000000000":     {UpdatedAt: at, Version: event.NewVersion("h", "b", fmt.Sprint(n))},
		},
	}
}

func open(t testing.TB, fsys checkpoint.FS) *checkpoint.Dir {
	t.Helper()
	d, err := checkpoint.Open(fsys, dirPath)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func line(t testing.TB, fsys checkpoint.FS) *checkpoint.File {
	t.Helper()
	return open(t, fsys).Line("prod", "siem")
}

func save(t testing.TB, f *checkpoint.File, st checkpoint.State) {
	t.Helper()
	if err := f.Save(st); err != nil {
		t.Fatal(err)
	}
}

// wantState checks that a new process would load st.
func wantState(t testing.TB, fsys checkpoint.FS, st checkpoint.State) {
	t.Helper()
	got, err := line(t, fsys).Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(st, got, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("loaded another checkpoint (-want +got):\n%s", diff)
	}
}

func poke(t testing.TB, fsys *crashfs.FS, name string, change func([]byte) []byte) {
	t.Helper()
	if err := fsys.Poke(name, change); err != nil {
		t.Fatal(err)
	}
}

func gone([]byte) []byte { return nil }

func bytesOf(b []byte) func([]byte) []byte { return func([]byte) []byte { return b } }

// withCRC ends content as every checkpoint ends.
func withCRC(content []byte) []byte {
	return binary.BigEndian.AppendUint32(append([]byte(nil), content...), crc32.Checksum(content, crc32.MakeTable(crc32.Castagnoli)))
}
