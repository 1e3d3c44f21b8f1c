package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/testpeer"
)

// target is a destination of the kill test. It outlives the program.
type target struct {
	name   string
	config string            // its table, but for the keys that all have
	ends   func() []int64    // how far it is, by part: a delivery with a larger at comes later
	copies func() []delivery // what it holds, in order; asked once
	once   bool              // it stores a version once, however often that is sent
	crash  func()            // ends it and starts it again, with what it had not acknowledged lost; nil: it can't
}

// killKafka is a broker, its topic in three partitions.
func killKafka(t *testing.T, c *served) target {
	t.Helper()
	broker := testpeer.StartKafka(t)
	broker.CreateTopic(t, killTopic, 3)
	var conns []*kafka.Conn // one a partition
	for part := range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		conn, err := kafka.DialLeader(ctx, "tcp", broker.Plain, killTopic, part)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		conns = append(conns, conn)
	}
	return target{
		name:   "kafka",
		config: fmt.Sprintf("type = \"kafka\"\nbrokers = [%q]\ntopic = %q\n", broker.Plain, killTopic),
		ends: func() (ends []int64) {
			for _, conn := range conns {
				if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Fatal(err)
				}
				end, err := conn.ReadLastOffset()
				if err != nil {
					t.Fatal(err)
				}
				ends = append(ends, end)
			}
			return ends
		},
		copies: func() []delivery { return identifyMessages(t, c.Host(), broker.ReadAll(t, killTopic)) },
	}
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

// killFile is a file that is rotated often.
func killFile(t *testing.T, c *served) target {
	t.Helper()
	f := killedFile{t, filepath.Join(t.TempDir(), "threats.jsonl")}
	return target{
		name:   "file",
		config: fmt.Sprintf("type = \"file\"\npath = %q\nmax_size = \"256KiB\"\nmax_files = 1000\n", f.out),
		ends:   func() []int64 { return []int64{f.bytes()} },
		copies: func() []delivery { return f.copies(c.Host()) },
	}
}

type killedFile struct {
	t   *testing.T
	out string
}

// files returns the file sink's files, oldest first. A crash in a rotation may have left a gap.
func (f killedFile) files() []string {
	f.t.Helper()
	files, err := filepath.Glob(f.out + "*")
	if err != nil {
		f.t.Fatal(err)
	}
	number := func(name string) int {
		n, _ := strconv.Atoi(strings.TrimPrefix(strings.TrimPrefix(name, f.out), "."))
		return n
	}
	slices.SortFunc(files, func(a, b string) int { return number(b) - number(a) })
	return files
}

// bytes counts what lies in whole lines: a torn last one is cut off by the next life.
func (f killedFile) bytes() (n int64) {
	f.t.Helper()
	for _, name := range f.files() {
		fi, err := os.Stat(name)
		if err != nil {
			f.t.Fatal(err)
		}
		n += fi.Size()
	}
	if b, err := os.ReadFile(f.out); err == nil {
		n -= int64(len(b) - strings.LastIndexByte(string(b), '\n') - 1)
	}
	return n
}

func (f killedFile) copies(host string) []delivery {
	f.t.Helper()
	var all []byte
	files := f.files()
	for _, name := range files {
		b, err := os.ReadFile(name) //nolint:gosec // the test's own
		if err != nil {
			f.t.Fatal(err)
		}
		all = append(all, b...)
	}
	if len(files) < 2 {
		f.t.Errorf("%d files: the test is meant to see rotations", len(files))
	}
	copies, err := identifyLines(host, all)
	if err != nil {
		f.t.Errorf("file: %v", err)
	}
	return copies
}

// killHTTP is a collector that stores a batch at once and is slow to say so: many a kill and many a save finds a batch
// without its ack.
func killHTTP(t *testing.T, c *served) target {
	t.Helper()
	siem := receive(t, "127.0.0.1:0", c.Host())
	siem.delay = saveEvery + 20*time.Millisecond
	return target{
		name:   "siem",
		config: fmt.Sprintf("type = \"http\"\nurl = %q\nbody = \"ndjson\"\n", siem.URL),
		ends:   func() []int64 { return []int64{siem.count()} },
		copies: func() []delivery { return siem.taken(t) },
	}
}

// killRELP is rsyslog. It stores a record before it answers.
func killRELP(t *testing.T, c *served) target {
	t.Helper()
	rsyslog := testpeer.StartRsyslog(t, testpeer.NewCerts(t), "relp")
	return target{
		name:   "relp",
		config: fmt.Sprintf("type = \"relp\"\naddress = %q\n", rsyslog.Addr("relp")),
		ends:   func() []int64 { return []int64{rsyslog.Size("relp")} },
		copies: func() []delivery { return identifySyslog(t, c.Host(), "relp", rsyslog.Lines("relp")) },
	}
}
