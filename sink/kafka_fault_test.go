package sink

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"s1stream/internal/testpeer"
)

// kafka-go clears its deadline before SASL: one stalled handshake would hold its discovery for ever.
func TestKafka_GoesOnAfterAStalledSASLHandshake(t *testing.T) {
	for _, key := range []int16{int16(kmsg.SASLHandshake), int16(kmsg.SASLAuthenticate)} {
		t.Run(kmsg.NameForKey(key), func(t *testing.T) {
			c, cfg := kafkaFake(t, 1, kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "u", "p"))
			cfg.SASL = KafkaSASL{Mechanism: "SCRAM-SHA-512", Username: "u", Password: "p"}
			c.ControlKey(key, func(kmsg.Request) (kmsg.Response, error, bool) { return nil, nil, true }) // once: no answer
			k := kafkaTestSink(t, cfg, kafkaTestTimes())
			start := time.Now()
			kafkaPassingError(t, k.Write(t.Context(), kafkaTestRecords(1)))
			if took := time.Since(start); took > kafkaTestTimes().whole/2 {
				t.Errorf("the handshake was given up after %v, by the bound of a whole Write", took)
			}
			kafkaEventually(t, k, kafkaTestRecords(1))
		})
	}
}

// A broker that restarts behind TLS ends a connection with a plain EOF, which kafka-go does not try again.
func TestKafka_SaysThatABrokenTLSConnectionMayBeTriedAgain(t *testing.T) {
	certs := testpeer.NewCerts(t)
	pair, err := tls.LoadX509KeyPair(certs.Server.Cert, certs.Server.Key)
	if err != nil {
		t.Fatal(err)
	}
	faults := &kafkaFaults{}
	c, cfg := kafkaFake(t, 1, kfake.ListenFn(faults.listen), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	var stored atomic.Int32
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { stored.Add(1); return nil, nil, false })
	cfg.TLS.CAFile = certs.CA
	k := kafkaTestSink(t, cfg, kafkaTestTimes())
	faults.closeAccepted.Store(2) // the first connection reads metadata
	kafkaPassingError(t, k.Write(t.Context(), kafkaTestRecords(1)))
	if n := faults.accepted.Load(); n != 2 {
		t.Errorf("%d connections: kafka-go tries again by itself now, and this test shows nothing", n)
	}
	kafkaEventually(t, k, kafkaTestRecords(1))
	if stored.Load() != 1 {
		t.Errorf("%d produce requests, want 1", stored.Load())
	}
}

func TestKafka_AnExpiredCertificateSaysSo(t *testing.T) {
	certs := testpeer.NewCerts(t)
	leaf, err := certs.Authority.Leaf("expired", -time.Minute, "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(leaf.Cert, leaf.Key)
	if err != nil {
		t.Fatal(err)
	}
	_, cfg := kafkaFake(t, 1, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	cfg.TLS.CAFile = certs.CA
	err = kafkaTestSink(t, cfg, kafkaTestTimes()).Write(t.Context(), kafkaTestRecords(1))
	if denied := new(DeniedError); !errors.As(err, &denied) || !strings.Contains(err.Error(), "renew") {
		t.Errorf("the error is %v", err)
	}
}

func TestKafka_WaitsOutAnElection(t *testing.T) {
	c, cfg := kafkaFake(t, 1)
	var election atomic.Bool
	election.Store(true)
	kafkaControlMetadata(c, func(res *kmsg.MetadataResponse) {
		if election.Load() {
			res.Topics[0].Partitions[0].Leader = -1
			res.Topics[0].Partitions[0].ErrorCode = int16(kafka.LeaderNotAvailable)
		}
	})
	k := kafkaTestSink(t, cfg, kafkaTestTimes())
	kafkaPassingError(t, k.Write(t.Context(), kafkaTestRecords(1)))
	election.Store(false)
	kafkaEventually(t, k, kafkaTestRecords(1))
}

// kafka-go divides by the number of partitions.
func TestKafka_SurvivesATopicWithoutPartitions(t *testing.T) {
	c, cfg := kafkaFake(t, 1)
	var empty atomic.Bool
	empty.Store(true)
	kafkaControlMetadata(c, func(res *kmsg.MetadataResponse) {
		if empty.Load() {
			res.Topics[0].Partitions = nil
		}
	})
	k := kafkaTestSink(t, cfg, kafkaTestTimes())
	kafkaPassingError(t, k.Write(t.Context(), kafkaTestRecords(1)))
	empty.Store(false)
	kafkaEventually(t, k, kafkaTestRecords(1))
}

// kafka-go goes on with a batch whose caller has left: its next try would store an old version behind a newer one.
func TestKafka_ATimedOutCallDoesNotLandLater(t *testing.T) {
	c, cfg := kafkaFake(t, 1)
	times := kafkaTestTimes()
	k := kafkaTestSink(t, cfg, times)
	old, newer := kafkaTestRecord("1", "old"), kafkaTestRecord("1", "newer")
	if err := k.Write(t.Context(), []Record{kafkaTestRecord("1", "first")}); err != nil {
		t.Fatal(err)
	}
	late := make(chan string, 10)
	var swallowed atomic.Bool
	c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if bytes.Contains(req.(*kmsg.ProduceRequest).Topics[0].Partitions[0].Records, []byte("old")) {
			if swallowed.Swap(true) {
				late <- "old"
				return nil, nil, false
			}
			return nil, nil, true // no answer
		}
		return nil, nil, false
	})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := k.Write(ctx, []Record{old}); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the call that got no answer: %v", err)
	}
	if err := k.Write(t.Context(), []Record{newer}); err != nil {
		t.Fatal(err)
	}
	select { // that something does not happen can only be waited for
	case <-late:
		t.Error("the abandoned call was sent again")
	case <-time.After(times.write + 200*time.Millisecond):
	}
	if d := cmp.Diff([]string{"first", "newer"}, kafkaBodies(t, c)); d != "" {
		t.Error(d)
	}
}

