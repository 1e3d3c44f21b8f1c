package testpeer

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// Users that the broker knows.
const (
	KafkaPlainUser     = "alice"
	KafkaPlainPassword = "alice-secret"
	KafkaSCRAMUser     = "bob"
	KafkaSCRAMPassword = "bob-secret"
)

// Kafka is a real Apache Kafka broker, alone in its cluster. It ends with the test that started it.
type Kafka struct {
	Plain string // host:port without TLS or authentication
	SASL  string // SASL_PLAINTEXT with PLAIN, as KafkaPlainUser
	SCRAM string // SASL_SSL with SCRAM-SHA-512, as KafkaSCRAMUser
	MTLS  string // SSL; wants a client certificate of Certs.Authority
	Certs Certs

	t    testing.TB
	java string
	lib  string
	dir  string
	cmd  *exec.Cmd
	log  *kafkaLog
	done chan struct{} // closed when the process has ended
}

// StartKafka starts a broker with topics made by hand, and returns when it takes connections, after 4 s or so.
// extra are lines for its server.properties.
func StartKafka(t testing.TB, extra ...string) *Kafka {
	t.Helper()
	lib := Dir(t, "Apache Kafka", "kafka", "lib")
	java, err := exec.LookPath("java")
	if err != nil {
		Missing(t, "Java")
	}
	k := &Kafka{Certs: NewCerts(t), t: t, java: java, lib: lib, dir: t.TempDir()}
	t.Cleanup(k.end)
	for range 3 { // a port may be taken between its choice and its use
		k.configure(t, extra)
		if err = k.start(t); err == nil {
			return k
		}
	}
	t.Fatalf("start Kafka: %v\n%s", err, k.log.tail())
	return nil
}

// configure writes server.properties for fresh ports and formats the data directory.
func (k *Kafka) configure(t testing.TB, extra []string) {
	t.Helper()
	var port [5]int
	for i := range port {
		port[i] = Port(t)
	}
	addr := func(i int) string { return fmt.Sprintf("127.0.0.1:%d", port[i]) }
	k.Plain, k.SASL, k.SCRAM, k.MTLS = addr(0), addr(1), addr(2), addr(3)

	data := filepath.Join(k.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		t.Fatal(err)
	}
	// Kafka's PEM keystore holds the PKCS #8 key first, then the chain.
	store := filepath.Join(k.dir, "server.pem")
	var pem []byte
	for _, f := range []string{k.Certs.Server.Key, k.Certs.Server.Cert} {
		b, err := os.ReadFile(f) //nolint:gosec // made by this test
		if err != nil {
			t.Fatal(err)
		}
		pem = append(pem, b...)
	}
	listeners := fmt.Sprintf("PLAIN://%s,SASLPLAIN://%s,SCRAM://%s,MTLS://%s", addr(0), addr(1), addr(2), addr(3))
	lines := append([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"controller.quorum.voters=1@" + addr(4),
		"controller.listener.names=CONTROLLER",
		"listeners=" + listeners + ",CONTROLLER://" + addr(4),
		"advertised.listeners=" + listeners,
		"inter.broker.listener.name=PLAIN",
		"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAIN:PLAINTEXT,SASLPLAIN:SASL_PLAINTEXT,SCRAM:SASL_SSL,MTLS:SSL",
		"log.dirs=" + data,
		"offsets.topic.replication.factor=1",
		"offsets.topic.num.partitions=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"auto.create.topics.enable=false",
		// A broker that was killed waits for the end of its own old session: 9 s by default.
		"broker.session.timeout.ms=2000",
		"broker.heartbeat.interval.ms=500",
		"listener.name.saslplain.sasl.enabled.mechanisms=PLAIN",
		"listener.name.saslplain.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required " +
			fmt.Sprintf("user_%s=%q;", KafkaPlainUser, KafkaPlainPassword),
		"listener.name.scram.sasl.enabled.mechanisms=SCRAM-SHA-512",
		"listener.name.scram.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name.scram.ssl.keystore.type=PEM",
		"listener.name.scram.ssl.keystore.location=" + store,
		"listener.name.scram.ssl.client.auth=none",
		"listener.name.mtls.ssl.keystore.type=PEM",
		"listener.name.mtls.ssl.keystore.location=" + store,
		"listener.name.mtls.ssl.truststore.type=PEM",
		"listener.name.mtls.ssl.truststore.location=" + k.Certs.CA,
		"listener.name.mtls.ssl.client.auth=required",
	}, extra...)
	k.write(t, store, pem)
	k.write(t, k.properties(), []byte(strings.Join(lines, "\n")+"\n"))

	var id [16]byte
	_, _ = rand.Read(id[:])
	id[0] &= 0x3f // a cluster id must not begin with "-"
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", filepath.Join(k.lib, "*"), //nolint:gosec // the test's own
		"kafka.tools.StorageTool", "format", "-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", k.properties(),
		"--add-scram", fmt.Sprintf("SCRAM-SHA-512=[name=%s,password=%s]", KafkaSCRAMUser, KafkaSCRAMPassword))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("format Kafka's data directory: %v\n%s", err, out)
	}
}

func (k *Kafka) properties() string { return filepath.Join(k.dir, "server.properties") }

