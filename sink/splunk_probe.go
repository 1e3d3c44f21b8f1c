package sink

import (
	"context"
	"errors"
	"net/http"
)

// Probe implements Config. It connects, asks for the collector's health, and asks about an ack that nobody waits for,
// which shows whether the token is good and whether it gives acks. It sends no event.
func (c *SplunkConfig) Probe(ctx context.Context, d Deps) Probe {
	p := Probe{Grade: BestEffort, Connections: splunkSide}
	if c.Ack == "required" {
		p.Grade = Acknowledged
	}
	d.Metrics, d.Log = nil, nil // a probe is no connection of a line
	s, err := NewSplunk(*c, d)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	defer s.transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	transport, err := httpTransport(d, c.TLS, c.Proxy, 1)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	defer transport.CloseIdleConnections()
	if !p.httpReach(ctx, transport, s.target) {
		return p
	}
	healthy := s.probeHealth(ctx, &p)
	acks := s.probeAcks(ctx, &p)
	if !healthy && !acks && len(p.Problems) == 0 {
		p.Warnings = append(p.Warnings, Problem{
			What:   "nothing at " + s.target.origin + " answers as a collector does, neither about its health nor about acks",
			Remedy: "check url: https:// or http://, the port (8088 where nobody changed it), and the path, if there is one",
		})
	}
	if len(p.Problems) == 0 && c.Index != "" {
		p.Found = append(p.Found, "that the token may write to index "+c.Index+" is first checked by the first event")
	}
	return p
}

// probeHealth notes whether the collector takes events, and reports whether anything there knows the question. One that
// is merely busy is no problem to mend here. Some say that they are well by the status alone.
func (s *Splunk) probeHealth(ctx context.Context, p *Probe) bool {
	reply, err := s.roundTrip(ctx, "/health", nil, false)
	if err != nil {
		*p = p.httpProblem(err, "check url, proxy and the tls keys")
		return false
	}
	a, err := readSplunkAnswer(reply.body)
	switch {
	case err != nil || *a.Code != splunkHealthy && *a.Code != splunkSuccess && reply.status < 500:
		p.Found = append(p.Found, "the collector does not say how it is")
	case reply.status == http.StatusOK:
		p.Found = append(p.Found, "the collector is healthy")
	default:
		_, _, err := s.target.judgeSplunk(reply)
		*p = p.httpProblem(err, "the collector takes no events now: look at its queues; they are sent once it does")
	}
	return err == nil || reply.status == http.StatusOK
}

// probeAcks notes what the token is good for, and reports whether the answer is a collector's.
func (s *Splunk) probeAcks(ctx context.Context, p *Probe) bool {
	const frontDoor = "an event counts as delivered once the front door has taken it, before it is indexed"
	reply, err := s.roundTrip(ctx, "/ack?channel="+s.channel.guid, []byte(`{"acks":[0]}`), false)
	if err != nil {
		*p = p.httpProblem(err, "check url, proxy and the tls keys")
		return false
	}
	_, aerr := readSplunkAcks(reply.body)
	a, cerr := readSplunkAnswer(reply.body)
	off := cerr == nil && *a.Code == splunkAckDisabled || cerr != nil && (reply.status == http.StatusNotFound || reply.status == http.StatusBadRequest)
	var denied *DeniedError
	_, _, jerr := s.target.judgeSplunk(reply)
	switch {
	case reply.status == http.StatusOK && aerr == nil && s.cfg.Ack == "off":
		p.Found = append(p.Found, "the token gives indexer acks, and ack = \"off\" does not wait for them: "+frontDoor)
	case reply.status == http.StatusOK && aerr == nil:
		p.Grade = Acknowledged
		p.Found = append(p.Found, "the token gives indexer acks: an event counts as delivered once it is indexed")
	case off && s.cfg.Ack == "required":
		*p = p.httpProblem(errors.New("the token gives no indexer acks, and ack = \"required\""), splunkCodes[splunkAckDisabled].remedy)
	case off:
		p.Found = append(p.Found, "the token gives no indexer acks: "+frontDoor)
	case errors.As(jerr, &denied):
		*p = p.httpProblem(jerr, "check url and token")
	default:
		*p = p.httpProblem(jerr, "check url, and the collector's own log")
	}
	return aerr == nil || cerr == nil
}
