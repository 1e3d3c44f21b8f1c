package checkpoint_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"s1stream/checkpoint"
)

// lockEnv makes the test binary a process that takes a lock, says how that went, and holds it until its standard
// input ends.
const lockEnv = "S1STREAM_TEST_LOCK"

func TestMain(m *testing.M) {
	path := os.Getenv(lockEnv)
	if path == "" {
		os.Exit(m.Run())
	}
	l, err := checkpoint.Lock(path)
	fmt.Println(err)
	if err != nil {
		os.Exit(73)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	runtime.KeepAlive(l) // a collected file is closed, and its lock gone
}

// lockElsewhere runs that process and returns the first line it says, its id, and what ends it.
func lockElsewhere(t *testing.T, path string) (said string, pid int, kill func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), lockEnv+"="+path)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said, err = bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Error(err)
	}
	return strings.TrimSpace(said), cmd.Process.Pid, func() {
		_ = cmd.Process.Kill() // it may have ended by itself
		_ = cmd.Wait()         // "killed", or its exit code
		_ = stdin.Close()
	}
}

func TestLock_LetsOneProcessIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	said, pid, kill := lockElsewhere(t, path)
	if said != "<nil>" {
		t.Fatalf("the first process: %s", said)
	}
	before, err := os.ReadFile(filepath.Join(path, "lock"))
	if err != nil || string(before) != strconv.Itoa(pid)+"\n" {
		t.Errorf("the lock file says %q, %v", before, err)
	}
	_, err = checkpoint.Lock(path)
	if !errors.Is(err, checkpoint.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprintf("process %d:", pid)) {
		t.Errorf("the second process: %v", err)
	}
	if after, err := os.ReadFile(filepath.Join(path, "lock")); err != nil || string(after) != string(before) {
		t.Errorf("the loser wrote %q, %v", after, err)
	}
	if names, err := os.ReadDir(path); err != nil || len(names) != 1 {
		t.Errorf("the loser left %v, %v", names, err)
	}

	kill() // as SIGKILL does it
	l, err := checkpoint.Lock(path)
	if err != nil {
		t.Fatalf("after the first process died: %v", err)
	}
	said, _, kill = lockElsewhere(t, path)
	kill()
	if !strings.Contains(said, fmt.Sprintf("process %d:", os.Getpid())) {
		t.Errorf("the other process: %s", said)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
	if said, _, kill = lockElsewhere(t, path); said != "<nil>" {
		t.Errorf("after Unlock: %s", said)
	}
	kill()
}

func TestLock_HoldsWhileCheckpointsAreRenamed(t *testing.T) {
	path := t.TempDir()
	l, err := checkpoint.Lock(path)
	if err != nil {
		t.Fatal(err)
	}
	d, err := checkpoint.Open(checkpoint.OS{}, path)
	if err != nil {
		t.Fatal(err)
	}
	f := d.Line("prod", "siem")
	for i := range 3 {
		save(t, f, state(i))
	}
	said, _, kill := lockElsewhere(t, path)
	kill()
	if !strings.Contains(said, "locked") {
		t.Errorf("a second process after three saves: %s", said)
	}
	if err := l.Unlock(); err != nil {
		t.Error(err)
	}
}
