package console

import (
	"context"
	"testing"
	"time"
)

// A rate that no machine keeps up with must not keep a stop from being heard.
func TestLiving_EndsInTheMiddleOfAFloodOfBirths(t *testing.T) {
	c := New(Config{Seed: 1, Tiny: true})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { // waited for below
		defer close(done)
		c.Living(ctx, 1e12, 1e12)
	}()
	for len(c.Store.IDs()) == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("goes on")
	}
}
