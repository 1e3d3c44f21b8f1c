package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// kafkaSettling is for how long after an ack a topic that a broker does not know is taken for a broker that
// restarts and has not read the cluster's metadata yet, rather than for a topic that is gone.
const kafkaSettling = 30 * time.Second

// kafkaLasting is how long without an ack makes a client worth replacing, whatever the brokers answer: kafka-go
// keeps the cluster's last known layout for as long as it can't read a new one.
const kafkaLasting = 2 * time.Minute

// Kafka writes each record under its threat's id, so that all versions of a threat are in one partition, in the
// order they were written. nil from Write means that every in-sync replica has the record (acks=all).
//
// There is no idempotent producer in kafka-go: a record whose answer was lost is written again, and readers tell
// by the header s1-version.
type Kafka struct {
	cfg   KafkaConfig
	deps  Deps
	topic string
	own   []kafka.Header // of the headers table
	limit int            // bytes of one record, as Kafka counts them
	times kafkaTimes

	closed atomic.Bool
	cancel atomic.Pointer[context.CancelFunc] // ends the Write that Close finds under way

	mu      sync.Mutex // held by Write and Close: kafka-go must not be closed beside a write
	client  *kafkaClient
	tokens  *kafkaTokens // of OAUTHBEARER; they outlive a client
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
	return &Kafka{cfg: cfg, deps: d, topic: topic, own: cfg.ownHeaders(), limit: kafkaRecordLimit(d.MaxMessageBytes), times: t}, nil
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

	if err := k.prepare(ctx); err != nil {
		return err
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

// prepare makes sure that there is a client, and that its sessions last: between two Writes no batch is under way, so
// one whose sessions are about to end is replaced without anybody noticing.
func (k *Kafka) prepare(ctx context.Context) error {
	if k.client != nil && !k.client.guard.ending() {
		return nil
	}
	var err error
	if k.tokens == nil && k.cfg.SASL.Mechanism == kafkaBearerName {
		k.tokens, err = newKafkaTokens(&k.cfg, k.times, k.deps)
	}
	if err == nil && k.tokens != nil { // got here, where its failure can be told as it is
		_, err = k.tokens.get(ctx)
	}
	switch {
	case err != nil && k.client == nil:
		return err
	case err != nil: // the sessions last a little longer; after that, the next connection says why
		return nil
	}
	if k.client != nil {
		k.deps.Log.Debug("kafka sessions renewed")
		if err := k.client.close(k.times.closing); err != nil {
			k.deps.Log.Warn("kafka client replaced", "err", err)
		}
		k.client = nil
	}
	k.client, err = newKafkaClient(&k.cfg, k.cfg.mechanism(k.tokens), k.topic, k.limit, k.times, k.deps)
	return err
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
	defer k.tokens.close()
	c := k.client
	k.client = nil
	if c == nil {
		return nil
	}
	return c.close(k.times.closing)
}
