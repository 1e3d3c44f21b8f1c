package relp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"

	"s1stream/internal/safe"
)

// Bounds of a frame. The first three are the protocol's, the last is ours: a receiver answers in a few words.
const (
	// MaxData is the longest data of one frame, in bytes: DATALEN has nine digits.
	MaxData    = 999_999_999
	maxTxnr    = 999_999_999
	maxCommand = 32
	maxAnswer  = 64 << 10
)

// frame is TXNR SP COMMAND SP DATALEN [SP DATA] LF.
type frame struct {
	txnr    int // 0 for a hint, which nobody asked for
	command string
	data    []byte // valid until the next frame is read
}

// appendFrame writes one frame. Without data there is no space behind the length.
func appendFrame(dst []byte, txnr int, command string, data []byte) []byte {
	dst = strconv.AppendInt(dst, int64(txnr), 10)
	dst = append(append(append(dst, ' '), command...), ' ')
	dst = strconv.AppendInt(dst, int64(len(data)), 10)
	if len(data) > 0 {
		dst = append(append(dst, ' '), data...)
	}
	return append(dst, '\n')
}

// FrameError says that what was read is not RELP, or that the receiver is out of step.
type FrameError struct{ What string }

func (e *FrameError) Error() string { return "no RELP: " + e.What }

// decoder reads the frames of a receiver.
type decoder struct {
	r    *bufio.Reader
	data []byte
}

// next reads one frame. io.EOF means the end between two frames, io.ErrUnexpectedEOF one within. It holds no more
// than maxAnswer bytes, whatever length is announced.
func (d *decoder) next() (frame, error) {
	first, err := d.r.Peek(1)
	if err != nil {
		return frame{}, err
	}
	if first[0] == 0x15 { // the content type of a TLS alert, RFC 8446 section 5.1; a frame begins with a digit
		return frame{}, ErrTLS
	}
	f, err := d.frame()
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return f, err
}

func (d *decoder) frame() (f frame, err error) {
	if f.txnr, _, err = d.number("a transaction number", " "); err != nil {
		return f, err
	}
	if f.command, err = d.word(); err != nil {
		return f, err
	}
	size, end, err := d.number("a length", " \n")
	if err != nil {
		return f, err
	}
	if size > maxAnswer {
		return f, &FrameError{What: fmt.Sprintf("an answer of %d bytes", size)}
	}
	if end == '\n' {
		if size > 0 {
			return f, &FrameError{What: fmt.Sprintf("a length of %d bytes without data", size)}
		}
		return f, nil
	}
	if cap(d.data) < size {
		d.data = make([]byte, size)
	}
	f.data = d.data[:size]
	if _, err = io.ReadFull(d.r, f.data); err != nil {
		return f, err
	}
	c, err := d.r.ReadByte()
	if err == nil && c != '\n' {
		err = &FrameError{What: fmt.Sprintf("%q where a frame must end", c)}
	}
	return f, err
}

// number reads one to nine digits and the byte behind them, which must be one of ends.
func (d *decoder) number(what, ends string) (n int, end byte, err error) {
	for digits := 0; ; digits++ {
		c, err := d.r.ReadByte()
		if err != nil {
			return 0, 0, err
		}
		if c >= '0' && c <= '9' && digits < 9 {
			n = 10*n + int(c-'0')
			continue
		}
		for i := range len(ends) {
			if c == ends[i] && digits > 0 {
				return n, c, nil
			}
		}
		return 0, 0, d.bad(what, c)
	}
}

// word reads a command and the space behind it.
func (d *decoder) word() (string, error) {
	var buf [maxCommand]byte
	for n := 0; ; n++ {
		c, err := d.r.ReadByte()
		if err != nil {
			return "", err
		}
		if c == ' ' && n > 0 {
			if string(buf[:n]) == "rsp" {
				return "rsp", nil // nearly every frame: without an allocation
			}
			return string(buf[:n]), nil
		}
		if letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'; !letter || n == maxCommand {
			return "", d.bad("a command", c)
		}
		buf[n] = c
	}
}

// bad quotes what came where something else was due.
func (d *decoder) bad(due string, c byte) error {
	more, _ := d.r.Peek(min(d.r.Buffered(), 40)) // what is there already; it never blocks
	return &FrameError{What: fmt.Sprintf("%q where %s is due", safe.Snippet(append([]byte{c}, more...), 40), due)}
}

// parseAnswer takes the data of a "rsp" apart: three digits, then text up to the end of the line, then what the
// command asked for.
func parseAnswer(data []byte) (code int, text, rest []byte, ok bool) {
	if len(data) < 3 {
		return 0, nil, nil, false
	}
	for _, c := range data[:3] {
		if c < '0' || c > '9' {
			return 0, nil, nil, false
		}
		code = 10*code + int(c-'0')
	}
	text = data[3:]
	if len(text) > 0 && text[0] != ' ' && text[0] != '\n' || code < 100 {
		return 0, nil, nil, false
	}
	if len(text) > 0 && text[0] == ' ' {
		text = text[1:]
	}
	for i, c := range text {
		if c == '\n' {
			return code, text[:i], text[i+1:], true
		}
	}
	return code, text, nil, true
}
