package source

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimits_OneLimiterForEachTokenOfAHost(t *testing.T) {
	var l Limits
	a := l.get("one.example", "token", 5)
	if l.get("one.example", "token", 2) != a || a.rate.Limit() != 2 {
		t.Errorf("two sources of one token have a limit of %v, want the lower one, shared", a.rate.Limit())
	}
	if l.get("one.example", "token", 9) != a || a.rate.Limit() != 2 {
		t.Errorf("a third one raised the limit to %v", a.rate.Limit())
	}
	if l.get("two.example", "token", 5) == a || l.get("one.example", "other", 5) == a {
		t.Error("another host or token has the same limiter")
	}
}

func TestLimiter_SpacesRequestsAndLetsTheUrgentFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limits
		lim := l.get("h", "t", 5)
		begin := time.Now()
		var mu sync.Mutex
		var order []bool
		var wg sync.WaitGroup
		ask := func(urgent bool, n int) {
			for range n {
				if err := lim.wait(t.Context(), urgent); err != nil {
					t.Error(err)
				}
				mu.Lock()
				order = append(order, urgent)
				mu.Unlock()
			}
		}
		for range 3 {
			wg.Go(func() { ask(false, 5) })
		}
		wg.Go(func() { ask(true, 10) }) // without a pause between them, so the others wait
		wg.Wait()
		if took := time.Since(begin); took < 24*time.Second/5 || took > 31*time.Second/5 {
			t.Errorf("25 requests at five a second took %v", took)
		}
		urgent := 0
		for _, u := range order[:12] {
			if u {
				urgent++
			}
		}
		if urgent < 10 {
			t.Errorf("of the first 12 requests %d are the shared walk's, want all of its 10: %v", urgent, order)
		}
	})
}

func TestLimiter_HoldsEverybodyAndForgetsWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l Limits
		lim := l.get("h", "t", 10)
		lim.hold(time.Now().Add(time.Minute))
		lim.hold(time.Now().Add(time.Second)) // an earlier end changes nothing
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := lim.wait(ctx, true); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("held, and passed: %v", err)
		}
		begin := time.Now()
		if err := lim.wait(t.Context(), false); err != nil || time.Since(begin) != 50*time.Second {
			t.Errorf("passed after %v, %v; want what is left of the minute, though an urgent one waited and left", time.Since(begin), err)
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := lim.wait(stopped, true); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped, and passed: %v", err)
		}
	})
}
