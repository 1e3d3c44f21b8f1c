// Package console is a SentinelOne console to test and demo against: the contract of the threats endpoint, with
// faults. One implementation serves `s1stream demo` and `simulate` over real HTTP, the benchmarks, and the
// scenario tests in process under a fake clock.
//
// A body is a pure function of a threat's few bytes and of a seed, so a million threats need no 4 GB. As a
// handler a Console starts no goroutine, and only faults make it wait. All its time is time.Now.
package console

import (
	"crypto/subtle"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"s1stream/internal/event"
)

// Config says what a console is like. The zero value is a console with realistic bodies and an open door.
type Config struct {
	// Host is the console's host[:port] as its client is configured, part of every version. Serve sets it
	// where it is empty.
	Host string
	// Token is what Authorization must carry; "" lets everyone in.
	Token string
	// Seed makes bodies and faults come out the same again.
	Seed uint64
	// Tiny makes bodies of about 300 bytes instead of some 5 KB.
	Tiny bool
	// Ledger keeps every version ever visible, about 150 bytes each, so that Truth can count them. Without
	// it Truth knows each threat's last version alone, and not whether it was served.
	Ledger bool
	// CacheBytes bounds the encoded pages that are kept for as long as the store does not change: for
	// benchmarks. A page from the cache repeats its agentRealtimeInfo.
	CacheBytes int64
	Faults     Faults
}

// Console is an http.Handler for GET /web/api/v2.1/threats, /system/status and /system/info. All its methods
// are safe for concurrent use.
type Console struct {
	Store *Store

	seed   uint64
	bodies bodies
	cache  *pageCache
	reads  atomic.Uint64 // counts answers: makes each read's live part and x-rqid differ

	mu    sync.Mutex
	host  string
	token string
	since time.Time // when the faults in force began
	fault Faults
	hook  func(*http.Request) Fault
	rng   *rand.Rand
}

// New returns a console without threats.
func New(cfg Config) *Console {
	c := &Console{
		seed:  cfg.Seed,
		cache: newPageCache(cfg.CacheBytes),
		host:  strings.ToLower(cfg.Host),
		token: cfg.Token,
		since: time.Now(),
		fault: cfg.Faults,
		rng:   rand.New(rand.NewPCG(cfg.Seed, 0x51)), //nolint:gosec // faults must replay
	}
	c.bodies = newRealistic(cfg.Seed)
	if cfg.Tiny {
		c.bodies = tiny{}
	}
	c.Store = newStore(c.bodies, cfg.Ledger)
	return c
}

// SetHost names the host that versions are made with; for a listener whose port is known late.
func (c *Console) SetHost(host string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.host = strings.ToLower(host)
}

// Host returns the host that versions are made with.
func (c *Console) Host() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.host
}

// SetToken revokes the old token and lets in the new one.
func (c *Console) SetToken(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.token = token
}

// SetFaults replaces the faults; their cycles and windows start now.
func (c *Console) SetFaults(f Faults) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fault, c.since = f, time.Now()
}

// SetHook lets hook decide each request's fate, instead of the faults. nil gives it back to them.
func (c *Console) SetHook(hook func(*http.Request) Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = hook
}

// authorized checks "ApiToken <token>"; vendor clients spell the scheme both ways, so its case is free.
func (c *Console) authorized(r *http.Request) bool {
	c.mu.Lock()
	want := c.token
	c.mu.Unlock()
	if want == "" {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.EqualFold(scheme, "ApiToken") &&
		subtle.ConstantTimeCompare([]byte(strings.TrimSpace(token)), []byte(want)) == 1
}

// Version returns the version of t on this console, made as a source makes it: without the value of
// agentRealtimeInfo.
func (c *Console) Version(t Threat) event.Version { return versionOf(c.bodies, c.Host(), &t) }

// Body returns t's JSON as some read would see it.
func (c *Console) Body(t Threat) []byte {
	b, _, _ := c.bodies.append(nil, &t, c.reads.Load())
	return b
}
