package sink

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"s1stream/internal/testpeer"
)

func TestKafka_WritesKeyHeadersTimeAndBytes(t *testing.T) {
	for stamp, want := range map[string]time.Time{"now": {}, "updated_at": time.Date(2026, 3, 4, 5, 6, 7, 890_000_000, time.UTC)} {
		t.Run(stamp, func(t *testing.T) {
			c, cfg := kafkaFake(t, 3)
			cfg.Timestamp = stamp
			before := time.Now().Truncate(time.Millisecond)
			rec := kafkaTestRecord("42", `{"id":"42","x":"`+"\xff"+`"}`)
			if err := kafkaTestSink(t, cfg, kafkaTestTimes()).Write(t.Context(), []Record{rec}); err != nil {
				t.Fatal(err)
			}
			got := testpeer.KafkaRead(t, c.ListenAddrs()[0], kafkaTestTopic)
			if len(got) != 1 {
				t.Fatalf("%d records", len(got))
			}
			m := got[0]
			if string(m.Key) != "42" || !bytes.Equal(m.Value, rec.Body) {
				t.Errorf("key %q value %q", m.Key, m.Value)
			}
			headers := []kafka.Header{
				{Key: "s1-version", Value: []byte(rec.Event.Version.String())}, {Key: "s1-id", Value: []byte("42")},
				{Key: "s1-updated-at", Value: []byte("2026-03-04T05:06:07.890123Z")}, {Key: "s1-source", Value: []byte("emea")},
				{Key: "content-type", Value: []byte("application/json")},
			}
			if d := cmp.Diff(headers, m.Headers); d != "" {
				t.Error(d)
			}
			if want.IsZero() && (m.Time.Before(before) || m.Time.After(time.Now())) || !want.IsZero() && !m.Time.Equal(want) {
				t.Errorf("record time %v, want %v", m.Time, want)
			}
		})
	}
}

// The zero value of kafka.Writer asks for no acks: what a broker refuses would count as delivered.
func TestKafka_AsksEveryReplicaForItsAck(t *testing.T) {
	c, cfg := kafkaFake(t, 1)
	var acks atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		acks.Store(int32(req.(*kmsg.ProduceRequest).Acks))
		return nil, nil, false
	})
	kafkaRefuse(c, func(int32, []byte) int16 { return int16(kafka.NotEnoughReplicas) })
	err := kafkaTestSink(t, cfg, kafkaTestTimes()).Write(t.Context(), kafkaTestRecords(1))
	kafkaPassingError(t, err)
	if acks.Load() != -1 {
		t.Errorf("acks %d, want -1 (all)", acks.Load())
	}
}

