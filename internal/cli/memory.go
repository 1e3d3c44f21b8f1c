package cli

import (
	"runtime/debug"
	"strings"

	"s1stream/internal/config"
)

// What a run takes beside its queues: the program itself, and for each console the page that is being read,
// compressed and not, and the shared channel.
const (
	memoryBase   = 32 << 20
	memorySource = 24 << 20
)

// limitMemory gives the garbage collector a soft limit that fits the configuration, so that a backfill into a slow
// sink takes what the queues are allowed, not twice as much. GOMEMLIMIT in the environment decides instead.
func limitMemory(cfg *config.Config, env []string) {
	for _, e := range env {
		if strings.HasPrefix(e, "GOMEMLIMIT=") {
			return
		}
	}
	limit := int64(memoryBase)
	for range cfg.Sources {
		limit += memorySource
	}
	for _, l := range linesOf(cfg) {
		limit += int64(l.sink.Line.QueueBytes) + 2*int64(l.sink.Line.BatchBytes)
	}
	debug.SetMemoryLimit(limit)
}
