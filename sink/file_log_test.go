package sink

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The logger that a sink is given has the attributes sink and source. Given again, they would be twice in one
// object of a JSON log, which some readers refuse.
func TestSinks_LogNoAttributeTwice(t *testing.T) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || !isLogCall(call) {
				return true
			}
			calls++
			for _, arg := range call.Args {
				if lit, ok := arg.(*ast.BasicLit); ok && (lit.Value == `"sink"` || lit.Value == `"source"`) {
					t.Errorf("%s: logs %s, which the logger has already", fset.Position(lit.Pos()), lit.Value)
				}
			}
			return true
		})
	}
	if calls < 5 {
		t.Errorf("found %d log calls: the test no longer sees them", calls)
	}
}

// isLogCall reports whether a call is log.Warn(…) or x.Log.Warn(…), of any level, or With.
func isLogCall(call *ast.CallExpr) bool {
	method, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	switch method.Sel.Name {
	case "Debug", "Info", "Warn", "Error", "With":
	default:
		return false
	}
	switch log := method.X.(type) {
	case *ast.Ident:
		return log.Name == "log"
	case *ast.SelectorExpr:
		return log.Sel.Name == "Log"
	}
	return false
}

func TestFile_LogsATornLineWithItsSinkOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s, err := NewFile(FileConfig{Path: path}, Deps{
		Name: "archive", Source: "emea",
		Log: slog.New(slog.NewJSONHandler(&log, nil)).With("sink", "archive", "source", "emea"),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	fileWrite(t, s, "{1}")
	for _, want := range []string{"cut off a torn last line", `"sink":`, `"source":`} {
		if n := strings.Count(log.String(), want); n != 1 {
			t.Errorf("%d times %s, want once: %s", n, want, &log)
		}
	}
}
