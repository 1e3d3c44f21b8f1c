package source

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"

	"s1stream/internal/console"
)

// benchPage is a page of 1,000 threats of some 5 KB, as the console sends it.
func benchPage(b *testing.B) []byte {
	b.Helper()
	c := console.New(console.Config{Seed: 1})
	c.Store.Fill(1000, moment.Add(-24*time.Hour), moment)
	q := url.Values{"limit": {"1000"}, "sortBy": {"updatedAt"}, "sortOrder": {"asc"}}
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, "https://console.example"+ThreatsPath+"?"+q.Encode(), http.NoBody)
	if err != nil {
		b.Fatal(err)
	}
	res, err := c.Transport().RoundTrip(r)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		b.Fatal(res.Status, err)
	}
	return body
}

// BenchmarkSplit validates and splits a page, and names every version on it.
func BenchmarkSplit(b *testing.B) {
	body := benchPage(b)
	p := splitter{host: "console.example", source: "main"}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if events, _, err := p.split(body, moment); err != nil || len(events) != 1000 {
			b.Fatal(len(events), err)
		}
		p.high = time.Time{}
	}
}

// BenchmarkSplitStdlib does as much of it as one would with encoding/json, without versions.
func BenchmarkSplitStdlib(b *testing.B) {
	body := benchPage(b)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		var page struct {
			Data       []json.RawMessage
			Pagination struct{ NextCursor *string }
			Errors     []json.RawMessage
		}
		if err := json.Unmarshal(body, &page); err != nil || len(page.Data) != 1000 {
			b.Fatal(len(page.Data), err)
		}
		for _, raw := range page.Data {
			var th struct {
				ID         string
				ThreatInfo struct{ UpdatedAt, CreatedAt time.Time }
			}
			if err := json.Unmarshal(raw, &th); err != nil || th.ID == "" {
				b.Fatal(fmt.Errorf("%q: %w", th.ID, err))
			}
		}
	}
}

// BenchmarkGunzip is what comes before either: the page read through the page buffer, as it comes compressed.
func BenchmarkGunzip(b *testing.B) {
	body := benchPage(b)
	zip := zipped(b, body)
	var buf pageBuffer
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if got, err := readBody(&buf, "gzip", bytes.NewReader(zip), maxPage); err != nil || len(got) != len(body) {
			b.Fatal(len(got), err)
		}
	}
}
