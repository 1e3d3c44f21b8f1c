package cli

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheck_FailsWhereARunCouldNotKeepACheckpoint(t *testing.T) {
	_, server := serve(t, 1)
	s := configure(t, server.URL, "", "")
	base := t.TempDir()
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(base, "linked")
	if err := os.Mkdir(link, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(file, filepath.Join(link, "lock")); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ dir, want string }{
		"a file":                  {file, file + " is no directory"},
		"below a file":            {filepath.Join(file, "state"), "not a directory"},
		"with a lock it can't be": {link, "can't be locked: "},
	} {
		t.Run(name, func(t *testing.T) {
			p := call(t, []string{"S1STREAM_CHECKPOINT__DIR=" + tc.dir}, "check", "--config", s.file)
			p.wantCode(t, exitFailed)
			contains(t, p.out.String(), "FAIL  checkpoints: ", tc.want, "      -> ")
		})
	}
}

func TestCheck_WantsRoomForACheckpoint(t *testing.T) {
	for free, want := range map[uint64]string{leastFree / 4096: "", leastFree/4096 - 1: "x has 16380 KiB free, and 16 MiB are wanted"} {
		got := spaceFindings("x", &syscall.Statfs_t{Blocks: 1 << 20, Bavail: free, Bsize: 4096})
		if (len(got) == 0) != (want == "") || len(got) == 1 && (got[0].what != want || got[0].level != "FAIL") {
			t.Errorf("%d blocks: %+v, want %q", free, got, want)
		}
	}
	if got := spaceFindings("x", &syscall.Statfs_t{}); got != nil {
		t.Errorf("a file system that keeps no count: %+v", got)
	}
}

// Only somebody who is not root is kept out by modes, so root tries it as somebody else.
func TestCheck_FailsWhereTheDirectoryBelongsToAnotherUser(t *testing.T) {
	if dir := os.Getenv("S1STREAM_TEST_CHECK_DIR"); dir != "" {
		for _, f := range dirFindings(dir) {
			t.Log(f.level, f.what)
		}
		return
	}
	base := t.TempDir()
	for dir := base; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(base, 0o555); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(base, 0o700) }()
	for dir, want := range map[string]string{
		base:                         "FAIL can't write to " + base + ": permission denied",
		filepath.Join(base, "state"): "FAIL can't make " + filepath.Join(base, "state") + " in " + base + ": permission denied",
	} {
		binary, err := os.Open(os.Args[0]) // which that user may not reach by its path
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), "/proc/self/fd/3", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.ExtraFiles = []*os.File{binary}
		cmd.Dir = "/"
		cmd.Env = append(os.Environ(), "S1STREAM_TEST_CHECK_DIR="+dir)
		if os.Geteuid() == 0 {
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		out, err := cmd.CombinedOutput()
		_ = binary.Close()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s: %v, want %q:\n%s", dir, err, want, out)
		}
	}
}

func TestCheck_FailsWhereTheOpsAddressCannotBeHad(t *testing.T) {
	_, server := serve(t, 1)
	s := configure(t, server.URL, "", "")
	var lc net.ListenConfig
	other, err := lc.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := other.Addr().String()
	silent := make(chan struct{})
	go func() { // it takes connections, and is no s1stream; waited for below
		defer close(silent)
		for {
			conn, err := other.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
		}
	}()
	p := call(t, []string{"S1STREAM_OPS__LISTEN=" + addr}, "check", "--config", s.file)
	p.wantCode(t, exitFailed)
	contains(t, p.out.String(), "FAIL  ops: can't listen: ", "address already in use", "-> free it")
	_ = other.Close()
	<-silent
	p = call(t, []string{"S1STREAM_OPS__LISTEN=" + addr}, "check", "--config", s.file)
	p.wantCode(t, 0)
	contains(t, p.out.String(), "ok    ops: can listen on "+addr)
}
