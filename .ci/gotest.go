// Command gotest is `go test` with its usual closing lines that does not let a test go missing: it fails when
// a run executed no test, and under CI=true when a test was skipped. It prints what failed, what was skipped
// and why, and nothing of what passed.
//
//	go run .ci/gotest.go [flags of go test] packages
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// event is a line of `go test -json` (see `go doc test2json`). Build events have no Package.
type event struct{ Action, Package, Test, Output string }

func main() {
	cmd := exec.Command("go", append([]string{"test", "-json"}, os.Args[1:]...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
	ran, skipped := report(out)
	if err := cmd.Wait(); err != nil {
		os.Exit(1)
	}
	if ran == 0 {
		fmt.Println("gotest: no test ran: nothing matches", strings.Join(os.Args[1:], " "))
		os.Exit(1)
	}
	if skipped > 0 && os.Getenv("CI") == "true" {
		fmt.Printf("gotest: %d tests were skipped; under CI=true none may be\n", skipped)
		os.Exit(1)
	}
}

// report prints as it reads and counts the tests that ran, and those that were skipped.
func report(r io.Reader) (ran, skipped int) {
	held := map[string][]string{} // by package and test: printed if it fails or is skipped
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadBytes('\n')
		var ev event
		key := ""
		switch {
		case len(line) == 0:
		case json.Unmarshal(line, &ev) != nil || ev.Package == "":
			// A compiler's words, or something that is no event.
			if ev.Output != "" {
				fmt.Print(ev.Output)
			} else if ev.Action == "" {
				fmt.Print(string(line))
			}
		case ev.Action == "output" && ev.Test == "":
			// The package's own lines: a panic, a race outside of any test, the closing line.
			if ev.Output != "PASS\n" && !strings.Contains(ev.Output, "[no test files]") {
				fmt.Print(ev.Output)
			}
		default:
			key = ev.Package + " " + ev.Test
		}
		switch {
		case key == "":
		case ev.Action == "output":
			held[key] = append(held[key], ev.Output)
		case ev.Action == "fail" && ev.Test != "":
			fmt.Print(strings.Join(held[key], ""))
			delete(held, key)
		case ev.Action == "skip" && ev.Test != "":
			skipped++
			fmt.Printf("SKIP %s: %s\n", key, reason(held[key]))
			delete(held, key)
		case ev.Action == "pass" && ev.Test != "":
			ran++
			delete(held, key)
		case ev.Action == "fail":
			// A test that a panic or a time-out cut short has no result of its own.
			for k := range held {
				if strings.HasPrefix(k, ev.Package+" ") {
					fmt.Print(strings.Join(held[k], ""))
				}
			}
		}
		if err != nil {
			return ran, skipped
		}
	}
}

// reason is what a skipped test said, without the lines that go test adds.
func reason(lines []string) string {
	own := slices.DeleteFunc(slices.Clone(lines), func(l string) bool {
		l = strings.TrimSpace(l)
		return strings.HasPrefix(l, "=== ") || strings.HasPrefix(l, "--- SKIP")
	})
	return strings.TrimSpace(strings.Join(own, ""))
}
