package sink

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"s1stream/internal/safe"
)

// elasticMaxAnswer bounds the answer to one request: far above what some thousand items with an error each need.
const elasticMaxAnswer = 64 << 20

// Elastic writes events into a data stream or an index of Elasticsearch or OpenSearch by _bulk. An ack is the
// item's own 201, or the 409 that says that the document is there already: its _id is the event's version, so
// that an event that is sent again is stored once. (Once a backing index: behind a rollover of a data
// stream a repeat is a second document with the same _id.)
//
// Requests go to one node until it fails, and then to the next. A node that can't be reached costs nothing: nothing
// was sent, so the next one is tried in the same Write.
type Elastic struct {
	cfg       ElasticConfig
	deps      Deps
	path      string // of _bulk, below a node's URL
	nodes     []*httpTarget
	current   int // of nodes
	transport *http.Transport
	gzip      httpGzip
	room      elasticRoom
	reread    bool // the last Write was denied: secrets may have been rotated
	unread    httpUnread
}

var _ Sink = (*Elastic)(nil)

// NewElastic reads secrets and certificates; it opens no connection.
func NewElastic(cfg ElasticConfig, d Deps) (*Elastic, error) {
	nodes, err := cfg.readNodes()
	if err != nil {
		return nil, err
	}
	target := strings.ReplaceAll(cfg.Target, "{source}", d.Source)
	if err := elasticTarget(target); err != nil {
		return nil, err
	}
	transport, err := httpTransport(d, cfg.TLS, cfg.Proxy, 1)
	if err != nil {
		return nil, err
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	most := max(cfg.MaxBytes(d.MaxMessageBytes), elasticMaxBytes)
	return &Elastic{
		cfg: cfg, deps: d, nodes: nodes, transport: transport,
		path: "/" + url.PathEscape(target) + "/_bulk?filter_path=errors,items.*._id,items.*.status,items.*.error,items.*.failure_store",
		room: elasticRoom{bytes: most, most: most, after: elasticGrowAfter},
	}, nil
}

// Grade implements Sink.
func (e *Elastic) Grade() Grade { return Acknowledged }

// Close implements Sink: it ends the idle connections. There are no others, for no Write is under way.
func (e *Elastic) Close() error {
	e.transport.CloseIdleConnections()
	return nil
}

// Write implements Sink. A request of several events that is refused as a whole is sent again in halves.
func (e *Elastic) Write(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	if e.reread {
		e.readAgain()
	}
	errs := make([]error, len(records))
	for from := 0; from < len(records); {
		to := from + e.fill(records[from:])
		judged, err := e.send(ctx, records[from:to], errs[from:to])
		if from += judged; err != nil {
			// The cluster's failure, not that of these records: what follows would fail alike, and is not tried.
			for i := from; i < len(errs); i++ {
				errs[i] = err
			}
			break
		}
		if to < len(records) {
			e.room.full()
		}
	}
	var err error
	err, e.reread = httpOutcome(errs)
	return err
}

// readAgain reads the secret files again; where one can't be read, the secrets that were read last stand.
func (e *Elastic) readAgain() {
	nodes, err := e.cfg.readNodes()
	switch {
	case err != nil:
		e.unread.say(e.deps.Log, err)
		return
	case !slices.EqualFunc(nodes, e.nodes, (*httpTarget).equal):
		e.deps.Log.Info("secrets have changed")
		e.nodes = nodes
	}
	e.unread = ""
}

// fill returns how many of the records make one request: one at least.
func (e *Elastic) fill(records []Record) int {
	size := 0
	for i, r := range records {
		if size += elasticSize(r); i > 0 && size > e.room.bytes {
			return i
		}
	}
	return len(records)
}

// elasticAction is the line before a document, but for the op and the version.
const elasticAction = `{"":{"_id":""}}` + "\n"

func elasticSize(r Record) int { return len(elasticAction) + len("create") + 32 + len(r.Body) + 1 }

// send delivers records as one request, in halves if all of it is refused for the fault of one, and notes what became
// of each in errs. An error is the cluster's, from the record numbered judged on: nothing is known of those, or an operator must act.
func (e *Elastic) send(ctx context.Context, records []Record, errs []error) (judged int, err error) {
	items, err := e.bulk(ctx, records)
	switch {
	case err == nil && (len(records) == 1 || !elasticAllUnread(items)):
		for i, item := range items {
			errs[i] = e.judge(item)
		}
		return len(records), nil
	case (err == nil || httpRefused(err)) && len(records) > 1:
		half := len(records) / 2
		judged, err := e.send(ctx, records[:half], errs[:half])
		if err != nil {
			return judged, err
		}
		judged, err = e.send(ctx, records[half:], errs[half:])
		return half + judged, err
	case httpRefused(err):
		errs[0] = err
		return 1, nil
	}
	return 0, err
}

// bulk sends one request and returns an item for each record.
func (e *Elastic) bulk(ctx context.Context, records []Record) ([]elasticItem, error) {
	size := 0
	for _, r := range records {
		size += elasticSize(r)
	}
	// A copy: net/http may still read it after the round trip was cancelled, when the records are the line's again.
	body := make([]byte, 0, size)
	for _, r := range records {
		body = append(append(append(body, `{"`...), e.cfg.Op...), `":{"_id":"`...)
		body = append(append(body, r.Event.Version.String()...), `"}}`+"\n"...)
		body = append(append(body, r.Body...), '\n')
	}
	if e.cfg.Gzip {
		var err error
		if body, err = e.gzip.compress(body); err != nil {
			return nil, fmt.Errorf("compress the request: %w", err)
		}
	}
	status, answer, err := e.post(ctx, body)
	if status == http.StatusRequestEntityTooLarge && len(records) > 1 {
		if e.room.tooLarge(size) {
			e.deps.Log.Info("requests are too large for the destination", "bytes", size)
		}
	}
	if err != nil {
		return nil, err
	}
	items, err := readElasticItems(answer, records)
	if err != nil { // unknown, whatever it is: a page of a proxy, or half a result
		err = fmt.Errorf("%s answers %d %w", e.nodes[e.current].origin, status, err)
		e.leave()
		return nil, err
	}
	return items, nil
}

// leave goes on to the next node.
func (e *Elastic) leave() { e.current = (e.current + 1) % len(e.nodes) }

// post sends a body to the current node, and on to the next one as long as nothing of it was sent. status is 0
// without an answer.
func (e *Elastic) post(parent context.Context, body []byte) (status int, answer []byte, err error) {
	for range e.nodes {
		var sent bool
		status, answer, sent, err = e.try(parent, body)
		if err == nil || parent.Err() != nil || httpRefused(err) || status == http.StatusTooManyRequests {
			return status, answer, err // no other node would do better
		}
		if e.leave(); sent {
			return status, answer, err // the next Write goes to the next node
		}
		e.deps.Log.Debug("node can't be reached", "err", err)
	}
	return status, answer, err
}

// try is one request to the current node. sent says that some of it may have arrived.
func (e *Elastic) try(parent context.Context, body []byte) (status int, answer []byte, sent bool, err error) {
	node := e.nodes[e.current]
	ctx, cancel := context.WithTimeout(parent, e.cfg.Timeout)
	defer cancel()
	connected := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, node.url+e.path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, false, node.scrubError(err)
	}
	req.Header = node.header.Clone()
	req.Header.Set("Content-Type", "application/x-ndjson")
	if e.cfg.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	// With this header net/http sends a POST again whose idle connection the server had just closed; no node reads
	// it, and a repeat is harmless here.
	req.Header["X-Idempotency-Key"] = nil
	res, err := e.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, connected, node.failure(parent, ctx, e.cfg.Timeout, err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		err, _ := node.judge(res)
		if res.StatusCode == http.StatusBadRequest && strings.Contains(err.Error(), "no handler found for uri") {
			err = &DeniedError{fmt.Errorf("%w: check the paths in urls", errors.Unwrap(err))}
		}
		return res.StatusCode, nil, true, err
	}
	answer, err = io.ReadAll(io.LimitReader(res.Body, elasticMaxAnswer))
	if err != nil {
		return 0, nil, true, node.failure(parent, ctx, e.cfg.Timeout, fmt.Errorf("answer 200 breaks off: %w", err))
	}
	return res.StatusCode, answer, true, nil
}

// judge says what an item's result means for its record: nil for taken.
func (e *Elastic) judge(item elasticItem) error {
	node := e.nodes[e.current]
	text := node.origin + " answers " + strconv.Itoa(item.status)
	if item.astray {
		text += ", but the document went to the data stream's failure store"
	}
	if item.kind != "" || item.reason != "" {
		text += " " + safe.Snippet([]byte(node.scrub([]byte(item.kind+": "+item.reason))), httpQuote)
	}
	switch verdict, remedy := item.class(e.cfg.Op); verdict {
	case httpTaken:
		return nil
	case httpRefuse:
		return &RefusedError{errors.New(text)}
	case httpDenied:
		return &DeniedError{errors.New(text + ": " + remedy)}
	default:
		return errors.New(text)
	}
}