// kafka-go waits a second for a fuller batch by default.
func TestKafka_DoesNotWaitForMoreRecords(t *testing.T) {
	_, cfg := kafkaFake(t, 1)
	k := kafkaTestSink(t, cfg, kafkaTestTimes())
	start := time.Now()
	for _, r := range kafkaTestRecords(5) {
		if err := k.Write(t.Context(), []Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("5 records, one by one, took %v", took)
	}
}

// One record over the Writer's limit voids a whole call of kafka-go.
func TestKafka_AnOversizeRecordIsRefusedAlone(t *testing.T) {
	c, cfg := kafkaFake(t, 1)
	k := kafkaTestSink(t, cfg, kafkaTestTimes())
	records := kafkaTestRecords(3)
	records[1].Body = bytes.Repeat([]byte("x"), kafkaMaxRecord)
	kafkaWantRefused(t, k.Write(t.Context(), records), 1)
	if d := cmp.Diff([]string{`{"n":0}`, `{"n":2}`}, kafkaBodies(t, c)); d != "" {
		t.Error(d)
	}
	kafkaWantRefused(t, k.Write(t.Context(), records[1:2]), 0)
}

// A broker refuses a batch as a whole: its error says nothing of the other records there.
func TestKafka_FindsTheRecordForWhichABatchIsRefused(t *testing.T) {
	for _, code := range []int16{int16(kafka.MessageSizeTooLarge), 87, int16(kafka.InvalidMessage), int16(kafka.InvalidTimestamp)} {
		t.Run(kafka.Error(code).Error(), func(t *testing.T) {
			c, cfg := kafkaFake(t, 3)
			kafkaRefuse(c, func(_ int32, records []byte) int16 {
				if bytes.Contains(records, []byte("poison")) {
					return code
				}
				return 0
			})
			records := kafkaTestRecords(100)
			records[13].Body, records[77].Body = []byte("poison-13"), []byte("poison-77")
			kafkaWantRefused(t, kafkaTestSink(t, cfg, kafkaTestTimes()).Write(t.Context(), records), 13, 77)
			got := kafkaBodies(t, c)
			slices.Sort(got)
			if len(slices.Compact(got)) != 98 {
				t.Errorf("%d of the 98 others are stored", len(got))
			}
		})
	}
}

// kafka.WriteErrors has no Unwrap: errors.As does not see the codes in it, nor which record they belong to.
func TestKafka_NamesTheRecordsOfAFailedPartition(t *testing.T) {
	c, cfg := kafkaFake(t, 3)
	kafkaRefuse(c, func(partition int32, _ []byte) int16 {
		if partition == 1 {
			return int16(kafka.NotEnoughReplicas)
		}
		return 0
	})
	records := kafkaTestRecords(50)
	err := kafkaTestSink(t, cfg, kafkaTestTimes()).Write(t.Context(), records)
	var batch *BatchError
	if !errors.As(err, &batch) {
		t.Fatalf("the error is %v, want a BatchError", err)
	}
	want := map[string]bool{}
	for _, r := range records {
		want[string(r.Body)] = true
	}
	for _, b := range kafkaBodies(t, c) {
		delete(want, b)
	}
	for _, f := range batch.Failed {
		kafkaPassingError(t, f.Err)
		if body := string(records[f.Index].Body); !want[body] {
			t.Errorf("%s is said to have failed, but is stored", body)
		} else {
			delete(want, body)
		}
	}
	if len(want) > 0 || len(batch.Failed) == 0 {
		t.Errorf("%d records failed; %d that are not stored are said to be taken", len(batch.Failed), len(want))
	}
}

func TestKafka_FaultsThatAnOperatorMendsAreDenied(t *testing.T) {
	for code, remedy := range map[kafka.Error]string{
		kafka.TopicAuthorizationFailed: "grant", kafka.ClusterAuthorizationFailed: "grant",
		kafka.UnknownTopicOrPartition: "create the topic", kafka.UnsupportedCompressionType: "choose another",
	} {
		t.Run(code.Title(), func(t *testing.T) {
			c, cfg := kafkaFake(t, 1)
			kafkaRefuse(c, func(int32, []byte) int16 { return int16(code) })
			err := kafkaTestSink(t, cfg, kafkaTestTimes()).Write(t.Context(), kafkaTestRecords(3))
			var denied *DeniedError
			if !errors.As(err, &denied) || !strings.Contains(err.Error(), remedy) {
				t.Errorf("the error is %v, want it denied, with the remedy %q", err, remedy)
			}
		})
	}
}

// A broker that restarts does not know its topics for a moment.
func TestKafka_ATopicUnknownRightAfterAnAckMayComeBack(t *testing.T) {
	c, cfg := kafkaFake(t, 1)
	k := kafkaTestSink(t, cfg, kafkaTestTimes())
	if err := k.Write(t.Context(), kafkaTestRecords(1)); err != nil {
		t.Fatal(err)
	}
	kafkaRefuse(c, func(int32, []byte) int16 { return int16(kafka.UnknownTopicOrPartition) })
	kafkaPassingError(t, k.Write(t.Context(), kafkaTestRecords(1)))
	k.lastAck = time.Now().Add(-kafkaSettling)
	err := k.Write(t.Context(), kafkaTestRecords(1))
	if denied := new(DeniedError); !errors.As(err, &denied) {
		t.Errorf("a topic that stays unknown: %v, want it denied", err)
	}
}

// An ack that is lost makes a repeat, never a loss.
func TestKafka_ALostAckRepeatsTheRecord(t *testing.T) {
	faults := &kafkaFaults{}
	c, cfg := kafkaFake(t, 1, kfake.ListenFn(faults.listen))
	k := kafkaTestSink(t, cfg, kafkaTestTimes())
	rec := kafkaTestRecords(1)
	ctx, cancel := context.WithCancel(t.Context())
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.DropControl()
		faults.mute.Store(true) // the record is stored, its answer is lost
		cancel()
		return nil, nil, false
	})
	kafkaPassingError(t, k.Write(ctx, rec))
	faults.mute.Store(false)
	kafkaEventually(t, k, rec)
	if d := cmp.Diff([]string{`{"n":0}`, `{"n":0}`}, kafkaBodies(t, c)); d != "" {
		t.Error(d)
	}
}