func (k *Kafka) write(t testing.TB, file string, b []byte) {
	t.Helper()
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// start runs the broker until it says that it is ready.
func (k *Kafka) start(t testing.TB) error {
	t.Helper()
	k.log = &kafkaLog{ready: make(chan struct{})}
	k.done = make(chan struct{})
	k.cmd = exec.Command(k.java, "-Xmx512m", "-XX:+UseSerialGC", "-cp", filepath.Join(k.lib, "*"), "kafka.Kafka", k.properties()) //nolint:gosec,noctx // ended by end
	k.cmd.Dir = k.dir
	k.cmd.Stdout, k.cmd.Stderr = k.log, k.log
	endWithParent(k.cmd)
	started := make(chan error)
	go func() { // waited for through done
		defer close(k.done)
		// endWithParent goes by the thread that started the process: keep it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := k.cmd.Start()
		started <- err
		if err == nil {
			_ = k.cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	timer := time.NewTimer(90 * time.Second) // other tests may have the cores
	defer timer.Stop()
	select {
	case <-k.log.ready:
	case <-k.done:
		return fmt.Errorf("it ended: %v", k.cmd.ProcessState)
	case <-timer.C:
		k.Kill()
		return fmt.Errorf("it was not ready after 90 s")
	}
	for _, a := range []string{k.Plain, k.SASL, k.SCRAM, k.MTLS} {
		WaitTCP(t, a, 10*time.Second)
	}
	return nil
}

// Kill ends the broker as a power cut would (SIGKILL), and returns when it is gone.
func (k *Kafka) Kill() {
	if k.cmd != nil && k.cmd.Process != nil {
		_ = k.cmd.Process.Kill()
		<-k.done
	}
}

// Restart starts a broker that was killed again, on its data and its ports. It takes 4 to 7 s.
func (k *Kafka) Restart(t testing.TB) {
	t.Helper()
	if err := k.start(t); err != nil {
		t.Fatalf("restart Kafka: %v\n%s", err, k.log.tail())
	}
}

// Stop makes the broker hang (SIGSTOP): its connections stay, and nothing answers, until Cont.
func (k *Kafka) Stop(t testing.TB) { t.Helper(); k.signal(t, syscall.SIGSTOP) }

// Cont lets a stopped broker go on (SIGCONT).
func (k *Kafka) Cont(t testing.TB) { t.Helper(); k.signal(t, syscall.SIGCONT) }

func (k *Kafka) signal(t testing.TB, s os.Signal) {
	t.Helper()
	if err := k.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

// PID is the broker's process.
func (k *Kafka) PID() int { return k.cmd.Process.Pid }

func (k *Kafka) end() {
	k.Kill()
	if k.t.Failed() && k.log != nil {
		k.t.Logf("the end of Kafka's log:\n%s", k.log.tail())
	}
}

// CreateTopic makes a topic with one replica, unless it is there. config is pairs of key and value.
func (k *Kafka) CreateTopic(t testing.TB, topic string, partitions int, config ...string) {
	t.Helper()
	req := kafka.TopicConfig{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}
	for i := 0; i+1 < len(config); i += 2 {
		req.ConfigEntries = append(req.ConfigEntries, kafka.ConfigEntry{ConfigName: config[i], ConfigValue: config[i+1]})
	}
	tr := &kafka.Transport{}
	defer tr.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(k.Plain), Transport: tr}
	// On a machine that is busy the broker may miss its own heartbeat and count as gone for a moment.
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		res, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{req}})
		cancel()
		if err == nil {
			err = res.Errors[topic]
		}
		if err == nil || errors.Is(err, kafka.TopicAlreadyExists) {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("create topic %s: %v", topic, err)
		}
	}
}

// ReadAll is KafkaRead of this broker.
func (k *Kafka) ReadAll(t testing.TB, topic string) []kafka.Message {
	t.Helper()
	return KafkaRead(t, k.Plain, topic)
}

// KafkaRead returns all that a topic holds now, partition by partition, each in its order. broker takes plain
// connections; it may be a kfake.
func KafkaRead(t testing.TB, broker, topic string) []kafka.Message {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := kafka.DialContext(ctx, "tcp", broker)
	if err != nil {
		t.Fatal(err)
	}
	partitions, err := conn.ReadPartitions(topic)
	_ = conn.Close()
	if err != nil {
		t.Fatal(err)
	}
	var all []kafka.Message
	for _, p := range partitions {
		part, err := kafkaReadPartition(ctx, broker, topic, p.ID)
		if err != nil {
			t.Fatalf("read %s/%d: %v", topic, p.ID, err)
		}
		all = append(all, part...)
	}
	return all
}

func kafkaReadPartition(ctx context.Context, broker, topic string, partition int) (_ []kafka.Message, err error) {
	leader, err := kafka.DialLeader(ctx, "tcp", broker, topic, partition)
	if err != nil {
		return nil, err
	}
	first, last, err := leader.ReadOffsets()
	_ = leader.Close()
	if err != nil || first == last {
		return nil, err
	}
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{broker}, Topic: topic, Partition: partition,
		MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 100 * time.Millisecond,
	})
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	var out []kafka.Message
	for {
		m, err := r.ReadMessage(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
		if m.Offset >= last-1 {
			return out, nil
		}
	}
}
