package source

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what the sources do, by source.
type Metrics struct {
	requests  *prometheus.CounterVec
	throttled *prometheus.CounterVec
	pages     *prometheus.CounterVec
	badPages  *prometheus.CounterVec
	threats   *prometheus.CounterVec
	unordered *prometheus.CounterVec
	byValue   *prometheus.CounterVec
	skew      *prometheus.GaugeVec
	pageSize  *prometheus.GaugeVec
}

// NewMetrics registers the sources' metrics.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "s1stream_source_" + name, Help: help}, append([]string{"source"}, labels...))
		reg.MustRegister(v)
		return v
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "s1stream_source_" + name, Help: help}, []string{"source"})
		reg.MustRegister(v)
		return v
	}
	return &Metrics{
		requests:  counter("requests_total", "Requests to the console by HTTP status; \"error\" where no answer came.", "status"),
		throttled: counter("throttled_total", "Answers that said to slow down (429)."),
		pages:     counter("pages_total", "Pages read whole and found valid."),
		badPages:  counter("bad_pages_total", "Pages that were cut off, malformed or no answer of the API."),
		threats:   counter("read_total", "Threats read, those read again included."),
		unordered: counter("unordered_total", "Threats that the console gave behind a newer one."),
		byValue:   counter("cursor_restarts_total", "Times a walk went on by value because a cursor was refused, repeated or led to a page that stayed bad."),
		skew:      gauge("clock_skew_seconds", "The console's clock less ours, to the second."),
		pageSize:  gauge("page_size_threats", "Page size asked for at present."),
	}
}

// sourceMetrics is one source's share.
type sourceMetrics struct {
	requests                                                *prometheus.CounterVec
	throttled, pages, badPages, threats, unordered, byValue prometheus.Counter
	skew, pageSize                                          prometheus.Gauge
}

func (m *Metrics) of(source string) sourceMetrics {
	s := sourceMetrics{
		requests:  m.requests.MustCurryWith(prometheus.Labels{"source": source}),
		throttled: m.throttled.WithLabelValues(source),
		pages:     m.pages.WithLabelValues(source),
		badPages:  m.badPages.WithLabelValues(source),
		threats:   m.threats.WithLabelValues(source),
		unordered: m.unordered.WithLabelValues(source),
		byValue:   m.byValue.WithLabelValues(source),
		skew:      m.skew.WithLabelValues(source),
		pageSize:  m.pageSize.WithLabelValues(source),
	}
	s.status("200")
	s.status("429")
	s.status("error")
	return s
}

func (s sourceMetrics) status(code string) prometheus.Counter {
	return s.requests.WithLabelValues(code)
}

func (s sourceMetrics) answered(code int) { s.status(strconv.Itoa(code)).Inc() }
