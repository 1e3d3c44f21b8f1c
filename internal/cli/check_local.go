package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/config"
	"s1stream/internal/ops"
)

// leastFree is what has to be free for checkpoints, in bytes: a full seen-set takes 10 MiB, and is written beside
// the one before.
const leastFree = 16 << 20

const asItsUser = "run the check as the user that s1stream runs as"

// checkpointFindings tells what would keep a run from starting. It makes nothing and needs no lock. path is the
// configuration's.
func checkpointFindings(cfg *config.Config, path string) []finding {
	problems := dirFindings(cfg.Checkpoint.Dir)
	dir, err := checkpoint.View(checkpoint.OS{}, cfg.Checkpoint.Dir)
	if err != nil {
		if len(problems) > 0 {
			return problems
		}
		return []finding{ok("none yet in %s", cfg.Checkpoint.Dir)}
	}
	out := problems
	have := 0
	for _, l := range linesOf(cfg) {
		f := dir.Line(l.source.Name, l.sink.Name)
		st, err := f.Load()
		if err == nil {
			err = f.Check(st, fingerprint(l.source))
		}
		var foreign *checkpoint.ForeignError
		switch {
		case errors.Is(err, checkpoint.ErrNone): // it begins at start
		case err == nil:
			have++
		case errors.Is(err, checkpoint.ErrCorrupt), errors.Is(err, checkpoint.ErrNewer), errors.As(err, &foreign):
			out = append(out, fail("a run refuses to start until you decide", "%s", withConfig(err.Error(), path)))
		default:
			out = append(out, fail(asItsUser+"; a run of this one can't start", "can't be looked at: %v", err))
		}
	}
	return append([]finding{ok("%s, %d with a checkpoint in %s", plural(len(linesOf(cfg)), "line"), have, cfg.Checkpoint.Dir)}, out...)
}

// dirFindings looks for what would keep this user from making, locking and writing a checkpoint directory.
func dirFindings(dir string) []finding {
	there := filepath.Clean(dir)
	fi, err := os.Stat(there)                                            //nolint:gosec // the path is the operator's
	for errors.Is(err, fs.ErrNotExist) && there != filepath.Dir(there) { // it would be made, and its parents
		there = filepath.Dir(there)
		fi, err = os.Stat(there) //nolint:gosec // as above
	}
	to := "write to " + there
	if there != filepath.Clean(dir) {
		to = fmt.Sprintf("make %s in %s", dir, there)
	}
	const wx = 2 | 1 // W_OK and X_OK of access(2), which knows of read-only mounts too
	if err == nil && fi.IsDir() {
		err = syscall.Access(there, wx)
	}
	switch {
	case err != nil && errors.Is(err, syscall.EROFS):
		return []finding{fail("mount it for writing, or set checkpoint.dir to a directory elsewhere", "can't %s: the file system is read-only", to)}
	case err != nil:
		return []finding{fail(asItsUser+", give it that directory (chown), or set checkpoint.dir to another", "can't %s: %v", to, err)}
	case !fi.IsDir():
		return []finding{fail("set checkpoint.dir to a directory", "%s is no directory", there)}
	}
	var out []finding
	if err := checkpoint.Lockable(there); err != nil {
		out = append(out, fail(asItsUser, "can't be locked: %v", err))
	}
	var space syscall.Statfs_t
	if err := syscall.Statfs(there, &space); err == nil {
		out = append(out, spaceFindings(there, &space)...)
	}
	return out
}

// spaceFindings judges what statfs(2) says, unless the file system keeps no count.
func spaceFindings(dir string, space *syscall.Statfs_t) []finding {
	free := uint64(space.Bavail) * uint64(space.Bsize) //nolint:gosec,unconvert // types differ by system; neither is negative
	if space.Blocks == 0 || free >= leastFree {
		return nil
	}
	return []finding{fail("make room: without a checkpoint nothing is read", "%s has %d KiB free, and %d MiB are wanted",
		dir, free>>10, leastFree>>20)}
}

// opsFindings tries to listen where a run would. An address that is in use is right where our own run has it.
func opsFindings(ctx context.Context, cfg *config.Config) []finding {
	addr := cfg.Ops.Listen
	if addr == "" {
		return []finding{ok("switched off")}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err == nil {
		_ = l.Close() // nobody has connected
		return []finding{ok("can listen on %s", addr)}
	}
	if errors.Is(err, syscall.EADDRINUSE) && servesOps(ctx, addr) {
		if holder := checkpoint.Holder(cfg.Checkpoint.Dir); holder != "" {
			return []finding{ok("%s is in use by the s1stream that runs here (%s holds %s)", addr, holder, cfg.Checkpoint.Dir)}
		}
		return []finding{fail("set ops.listen to another address", "can't listen on %s: another s1stream has it, with another checkpoint.dir", addr)}
	}
	return []finding{fail("free it, set ops.listen to another address, or to \"\"; a run delivers without it, unwatched",
		"can't listen: %v", err)}
}

// servesOps reports whether an s1stream answers at an address.
func servesOps(ctx context.Context, addr string) bool {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", http.NoBody)
	if err != nil {
		return false
	}
	t := &http.Transport{DisableKeepAlives: true} // by no proxy: the address is this machine's
	resp, err := t.RoundTrip(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.Header.Get("Server") == ops.Name
}
