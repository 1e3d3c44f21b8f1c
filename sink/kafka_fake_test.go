package sink

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"s1stream/internal/event"
	"s1stream/internal/testpeer"
)

const kafkaTestTopic = "sentinelone.threats"

// kafkaTestTimes are the usual ones, a twentieth of them.
func kafkaTestTimes() kafkaTimes {
	return kafkaTimes{
		dial: 250 * time.Millisecond, write: 500 * time.Millisecond, idle: time.Second,
		metadata: 100 * time.Millisecond, backoffMin: 5 * time.Millisecond, backoffMax: 25 * time.Millisecond,
		attempts: 3, whole: 3 * time.Second, closing: time.Second, asking: 250 * time.Millisecond,
	}
}

func kafkaTestConfig(brokers ...string) KafkaConfig {
	c := DefaultKafka()
	c.Brokers = brokers
	return *c
}

func kafkaTestSink(t *testing.T, cfg KafkaConfig, times kafkaTimes) *Kafka {
	t.Helper()
	k, err := newKafka(cfg, Deps{Name: "siem", Source: "emea", Host: "console.example.com"}, times)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return k
}

func kafkaTestRecord(id, body string) Record {
	at := time.Date(2026, 3, 4, 5, 6, 7, 890_123_000, time.UTC)
	return Record{Body: []byte(body), Event: &event.Event{
		Raw: []byte(body), ID: id, UpdatedAt: at, Source: "emea", Version: event.NewVersion("console.example.com", id, "u", []byte(body)),
	}}
}

func kafkaTestRecords(n int) []Record {
	var out []Record
	for i := range n {
		out = append(out, kafkaTestRecord(fmt.Sprintf("id-%d", i), fmt.Sprintf(`{"n":%d}`, i)))
	}
	return out
}

func kafkaFake(t *testing.T, partitions int, opts ...kfake.Opt) (*kfake.Cluster, KafkaConfig) {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(int32(partitions), kafkaTestTopic)}, opts...) //nolint:gosec // small
	c, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	cfg := kafkaTestConfig(c.ListenAddrs()...)
	cfg.Compression = "none" // so that a test can look into a request
	return c, cfg
}

func kafkaBodies(t *testing.T, c *kfake.Cluster) []string {
	t.Helper()
	var out []string
	for _, m := range testpeer.KafkaRead(t, c.ListenAddrs()[0], kafkaTestTopic) {
		out = append(out, string(m.Value))
	}
	return out
}

// kafkaRefuse answers each batch for which blame says so with a code, and lets the others be stored. A request of
// kafka-go holds one batch.
func kafkaRefuse(c *kfake.Cluster, blame func(partition int32, records []byte) int16) {
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		part := p.Topics[0].Partitions[0]
		code := blame(part.Partition, part.Records)
		if code == 0 {
			return nil, nil, false
		}
		res := p.ResponseKind().(*kmsg.ProduceResponse)
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic, rt.TopicID = p.Topics[0].Topic, p.Topics[0].TopicID
		rp := kmsg.NewProduceResponseTopicPartition()
		rp.Partition, rp.ErrorCode = part.Partition, code
		rt.Partitions = append(rt.Partitions, rp)
		res.Topics = append(res.Topics, rt)
		return res, nil, true
	})
}

// kafkaEventually writes until the sink takes it, as a line would, and returns the errors before.
func kafkaEventually(t *testing.T, k *Kafka, records []Record) (errs []error) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := k.Write(t.Context(), records)
		if err == nil {
			return errs
		}
		if errs = append(errs, err); time.Now().After(end) {
			t.Fatalf("not taken after 30 s: %v", err)
		}
	}
}

func kafkaPassingError(t *testing.T, err error) {
	t.Helper()
	var d *DeniedError
	var r *RefusedError
	if err == nil || errors.As(err, &d) || errors.As(err, &r) {
		t.Errorf("the error is %v, want one that is tried again soon", err)
	}
}

// kafkaControlMetadata rewrites a one-partition topic's metadata on its way to the client.
func kafkaControlMetadata(c *kfake.Cluster, change func(*kmsg.MetadataResponse)) {
	addr := strings.Split(c.ListenAddrs()[0], ":")
	var port int32
	_, _ = fmt.Sscan(addr[1], &port)
	c.ControlKey(int16(kmsg.Metadata), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		res := req.ResponseKind().(*kmsg.MetadataResponse)
		b := kmsg.NewMetadataResponseBroker()
		b.NodeID, b.Host, b.Port = 0, addr[0], port
		res.Brokers = append(res.Brokers, b)
		topic := kmsg.NewMetadataResponseTopic()
		topic.Topic = kmsg.StringPtr(kafkaTestTopic)
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Replicas, p.ISR = []int32{0}, []int32{0}
		topic.Partitions = append(topic.Partitions, p)
		res.Topics = append(res.Topics, topic)
		change(res)
		return res, nil, true
	})
}

// kafkaWantRefused checks that exactly these records are refused for good, and none failed.
func kafkaWantRefused(t *testing.T, err error, want ...int) {
	t.Helper()
	var batch *BatchError
	if !errors.As(err, &batch) {
		t.Fatalf("the error is %v, want a BatchError", err)
	}
	var got []int
	for _, f := range batch.Failed {
		var r *RefusedError
		if !errors.As(f.Err, &r) {
			t.Errorf("record %d failed: %v, want it refused", f.Index, f.Err)
		}
		got = append(got, f.Index)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("refused records:\n%s", d)
	}
}

// kafkaListen accepts connections on loopback, and leaves them alone.
func kafkaListen(t *testing.T) (addr string, accept <-chan net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ch := make(chan net.Conn, 100)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			ch <- c
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
		for len(ch) > 0 {
			_ = (<-ch).Close()
		}
	})
	return l.Addr().String(), ch
}

// kafkaFaults is a listener for kfake whose network can fail.
type kafkaFaults struct {
	net.Listener
	accepted      atomic.Int32
	closeAccepted atomic.Int32 // the number of the connection that is closed at once; 0 for none
	mute          atomic.Bool  // answers are lost
}

func (f *kafkaFaults) listen(network, address string) (_ net.Listener, err error) {
	f.Listener, err = net.Listen(network, address)
	return f, err
}

func (f *kafkaFaults) Accept() (net.Conn, error) {
	c, err := f.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if f.accepted.Add(1) == f.closeAccepted.Load() {
		_, _ = c.Read(make([]byte, 64<<10)) // with data unread it would be a reset, not an end
		_ = c.Close()
	}
	return kafkaFaultyConn{c, f}, nil
}

type kafkaFaultyConn struct {
	net.Conn
	faults *kafkaFaults
}

func (c kafkaFaultyConn) Write(p []byte) (int, error) {
	if c.faults.mute.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// kafkaLog keeps what is logged, of every level.
type kafkaLog struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *kafkaLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *kafkaLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *kafkaLog) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}
