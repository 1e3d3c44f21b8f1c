package source

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// silent takes a request and never answers.
type silent struct{}

func (silent) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestReady_OnlyOnceAPageWasReadAndNeverLongWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, silent{})
		if got := strings.Join(r.ready.Reasons(), "\n"); !strings.Contains(got, "nothing was read yet") {
			t.Errorf("before the first page: %q", got)
		}
		ctx, cancel := context.WithTimeout(t.Context(), slowAnswer+time.Second)
		defer cancel()
		_, _ = r.read(ctx, ago(time.Hour)) // it ends with ctx
		if got := strings.Join(r.ready.Reasons(), "\n"); !strings.Contains(got, "slow to answer") {
			t.Errorf("without an answer for %s: %q", slowAnswer, got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, script(good("null")))
		if _, err := r.read(t.Context(), ago(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := r.ready.Reasons(); len(got) > 0 {
			t.Errorf("after a good page: %q", got)
		}
	})
}
