package sink

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// FileConfig is a sink of type "file".
type FileConfig struct {
	// Path is the file, or "-" for standard output. {source} stands for the source's NAME.
	Path string `koanf:"path"`
	// MaxSize is the size at which the file is rotated, 0 for never. A batch is never divided: a file may be
	// one batch larger, if that batch is larger than MaxSize alone.
	MaxSize Size `koanf:"max_size"`
	// MaxFiles is how many rotated files are kept: PATH.1, the newest, to PATH.N. The oldest is deleted.
	MaxFiles int `koanf:"max_files"`
}

// DefaultFile returns the defaults.
func DefaultFile() *FileConfig { return &FileConfig{MaxSize: 100 << 20, MaxFiles: 5} }

// New implements Config.
func (c *FileConfig) New(d Deps) (Sink, error) {
	f, err := NewFile(*c, d)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// MaxBytes implements Config: a file has no limit of its own. The line end counts.
func (c *FileConfig) MaxBytes(configured int) int {
	if configured <= 0 {
		return 0
	}
	return max(configured-1, 1)
}

// Secrets implements Config.
func (c *FileConfig) Secrets() []string { return nil }

// PerSource reports whether each source writes a file of its own. A sink that serves several sources needs
// that, for a file has one writer; only standard output is shared by none as well.
func (c *FileConfig) PerSource() bool { return strings.Contains(c.Path, "{source}") }

// Validate implements Config.
func (c *FileConfig) Validate() error {
	var errs []error
	rest := strings.ReplaceAll(c.Path, "{source}", "")
	switch {
	case c.Path == "":
		errs = append(errs, errors.New("path: must name a file, or be \"-\" for standard output"))
	case strings.ContainsAny(rest, "{}\x00"):
		errs = append(errs, fmt.Errorf("path: knows the placeholder {source} alone, is %q", c.Path))
	case strings.HasSuffix(c.Path, "/"):
		errs = append(errs, fmt.Errorf("path: must name a file, %q is a directory", c.Path))
	}
	if c.MaxSize < 0 {
		errs = append(errs, errors.New("max_size: must be a size as in \"100MiB\", or 0 for no rotation"))
	}
	if c.MaxSize > 0 && (c.MaxFiles < 1 || c.MaxFiles > 1000) {
		errs = append(errs, fmt.Errorf("max_files: must be from 1 to 1000, is %d", c.MaxFiles))
	}
	return errors.Join(errs...)
}

// resolve returns the path for one source.
func (c *FileConfig) resolve(d Deps) string {
	if c.Path == "-" {
		return c.Path
	}
	return filepath.Clean(strings.ReplaceAll(c.Path, "{source}", d.Source))
}

// fileIsStream reports whether path names something that is written but not stored: a pipe, a terminal, a device.
func fileIsStream(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && !fi.Mode().IsRegular() && !fi.IsDir()
}