// Nor do bytes that a hung broker has not read yet: they are taken out of the kernel's buffer.
func TestKafkaGuard_CutThrowsAwayWhatWasNotRead(t *testing.T) {
	l, accept := kafkaListen(t)
	cfg := kafkaTestConfig(l)
	g, err := newKafkaGuard(&cfg, nil, kafkaTestTimes(), func() {})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := g.dial(t.Context(), "tcp", l)
	if err != nil {
		t.Fatal(err)
	}
	peer := <-accept
	defer func() { _ = peer.Close() }()
	sent := 0
	for buf := make([]byte, 64<<10); ; { // until both kernels' buffers are full
		n, err := conn.Write(buf)
		sent += n
		if err != nil {
			break
		}
	}
	g.cut(true)
	if _, err := g.dial(t.Context(), "tcp", l); err == nil {
		t.Error("a guard that was cut dials again")
	}
	got := 0
	_ = peer.SetReadDeadline(time.Now().Add(5 * time.Second))
	buf := make([]byte, 64<<10)
	for {
		n, err := peer.Read(buf)
		got += n
		if err != nil {
			break
		}
	}
	if got >= sent {
		t.Errorf("the peer read all %d bytes after the cut", sent)
	}
}

// Close of kafka-go beside a write can wait for ever, and has no bound of its own.
func TestKafka_CloseEndsAWriteThatHangs(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	c, cfg := kafkaFake(t, 1)
	sent := make(chan struct{}, 10)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		sent <- struct{}{}
		return nil, nil, true
	})
	times := kafkaTestTimes()
	times.write, times.whole = 5*time.Second, 6*time.Second
	k := kafkaTestSink(t, cfg, times)
	done := make(chan error, 1)
	go func() { done <- k.Write(context.Background(), kafkaTestRecords(1)) }()
	<-sent
	start := time.Now()
	if err := k.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if took := time.Since(start); took > 2*times.closing {
		t.Errorf("Close took %v", took)
	}
	kafkaPassingError(t, <-done)
	if err := k.Write(t.Context(), kafkaTestRecords(1)); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("a closed sink, asked to write, says %v", err)
	}
	c.Close()
	goleak.VerifyNone(t, ignore)
}

func TestKafka_AWriteIsBoundedByItself(t *testing.T) {
	c, cfg := kafkaFake(t, 1)
	c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) { c.KeepControl(); return nil, nil, true })
	times := kafkaTestTimes()
	times.write, times.whole = time.Minute, 300*time.Millisecond
	start := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	kafkaPassingError(t, kafkaTestSink(t, cfg, times).Write(ctx, kafkaTestRecords(1)))
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Write took %v", took)
	}
}

func TestKafka_ReplacesAClientThatGotNoAnswer(t *testing.T) {
	l, accept := kafkaListen(t) // accepts and never answers
	k := kafkaTestSink(t, kafkaTestConfig(l), kafkaTestTimes())
	kafkaPassingError(t, k.Write(t.Context(), kafkaTestRecords(1)))
	if k.client != nil {
		t.Error("the client is kept")
	}
	_ = (<-accept).Close()
}
