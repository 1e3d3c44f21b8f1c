package sink

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// How often the collector is asked about acks: soon at first, for a quick indexer, and then once a second.
const (
	splunkAskFirst = 100 * time.Millisecond
	splunkAskEvery = time.Second
)

// await asks about all acks together until none is missing. It reports whether the channel is not to be used again,
// because an ack of it may still come that is not waited for any more.
func (w *splunkWrite) await() (spoilt bool) {
	w.s.channel.used = true
	lost := w.lost.Load()
	spoilt = lost > 0 || w.restarted
	if len(w.pending) > 0 {
		w.s.channel.next = w.highest + 1
	}
	for id, part := range w.pending {
		// A collector that has restarted counts from 0: the acks of requests whose answers were lost may have these ids, and
		// any where ids show that it has.
		if part == nil || id < lost || lost > 0 && w.restarted {
			w.doubt(part)
			delete(w.pending, id)
			spoilt = true
		}
	}
	var failure error
	deadline := time.Now().Add(w.s.cfg.AckTimeout)
	for pause := splunkAskFirst; len(w.pending) > 0; pause = min(2*pause, splunkAskEvery) {
		var wait *RetryAfterError
		if errors.As(failure, &wait) {
			pause = max(pause, wait.After)
		}
		if err := w.sleep(min(pause, time.Until(deadline))); err != nil {
			return w.giveUp(err)
		}
		acked, err := w.s.ask(w.ctx, slices.Sorted(maps.Keys(w.pending)))
		if failure = err; httpRank(err) == httpRankDenied {
			return w.giveUp(err)
		}
		for id := range acked {
			for _, i := range w.pending[id] { // nothing for an id that was not asked for
				w.errs[i] = nil
			}
			delete(w.pending, id)
		}
		if len(w.pending) > 0 && !time.Now().Before(deadline) {
			err := fmt.Errorf("no ack of the indexer from %s within ack_timeout = %v", w.s.target.origin, w.s.cfg.AckTimeout)
			if failure != nil {
				err = fmt.Errorf("%w: %w", err, failure)
			}
			return w.giveUp(err)
		}
	}
	return spoilt
}

func (w *splunkWrite) sleep(d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-w.ctx.Done():
		return fmt.Errorf("wait for acks: %w", w.ctx.Err())
	}
}

// giveUp notes why acks are not waited for any more. What became of their records is not known.
func (w *splunkWrite) giveUp(err error) (spoilt bool) {
	for _, part := range w.pending {
		for _, i := range part {
			w.errs[i] = err
		}
	}
	return true
}

// ask asks the collector which of these requests are indexed. An ack is told once, and forgotten when it was told: one
// whose answer is lost on the way never comes again, and its events are sent again.
func (s *Splunk) ask(ctx context.Context, ids []int64) (map[int64]bool, error) {
	body := []byte(`{"acks":[`)
	for i, id := range ids {
		if i > 0 {
			body = append(body, ',')
		}
		body = strconv.AppendInt(body, id, 10)
	}
	reply, err := s.roundTrip(ctx, "/ack?channel="+s.channel.guid, append(body, `]}`...), false)
	if err != nil {
		return nil, err
	}
	if reply.status == http.StatusOK {
		acked, err := readSplunkAcks(reply.body)
		if err == nil {
			return acked, nil
		}
	}
	_, _, err = s.target.judgeSplunk(reply)
	if httpRefused(err) { // no event can be to blame for a question
		err = errors.New(err.Error())
	}
	return nil, err
}
