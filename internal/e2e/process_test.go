package e2e

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"s1stream/internal/testpeer"
)

// patience is how long a test waits for what ought to come in a second or two: other tests may have the cores.
const patience = 90 * time.Second

// buildDir is where the program is built; TestMain makes and removes it.
var buildDir string

func TestMain(m *testing.M) { os.Exit(inBuildDir(m)) }

func inBuildDir(m *testing.M) int {
	dir, err := os.MkdirTemp("", "s1stream-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	buildDir = dir
	code := m.Run()
	for _, line := range reports {
		fmt.Println(line)
	}
	return code
}

// reports are printed behind the tests, where they are seen without -v too.
var (
	reportsMu sync.Mutex // tests run side by side
	reports   []string
)

func reportf(t *testing.T, format string, args ...any) {
	t.Helper()
	reportsMu.Lock()
	defer reportsMu.Unlock()
	if !t.Failed() {
		reports = append(reports, fmt.Sprintf(format, args...))
	}
}

// variant is one way to build the program, built when a test first asks for it.
type variant struct {
	name  string
	flags []string
	once  sync.Once
	err   error
}

// plain is what is shipped. watched has the race detector where the tests have it: every package is compiled
// for it then anyway. It is slower and larger, so nothing is measured with it.
var (
	plain   = &variant{name: "s1stream"}
	watched = &variant{name: "s1stream-race", flags: []string{"-race"}}
)

func (v *variant) path(t *testing.T) string {
	t.Helper()
	if v == watched && !raceEnabled {
		return plain.path(t)
	}
	out := filepath.Join(buildDir, v.name)
	root := testpeer.Root(t)
	v.once.Do(func() {
		cmd := exec.CommandContext(context.Background(), "go", append(append([]string{"build"}, v.flags...), "-o", out, ".")...) //nolint:gosec // our own arguments
		cmd.Dir = root
		if text, err := cmd.CombinedOutput(); err != nil {
			v.err = fmt.Errorf("go build: %w\n%s", err, text)
		}
	})
	if v.err != nil {
		t.Fatal(v.err)
	}
	return out
}

// process is the program at work. It ends with its test at the latest, or with the tests' own process, however
// that ends. What it wrote to standard error is shown if the test fails.
type process struct {
	cmd    *exec.Cmd
	stderr *log
	done   chan struct{} // closed when it has ended
}

// start runs `s1stream run --config file` and returns when the process exists.
func start(t *testing.T, v *variant, file string) *process {
	t.Helper()
	p := spawn(t, v, file)
	t.Cleanup(func() {
		p.kill()
		if strings.Contains(p.stderr.text(), "DATA RACE") {
			t.Error("the race detector found something")
		}
		if t.Failed() {
			t.Logf("s1stream said:\n%s", p.stderr.text())
		}
	})
	return p
}

// spawn is start for a caller that sees to the end itself.
func spawn(t *testing.T, v *variant, file string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(v.path(t), "run", "--config", file), stderr: &log{grown: make(chan struct{})}, done: make(chan struct{})} //nolint:gosec,noctx // ended by kill
	p.cmd.Dir = filepath.Dir(file)
	p.cmd.Env = append(os.Environ(), "GORACE=halt_on_error=0 exitcode=66")
	p.cmd.Stderr = p.stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() { // waited for through done
		defer close(p.done)
		// The kernel sends Pdeathsig when the thread that started the process ends: keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // its state says how it ended
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	return p
}

// kill ends it as a power cut would, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// alive reports whether it still runs.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop asks it to end, and wants it to end clean.
func (p *process) stop(t *testing.T) {
	t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // if it has ended, its exit code says so
	if code := p.exit(t); code != 0 {
		t.Fatalf("exit code %d after SIGTERM, want 0; it said:\n%s", code, p.stderr.text())
	}
}

// exit waits until it has ended and returns its exit code, -1 after a signal.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		p.kill()
		t.Fatalf("s1stream did not end within %v; it said:\n%s", patience, p.stderr.text())
	}
	return p.cmd.ProcessState.ExitCode()
}

// opsAddress matches what the program says when it has begun; by then it listens for signals.
var opsAddress = regexp.MustCompile(`msg="s1stream runs".* ops=(\S+)`)

// running waits until the program has begun and returns the address of its ops server, `""` without one.
func (p *process) running(t *testing.T) string {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		grown := p.stderr.next()
		if m := opsAddress.FindStringSubmatch(p.stderr.text()); m != nil {
			return m[1]
		}
		select {
		case <-grown:
		case <-p.done:
			t.Fatalf("s1stream ended with %v; it said:\n%s", p.cmd.ProcessState, p.stderr.text())
		case <-timer.C:
			t.Fatalf("s1stream has not begun after %v; it said:\n%s", patience, p.stderr.text())
		}
	}
}

// peak returns the most memory that the process had resident so far, in bytes.
func (p *process) peak(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in\n%s", b)
	}
	kb, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// log keeps the beginning and the end of what a process wrote, and tells when there is more.
type log struct {
	mu    sync.Mutex
	buf   []byte
	grown chan struct{}
}

const logHalf = 16 << 10

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf = append(l.buf, b...)
	if len(l.buf) > 4*logHalf {
		l.buf = bytes.Join([][]byte{l.buf[:logHalf], l.buf[len(l.buf)-logHalf:]}, []byte("\n[…]\n"))
	}
	close(l.grown)
	l.grown = make(chan struct{})
	return len(b), nil
}

// next returns a channel that is closed at the next write.
func (l *log) next() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.grown
}

func (l *log) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.buf)
}
