package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"s1stream/internal/safe"
)

// kafkaTimes holds every bound, so that tests can be quick.
type kafkaTimes struct {
	dial       time.Duration // to connect; again for TLS and for each step of SASL
	write      time.Duration // for the answer to one produce request
	idle       time.Duration // a connection not used for this long is closed
	metadata   time.Duration // longest age of the cluster's layout, and longest wait for it
	backoffMin time.Duration
	backoffMax time.Duration
	attempts   int           // tries of a batch within one Write, for an election or a broken idle connection
	whole      time.Duration // one Write, whatever happens
	closing    time.Duration // waiting for kafka-go to end, and once more after its connections are cut
	asking     time.Duration // between two requests for a token, while there is none
}

func kafkaUsualTimes() kafkaTimes {
	return kafkaTimes{
		dial:       5 * time.Second,
		write:      10 * time.Second,
		idle:       30 * time.Second,
		metadata:   2 * time.Second,
		backoffMin: 100 * time.Millisecond,
		backoffMax: 500 * time.Millisecond,
		attempts:   3,
		whole:      40 * time.Second, // more than attempts × (write + 1 s), so that it is rare
		closing:    2500 * time.Millisecond,
		asking:     5 * time.Second,
	}
}

// kafkaClient is a Writer with a Transport and connections of its own: what is thrown away after a timeout.
type kafkaClient struct {
	writer    *kafka.Writer
	transport *kafka.Transport
	guard     *kafkaGuard
	born      time.Time
}

// kafkaClientID is what brokers' logs and quotas know s1stream by.
const kafkaClientID = "s1stream"

// newKafkaTransport leaves TLS and SASL to the guard.
func newKafkaTransport(cfg *KafkaConfig, mechanism sasl.Mechanism, topic string, t kafkaTimes, dialed func()) (*kafka.Transport, *kafkaGuard, error) {
	g, err := newKafkaGuard(cfg, mechanism, t, dialed)
	if err != nil {
		return nil, nil, err
	}
	tr := &kafka.Transport{
		Dial:           g.dial,
		DialTimeout:    t.dial,
		IdleTimeout:    t.idle,
		MetadataTTL:    t.metadata,
		MetadataTopics: []string{topic},
		ClientID:       kafkaClientID,
		Context:        g.ctx,
	}
	if mechanism != nil { // each of its steps has t.dial
		tr.DialTimeout = 4 * t.dial
	}
	return tr, g, nil
}

func newKafkaClient(cfg *KafkaConfig, mechanism sasl.Mechanism, topic string, limit int, t kafkaTimes, d Deps) (*kafkaClient, error) {
	tr, g, err := newKafkaTransport(cfg, mechanism, topic, t, d.Connected)
	if err != nil {
		return nil, err
	}
	codec, _ := kafkaCompression(cfg.Compression)
	return &kafkaClient{transport: tr, guard: g, born: time.Now(), writer: &kafka.Writer{
		Addr:         kafka.TCP(cfg.Brokers...),
		Topic:        topic,
		Transport:    tr,
		RequiredAcks: kafka.RequireAll, // the zero value means that a broker's refusal counts as delivered
		Async:        false,
		Balancer:     kafka.Murmur2Balancer{}, // as Java's clients do: one key, one partition
		Compression:  codec,
		BatchSize:    500,
		BatchBytes:   int64(limit),
		// A call puts all its records into batches before any of them can be sent, so waiting for more only
		// costs time: a second by default.
		BatchTimeout:           time.Microsecond,
		MaxAttempts:            t.attempts,
		WriteBackoffMin:        t.backoffMin,
		WriteBackoffMax:        t.backoffMax,
		ReadTimeout:            t.write,
		WriteTimeout:           t.write,
		AllowAutoTopicCreation: false,
		ErrorLogger: kafka.LoggerFunc(func(format string, args ...any) {
			if d.Log.Enabled(context.Background(), slog.LevelDebug) {
				d.Log.Debug("kafka client error", "text", safe.Text(fmt.Sprintf(format, args...)))
			}
		}),
	}}, nil
}

// write is WriteMessages, with its panic made an error: metadata without a partition divides by zero there.
func (c *kafkaClient) write(ctx context.Context, msgs []kafka.Message) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("kafka client panicked (%v): does the topic have partitions?", p)
		}
	}()
	return c.writer.WriteMessages(ctx, msgs...)
}

// abandon makes sure that nothing of an unfinished call is sent any more, then waits for its goroutines, which
// hold the records' bytes until then.
func (c *kafkaClient) abandon(limit time.Duration) error {
	c.guard.cut(true)
	return c.close(limit)
}

// close must not run beside a write: kafka-go's Close can then wait for ever. Close waits out the retries of
// what is pending, without a bound of its own, so it runs aside and is cut short.
func (c *kafkaClient) close(limit time.Duration) error {
	done := make(chan error, 1)
	go func() { done <- c.writer.Close() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		c.transport.CloseIdleConnections()
		c.guard.cut(false)
		return err
	case <-timer.C:
	}
	c.transport.CloseIdleConnections()
	c.guard.cut(true)
	timer.Reset(limit)
	select { // without connections each try fails at once, so this is soon
	case <-done:
		return errors.New("close kafka connections: cut, since a batch was still under way")
	case <-timer.C:
		return errors.New("close kafka connections: the client library does not end; its connections are closed")
	}
}
