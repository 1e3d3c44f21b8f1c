package testpeer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// VictoriaLogs is a running VictoriaLogs: a HEC endpoint without acks that is not ours. It checks no token.
type VictoriaLogs struct {
	HEC string // what a Splunk client is given as its URL

	t   testing.TB
	url string
}

// StartVictoriaLogs starts .peers/bin/victoria-logs, or calls Missing.
func StartVictoriaLogs(t testing.TB) *VictoriaLogs {
	t.Helper()
	bin, err := exec.LookPath(filepath.Join(Root(t), ".peers", "bin", "victoria-logs"))
	if err != nil {
		Missing(t, "VictoriaLogs")
	}
	addr := fmt.Sprintf("127.0.0.1:%d", Port(t))
	var log bytes.Buffer
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, bin, "-httpListenAddr="+addr, "-storageDataPath="+t.TempDir(), "-retentionPeriod=100y", "-memory.allowedBytes=64MB") //nolint:gosec // a test's own binary
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("VictoriaLogs says:\n%s", log.String())
		}
	})
	WaitTCP(t, addr, 20*time.Second)
	return &VictoriaLogs{HEC: "http://" + addr + "/insert/splunk", t: t, url: "http://" + addr}
}

// Rows waits until it shows n rows or more, and returns them, each with its fields by their dotted names.
func (v *VictoriaLogs) Rows(n int) (rows []map[string]string) {
	v.t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url+"/select/logsql/query?limit=100000&query="+url.QueryEscape("*"), nil)
		if err != nil {
			v.t.Fatal(err)
		}
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			v.t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		cancel()
		if err != nil || res.StatusCode != http.StatusOK {
			v.t.Fatalf("query: %d %v\n%.500s", res.StatusCode, err, b)
		}
		rows = nil
		for d := json.NewDecoder(bytes.NewReader(b)); d.More(); {
			row := map[string]string{}
			if err := d.Decode(&row); err != nil {
				v.t.Fatal(err)
			}
			rows = append(rows, row)
		}
		if len(rows) >= n || time.Now().After(end) {
			return rows
		}
	}
}
