package sink

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

const (
	fileTailMax  = 64 << 20 // as far back as a torn line is looked for: as long as the longest threat
	fileTailStep = 64 << 10
)

// fileTail is what follows the last line end of a file.
type fileTail int

const (
	fileTailWhole   fileTail = iota // nothing
	fileTailTorn                    // the beginning of a line of ours, or the zeros that a crash leaves of one
	fileTailUnended                 // a whole JSON object: ours or not, its line end is all that it lacks
	fileTailForeign                 // what no write of ours can have left
)

// fileReadTail looks at the end of a file of this size. start is where its last line begins; where that is
// farther back than fileTailMax, the tail is foreign and start that far back.
func fileReadTail(f io.ReaderAt, size int64) (tail fileTail, start int64, err error) {
	start, zeros, err := fileLastLine(f, size)
	switch {
	case err != nil:
		return 0, 0, err
	case start == size:
		return fileTailWhole, start, nil
	case size-start > fileTailMax:
		return fileTailForeign, start, nil
	case zeros:
		return fileTailTorn, start, nil
	}
	if text, err := fileTailText(f, start, size); err != nil || text {
		return fileTailTorn, start, err
	}
	var ends [2]byte
	for i, at := range []int64{start, size - 1} {
		if _, err := f.ReadAt(ends[i:i+1], at); err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
	}
	switch {
	case ends[0] != '{':
		return fileTailForeign, start, nil
	case ends[1] != '}':
		return fileTailTorn, start, nil
	}
	line := make([]byte, size-start)
	if _, err := f.ReadAt(line, start); err != nil && !errors.Is(err, io.EOF) {
		return 0, 0, err
	}
	if json.Valid(line) {
		return fileTailUnended, start, nil
	}
	return fileTailTorn, start, nil
}

// fileTextLines is how our lines of CEF and LEEF begin.
var fileTextLines = []string{
	"CEF:0|SentinelOne|Singularity|", "CEF:1|SentinelOne|Singularity|", "LEEF:1.0|SentinelOne|Singularity|", "LEEF:2.0|SentinelOne|Singularity|",
}

// fileTailText reports whether the last line begins as one of those, as far as it goes. Whether it is whole can't be
// told; without its line end it was never acknowledged.
func fileTailText(f io.ReaderAt, start, size int64) (bool, error) {
	head := make([]byte, min(size-start, 64))
	if _, err := f.ReadAt(head, start); err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	for _, line := range fileTextLines {
		n := min(len(head), len(line))
		if n >= len("CEF:") && string(head[:n]) == line[:n] {
			return true, nil
		}
	}
	return false, nil
}

// fileLastLine finds where the last line begins, and whether it holds nothing but zeros.
func fileLastLine(f io.ReaderAt, size int64) (start int64, zeros bool, err error) {
	buf := make([]byte, fileTailStep)
	zeros = true
	end := size
	for end > 0 && size-end <= fileTailMax {
		at := max(end-fileTailStep, 0)
		block := buf[:end-at]
		if _, err := f.ReadAt(block, at); err != nil && !errors.Is(err, io.EOF) {
			return 0, false, err
		}
		line := block[bytes.LastIndexByte(block, '\n')+1:]
		zeros = zeros && len(bytes.Trim(line, "\x00")) == 0
		end -= int64(len(line))
		if len(line) < len(block) {
			break
		}
	}
	return end, zeros, nil
}
