package e2e

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"s1stream/checkpoint"
)

// mark is how far everything was at the end of one life of the program.
type mark struct {
	clean   bool
	visible int                         // versions that the console had shown
	states  map[string]checkpoint.State // by sink
	ends    map[string][]int64          // by sink and part: what lies before it was there
}

// mark notes how far everything is. The program must have ended.
func (k *killing) mark(clean bool) {
	k.t.Helper()
	m := mark{clean: clean, states: map[string]checkpoint.State{}, ends: map[string][]int64{}}
	for _, sink := range killSinks {
		st, err := load(k.dir, sink)
		if err != nil && !errors.Is(err, checkpoint.ErrNone) && !errors.Is(err, fs.ErrNotExist) {
			k.t.Fatalf("kill %d left a checkpoint that can't be used: %v", len(k.marks), err)
		}
		m.states[sink] = st
	}
	m.ends["file"] = []int64{k.bytes()}
	m.ends["siem"] = still(func() []int64 { return []int64{k.siem.count()} })
	m.ends["kafka"] = still(k.kafkaEnds)
	m.visible = len(k.c.Truth())
	k.marks = append(k.marks, m)
}

// still reads until nothing comes any more: what the program had sent when it died still arrives.
func still(read func() []int64) []int64 {
	for ends := read(); ; {
		time.Sleep(10 * time.Millisecond)
		now := read()
		if slices.Equal(now, ends) {
			return now
		}
		ends = now
	}
}

func (k *killing) kafkaEnds() (ends []int64) {
	k.t.Helper()
	for _, c := range k.conns {
		if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
			k.t.Fatal(err)
		}
		end, err := c.ReadLastOffset()
		if err != nil {
			k.t.Fatal(err)
		}
		ends = append(ends, end)
	}
	return ends
}

// dial opens the connections that marks are read by.
func (k *killing) dial() {
	k.t.Helper()
	for part := range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		c, err := kafka.DialLeader(ctx, "tcp", k.broker.Plain, killTopic, part)
		cancel()
		if err != nil {
			k.t.Fatal(err)
		}
		k.t.Cleanup(func() { _ = c.Close() })
		k.conns = append(k.conns, c)
	}
}

// files returns the file sink's files, oldest first. A crash in a rotation may have left a gap.
func (k *killing) files() []string {
	k.t.Helper()
	files, err := filepath.Glob(k.out + "*")
	if err != nil {
		k.t.Fatal(err)
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(name, k.out), "."))
		return n
	}
	slices.SortFunc(files, func(a, b string) int { return number(b) - number(a) })
	return files
}

// bytes counts what lies in whole lines: a torn last one is cut off by the next life.
func (k *killing) bytes() (n int64) {
	k.t.Helper()
	for _, name := range k.files() {
		fi, err := os.Stat(name)
		if err != nil {
			k.t.Fatal(err)
		}
		n += fi.Size()
	}
	if b, err := os.ReadFile(k.out); err == nil {
		n -= int64(len(b) - strings.LastIndexByte(string(b), '\n') - 1)
	}
	return n
}

func (k *killing) inFiles() []delivery {
	k.t.Helper()
	var all []byte
	files := k.files()
	for _, name := range files {
		b, err := os.ReadFile(name) //nolint:gosec // the test's own
		if err != nil {
			k.t.Fatal(err)
		}
		all = append(all, b...)
	}
	if len(files) < 2 {
		k.t.Errorf("%d files: the test is meant to see rotations", len(files))
	}
	copies, err := identifyLines(k.c.Host(), all)
	if err != nil {
		k.t.Errorf("file: %v", err)
	}
	return copies
}

func (k *killing) inKafka() []delivery {
	k.t.Helper()
	return identifyMessages(k.t, k.c.Host(), k.broker.ReadAll(k.t, killTopic))
}

// identifyMessages identifies records by their bytes, and wants their headers and keys to say the same.
func identifyMessages(t *testing.T, host string, messages []kafka.Message) []delivery {
	t.Helper()
	fail := limited(t, "kafka")
	copies := make([]delivery, 0, len(messages))
	for _, m := range messages {
		d, err := identify(host, m.Value)
		if err != nil {
			fail("%v", err)
			continue
		}
		header := map[string]string{}
		for _, h := range m.Headers {
			header[h.Key] = string(h.Value)
		}
		if header["s1-version"] != d.version.String() || header["s1-id"] != d.id || string(m.Key) != d.id {
			fail("key %q and headers %v are not those of threat %s in version %v", m.Key, header, d.id, d.version)
		}
		d.part, d.at = m.Partition, m.Offset+1
		copies = append(copies, d)
	}
	return copies
}
