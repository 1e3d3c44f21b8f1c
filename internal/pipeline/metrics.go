package pipeline

import (
	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the pipeline's, by sink and source.
type Metrics struct {
	delivered, left, repeated, superseded, dead, retries, refused, shrunk, unseen, fell *prometheus.CounterVec
	saves, saveErrors                                                                   *prometheus.CounterVec
	queueEvents, queueBytes, held, behind, frontier, saved                              *prometheus.GaugeVec
	freshness                                                                           *prometheus.HistogramVec
	lastWalk, buffered                                                                  *prometheus.GaugeVec
	walks, walkErrors                                                                   *prometheus.CounterVec
}

// NewMetrics registers them.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	byLine, bySource := []string{"sink", "source"}, []string{"source"}
	counter := func(name, help string, labels []string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "s1stream_" + name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string, labels []string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "s1stream_" + name, Help: help}, labels)
		reg.MustRegister(v)
		return v
	}
	m := &Metrics{
		delivered:   counter("line_delivered_total", "Events that the destination took.", byLine),
		left:        counter("line_left_out_total", "Events that the sink's choice left out; they count as dealt with.", byLine),
		repeated:    counter("line_repeated_total", "Events written again because the outcome of an earlier write is not known.", byLine),
		superseded:  counter("line_superseded_total", "Refused events replaced by a newer version of their threat.", byLine),
		dead:        counter("line_dead_letters_total", "Events put into the dead-letter file.", byLine),
		retries:     counter("line_retries_total", "Writes that failed and were tried again.", byLine),
		refused:     counter("line_refused_total", "Times the destination refused an event.", byLine),
		shrunk:      counter("line_shrunk_total", "Events shrunk to the sink's size limit.", byLine),
		unseen:      counter("line_seen_full_total", "Events that the full seen-set took no note of; they may be repeated.", byLine),
		fell:        counter("line_fell_behind_total", "Times the line left the shared feed.", byLine),
		saves:       counter("checkpoint_saves_total", "Checkpoints saved.", byLine),
		saveErrors:  counter("checkpoint_errors_total", "Checkpoints that could not be saved.", byLine),
		queueEvents: gauge("line_queue_events", "Events in the line's queue.", byLine),
		queueBytes:  gauge("line_queue_bytes", "Bytes in the line's queue.", byLine),
		held:        gauge("line_held_events", "Refused events that wait for proof that the destination takes others.", byLine),
		behind:      gauge("line_behind", "1 while the line reads the console on its own, 0 while it is live.", byLine),
		frontier:    gauge("line_frontier_timestamp_seconds", "Moment before which everything was dealt with.", byLine),
		saved:       gauge("checkpoint_saved_timestamp_seconds", "When the checkpoint was last saved.", byLine),
		lastWalk:    gauge("source_last_walk_timestamp_seconds", "When the shared walk was last completed.", bySource),
		buffered:    gauge("source_buffer_events", "Events in the shared feed's channel.", bySource),
		walks:       counter("source_walks_total", "Walks completed.", bySource),
		walkErrors:  counter("source_walk_errors_total", "Walks that ended early.", bySource),
		freshness: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "s1stream_line_freshness_seconds",
			Help:    "Time from a threat's updatedAt to the destination's ack.",
			Buckets: []float64{0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400},
		}, byLine),
	}
	reg.MustRegister(m.freshness)
	return m
}

// lineMetrics is one line's share.
type lineMetrics struct {
	delivered, left, repeated, superseded, dead, retries, refused, shrunk, unseen, fell prometheus.Counter
	saves, saveErrors                                                                   prometheus.Counter
	queueEvents, queueBytes, held, behind, frontier, saved                              prometheus.Gauge
	freshness                                                                           prometheus.Observer
}

func (m *Metrics) line(sink, source string) lineMetrics {
	return lineMetrics{
		delivered:   m.delivered.WithLabelValues(sink, source),
		left:        m.left.WithLabelValues(sink, source),
		repeated:    m.repeated.WithLabelValues(sink, source),
		superseded:  m.superseded.WithLabelValues(sink, source),
		dead:        m.dead.WithLabelValues(sink, source),
		retries:     m.retries.WithLabelValues(sink, source),
		refused:     m.refused.WithLabelValues(sink, source),
		shrunk:      m.shrunk.WithLabelValues(sink, source),
		unseen:      m.unseen.WithLabelValues(sink, source),
		fell:        m.fell.WithLabelValues(sink, source),
		saves:       m.saves.WithLabelValues(sink, source),
		saveErrors:  m.saveErrors.WithLabelValues(sink, source),
		queueEvents: m.queueEvents.WithLabelValues(sink, source),
		queueBytes:  m.queueBytes.WithLabelValues(sink, source),
		held:        m.held.WithLabelValues(sink, source),
		behind:      m.behind.WithLabelValues(sink, source),
		frontier:    m.frontier.WithLabelValues(sink, source),
		saved:       m.saved.WithLabelValues(sink, source),
		freshness:   m.freshness.WithLabelValues(sink, source),
	}
}
