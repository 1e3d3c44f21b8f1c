package source

import (
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/safe"
)

// A token that happens to be part of a header must not change what the console said: only what is shown is cleaned.
func TestToken_ThatStandsInAHeaderDoesNoHarm(t *testing.T) {
	for _, token := range []safe.Secret{"json", "t", "application", "GMT"} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, script(good("null", threat("1", ago(time.Minute)))), func(c *Config) { c.Token = token })
			pages, err := r.read(t.Context(), ago(time.Hour))
			if err != nil || len(pages) != 1 || pages[0].frontier.IsZero() {
				t.Errorf("token %q: %v, %v", token.Reveal(), pages, err)
			}
		})
	}
}
