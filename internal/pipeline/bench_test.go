package pipeline

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"s1stream/checkpoint"
	"s1stream/internal/event"
	"s1stream/internal/ops"
	"s1stream/sink"
	"s1stream/sink/format"
)

// BenchmarkLedger is what one event costs a line's ledger: asked for twice, queued, taken, dealt with, passed.
func BenchmarkLedger(b *testing.B) {
	events := benchEvents(10_000)
	l := newLedger(checkpoint.State{Frontier: time.Unix(0, 0)})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		e := events[i%len(events)]
		e.UpdatedAt = time.Unix(int64(i), 0)
		if first, second := l.known(e), l.known(e); first || second {
			b.Fatal("known")
		}
		l.queued(e)
		l.taken(e)
		l.dealt(e)
		if i%1000 == 999 {
			l.advance(time.Unix(int64(i-500), 0))
		}
	}
}

// BenchmarkLedgerKnown is what an event costs that was dealt with: what every walk reads again until it settles.
func BenchmarkLedgerKnown(b *testing.B) {
	events := benchEvents(100_000)
	l := newLedger(checkpoint.State{Frontier: time.Unix(0, 0)})
	for _, e := range events {
		l.dealt(e)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if !l.known(events[i%len(events)]) {
			b.Fatal("not known")
		}
	}
}

// BenchmarkFanOut is one event's way from the channel to the ack of each line, whose sinks take no time.
func BenchmarkFanOut(b *testing.B) {
	for _, lines := range []int{1, 3} {
		b.Run(fmt.Sprintf("lines=%d", lines), func(b *testing.B) {
			o := Options{Log: quietLog, Metrics: NewMetrics(prometheus.NewRegistry()), Conditions: &ops.Conditions{}, Patience: time.Hour}
			ctx := context.Background()
			f := benchFeed(&stream{patience: o.Patience, stop: ctx, drain: ctx, met: streamMetrics{buffered: o.Metrics.buffered.WithLabelValues("main")}})
			ended := make(chan error, lines)
			var all []*line
			var seats []*seat
			for i := range lines {
				spec := LineSpec{Sink: fmt.Sprint(i), Config: DefaultLineConfig(), Out: noSink{}, Encode: format.JSON}
				l := newLine(spec, "main", checkpoint.State{Frontier: time.Unix(0, 0)}, o)
				seats = append(seats, l.moveTo(f))
				all = append(all, l)
				go func() { ended <- l.run(ctx, nil) }()
			}
			go f.hand(ctx)
			events := benchEvents(10_000)
			b.ReportAllocs()
			b.ResetTimer()
			if err := f.put(ctx, item{seats: seats}); err != nil {
				b.Fatal(err)
			}
			page := make([]event.Event, 0, 1000)
			for i := 0; b.Loop(); i++ {
				e := *events[i%len(events)]
				e.UpdatedAt = time.Unix(int64(i), 0)
				if page = append(page, e); len(page) == cap(page) {
					if err := f.putAll(ctx, seats, page); err != nil {
						b.Fatal(err)
					}
					if err := f.put(ctx, item{mark: time.Unix(int64(i-500), 0)}); err != nil {
						b.Fatal(err)
					}
					page = page[:0]
				}
			}
			close(f.items)
			<-f.ended
			for _, l := range all {
				l.close()
			}
			for range lines {
				if err := <-ended; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type noSink struct{}

func (noSink) Write(context.Context, []sink.Record) error { return nil }
func (noSink) Grade() sink.Grade                          { return sink.Acknowledged }
func (noSink) Close() error                               { return nil }

func benchEvents(n int) []*event.Event {
	events := make([]*event.Event, n)
	for i := range events {
		events[i] = ev(fmt.Sprint(1_000_000_000_000_000_000+i), i)
		events[i].Raw = append(events[i].Raw, make([]byte, 4000)...)
	}
	return events
}

func benchFeed(s *stream) *feed {
	return &feed{
		stream: s, items: make(chan item, 1000/mostTogether), group: mostTogether, budget: budget{max: channelBytes, freed: make(chan struct{}, 1)},
		room: make(chan struct{}, 1), ended: make(chan struct{}),
	}
}
