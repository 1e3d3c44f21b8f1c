package sink

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"

	"s1stream/sink/format"
)

// kafkaSettling is for how long after an ack a topic that a broker does not know is taken for a broker that
// restarts and has not read the cluster's metadata yet, rather than for a topic that is gone.
const kafkaSettling = 30 * time.Second

// kafkaLasting is how long without an ack makes a client worth replacing, whatever the brokers answer: kafka-go
// keeps the cluster's last known layout for as long as it can't read a new one.
const kafkaLasting = 2 * time.Minute

// kafkaTimeFormat writes s1-updated-at as the console does: UTC, with microseconds.
const kafkaTimeFormat = "2006-01-02T15:04:05.000000Z"

// Kafka writes each record under its threat's id, so that all versions of a threat are in one partition, in the
// order they were written. nil from Write means that every in-sync replica has the record (acks=all).
//
// There is no idempotent producer in kafka-go: a record whose answer was lost is written again, and readers tell
// by the header s1-version.
type Kafka struct {
	cfg   KafkaConfig
	deps  Deps
	topic string
	limit int // bytes of one record, as Kafka counts them
	times kafkaTimes

	closed atomic.Bool
	cancel atomic.Pointer[context.CancelFunc] // ends the Write that Close finds under way

	mu      sync.Mutex // held by Write and Close: kafka-go must not be closed beside a write
	client  *kafkaClient
	lastAck time.Time
}

var _ Sink = (*Kafka)(nil)

// NewKafka makes the sink without connecting. Files are read when it connects.
func NewKafka(cfg KafkaConfig, d Deps) (*Kafka, error) {
	return newKafka(cfg, d, kafkaUsualTimes())
}

func newKafka(cfg KafkaConfig, d Deps, t kafkaTimes) (*Kafka, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	topic := cfg.topicFor(d.Source)
	if !kafkaTopicName(topic) {
		return nil, fmt.Errorf("topic: %q is not a name that Kafka allows", topic)
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	return &Kafka{cfg: cfg, deps: d, topic: topic, limit: kafkaRecordLimit(d.MaxMessageBytes), times: t}, nil
}

// Grade implements Sink.
func (k *Kafka) Grade() Grade { return Acknowledged }

// Write implements Sink. It ends within 40 s, plus a little, whatever ctx says; a broker that hangs takes 30 s.
// A record over the limit is refused without being sent. Where the broker refuses a batch without saying for
// which record, its halves are sent again until the guilty ones stand alone.
func (k *Kafka) Write(ctx context.Context, records []Record) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := ctx.Err(); err != nil || len(records) == 0 {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, k.times.whole)
	defer cancel()
	k.cancel.Store(&cancel)
	if k.closed.Load() { // looked at after the store, as Close looks the other way round: one of them sees the other
		return errors.New("write to kafka: the sink is closed")
	}

	if k.client == nil {
		c, err := newKafkaClient(&k.cfg, k.topic, k.limit, k.times, k.deps)
		if err != nil {
			return err
		}
		k.client = c
	}
	msgs, results := k.messages(records)
	known, err := k.deliver(ctx, msgs, results)
	if err != nil && k.doubtful(err) {
		k.abandon()
	}
	if !known {
		return k.patient(kafkaClassify(k.topic, err))
	}
	return k.conclude(results)
}

// messages encodes records for kafka-go. A record that is too large gets its result at once: kafka-go would void
// the whole call for it.
func (k *Kafka) messages(records []Record) ([]kafka.Message, []error) {
	const perRecord = 5
	msgs := make([]kafka.Message, len(records))
	results := make([]error, len(records))
	headers := make([]kafka.Header, 0, perRecord*len(records))
	source, contentType := []byte(k.deps.Source), []byte(cmp.Or(k.deps.ContentType, format.JSONType))
	now := time.Now()
	for i, r := range records {
		ev := r.Event
		id := []byte(ev.ID)
		from := len(headers)
		headers = append(headers,
			kafka.Header{Key: "s1-version", Value: []byte(ev.Version.String())},
			kafka.Header{Key: "s1-id", Value: id},
			kafka.Header{Key: "s1-updated-at", Value: ev.UpdatedAt.UTC().AppendFormat(nil, kafkaTimeFormat)},
			kafka.Header{Key: "s1-source", Value: source},
			kafka.Header{Key: "content-type", Value: contentType},
		)
		at := now
		if k.cfg.Timestamp == "updated_at" {
			at = ev.UpdatedAt
		}
		msgs[i] = kafka.Message{Key: id, Value: r.Body, Headers: headers[from:len(headers):len(headers)], Time: at}
		if n := kafkaSize(&msgs[i]); n > k.limit {
			results[i] = &RefusedError{Err: fmt.Errorf("the record has %d bytes with key and headers, over the limit of %d", n, k.limit)}
		}
	}
	return msgs, results
}

