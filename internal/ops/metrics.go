package ops

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// NewRegistry returns a registry with what every process tells of itself: Go's runtime, the process, the
// build, and whether it is ready.
func NewRegistry(version string, c *Conditions) *prometheus.Registry {
	reg := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "s1stream_build_info",
		Help:        "The program that runs; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	reg.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		build,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "s1stream_ready",
			Help: "1 while nothing keeps the process from its work, as /readyz says it.",
		}, func() float64 {
			if len(c.Reasons()) > 0 {
				return 0
			}
			return 1
		}),
	)
	return reg
}
