// Package docs holds the documentation; its test runs the README as a new user would.
package docs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// runFor is how long a command that does not end by itself is left running.
const runFor = 5 * time.Second

// TestReadme_EveryCommandRuns runs the README's shell blocks, in order, in a copy of the tree. What does not end by
// itself is interrupted and must end cleanly.
func TestReadme_EveryCommandRuns(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir := copyTree(t)
	ran := map[string]string{}
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllSubmatch(readme, -1) {
		for line := range strings.Lines(string(block[1])) {
			line = strings.TrimSpace(line)
			switch {
			case line == "":
			case line == "make test": // this test is part of it
				if ran[line] = run(t, dir, "make help", 0); !strings.Contains(ran[line], line) {
					t.Errorf("the Makefile has no %s", line)
				}
			case strings.HasSuffix(line, "&"):
				background(t, dir, strings.TrimSuffix(line, "&"))
			case strings.Contains(line, "s1stream run"):
				ran[line] = run(t, dir, line, runFor)
			default:
				ran[line] = run(t, dir, line, 0)
			}
		}
	}
	for command, want := range map[string]string{
		"go run . demo --for 30s":             "lost 0",
		"./s1stream run --config config.toml": `"threatInfo"`,
	} {
		if !strings.Contains(ran[command], want) {
			t.Errorf("%s: prints no %s:\n%.2000s", command, want, ran[command])
		}
	}
	if len(ran) < 5 {
		t.Errorf("the README has %d commands, and once had more", len(ran))
	}
}

// copyTree copies what git knows or would add, so that nothing left lying about is used.
func copyTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sh := exec.CommandContext(t.Context(), "sh", "-c", `git ls-files -co --exclude-standard -z | tar --null -T - -cf - | tar -xf - -C "$1"`, "sh", dir)
	sh.Dir = ".."
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("copy the tree: %v\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("copy the tree: %v", err)
	}
	return dir
}

// command starts a line in a process group of its own, so that what it starts ends with it.
func command(ctx context.Context, dir, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+line)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// run runs a line to its end, or interrupts it after a while, and returns what it printed.
func run(t *testing.T, dir, line string, interrupt time.Duration) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	cmd := command(ctx, dir, line)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	if interrupt > 0 {
		stop := time.AfterFunc(interrupt, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) })
		defer stop.Stop()
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%s: %v\n%s", line, err, out.String())
	}
	return out.String()
}

// background starts a line that runs until the test ends, and waits until it says something.
func background(t *testing.T, dir, line string) {
	t.Helper()
	cmd := command(t.Context(), dir, line)
	said, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
		_ = cmd.Wait()
	})
	if _, err := said.Read(make([]byte, 1)); err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	go func() { // ends with the process, which is waited for
		var rest bytes.Buffer
		_, _ = rest.ReadFrom(said)
	}()
}
