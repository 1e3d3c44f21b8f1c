package sink

import "os"

// NewFileOn is NewFile with another standard output.
func NewFileOn(cfg FileConfig, d Deps, stdout *os.File) (*File, error) {
	return newFile(cfg, d, &fileStdout{f: stdout})
}
