package sink

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl/plain"

	"s1stream/internal/testpeer"
)

// kafkaShipped is a broker that authorizes, and deploy/siem/kafka with Kafka's own tools on its PATH.
type kafkaShipped struct {
	*testpeer.Kafka
	dir  string
	path string
}

func TestKafka_WithWhatIsShippedForIt(t *testing.T) {
	testpeer.Long(t, "starts a JVM")
	tools := testpeer.Dir(t, "Kafka's tools", "judges", "kafka", "lib")
	b := kafkaShipped{
		Kafka: testpeer.StartKafka(t, "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS"),
		dir:   filepath.Join(testpeer.Root(t), "deploy", "siem", "kafka"), path: t.TempDir(),
	}
	for name, class := range map[string]string{"kafka-topics.sh": "TopicCommand", "kafka-acls.sh": "AclCommand"} {
		text := fmt.Sprintf("#!/bin/sh\nexec java -XX:TieredStopAtLevel=1 -cp '%s/*' org.apache.kafka.tools.%s \"$@\"\n", tools, class)
		if err := os.WriteFile(filepath.Join(b.path, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("its topics and ACLs are enough for the sink and nothing more", b.authorize)
	t.Run("its consumer reads each version once", b.consume)
}

// run runs a script, or a tool of Kafka's.
func (b kafkaShipped) run(t *testing.T, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "PATH="+b.path+":"+os.Getenv("PATH"), "REPLICAS=1", "PARTITIONS=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(name), err, out)
	}
}

func (b kafkaShipped) createTopic(t *testing.T, topic, settings string) {
	t.Helper()
	b.run(t, filepath.Join(b.dir, "create-topic"), b.Plain, topic, filepath.Join(b.dir, settings))
}

func (b kafkaShipped) authorize(t *testing.T) {
	const topic, other = "sentinelone.threats", "other"
	b.createTopic(t, topic, "topic-retention.properties")
	b.createTopic(t, topic, "topic-retention.properties") // which is there
	b.createTopic(t, other, "topic-compact.properties")
	cfg := kafkaBrokerWith(b.SASL, func(c *KafkaConfig) { c.Topic, c.SASL = topic, kafkaPlain(testpeer.KafkaPlainPassword) })
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	var denied *DeniedError
	if err := k.Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) {
		t.Fatalf("without an ACL: %v; want a *DeniedError", err)
	}

	producer := "User:" + testpeer.KafkaPlainUser
	b.run(t, filepath.Join(b.dir, "create-acls"), b.Plain, topic, producer, "User:"+testpeer.KafkaSCRAMUser, "siem")
	records := kafkaTestRecords(100)
	kafkaEventually(t, k, records)
	if got := b.ReadAll(t, topic); len(got) < len(records) {
		t.Errorf("%d records are stored of %d", len(got), len(records))
	}
	probe := cfg.Probe(t.Context(), Deps{Source: "emea"})
	if len(probe.Problems) != 0 || !slices.Contains(probe.Found, "max.message.bytes: 1048588") || len(probe.Warnings) != 1 ||
		!strings.HasPrefix(probe.Warnings[0].What, "min.insync.replicas: 2 with 1 replicas") {
		t.Errorf("check finds %+v", probe)
	}

	cfg.Topic = other
	if err := kafkaTestSink(t, cfg, kafkaBrokerTimes()).Write(t.Context(), kafkaTestRecords(1)); !errors.As(err, &denied) {
		t.Errorf("to another topic: %v; want a *DeniedError", err)
	}
	b.wantNoReader(t, topic)

	cfg.Topic = topic
	b.run(t, filepath.Join(b.path, "kafka-acls.sh"), "--bootstrap-server", b.Plain, "--remove", "--force", "--topic", topic, "--allow-principal", producer, "--operation", "DescribeConfigs")
	probe = cfg.Probe(t.Context(), Deps{Source: "emea"})
	if len(probe.Problems) != 0 || len(probe.Warnings) != 1 || !strings.Contains(probe.Warnings[0].Remedy, "DescribeConfigs") {
		t.Errorf("without DescribeConfigs check finds %+v", probe)
	}
	kafkaEventually(t, k, records) // for which it is not needed
}

// wantNoReader wants the producer's principal to be refused what a consumer may do.
func (b kafkaShipped) wantNoReader(t *testing.T, topic string) {
	t.Helper()
	tr := &kafka.Transport{SASL: plain.Mechanism{Username: testpeer.KafkaPlainUser, Password: testpeer.KafkaPlainPassword}}
	defer tr.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(b.SASL), Transport: tr}
	res, err := client.Fetch(t.Context(), &kafka.FetchRequest{Topic: topic, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second})
	if err == nil {
		err = res.Error
	}
	if !errors.Is(err, kafka.TopicAuthorizationFailed) {
		t.Errorf("the producer reads: %v", err)
	}
	made, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "new", NumPartitions: 1, ReplicationFactor: 1}}})
	if err == nil {
		err = made.Errors["new"]
	}
	if !errors.Is(err, kafka.TopicAuthorizationFailed) && !errors.Is(err, kafka.ClusterAuthorizationFailed) {
		t.Errorf("the producer makes a topic: %v", err)
	}
}

