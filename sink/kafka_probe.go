package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/safe"
)

// kafkaProbe asks for the topic's metadata and configuration, and connects to each broker that leads one of its
// partitions: an advertised address that can't be reached from here is Kafka's commonest fault.
func kafkaProbe(ctx context.Context, cfg *KafkaConfig, d Deps) Probe {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	topic := cfg.topicFor(d.Source)
	p := Probe{Grade: Acknowledged, Connections: 1 + len(cfg.Brokers)}

	times := kafkaUsualTimes()
	var tokens *kafkaTokens
	if cfg.SASL.Mechanism == kafkaBearerName {
		if tokens = kafkaProbeToken(ctx, &p, cfg, times, d); tokens == nil {
			return p
		}
		defer tokens.close()
	}
	tr, guard, err := newKafkaTransport(cfg, cfg.mechanism(tokens), topic, times, d.Connected)
	if err != nil {
		p.Problems = append(p.Problems, Problem{What: err.Error(), Remedy: "check the tls files: PEM, and readable by this user"})
		return p
	}
	defer guard.cut(false)
	defer tr.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Transport: tr, Timeout: times.write}

	meta, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		p.Problems = append(p.Problems, kafkaProblem("reach the cluster", err))
		return p
	}
	p.Found = append(p.Found, fmt.Sprintf("cluster: %d brokers", len(meta.Brokers)))
	if cfg.SASL.Mechanism != "" {
		p.Found = append(p.Found, kafkaProbeSession(cfg.SASL.Mechanism, guard.session()))
	}
	if len(meta.Topics) != 1 || meta.Topics[0].Error != nil || len(meta.Topics[0].Partitions) == 0 {
		err := error(kafka.UnknownTopicOrPartition)
		if len(meta.Topics) == 1 && meta.Topics[0].Error != nil {
			err = meta.Topics[0].Error
		}
		p.Problems = append(p.Problems, kafkaProblem("find topic "+topic, err))
		return p
	}
	partitions := meta.Topics[0].Partitions
	// kafka-go opens a connection for each partition written at the same time, and one for metadata.
	p.Connections = 1 + len(partitions)
	replicas := len(partitions[0].Replicas)
	for _, part := range partitions {
		replicas = min(replicas, len(part.Replicas))
	}
	p.Found = append(p.Found, fmt.Sprintf("topic %s: %d partitions, %d replicas", topic, len(partitions), replicas))
	kafkaProbeLeaders(ctx, &p, client, partitions)
	kafkaProbeSettings(ctx, &p, client, topic, replicas, kafkaRecordLimit(d.MaxMessageBytes))
	return p
}

// kafkaProbeToken gets a token and says what it is; nil where there is none, which is a problem.
func kafkaProbeToken(ctx context.Context, p *Probe, cfg *KafkaConfig, times kafkaTimes, d Deps) *kafkaTokens {
	tokens, err := newKafkaTokens(cfg, times, d)
	if err != nil {
		p.Problems = append(p.Problems, Problem{What: err.Error(), Remedy: "correct the file"})
		return nil
	}
	token, err := tokens.get(ctx)
	if err != nil {
		tokens.close()
		p.Problems = append(p.Problems, kafkaProblem("get a token", &kafkaTokenError{err}))
		return nil
	}
	found := fmt.Sprintf("token from %s: for %v", safe.Origin(cfg.SASL.TokenURL), time.Until(tokens.client.Ends()).Round(time.Second))
	if claims := kafkaClaims(token); claims != "" {
		found += ", " + claims
	}
	p.Found = append(p.Found, found)
	return tokens
}

func kafkaProbeSession(mechanism string, lifetime time.Duration) string {
	text := "authenticated by " + mechanism
	if lifetime > 0 {
		text += fmt.Sprintf("; a session lasts %v, and is renewed before", lifetime.Round(time.Second))
	}
	return text
}

// kafkaProbeLeaders connects to each broker that leads a partition, TLS and SASL included.
func kafkaProbeLeaders(ctx context.Context, p *Probe, client *kafka.Client, partitions []kafka.Partition) {
	var seen []int
	for _, part := range partitions {
		b := part.Leader
		if part.Error != nil || b.Host == "" {
			p.Problems = append(p.Problems, Problem{
				What:   fmt.Sprintf("partition %d has no leader", part.ID),
				Remedy: "look at the cluster: an election is under way, or the brokers with this partition are down",
			})
			continue
		}
		if slices.Contains(seen, b.ID) {
			continue
		}
		seen = append(seen, b.ID)
		addr := net.JoinHostPort(b.Host, strconv.Itoa(b.Port))
		if _, err := client.ApiVersions(ctx, &kafka.ApiVersionsRequest{Addr: kafka.TCP(addr)}); err != nil {
			problem := kafkaProblem(fmt.Sprintf("reach broker %d at %s, the address it advertises", b.ID, addr), err)
			p.Problems = append(p.Problems, problem)
		}
	}
}

// kafkaProbeSettings reads what of the topic's configuration decides on loss and on size.
func kafkaProbeSettings(ctx context.Context, p *Probe, client *kafka.Client, topic string, replicas, limit int) {
	const isr, size = "min.insync.replicas", "max.message.bytes"
	res, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{isr, size},
		}},
	})
	switch {
	case err != nil:
	case len(res.Resources) == 1:
		err = res.Resources[0].Error
	default:
		err = errors.New("the answer names no topic")
	}
	switch {
	case errors.Is(err, kafka.TopicAuthorizationFailed), errors.Is(err, kafka.ClusterAuthorizationFailed):
		p.Warnings = append(p.Warnings, Problem{
			What:   isr + " and " + size + " of topic " + topic + " are unknown: this user may not read them",
			Remedy: "grant it DescribeConfigs on the topic, or look at them yourself: they decide on loss and on size",
		})
		return
	case err != nil:
		p.Found = append(p.Found, isr+": unknown: "+kafkaText(err))
		return
	}
	for _, e := range res.Resources[0].ConfigEntries {
		n, err := strconv.Atoi(e.ConfigValue)
		switch {
		case err != nil:
		case e.ConfigName == isr && min(n, replicas) < 2: // brokers quietly take the smaller of the two
			p.Warnings = append(p.Warnings, Problem{
				What:   fmt.Sprintf("%s: %d with %d replicas: an acknowledged record may be on one broker alone and is lost with it", isr, n, replicas),
				Remedy: fmt.Sprintf("set %s = 2 on the topic, with a replication factor of 3", isr),
			})
		case e.ConfigName == isr:
			p.Found = append(p.Found, fmt.Sprintf("%s: %d", isr, n))
		case e.ConfigName == size && n < limit:
			p.Problems = append(p.Problems, Problem{
				What:   fmt.Sprintf("%s of topic %s is %d, below the %d bytes that a record may have here", size, topic, n, limit),
				Remedy: fmt.Sprintf("set max_message_bytes = %d, or raise %s", n, size),
			})
		case e.ConfigName == size:
			p.Found = append(p.Found, fmt.Sprintf("%s: %d", size, n))
		}
	}
}

func kafkaProblem(what string, err error) Problem {
	var denied *DeniedError
	if errors.As(err, &denied) {
		return Problem{What: what, Remedy: denied.Error()}
	}
	var token *kafkaTokenError
	_, remedy := kafkaDiagnose(err)
	if errors.As(err, &token) {
		remedy = "check sasl.token_url, and whether the endpoint can be reached from here (HTTPS_PROXY)"
	}
	if remedy == "" {
		remedy = "look at the brokers' logs"
	}
	return Problem{What: what + ": " + kafkaText(err), Remedy: remedy}
}
