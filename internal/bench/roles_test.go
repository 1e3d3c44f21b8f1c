package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"s1stream/internal/console"
	"s1stream/internal/testpeer"
)

// play is the process of one role.
func play(role, arg string) error {
	switch role {
	case "console":
		n, err := strconv.Atoi(arg)
		if err != nil {
			return err
		}
		return serve(n)
	case "collector":
		after, err := time.ParseDuration(arg)
		if err != nil {
			return err
		}
		return collect(after)
	case "floor":
		return walk(arg, func([]byte) error { return nil })
	case "plain":
		return plain(arg)
	}
	return fmt.Errorf("unknown role %q", role)
}

// serve is the console: a static set of settled threats, its pages compressed once and kept.
func serve(n int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c := console.New(console.Config{Seed: 1, CacheBytes: 4 << 30})
	now := time.Now()
	c.Store.Fill(n, now.Add(-30*24*time.Hour), now.Add(-time.Hour))
	s, err := c.Serve(ctx, "127.0.0.1:0", "")
	if err != nil {
		return err
	}
	fmt.Println(s.URL)
	<-ctx.Done()
	return s.Close()
}

// collect is a Splunk whose indexer takes its time: the strict fake of the tests.
func collect(after time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	s := httptest.NewServer(&testpeer.FakeSplunk{Token: "token", Acks: true, IndexAfter: after, MaxBytes: 1_000_000})
	defer s.Close()
	fmt.Println(s.URL)
	<-ctx.Done()
	return nil
}

// walk fetches every page as a first version of a client would: http.DefaultClient with its own gzip,
// io.ReadAll, one page after the other.
func walk(url string, page func([]byte) error) error {
	cursor := ""
	for {
		u := url + "/web/api/v2.1/threats?sortBy=updatedAt&sortOrder=asc&limit=1000&skipCount=true&updatedAt__gte=1970-01-01T00:00:00.000000Z"
		if cursor != "" {
			u += "&cursor=" + cursor
		}
		resp, err := http.Get(u) //nolint:gosec,noctx // the baseline is what it is
		if err != nil {
			return err
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		if err := page(body); err != nil {
			return err
		}
		_, after, _ := bytes.Cut(body[max(0, len(body)-1000):], []byte(`"nextCursor":`))
		next, _, ok := bytes.Cut(bytes.TrimPrefix(bytes.TrimSpace(after), []byte(`"`)), []byte(`"`))
		if !ok || bytes.HasPrefix(bytes.TrimSpace(after), []byte("null")) {
			return nil
		}
		cursor = strings.NewReplacer("%", "%25", "+", "%2B", "=", "%3D", "/", "%2F").Replace(string(next))
	}
}

// plain decodes each threat into a map, encodes it again and writes it to a file.
func plain(url string) error {
	f, err := os.CreateTemp("", "plain-*.jsonl")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	w := bufio.NewWriterSize(f, 1<<20)
	err = walk(url, func(body []byte) error {
		var page struct{ Data []map[string]any }
		if err := json.Unmarshal(body, &page); err != nil {
			return err
		}
		for _, threat := range page.Data {
			line, err := json.Marshal(threat)
			if err != nil {
				return err
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return f.Close()
}
