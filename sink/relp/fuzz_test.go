package relp

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// FuzzDecoder reads whatever a receiver may send: it never takes more than it should, gives the same frames
// however the bytes arrive, and what it took for a frame is one when it is written again.
func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{
		"1 rsp 6 200 OK\n0 serverclose 0\n", "2 rsp 0\n", "2 rsp 0 \n", "999999999 rsp 3 200\n", "1000000000 rsp 0\n", "1  0\n",
		" rsp 0\n", "1 rsp 65536 x", "1 rsp 999999999 x", "1 rsp 6 200 OK", "\x15\x03", "-1 rsp 0\n", "1 r5p 0\n", "1 rsp 5\n", "1 rsp 0x\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		whole := decoder{r: bufio.NewReader(bytes.NewReader(stream))}
		drip := decoder{r: bufio.NewReaderSize(iotest.OneByteReader(bytes.NewReader(stream)), 16)}
		for {
			got, err := whole.next()
			other, otherErr := drip.next()
			if (err == nil) != (otherErr == nil) || got.txnr != other.txnr && err == nil || got.command != other.command && err == nil ||
				!bytes.Equal(got.data, other.data) && err == nil {
				t.Fatalf("%+v, %v; byte by byte %+v, %v", got, err, other, otherErr)
			}
			if cap(whole.data) > maxAnswer {
				t.Fatalf("holds %d bytes", cap(whole.data))
			}
			if err != nil {
				return
			}
			if got.txnr < 0 || got.txnr > maxTxnr || len(got.command) < 1 || len(got.command) > maxCommand || len(got.data) > maxAnswer {
				t.Fatalf("%+v", got)
			}
			again := decoder{r: bufio.NewReader(bytes.NewReader(appendFrame(nil, got.txnr, got.command, got.data)))}
			back, err := again.next()
			if err != nil || back.txnr != got.txnr || back.command != got.command || !bytes.Equal(back.data, got.data) {
				t.Fatalf("%+v is written and read as %+v, %v", got, back, err)
			}
			if _, err := again.next(); !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("behind it: %v", err)
			}
		}
	})
}

// FuzzSession lets a receiver answer three records with anything. A record counts as taken exactly if the stream,
// read by other code, answers its transaction with 200 before the first thing that is wrong in it.
func FuzzSession(f *testing.F) {
	for _, seed := range []string{
		"2 rsp 6 200 OK\n3 rsp 6 200 OK\n4 rsp 6 200 OK\n", "4 rsp 6 200 OK\n2 rsp 3 500\n3 rsp 3 200\n", "2 rsp 6 200 OK\n2 rsp 6 200 OK\n3 rsp 3 200\n",
		"5 rsp 3 200\n2 rsp 3 200\n", "0 serverclose 0\n2 rsp 3 200\n", "2 rsp 0\n", "0 x 0\n002 rsp 4 200\n\n", "2 rsp 2 20\n", "2 rsp 4 2000\n", "1 rsp 3 200\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		ours, theirs := net.Pipe()
		s := &Session{conn: ours, next: 2, pending: map[int]*reply{}, answered: make(chan struct{}, 1), done: make(chan struct{}),
			opt: Options{Window: 128, WriteTimeout: time.Minute, Timeout: time.Minute}}
		played := make(chan struct{})
		go func() {
			defer close(played)
			_, _ = io.ReadFull(theirs, make([]byte, len("2 syslog 1 a\n3 syslog 1 b\n4 syslog 1 c\n")))
			_, _ = theirs.Write(stream)
			_ = theirs.Close()
		}()
		go s.read()
		answers, err := s.Send(t.Context(), [][]byte{[]byte("a"), []byte("b"), []byte("c")})
		s.Close(t.Context())
		<-played
		want := naive(string(stream))
		taken := 0
		for i, a := range answers {
			if a.OK() != (want[i+2] == "200") || (a.Code != 0) != (want[i+2] != "") {
				t.Errorf("record %d: %v, the stream says %q; %q", i, a, want[i+2], stream)
			}
			if a.Code != 0 {
				taken++
			}
		}
		if (err == nil) != (taken == 3) {
			t.Errorf("%d answers and error %v", taken, err)
		}
	})
}

// naive reads answers by cutting text, and stops at the first thing that is wrong. It knows transactions 2 to 4.
func naive(s string) map[int]string {
	got := map[int]string{}
	number := func(s string) (int, bool) {
		n := 0
		for _, c := range s {
			if c < '0' || c > '9' {
				return 0, false
			}
			n = 10*n + int(c-'0')
		}
		return n, len(s) >= 1 && len(s) <= 9
	}
	for {
		id, rest, ok := strings.Cut(s, " ")
		txnr, isNumber := number(id)
		name, rest, ok2 := strings.Cut(rest, " ")
		if !ok || !ok2 || !isNumber || name == "" || len(name) > 32 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz") != "" {
			return got
		}
		end := strings.IndexAny(rest, " \n")
		if end < 0 {
			return got
		}
		size, isNumber := number(rest[:end])
		if !isNumber || size > 65536 || rest[end] == '\n' && size > 0 {
			return got
		}
		if rest[end] == ' ' {
			rest = rest[end+1:]
		} else {
			rest = rest[end:]
		}
		if len(rest) <= size || rest[size] != '\n' {
			return got
		}
		data := rest[:size]
		s = rest[size+1:]
		if txnr == 0 {
			if name == "serverclose" {
				return got
			}
			continue
		}
		code := data[:min(3, len(data))]
		n, isCode := number(code)
		if name != "rsp" || txnr < 2 || txnr > 4 || got[txnr] != "" || !isCode || n < 100 || len(code) < 3 ||
			len(data) > 3 && data[3] != ' ' && data[3] != '\n' {
			return got
		}
		got[txnr] = code
	}
}
