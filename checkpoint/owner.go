package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// inheritOwner gives a file that root has just made to the owner of its directory: `s1stream checkpoint` is run by
// root as a rule, and the service, which runs as somebody else, has to open what it left. Only a file that this
// call has made may be given away, or a link planted in the directory would hand out what it points to. Where root
// may not do this either (a user namespace, some network file systems), the file stays as it is, and is good.
func inheritOwner(f *os.File) {
	if os.Geteuid() != 0 {
		return
	}
	fi, err := os.Stat(filepath.Dir(f.Name()))
	if err != nil {
		return
	}
	dir, ok := fi.Sys().(*syscall.Stat_t)
	if ok && (dir.Uid != 0 || int(dir.Gid) != os.Getegid()) {
		_ = f.Chown(int(dir.Uid), int(dir.Gid))
	}
}

// withOwner says what to do about a file in the checkpoint directory that this user may not open.
func withOwner(err error, name string) error {
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	if _, serr := os.Stat(name); serr != nil { // the directory itself is closed to this user
		return err
	}
	return fmt.Errorf("%w: another user made it: give it to the one that s1stream runs as, by \"chown --reference=%s %s\"",
		err, filepath.Dir(name), name)
}
