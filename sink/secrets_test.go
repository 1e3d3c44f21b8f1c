package sink

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"s1stream/internal/safe"
)

// A destination that denies is tried each minute, and its secrets are read again each time: a file that has gone is said once.
func TestSinks_SayOnceThatSecretsCannotBeReadAgain(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(srv.Close)
	file := filepath.Join(t.TempDir(), "secret")
	hook, hec, cluster := DefaultHTTP(), DefaultSplunk(), DefaultElastic()
	hook.URL, hook.Auth = safe.Secret(srv.URL), HTTPAuth{Type: "bearer", TokenFile: file}
	hec.URL, hec.TokenFile = srv.URL, file
	cluster.URLs, cluster.Target, cluster.Auth = []string{srv.URL}, "threats", ElasticAuth{Type: "api_key", APIKeyFile: file}
	for _, cfg := range []Config{hook, hec, cluster} {
		write := func() {
			if err := os.WriteFile(file, []byte("kept secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		write()
		var log bytes.Buffer
		s, err := cfg.New(Deps{Name: "siem", Source: "emea", Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		for spell := range 2 {
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
			for range 4 {
				if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != "denied" {
					t.Fatal(err)
				}
			}
			if n := strings.Count(log.String(), "can't read secrets again"); n != spell+1 {
				t.Errorf("%T: said %d times in %d spells:\n%s", cfg, n, spell+1, log.String())
			}
			write()
			_ = s.Write(t.Context(), httpTestRecords(1, 10)) // it is read
		}
	}
}
