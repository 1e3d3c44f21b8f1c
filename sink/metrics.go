package sink

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what only a sink can see. A nil *Metrics counts nothing.
type Metrics struct {
	reconnects *prometheus.CounterVec
	resent     *prometheus.CounterVec
}

// NewMetrics registers the sinks' counters.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	m := &Metrics{
		reconnects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "s1stream_sink_connects_total",
			Help: "Connections opened to the destination, by sink and source.",
		}, []string{"sink", "source"}),
		resent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "s1stream_sink_resent_total",
			Help: "Records sent again because a connection broke soon after they were written, by sink and source.",
		}, []string{"sink", "source"}),
	}
	reg.MustRegister(m.reconnects, m.resent)
	return m
}

// Connected counts one connection opened.
func (d Deps) Connected() {
	if d.Metrics != nil {
		d.Metrics.reconnects.WithLabelValues(d.Name, d.Source).Inc()
	}
}

// Resent counts records sent again after a break.
func (d Deps) Resent(n int) {
	if d.Metrics != nil {
		d.Metrics.resent.WithLabelValues(d.Name, d.Source).Add(float64(n))
	}
}
