package source

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits holds one limiter for each token: all walks of a token share it. The zero value works.
type Limits struct {
	mu      sync.Mutex
	byToken map[[sha256.Size]byte]*limiter
}

// get returns the token's limiter. The lowest rate asked for any source of the token counts.
func (l *Limits) get(host, token string, perSecond float64) *limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := sha256.Sum256([]byte(host + "\x00" + token))
	if have := l.byToken[key]; have != nil {
		have.slower(perSecond)
		return have
	}
	if l.byToken == nil {
		l.byToken = map[[sha256.Size]byte]*limiter{}
	}
	lim := &limiter{rate: rate.NewLimiter(rate.Limit(perSecond), 1)}
	l.byToken[key] = lim
	return lim
}

// limiter spaces the requests of one token. The shared walk goes first, and a 429 holds everybody.
type limiter struct {
	mu     sync.Mutex
	rate   *rate.Limiter
	held   time.Time // nobody asks before this
	urgent int       // shared walks that wait
}

func (l *limiter) slower(perSecond float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if rate.Limit(perSecond) < l.rate.Limit() {
		l.rate.SetLimit(rate.Limit(perSecond))
	}
}

// hold keeps all requests back until t.
func (l *limiter) hold(t time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t.After(l.held) {
		l.held = t
	}
}

// wait blocks until a request may be sent. An urgent one goes before those that are not.
func (l *limiter) wait(ctx context.Context, urgent bool) error {
	if urgent {
		l.mu.Lock()
		l.urgent++
		l.mu.Unlock()
		defer func() {
			l.mu.Lock()
			l.urgent--
			l.mu.Unlock()
		}()
	}
	for {
		d := l.delay(urgent)
		if d <= 0 {
			return ctx.Err()
		}
		if err := sleep(ctx, d); err != nil {
			return err
		}
	}
}

// delay takes a place and returns 0, or returns how long to wait before trying again.
func (l *limiter) delay(urgent bool) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if d := l.held.Sub(now); d > 0 {
		return d
	}
	interval := time.Duration(float64(time.Second) / float64(l.rate.Limit()))
	if !urgent && l.urgent > 0 {
		return max(interval, time.Millisecond)
	}
	r := l.rate.ReserveN(now, 1)
	d := r.DelayFrom(now)
	if d <= 0 {
		return 0
	}
	r.CancelAt(now)
	return max(d, time.Millisecond)
}

// sleep waits for d; it returns early with ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
