package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
)

// splunkMaxAnswer bounds an answer of the collector. One about 10,000 acks is a tenth of it.
const splunkMaxAnswer = 1 << 20

// errSplunkPending marks a record whose ack is waited for.
var errSplunkPending = errors.New("no indexer ack yet")

// splunkWrite is one Write under way.
type splunkWrite struct {
	s       *Splunk
	ctx     context.Context //nolint:containedctx // lives as long as the one call
	records []Record
	errs    []error // by record; each is written by the one worker that has it

	next   atomic.Int64 // the next request to send
	failed atomic.Int64 // requests that failed with a status
	lost   atomic.Int64 // requests that may have been taken, and whose ack id is not known
	halt   atomic.Pointer[error]

	mu        sync.Mutex
	pending   map[int64][]int // by ack id; nil where the id came twice
	highest   int64           // ack id so far
	restarted bool            // the collector has, or another one answers: its ids began anew
}

// ready sees to it that with ack = "required" nothing is sent to a token that gives no acks: it would be indexed, and
// sent again for ever.
func (w *splunkWrite) ready() error {
	if w.s.cfg.Ack != "required" || w.s.acks.Load() == splunkAcksOn {
		return nil
	}
	_, err := w.s.ask(w.ctx, []int64{0})
	return err
}

// run sends the requests, splunkSide of them side by side. The first of a channel goes alone, so that the others have
// the cookie of the node that took it.
func (w *splunkWrite) run(requests [][]int) {
	if !w.s.channel.used {
		w.send(requests[0], true)
		requests = requests[1:]
	}
	var workers sync.WaitGroup
	for range min(splunkSide, len(requests)) {
		workers.Go(func() {
			for i := w.next.Add(1) - 1; i < int64(len(requests)); i = w.next.Add(1) - 1 {
				w.send(requests[i], true)
			}
		})
	}
	workers.Wait()
}

// send sends records as one request. If that is refused it sends the event that the collector names by itself, and then
// the others; where none is named, or an innocent one was (trust is then over), it sends halves.
func (w *splunkWrite) send(part []int, trust bool) {
	guilty, err := -1, w.ctx.Err()
	if p := w.halt.Load(); err == nil && p != nil {
		err = *p
	} else if err == nil {
		guilty, err = w.try(part)
	}
	switch {
	case err == nil:
		return // try has said what became of them
	case httpRefused(err) && len(part) > 1 && trust && guilty >= 0 && guilty < len(part):
		named := part[guilty]
		w.send([]int{named}, false)
		w.send(slices.Concat(part[:guilty], part[guilty+1:]), httpRefused(w.errs[named]))
		return
	case httpRefused(err) && len(part) > 1:
		half := len(part) / 2
		w.send(part[:half], trust)
		w.send(part[half:], trust)
		return
	}
	for _, i := range part {
		w.errs[i] = err
	}
}

// try is one request. A panic on the way is an unknown outcome: it must not end the process from a goroutine that
// the line can't guard.
func (w *splunkWrite) try(part []int) (guilty int, err error) {
	defer func() {
		if p := recover(); p != nil {
			guilty, err = -1, fmt.Errorf("send events: panic: %v", p)
		}
	}()
	guilty, last, err := w.post(part)
	if err != nil && !httpRefused(err) && httpRank(err) != httpRankDenied {
		w.lost.Add(1)
	}
	if last || err != nil && !httpRefused(err) && w.failed.Add(1) >= httpGiveUp {
		reason := err // other workers read it
		w.halt.CompareAndSwap(nil, &reason)
	}
	return guilty, err
}

// post sends one request and notes its ack id, or its records as taken where there are no acks. An error comes with
// what judgeSplunk says of it.
func (w *splunkWrite) post(part []int) (guilty int, last bool, err error) {
	s := w.s
	size := 0
	for _, i := range part {
		size += s.envelope.around(w.records[i].Event) + len(w.records[i].Body)
	}
	body := make([]byte, 0, size)
	for _, i := range part {
		body = s.envelope.append(body, w.records[i].Event, w.records[i].Body)
	}
	if s.cfg.Gzip {
		if body, err = s.gzip.compress(body); err != nil {
			return -1, false, fmt.Errorf("compress the request: %w", err)
		}
	}
	reply, err := s.roundTrip(w.ctx, "/event", body, s.cfg.Gzip)
	if err != nil {
		return -1, true, err
	}
	a, err := readSplunkAnswer(reply.body)
	if err != nil || reply.status != http.StatusOK {
		return s.target.judgeSplunk(reply)
	}
	filling := *a.Code == splunkQueueFilling || *a.Code == splunkAcksFilling // taken, if there is an id: the ack will tell
	switch {
	case *a.Code != splunkSuccess && (!filling || a.AckID == nil || s.cfg.Ack == "off"):
		return s.target.judgeSplunk(reply)
	case s.cfg.Ack == "off":
	case a.AckID != nil:
		s.learn(splunkAcksOn)
		w.wait(*a.AckID, part)
	case s.cfg.Ack == "required":
		s.learn(splunkAcksOff)
		return -1, true, &DeniedError{fmt.Errorf("%s gives no ack id: %s", s.target.origin, splunkCodes[splunkAckDisabled].remedy)}
	default:
		s.learn(splunkAcksOff)
	}
	return -1, false, nil
}

// wait notes that an ack with this id will be for these records. An id that comes twice is from before and from after a
// restart of the collector: whose ack it would be is not known.
func (w *splunkWrite) wait(id int64, part []int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, i := range part {
		w.errs[i] = errSplunkPending
	}
	if before, twice := w.pending[id]; twice {
		w.doubt(before)
		w.doubt(part)
		part, w.restarted = nil, true
	}
	w.pending[id] = part
	w.highest = max(w.highest, id)
	w.restarted = w.restarted || id < w.s.channel.next
}

// doubt notes records as failed whose ack could be another's.
func (w *splunkWrite) doubt(part []int) {
	err := fmt.Errorf("%s has restarted and forgotten the acks it owed", w.s.target.origin)
	for _, i := range part {
		w.errs[i] = err
	}
}

// splunkReply is a whole answer.
type splunkReply struct {
	status int
	header http.Header
	body   []byte
}

// roundTrip sends a body to an endpoint of the collector, in the channel, and reads the whole answer.
func (s *Splunk) roundTrip(parent context.Context, endpoint string, body []byte, zipped bool) (*splunkReply, error) {
	ctx, cancel := context.WithTimeout(parent, s.cfg.Timeout)
	defer cancel()
	// The body is a copy: net/http may still read it after the round trip was cancelled.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.target.url+endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, s.target.scrubError(err)
	}
	req.Header = s.target.header.Clone()
	if zipped {
		req.Header.Set("Content-Encoding", "gzip")
	}
	s.channel.put(req.Header)
	res, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, s.target.failure(parent, ctx, s.cfg.Timeout, err)
	}
	defer func() { _ = res.Body.Close() }()
	s.channel.keep(res)
	answer, err := io.ReadAll(io.LimitReader(res.Body, splunkMaxAnswer))
	if err != nil {
		return nil, s.target.failure(parent, ctx, s.cfg.Timeout, fmt.Errorf("answer %d breaks off: %w", res.StatusCode, err))
	}
	return &splunkReply{status: res.StatusCode, header: res.Header, body: answer}, nil
}
