package testpeer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// OpenSearch is a real OpenSearch node, alone in its cluster, without its security plugin. It ends with the test that
// started it.
type OpenSearch struct {
	URL string // http://127.0.0.1:port

	t    testing.TB
	args []string
	log  string // file
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// StartOpenSearch starts a node whose write pool has so many threads and so many places to wait, and returns when it
// answers, after 6 s or so. settings are more of them, "name=value". Without its jars it calls Missing.
func StartOpenSearch(t testing.TB, threads, queue int, settings ...string) *OpenSearch {
	t.Helper()
	dir := Dir(t, "OpenSearch", "opensearch")
	java, err := exec.LookPath("java")
	if err != nil {
		Missing(t, "Java")
	}
	port, work := Port(t), t.TempDir()
	o := &OpenSearch{
		URL: fmt.Sprintf("http://127.0.0.1:%d", port), t: t, log: filepath.Join(work, "log"),
		args: append([]string{
			java, "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.io.tmpdir=" + work,
			"-cp", filepath.Join(dir, "lib", "*") + ":" + filepath.Join(dir, "classes"), "OpenSearch",
			filepath.Join(work, "data"), strconv.Itoa(port), strconv.Itoa(Port(t)), strconv.Itoa(threads), strconv.Itoa(queue),
		}, settings...),
	}
	t.Cleanup(o.end)
	o.Start()
	return o
}

// Start runs the node, on the data of the one before, and waits until it answers.
func (o *OpenSearch) Start() {
	o.t.Helper()
	out, err := os.Create(o.log)
	if err != nil {
		o.t.Fatal(err)
	}
	o.cmd = exec.Command(o.args[0], o.args[1:]...) //nolint:gosec,noctx // a test's own; ended by end
	o.cmd.Dir, o.cmd.Stdout, o.cmd.Stderr = filepath.Dir(o.log), out, out
	endWithParent(o.cmd)
	o.done = make(chan struct{})
	started := make(chan error)
	go func() { // waited for through done
		defer close(o.done)
		// endWithParent goes by the thread that started the process: keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := o.cmd.Start()
		_ = out.Close() // the process has a copy
		started <- err
		if err == nil {
			_ = o.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		o.t.Fatal(err)
	}
	limit := time.After(90 * time.Second) // other tests may have the cores
	for {
		select {
		case <-o.done:
			o.t.Fatalf("OpenSearch ended: %v", o.cmd.ProcessState)
		case <-limit:
			o.t.Fatal("OpenSearch was not ready after 90 s")
		case <-time.After(100 * time.Millisecond):
		}
		if b, err := os.ReadFile(o.log); err == nil && bytes.Contains(b, []byte("] READY")) {
			return
		}
	}
}

// Kill ends the node as a power cut would (SIGKILL), and returns when it is gone.
func (o *OpenSearch) Kill() {
	if o.cmd != nil && o.cmd.Process != nil {
		_ = o.cmd.Process.Kill()
		<-o.done
	}
}

func (o *OpenSearch) end() {
	o.Kill()
	if b, err := os.ReadFile(o.log); err == nil && o.t.Failed() {
		var lines []string
		for line := range strings.Lines(string(b)) {
			if !strings.HasPrefix(line, "\tat ") {
				lines = append(lines, line)
			}
		}
		o.t.Logf("the end of OpenSearch's log:\n%s", strings.Join(lines[max(0, len(lines)-40):], ""))
	}
}

// Do sends a request and reads the JSON of its answer into out, unless out is nil. It fails the test for every answer
// that is not 200.
func (o *OpenSearch) Do(method, path, body string, out any) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, o.URL+path, strings.NewReader(body))
	if err != nil {
		o.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		o.t.Fatalf("%s %s: %d %v\n%.2000s", method, path, res.StatusCode, err, b)
	}
	if out != nil {
		if err := json.Unmarshal(b, out); err != nil {
			o.t.Fatalf("%s %s: %v\n%.2000s", method, path, err, b)
		}
	}
}

// Doc is a stored document.
type Doc struct {
	ID     string          `json:"_id"`
	Source json.RawMessage `json:"_source"`
	Seq    int64           `json:"-"` // its _seq_no
}

// Docs returns every document of an index or a data stream, in the order in which they were stored. Between the same
// two documents of a shard that order is sure; with more than one shard it is not.
func (o *OpenSearch) Docs(target string) []Doc {
	o.t.Helper()
	o.Do(http.MethodPost, "/"+target+"/_refresh", "", nil)
	var all []Doc
	for after := int64(-1); ; {
		var page struct {
			Hits struct {
				Hits []struct {
					Doc
					Sort []int64
				}
			}
		}
		query := fmt.Sprintf(`{"size":5000,"sort":[{"_seq_no":"asc"}],"query":{"range":{"_seq_no":{"gt":%d}}}}`, after)
		o.Do(http.MethodPost, "/"+target+"/_search", query, &page)
		if len(page.Hits.Hits) == 0 {
			return all
		}
		for _, h := range page.Hits.Hits {
			after = h.Sort[0]
			all = append(all, Doc{ID: h.ID, Source: h.Source, Seq: after})
		}
	}
}

// LastSeq returns the largest _seq_no of an index or a data stream of one shard, -1 while there is none. A document that
// was there already takes no number.
func (o *OpenSearch) LastSeq(target string) int64 {
	o.t.Helper()
	var stats struct {
		Indices map[string]struct {
			Shards map[string][]struct {
				Seq struct {
					Max int64 `json:"max_seq_no"`
				} `json:"seq_no"`
			}
		}
	}
	o.Do(http.MethodGet, "/"+target+"/_stats/docs?level=shards&filter_path=indices.*.shards.*.seq_no.max_seq_no", "", &stats)
	last, shards := int64(-1), 0
	for _, index := range stats.Indices {
		for _, copies := range index.Shards {
			for _, c := range copies {
				last = max(last, c.Seq.Max)
				shards++
			}
		}
	}
	if shards != 1 {
		o.t.Fatalf("%s has %d shards: their numbers tell no order", target, shards)
	}
	return last
}

// Conflicts returns how many documents were refused since the node started because they were there already.
func (o *OpenSearch) Conflicts(target string) int {
	o.t.Helper()
	var stats struct {
		All struct {
			Primaries struct {
				Indexing struct {
					Failed int `json:"index_failed"`
				}
			}
		} `json:"_all"`
	}
	o.Do(http.MethodGet, "/"+target+"/_stats/indexing", "", &stats)
	return stats.All.Primaries.Indexing.Failed
}
