package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/event"
)

// TestQueue_IsAQueueWithinItsBounds compares random pushes and pops with a plain list.
func TestQueue_IsAQueueWithinItsBounds(t *testing.T) {
	for seed := range uint64(20) {
		luck := rand.New(rand.NewPCG(seed, 1))
		q := queue{maxEvents: 1 + luck.IntN(3000), maxBytes: 1000 + luck.IntN(1_000_000)}
		on := []*seat{{}, {}}
		var model []entry
		events, bytes := 0, 0
		for i := range 20_000 {
			switch n := luck.IntN(10); {
			case n < 5:
				e := &event.Event{ID: fmt.Sprint(i), Raw: make([]byte, luck.IntN(500))}
				full := events > 0 && (events >= q.maxEvents || bytes+e.Size() > q.maxBytes)
				if q.full(e.Size()) != full {
					t.Fatalf("full: %v, want %v", !full, full)
				}
				if !full {
					q.push(e)
					model = append(model, entry{ev: e})
					events, bytes = events+1, bytes+e.Size()
				}
			case n < 6:
				m := mark{frontier: time.Unix(int64(i), 0), seat: on[luck.IntN(2)]}
				if k := len(model); k > 0 && model[k-1].ev == nil && model[k-1].mark.seat == m.seat {
					model[k-1].mark = m
				} else {
					model = append(model, entry{mark: m})
				}
				q.pushMark(m)
			case n < 7 && luck.IntN(2000) == 0:
				q.drop()
				model, events, bytes = nil, 0, 0
			default:
				for range luck.IntN(3) {
					e := q.peek()
					if (e == nil) != (len(model) == 0) || e != nil && *e != model[0] {
						t.Fatalf("seed %d: head %v", seed, e)
					}
					if e == nil {
						break
					}
					if e.ev != nil {
						events, bytes = events-1, bytes-e.ev.Size()
					}
					q.pop()
					model = model[1:]
				}
			}
			if q.events != events || q.bytes != bytes {
				t.Fatalf("seed %d: %d events of %d bytes, want %d of %d", seed, q.events, q.bytes, events, bytes)
			}
			if len(q.entries) > 3*len(model)+2100 {
				t.Fatalf("seed %d: %d entries kept for %d", seed, len(q.entries), len(model))
			}
		}
	}
}

func TestQueue_LetsThroughAloneWhatIsLargerThanItsBound(t *testing.T) {
	q := queue{maxEvents: 10, maxBytes: 100}
	huge := &event.Event{Raw: make([]byte, 1000)}
	if q.full(huge.Size()) {
		t.Error("an empty queue refuses it for ever")
	}
	q.push(huge)
	if !q.full(1) {
		t.Error("another one fits beside it")
	}
}

func TestBudget_BoundsBytesAndLetsTheLargeThroughAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := budget{max: 100, freed: make(chan struct{}, 1)}
		ctx, stop := context.WithCancel(context.Background())
		took := make(chan int, 10)
		done := make(chan error)
		go func() {
			for _, n := range []int{60, 40, 1000, 10} {
				if err := b.take(ctx, n); err != nil {
					done <- err
					return
				}
				took <- n
			}
			done <- nil
		}()
		is := func(n int) {
			t.Helper()
			synctest.Wait()
			if len(took) != n {
				t.Errorf("%d taken, want %d", len(took), n)
			}
		}
		is(2)
		b.give(60)
		is(2) // the large one waits for the other too
		b.give(40)
		is(3)
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("ended with %v", err)
		}
	})
}
