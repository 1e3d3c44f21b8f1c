package config

import (
	"errors"
	"maps"
	"slices"
)

// rawBytes and envTables are the two koanf.Providers there are: the file's bytes and the environment's tables.
type (
	rawBytes  []byte
	envTables map[string]any
)

var errUnsupported = errors.New("not supported")

func (b rawBytes) ReadBytes() ([]byte, error)     { return b, nil }
func (b rawBytes) Read() (map[string]any, error)  { return nil, errUnsupported }
func (t envTables) ReadBytes() ([]byte, error)    { return nil, errUnsupported }
func (t envTables) Read() (map[string]any, error) { return t, nil }

// lookupTable returns the table at a path, or nil.
func lookupTable(t map[string]any, path ...string) map[string]any {
	for _, part := range path {
		t, _ = t[part].(map[string]any)
	}
	return t
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
