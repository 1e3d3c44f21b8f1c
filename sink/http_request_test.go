package sink

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHTTP_DividesABatchAmongFewRequestsWithinTheLimit(t *testing.T) {
	for _, tt := range []struct {
		name        string
		body        string
		n, size     int
		limit       int
		most, least int
	}{
		{"500 events of 2 KB", "ndjson", 500, 2000, 0, 4, 4},
		{"a small batch stays one", "ndjson", 20, 100, 0, 1, 1},
		{"array", "array", 500, 2000, 0, 4, 4},
		{"the limit bounds a request", "array", 50, 2000, 5000, 25, 25},
		{"a record as large as the limit goes alone", "ndjson", 3, 4970, 5000, 3, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sizes []int
			var mu sync.Mutex
			s := httpTestSink(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				mu.Lock()
				defer mu.Unlock()
				sizes = append(sizes, len(b))
			}), func(c *HTTPConfig) { c.Body = tt.body })
			if tt.limit > 0 {
				s.maxBody = tt.limit
			}
			if err := s.Write(t.Context(), httpTestRecords(tt.n, tt.size)); err != nil {
				t.Fatal(err)
			}
			if len(sizes) > tt.most || len(sizes) < tt.least {
				t.Errorf("%d requests, want %d to %d", len(sizes), tt.least, tt.most)
			}
			for _, n := range sizes {
				if n > s.maxBody {
					t.Errorf("a request of %d bytes, over the limit of %d", n, s.maxBody)
				}
			}
		})
	}
	for _, body := range []string{"single", "array", "ndjson", "cloudevents", "cloudevents-batch", "cloudevents-binary"} { // a record of MaxBytes makes a body of the limit
		cfg := HTTPConfig{Body: body}
		h := &HTTP{cfg: cfg}
		if got := len(h.body([]Record{{Body: make([]byte, cfg.MaxBytes(1000))}})); got != 1000 {
			t.Errorf("%s: the largest record makes a body of %d bytes, want 1000", body, got)
		}
	}
}

func TestHTTP_KeysAreTheVersionOrTheHashOfVersions(t *testing.T) {
	for _, body := range httpBodies {
		var mu sync.Mutex
		keys := map[string]int{}
		s := httpTestSink(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			keys[r.Header.Get("Idempotency-Key")]++
		}), func(c *HTTPConfig) { c.Body = body })
		records := httpTestRecords(2, 10)
		want := map[string]int{}
		if body != "array" && body != "ndjson" && body != "cloudevents-batch" {
			want[records[0].Event.Version.String()], want[records[1].Event.Version.String()] = 2, 2
		} else {
			sum := sha256.Sum256(append(bytes.Clone(records[0].Event.Version[:]), records[1].Event.Version[:]...))
			want[hex.EncodeToString(sum[:])] = 2
		}
		for range 2 {
			if err := s.Write(t.Context(), records); err != nil {
				t.Fatal(err)
			}
		}
		if d := cmp.Diff(want, keys); d != "" {
			t.Errorf("%s: keys (-want +got):\n%s", body, d)
		}
	}
}
