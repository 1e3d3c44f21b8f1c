package sink

import (
	"context"
	"errors"
	"testing"
	"time"

	"s1stream/internal/testpeer"
)

func kafkaBrokerHangs(t *testing.T, b *testpeer.Kafka) {
	cfg := kafkaTestConfig(b.Plain)
	cfg.Topic = "hangs"
	b.CreateTopic(t, cfg.Topic, 1)
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	kafkaEventually(t, k, kafkaTestRecords(1))
	b.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	start := time.Now()
	kafkaPassingError(t, k.Write(ctx, kafkaTestRecords(2)))
	if took := time.Since(start); took > 6*time.Second {
		t.Errorf("Write took %v, a second after its context", took)
	}
	b.Cont(t)
	kafkaEventually(t, k, kafkaTestRecords(3))
	kafkaWantStored(t, b, cfg.Topic, kafkaTestRecords(3))
}

func kafkaBrokerDies(t *testing.T, b *testpeer.Kafka) {
	cfg := kafkaTestConfig(b.Plain)
	cfg.Topic = "dies"
	b.CreateTopic(t, cfg.Topic, 3)
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	records := kafkaTestRecords(3000)
	halfway, back := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(back)
		<-halfway
		b.Kill()
	}()
	failed := 0
	for i := 0; i < len(records); i += 10 {
		if i == 1000 {
			close(halfway)
		}
		for err := k.Write(t.Context(), records[i:i+10]); err != nil; err = k.Write(t.Context(), records[i:i+10]) {
			kafkaPassing := new(DeniedError)
			if errors.As(err, &kafkaPassing) {
				t.Fatalf("a broker that is down is not an operator's fault: %v", err)
			}
			if failed++; failed == 1 {
				<-back
				b.Restart(t)
			} else if failed > 200 {
				t.Fatalf("it does not recover: %v", err)
			}
			time.Sleep(50 * time.Millisecond) // a line waits longer
		}
	}
	if failed == 0 {
		t.Error("the broker was gone, and no write failed")
	}
	kafkaWantStored(t, b, cfg.Topic, records)
}

// kafkaWantStored checks that every record is in the topic, in any number.
func kafkaWantStored(t *testing.T, b *testpeer.Kafka, topic string, records []Record) {
	t.Helper()
	missing := map[string]bool{}
	for _, r := range records {
		missing[string(r.Body)] = true
	}
	for _, m := range b.ReadAll(t, topic) {
		delete(missing, string(m.Value))
	}
	if len(missing) > 0 {
		t.Errorf("%d acknowledged records are missing", len(missing))
	}
}