func (b kafkaShipped) consume(t *testing.T) {
	const topic = "consumed" // of one partition, so that what is printed last was read last
	b.createTopic(t, topic, "topic-retention.properties")
	cfg := kafkaTestConfig(b.Plain)
	cfg.Topic = topic
	k := kafkaTestSink(t, cfg, kafkaBrokerTimes())
	version := func(n int) (out []Record) {
		for i := range 50 {
			out = append(out, kafkaTestRecord(fmt.Sprint(i), fmt.Sprintf(`{"id":"%d","version":%d}`, i, n)))
		}
		return out
	}
	// As after a break: what was written before it comes again, in order, and a late copy of an old version.
	write := func(batches ...[]Record) {
		for _, batch := range batches {
			if err := k.Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	kafkaEventually(t, k, version(1))
	write(version(1), version(2), version(1), version(2), version(3), version(2), []Record{kafkaTestRecord("end", "end 1")})
	if n := len(b.ReadAll(t, topic)); n < 7*50+1 {
		t.Fatalf("%d records are stored", n)
	}
	want := []string{}
	for n := 1; n <= 3; n++ {
		for _, r := range version(n) {
			want = append(want, string(r.Body))
		}
	}
	program := filepath.Join(t.TempDir(), "consumer")
	b.run(t, "go", "build", "-o", program, filepath.Join(b.dir, "consumer"))
	if diff := cmp.Diff(append(want, "end 1"), b.printed(t, program, topic, "end 1")); diff != "" {
		t.Errorf("printed (-want +got):\n%.2000s", diff)
	}
	write(version(4), version(4), []Record{kafkaTestRecord("end", "end 2")})
	want = want[:0]
	for _, r := range version(4) {
		want = append(want, string(r.Body))
	}
	// "end 1" may be there: its commit was under way when the first one was ended.
	got := slices.DeleteFunc(b.printed(t, program, topic, "end 2"), func(s string) bool { return s == "end 1" })
	if diff := cmp.Diff(append(want, "end 2"), got); diff != "" {
		t.Errorf("printed after a restart (-want +got):\n%.2000s", diff)
	}
}

// printed runs the consumer until it has printed a line, and returns all of them.
func (b kafkaShipped) printed(t *testing.T, program, topic, last string) (lines []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, b.Plain, topic, "siem")
	cmd.Stderr = t.Output()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for s := bufio.NewScanner(out); s.Scan(); {
		if lines = append(lines, s.Text()); s.Text() == last {
			break
		}
	}
	_ = cmd.Process.Signal(os.Interrupt)
	_ = cmd.Wait() // it ends by a signal
	return lines
}
