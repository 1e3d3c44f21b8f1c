package checkpoint_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"s1stream/checkpoint"
)

// What root decides with `checkpoint reset` or `adopt` has to be readable for the service's own user. Run by
// another user, the test shows that its files stay its own.
func TestFiles_BelongToTheOwnerOfTheDirectoryWhoeverMadeThem(t *testing.T) {
	path, uid, gid := t.TempDir(), os.Geteuid(), os.Getegid()
	if uid == 0 {
		uid, gid = 12345, 23456
		if err := os.Chown(path, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	l, err := checkpoint.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := checkpoint.Open(checkpoint.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Reset("prod", "siem", state(1).Frontier, fingerprint); err != nil {
		t.Fatal(err)
	}
	other := fingerprint
	other.Filter = "resolved=false"
	if err := d.Adopt("prod", "siem", other); err != nil {
		t.Fatal(err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"prod.siem.ckpt", "prod.siem.ckpt.prev", "lock"} {
		fi, err := os.Stat(filepath.Join(path, name))
		if err != nil {
			t.Fatal(err)
		}
		st := fi.Sys().(*syscall.Stat_t)
		if int(st.Uid) != uid || int(st.Gid) != gid || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s is of %d:%d, mode %v, want %d:%d", name, st.Uid, st.Gid, fi.Mode(), uid, gid)
		}
	}
}

func TestLock_FollowsNoLink(t *testing.T) {
	path, target := t.TempDir(), filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(target, []byte("text\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(path, "lock")); err != nil {
		t.Fatal(err)
	}
	if _, err := checkpoint.Lock(path); err == nil {
		t.Error("taken by way of a link")
	}
	if b, err := os.ReadFile(target); err != nil || string(b) != "text\n" {
		t.Errorf("the link's target now holds %q, %v", b, err)
	}
}

// deniedFS is a file system whose files belong to somebody else.
type deniedFS struct{ checkpoint.OS }

func (deniedFS) ReadFile(name string) ([]byte, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EACCES}
}

func TestLoad_SaysHowToMendAFileOfAnotherUser(t *testing.T) {
	path := t.TempDir()
	if err := os.WriteFile(filepath.Join(path, "prod.siem.ckpt"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := checkpoint.Open(deniedFS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Line("prod", "siem").Load()
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chown --reference=") {
		t.Errorf("says %v", err)
	}
}

func TestHolder_NamesTheProcessThatHoldsTheDirectory(t *testing.T) {
	path := t.TempDir()
	if h := checkpoint.Holder(path); h != "" {
		t.Errorf("nobody holds it, and yet %q", h)
	}
	l, err := checkpoint.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	if h := checkpoint.Holder(path); !strings.HasPrefix(h, "process ") {
		t.Errorf("held, and %q", h)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if h := checkpoint.Holder(path); h != "" {
		t.Errorf("given back, and yet %q", h)
	}
}
