package sink_test

import (
	"bytes"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"s1stream/sink"
	"s1stream/sink/sinktest"
)

const (
	kafkaSuiteTopic      = "sentinelone.threats"
	kafkaSuitePartitions = 3
	kafkaSuitePassword   = "CANARYPASSWORD"
)

// kafkaPeer is a broker whose network the suite can break, and a reader that comes by another way.
type kafkaPeer struct {
	l       *sinktest.Listener
	readers []*kafka.Conn

	mu       sync.Mutex
	next     []int64 // by partition
	received []sinktest.Received
	refuse   map[string]bool
	deny     bool
}

func startKafkaPeer(t *testing.T) *kafkaPeer {
	t.Helper()
	l, err := sinktest.Listen()
	if err != nil {
		t.Fatal(err)
	}
	p := &kafkaPeer{l: l, next: make([]int64, kafkaSuitePartitions), refuse: map[string]bool{}}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(kafkaSuitePartitions, kafkaSuiteTopic),
		kfake.EnableSASL(), kfake.Superuser("PLAIN", "u", kafkaSuitePassword),
		kfake.ListenFn(func(string, string) (net.Listener, error) { return l, nil }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Set(sinktest.Flow)
		for _, r := range p.readers {
			_ = r.Close()
		}
		c.Close()
	})
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		return p.judge(req.(*kmsg.ProduceRequest))
	})
	dialer := &kafka.Dialer{
		SASLMechanism: plain.Mechanism{Username: "u", Password: kafkaSuitePassword},
		DialFunc: (&net.Dialer{
			LocalAddr: &net.TCPAddr{IP: net.ParseIP(sinktest.Observer)},
		}).DialContext,
	}
	for n := range kafkaSuitePartitions {
		r, err := dialer.DialPartition(t.Context(), "tcp", "", kafka.Partition{Topic: kafkaSuiteTopic, ID: n,
			Leader: kafka.Broker{Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}})
		if err != nil {
			t.Fatal(err)
		}
		p.readers = append(p.readers, r)
	}
	return p
}

// judge answers a produce request with an error for the batches that the test wants refused.
func (p *kafkaPeer) judge(req *kmsg.ProduceRequest) (kmsg.Response, error, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := req.Topics[0].Partitions[0] // kafka-go sends one batch a request
	code := int16(0)
	for id := range p.refuse {
		if bytes.Contains(part.Records, []byte(id)) {
			code = 87 // INVALID_RECORD: of a whole batch
		}
	}
	if p.deny {
		code = 29 // TOPIC_AUTHORIZATION_FAILED
	}
	if code == 0 {
		return nil, nil, false
	}
	res := req.ResponseKind().(*kmsg.ProduceResponse)
	rt := kmsg.NewProduceResponseTopic()
	rt.Topic, rt.TopicID = req.Topics[0].Topic, req.Topics[0].TopicID
	rp := kmsg.NewProduceResponseTopicPartition()
	rp.Partition, rp.ErrorCode = part.Partition, code
	rt.Partitions = append(rt.Partitions, rp)
	res.Topics = append(res.Topics, rt)
	return res, nil, true
}

// read fetches what is new in every partition.
func (p *kafkaPeer) read(t *testing.T) []sinktest.Received {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for n, r := range p.readers {
		_ = r.SetDeadline(time.Now().Add(10 * time.Second))
		end, err := r.ReadLastOffset()
		if err != nil {
			t.Fatal(err)
		}
		for p.next[n] < end {
			if _, err := r.Seek(p.next[n], kafka.SeekAbsolute); err != nil {
				t.Fatal(err)
			}
			batch := r.ReadBatchWith(kafka.ReadBatchConfig{MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 100 * time.Millisecond})
			for p.next[n] < end {
				m, err := batch.ReadMessage()
				if err != nil {
					break // the batch has ended; the next one begins where it did
				}
				rec := sinktest.Received{ID: string(m.Key), Body: m.Value}
				for _, h := range m.Headers {
					if h.Key == "s1-version" {
						rec.Version = string(h.Value)
					}
				}
				p.received = append(p.received, rec)
				p.next[n] = m.Offset + 1
			}
			_ = batch.Close()
		}
	}
	return append([]sinktest.Received(nil), p.received...)
}

func TestKafka_PassesTheSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Subject{
		Grade: sink.Acknowledged,
		Start: func(t *testing.T) *sinktest.Rig {
			p := startKafkaPeer(t)
			cfg := sink.DefaultKafka()
			cfg.Brokers = []string{p.l.Addr().String()}
			cfg.Compression = "none" // so that the peer can look into a batch
			cfg.SASL = sink.KafkaSASL{Mechanism: "PLAIN", Username: "u", Password: kafkaSuitePassword}
			return &sinktest.Rig{
				Config:   cfg,
				Received: func() []sinktest.Received { return p.read(t) },
				Net:      p.l,
				Refuse: func(ids ...string) {
					p.mu.Lock()
					defer p.mu.Unlock()
					for _, id := range ids {
						p.refuse[id] = true
					}
				},
				Deny: func(on bool) {
					p.mu.Lock()
					defer p.mu.Unlock()
					p.deny = on
				},
				Secrets: []string{kafkaSuitePassword},
			}
		},
	})
}
