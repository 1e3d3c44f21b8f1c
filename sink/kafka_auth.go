package sink

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
	"github.com/segmentio/kafka-go/sasl"
)

const (
	// kafkaRenewAt is the part of a session's lifetime after which a client is replaced.
	kafkaRenewAt = 0.8
	// kafkaSteps is more than any mechanism takes: SCRAM takes two.
	kafkaSteps = 5
)

// authenticate is SASL over a fresh connection. kafka-go would do it too, but does not tell how long the broker lets
// the session last (KIP-368), and clears its deadline before it. lifetime is 0 where the broker sets no end.
func (g *kafkaGuard) authenticate(ctx context.Context, c *kafkaConn, address string) (lifetime time.Duration, err error) {
	pc := protocol.NewConn(c, kafkaClientID)
	versions, err := kafkaAsk[*apiversions.Response](pc, &apiversions.Request{})
	if err != nil {
		return 0, err
	}
	if versions.ErrorCode != 0 {
		return 0, fmt.Errorf("ask for API versions: %w", kafka.Error(versions.ErrorCode))
	}
	known := make(map[protocol.ApiKey]int16, len(versions.ApiKeys))
	for _, v := range versions.ApiKeys {
		key := protocol.ApiKey(v.ApiKey)
		known[key] = key.SelectVersion(v.MinVersion, v.MaxVersion)
	}
	pc.SetVersions(known)

	shake, err := kafkaAsk[*saslhandshake.Response](pc, &saslhandshake.Request{Mechanism: g.mechanism.Name()})
	if err != nil {
		return 0, err
	}
	if shake.ErrorCode != 0 {
		return 0, kafka.Error(shake.ErrorCode)
	}
	host, port, _ := net.SplitHostPort(address)
	number, _ := strconv.Atoi(port)
	machine, send, err := g.mechanism.Start(sasl.WithMetadata(ctx, &sasl.Metadata{Host: host, Port: number}))
	if err != nil {
		return 0, err
	}
	for range kafkaSteps {
		res, err := kafkaAsk[*saslauthenticate.Response](pc, &saslauthenticate.Request{AuthBytes: send})
		if err == nil && res.ErrorCode != 0 {
			err = kafka.Error(res.ErrorCode)
			if res.ErrorMessage != "" {
				said := res.ErrorMessage
				if secret, ok := machine.(interface{ hide(text string) string }); ok { // a broker may echo what it was sent
					said = secret.hide(said)
				}
				err = fmt.Errorf("%w: %s", err, said)
			}
		}
		if err != nil {
			if b, ok := machine.(*kafkaBearer); ok {
				return 0, b.failed(err)
			}
			return 0, err
		}
		done, next, err := machine.Next(ctx, res.AuthBytes)
		if err != nil {
			return 0, err
		}
		if done {
			// The broker counts from when it answered, which was before now.
			return time.Duration(min(max(res.SessionLifetimeMs, 0), 1<<40)) * time.Millisecond, nil
		}
		send = next
	}
	return 0, errors.New("authenticate: the broker never comes to an end")
}

// kafkaAsk is one request and its answer.
func kafkaAsk[R protocol.Message](pc *protocol.Conn, req protocol.Message) (none R, err error) {
	res, err := pc.RoundTrip(req)
	if err != nil {
		return none, err
	}
	r, ok := res.(R)
	if !ok {
		return none, fmt.Errorf("the broker's answer is %T", res)
	}
	return r, nil
}
