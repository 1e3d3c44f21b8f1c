package sink

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is a number of bytes, written as in "8MiB", "900KB" or "512".
type Size int64

var units = []struct {
	name string
	size int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1},
}

// ParseSize reads a size. Units are KB MB GB (powers of 1000) and KiB MiB GiB (powers of 1024).
func ParseSize(s string) (Size, error) {
	num, mul := strings.TrimSpace(s), int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(num, u.name); ok {
			num, mul = strings.TrimSpace(n), u.size
			break
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/mul {
		return 0, fmt.Errorf("%q is not a size: write it as in \"8MiB\" or \"900KB\"", s)
	}
	return Size(n * mul), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Size) UnmarshalText(text []byte) error {
	v, err := ParseSize(string(text))
	if err == nil {
		*s = v
	}
	return err
}

// String writes the size with the largest unit that divides it.
func (s Size) String() string {
	for _, u := range []int{2, 1, 0, 5, 4, 3} {
		if k := units[u]; s != 0 && int64(s)%k.size == 0 {
			return strconv.FormatInt(int64(s)/k.size, 10) + k.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}
