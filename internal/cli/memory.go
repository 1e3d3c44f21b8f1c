package cli

import (
	"runtime/debug"
	"strings"
)

// gcPercent lets the heap grow by half, not to twice, before garbage is collected: nearly all of it is queued
// events, which cost the collector next to nothing to look at.
const gcPercent = 50

// saveMemory sets the collector, unless the environment has GOGC or GOMEMLIMIT.
func saveMemory(env []string) {
	for _, e := range env {
		if strings.HasPrefix(e, "GOGC=") || strings.HasPrefix(e, "GOMEMLIMIT=") {
			return
		}
	}
	debug.SetGCPercent(gcPercent)
}