// kafkaSize is at least what kafka-go compares with BatchBytes, which is more than a record takes on the wire.
func kafkaSize(m *kafka.Message) int {
	n := 32 + len(m.Key) + len(m.Value)
	for _, h := range m.Headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// deliver sends the messages that have no result yet, and sets their results: nil for taken. An error is that of
// a call of which nothing is known. With known, the results hold all the same.
func (k *Kafka) deliver(ctx context.Context, msgs []kafka.Message, results []error) (known bool, err error) {
	var all []int
	for i := range msgs {
		if results[i] == nil {
			all = append(all, i)
		}
	}
	// Each turn but the first sends half of what the broker refused as a whole, so it ends after at most twice
	// as many turns as there are messages, or with ctx.
	first := true
	for todo := [][]int{all}; len(todo) > 0; first = false {
		part := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if len(part) == 0 {
			continue
		}
		send := make([]kafka.Message, len(part))
		for j, i := range part {
			send[j] = msgs[i]
		}
		err := k.client.write(ctx, send)
		var each kafka.WriteErrors // by value, aligned with the call's messages; it has no Unwrap
		switch {
		case err == nil:
			for _, i := range part {
				results[i] = nil
			}
		case errors.As(err, &each) && len(each) == len(part):
			suspects := k.blame(part, each, results)
			half := len(suspects) / 2
			todo = append(todo, suspects[half:], suspects[:half])
		case first:
			return false, err
		default:
			// What is still to do keeps the error it has, which blames no record for good.
			return true, err
		}
	}
	return true, nil
}

// blame notes what became of each message of a call, and returns those which the broker refused in company: all
// messages of a partition's batch share its error, so one bad record makes its neighbours look bad.
func (k *Kafka) blame(part []int, each kafka.WriteErrors, results []error) (suspects []int) {
	for j, i := range part {
		if each[j] == nil {
			results[i] = nil
			continue
		}
		results[i] = kafkaClassify(k.topic, each[j])
		var refused *RefusedError
		if len(part) > 1 && errors.As(results[i], &refused) {
			results[i] = fmt.Errorf("refused together with others: %w", refused.Err)
			suspects = append(suspects, i)
		}
	}
	return suspects
}

// conclude turns the results into Write's answer.
func (k *Kafka) conclude(results []error) error {
	batch := &BatchError{}
	var worst error // of those that refuse no record: denied before passing, then the first
	refused := false
	for i, err := range results {
		if err == nil {
			continue
		}
		err = k.patient(err)
		batch.Failed = append(batch.Failed, RecordError{Index: i, Err: err})
		var r *RefusedError
		var d, w *DeniedError
		switch {
		case errors.As(err, &r):
			refused = true
		case worst == nil, errors.As(err, &d) && !errors.As(worst, &w):
			worst = err
		}
	}
	if len(batch.Failed) < len(results) {
		k.lastAck = time.Now()
	}
	switch {
	case len(batch.Failed) == 0:
		return nil
	case len(batch.Failed) == len(results) && !refused:
		if k.client != nil && k.doubtful(worst) {
			k.abandon()
		}
		return worst
	}
	return batch
}

// doubtful reports whether a client should be replaced after an error. One that timed out must be, for its batch
// may still be sent behind newer ones; one that got no broker's answer may be, at little cost. Of a broker's
// answers only refused credentials count, which kafka-go remembers, and any that last.
func (k *Kafka) doubtful(err error) bool {
	var code kafka.Error
	if !errors.As(err, &code) {
		return true
	}
	switch code {
	case kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState:
		return true
	}
	return time.Since(k.client.born) > kafkaLasting && time.Since(k.lastAck) > kafkaLasting
}

// abandon gives the client up: the next Write makes a new one, once this one's connections are closed.
func (k *Kafka) abandon() {
	c := k.client
	k.client = nil
	if err := c.abandon(k.times.closing); err != nil {
		k.deps.Log.Warn("kafka client abandoned", "err", err)
	}
}

// patient turns "unknown topic" into a passing failure shortly after an ack.
func (k *Kafka) patient(err error) error {
	var denied *DeniedError
	if errors.As(err, &denied) && errors.Is(err, kafka.UnknownTopicOrPartition) && time.Since(k.lastAck) < kafkaSettling {
		return denied.Err
	}
	return err
}

// Close implements Sink. As a rule it takes no time, 5 s at most, and 5 s more where it has to end a Write first.
func (k *Kafka) Close() error {
	k.closed.Store(true)
	if cancel := k.cancel.Load(); cancel != nil {
		(*cancel)()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.client
	k.client = nil
	if c == nil {
		return nil
	}
	return c.close(k.times.closing)
}
