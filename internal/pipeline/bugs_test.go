package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"s1stream/internal/testpeer"
)

// bugSeeds is how many scenarios a bug has to show itself in.
const bugSeeds = 400

// TestBugs_EachIsFoundByTheScenarios proves that the scenarios can fail: each deliberate bug of testdata/bugs, laid
// over the source, makes them, by the words of the oracle. That they pass without a bug is TestScenario.
func TestBugs_EachIsFoundByTheScenarios(t *testing.T) {
	testpeer.Long(t, "compiles the package once a bug")
	files, err := filepath.Glob("testdata/bugs/*.txt")
	if err != nil || len(files) != 5 {
		t.Fatalf("found the bugs %q, %v; want 5", files, err)
	}
	found := regexp.MustCompile(`(?m)^ +scenario_test\.go:\d+: (lost: .*|.* has passed version .*)$`)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			overlay, err := layBug(file, "../..", t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-vet=off", "-count=1", ".",
				"-run=^TestScenario$", fmt.Sprintf("-scenario.seeds=%d", bugSeeds))
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			switch {
			case err == nil:
				t.Fatalf("%d scenarios passed with it", bugSeeds)
			case !errors.As(err, &exit):
				t.Fatal(err)
			case !found.Match(out):
				t.Fatalf("failed, but the oracle saw no loss:\n%s", out[:min(len(out), 4000)])
			}
			t.Logf("%s", strings.TrimSpace(string(found.Find(out))))
		})
	}
}

// layBug lays the changes of a bug's file over the sources below root, and returns the file for go's -overlay. The
// file says in words why it loses, then "-- file PATH --" and, for each change of it, "-- old --" and "-- new --"
// with text that stands there exactly once: a bug that no longer fits is an error, so that it can't rot.
func layBug(file, root, dir string) (overlay string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	parts := regexp.MustCompile(`(?m)^-- (.*) --\n`)
	heads := parts.FindAllStringSubmatch(string(b), -1)
	texts := parts.Split(string(b), -1)
	if len(strings.Fields(texts[0])) < 10 {
		return "", fmt.Errorf("%s: does not say why it loses", file)
	}
	changed := map[string]string{} // by path
	var path, old string
	for i, text := range texts[1:] {
		switch head := heads[i][1]; {
		case strings.HasPrefix(head, "file "):
			path = filepath.Join(root, strings.TrimPrefix(head, "file "))
			if path, err = filepath.Abs(path); err != nil {
				return "", err
			}
			source, err := os.ReadFile(path)
			if err != nil {
				return "", err
			}
			changed[path] = string(source)
		case head == "old":
			old = text
		case head == "new":
			if n := strings.Count(changed[path], old); n != 1 || old == "" {
				return "", fmt.Errorf("%s: its old text stands %d times in %s, want once:\n%s", file, n, path, old)
			}
			changed[path] = strings.Replace(changed[path], old, text, 1)
		default:
			return "", fmt.Errorf("%s: -- %s -- is none of file, old, new", file, head)
		}
	}
	replace := map[string]string{}
	for path, text := range changed {
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		if err := os.WriteFile(replace[path], []byte(text), 0o600); err != nil {
			return "", err
		}
	}
	b, err = json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, b, 0o600)
}

func TestBugs_ThatNoLongerFitAreAnError(t *testing.T) {
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("package a\n\nvar x, y = 1, 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	why := strings.Repeat("word ", 10) + "\n-- file a.go --\n"
	tests := []struct{ name, bug, err string }{
		{"fits", why + "-- old --\nvar x, y = 1, 1\n-- new --\nvar x, y = 1, 2\n", ""},
		{"text that is gone", why + "-- old --\nvar z = 1\n-- new --\n", "stands 0 times"},
		{"text that stands twice", why + "-- old --\n-- new --\n", "want once"},
		{"no reason", "-- file a.go --\n-- old --\npackage a\n-- new --\n", "does not say why"},
		{"an unknown part", why + "-- odl --\n", "none of file, old, new"},
		{"no such file", strings.Replace(why, "a.go", "b.go", 1), "no such file"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			file := filepath.Join(dir, "bug.txt")
			if err := os.WriteFile(file, []byte(tt.bug), 0o600); err != nil {
				t.Fatal(err)
			}
			overlay, err := layBug(file, root, dir)
			if tt.err == "" {
				b, rerr := os.ReadFile(filepath.Join(dir, "0.go"))
				if err != nil || rerr != nil || !slices.Equal(b, []byte("package a\n\nvar x, y = 1, 2\n")) {
					t.Errorf("laid %q in %s: %v, %v", b, overlay, err, rerr)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
