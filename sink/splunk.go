package sink

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
)

// splunkMaxEvents is the most events of one request, however small they are: one that is refused is sent in parts.
const splunkMaxEvents = 500

// Splunk sends events to an HTTP Event Collector. With indexer acknowledgment an ack says that the event is indexed: a
// batch goes out as requests side by side, and the collector is then asked about all of them together until each is
// acknowledged, so that a slow indexer costs waiting and no throughput. What is not acknowledged in time is the line's
// to send again, in another channel.
//
// Without indexer acknowledgment an answer of success only says that the front door took the event, before it is
// stored anywhere: the grade is best-effort. https://docs.splunk.com/Documentation/Splunk/latest/Data/AboutHECIDXAck
type Splunk struct {
	cfg       SplunkConfig
	deps      Deps
	envelope  splunkEnvelope
	maxBody   int // bytes of one request before gzip
	target    *httpTarget
	transport *http.Transport
	gzip      httpGzip
	channel   *splunkChannel
	acks      atomic.Int32 // what the collector's last answer to events was: one of the constants below
	reread    bool         // the last Write was denied: the token may have been rotated
	unread    httpUnread
}

// What is known of the token.
const (
	splunkAcksUnknown int32 = iota
	splunkAcksOn
	splunkAcksOff
)

var _ Sink = (*Splunk)(nil)

// NewSplunk reads the token and certificates; it opens no connection.
func NewSplunk(cfg SplunkConfig, d Deps) (*Splunk, error) {
	target, err := cfg.readTarget()
	if err != nil {
		return nil, err
	}
	transport, err := httpTransport(d, cfg.TLS, cfg.Proxy, splunkSide)
	if err != nil {
		return nil, err
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	s := &Splunk{
		cfg: cfg, deps: d, envelope: cfg.envelope(), maxBody: d.MaxMessageBytes,
		target: target, transport: transport, channel: newSplunkChannel(cfg.Channel),
	}
	if s.maxBody <= 0 {
		s.maxBody = splunkMaxBytes
	}
	return s, nil
}

// Grade implements Sink. With ack = "auto" it is what the collector's answers have shown so far.
func (s *Splunk) Grade() Grade {
	if s.cfg.Ack == "required" || s.cfg.Ack == "auto" && s.acks.Load() == splunkAcksOn {
		return Acknowledged
	}
	return BestEffort
}

// Close implements Sink: it ends the idle connections. There are no others, for no Write is under way.
func (s *Splunk) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Write implements Sink. It waits for indexer acks until ack_timeout, where there are any.
func (s *Splunk) Write(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	if s.reread {
		s.readAgain()
	}
	w := splunkWrite{s: s, ctx: ctx, records: records, errs: make([]error, len(records)), pending: map[int64][]int{}}
	if err := w.ready(); err != nil {
		s.reread = httpRank(err) == httpRankDenied
		return err
	}
	w.run(s.split(records))
	if w.await() {
		s.channel = newSplunkChannel(s.cfg.Channel)
	}
	var err error
	err, s.reread = httpOutcome(w.errs)
	return err
}

// readAgain reads the token's file again; where it can't be read, the token that was read last stands.
func (s *Splunk) readAgain() {
	target, err := s.cfg.readTarget()
	switch {
	case err != nil:
		s.unread.say(s.deps.Log, err)
		return
	case !target.equal(s.target):
		s.deps.Log.Info("secrets have changed")
		s.target = target
	}
	s.unread = ""
}

// split divides a batch into requests, each a list of indices into it.
func (s *Splunk) split(records []Record) (requests [][]int) {
	var part []int
	size := 0
	for i, r := range records {
		n := s.envelope.around(r.Event) + len(r.Body)
		if size += n; len(part) > 0 && (size > s.maxBody || len(part) == splunkMaxEvents) {
			requests = append(requests, part)
			part, size = nil, n
		}
		part = append(part, i)
	}
	return append(requests, part)
}

// learn notes whether the collector gives acks, and says so where that changes.
func (s *Splunk) learn(acks int32) {
	switch {
	case s.acks.Swap(acks) == acks:
	case acks == splunkAcksOn:
		s.deps.Log.Info("the collector acknowledges what is indexed")
	case s.cfg.Ack == "auto":
		s.deps.Log.Warn("the collector's token has no indexer acknowledgment: an event counts as delivered once the front door has taken it")
	}
}
