package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"s1stream/internal/retryafter"
	"s1stream/internal/safe"
)

// splunkAnswer is what the collector says to events. Code and AckID are nil where it does not say them.
type splunkAnswer struct {
	Text   string `json:"text"`
	Code   *int   `json:"code"`
	AckID  *int64 `json:"ackId"`
	Guilty *int   `json:"invalid-event-number"` // from 0
}

// readSplunkAnswer reads an answer to events. What is no answer of a collector, such as a page of a proxy, is an error.
func readSplunkAnswer(body []byte) (splunkAnswer, error) {
	var a splunkAnswer
	if err := json.Unmarshal(body, &a); err != nil || a.Code == nil || a.AckID != nil && *a.AckID < 0 {
		return splunkAnswer{}, errors.New("with what no collector says: check url, and what stands between here and there")
	}
	return a, nil
}

// readSplunkAcks reads an answer to a question about acks and returns the ids that are acknowledged. An id that is
// not acknowledged says nothing: not yet, not known, or long forgotten.
func readSplunkAcks(body []byte) (map[int64]bool, error) {
	var a struct {
		Acks map[string]bool `json:"acks"`
	}
	if err := json.Unmarshal(body, &a); err != nil || a.Acks == nil {
		return nil, errors.New("with what no collector says about acks")
	}
	acked := map[int64]bool{}
	for key, yes := range a.Acks {
		id, err := strconv.ParseInt(key, 10, 64)
		if err != nil || strconv.FormatInt(id, 10) != key {
			return nil, errors.New("with an ack of what was not asked for")
		}
		if yes {
			acked[id] = true
		}
	}
	return acked, nil
}

// The collector's codes. https://docs.splunk.com/Documentation/Splunk/latest/Data/TroubleshootHTTPEventCollector
const (
	splunkSuccess      = 0
	splunkAckDisabled  = 14
	splunkHealthy      = 17
	splunkQueueFilling = 24 // HTTP 200: approaching its limit
	splunkAcksFilling  = 25
)

// splunkCodes says what the codes of answers 200 and 400 mean; every other status speaks for itself.
var splunkCodes = map[int]struct {
	verdict httpVerdict
	remedy  string
}{
	1:  {httpDenied, "the token is disabled: enable it in Splunk"},
	2:  {httpDenied, "set token or token_file"},
	3:  {httpDenied, "check token"},
	4:  {httpDenied, "check token"},
	5:  {httpRefuse, ""}, // no data
	6:  {httpRefuse, ""}, // invalid data format
	7:  {httpDenied, "the token may not write to this index: correct index, or the token's list of indexes"},
	8:  {httpFailed, ""},
	9:  {httpTooMuch, ""},
	10: {httpDenied, "the collector has not seen our channel: check what stands between here and there"},
	11: {httpDenied, "correct channel"},
	12: {httpRefuse, ""}, // event field is required
	13: {httpRefuse, ""}, // event field is blank
	14: {httpDenied, "enable indexer acknowledgment for the token in Splunk, or set ack = \"auto\""},
	15: {httpRefuse, ""}, // indexed fields
	16: {httpDenied, "check token"},
	18: {httpTooMuch, ""}, 19: {httpTooMuch, ""}, 20: {httpTooMuch, ""}, // unhealthy
	21: {httpDenied, "check token"},
	22: {httpDenied, "the token is disabled: enable it in Splunk"},
	23: {httpTooMuch, ""},                                               // shutting down
	24: {httpTooMuch, ""}, 25: {httpTooMuch, ""}, 26: {httpTooMuch, ""}, // queues are filling, or full
	27: {httpTooMuch, ""}, // acks of this channel are full
	28: {httpDenied, "the collector has not seen our channel: its load balancer must keep a client on one node"},
}

// judgeSplunk makes an error of an answer that takes nothing. guilty is the number of the event that is refused, -1 where
// none is named; last says that every other request would fail alike.
func (t *httpTarget) judgeSplunk(reply *splunkReply) (guilty int, last bool, err error) {
	status := reply.status
	text := fmt.Sprintf("%s answers %d", t.origin, status)
	verdict, remedy := httpClass(status), "check url, token and what stands between here and there"
	guilty = -1
	answer, aerr := readSplunkAnswer(reply.body)
	switch {
	case verdict == httpDenied && status != http.StatusUnauthorized && status != http.StatusForbidden:
		remedy = httpRemedy(&http.Response{StatusCode: status, Header: reply.header})
	case aerr == nil:
		known, ok := splunkCodes[*answer.Code]
		switch own := status == http.StatusOK || status == http.StatusBadRequest; {
		case ok && own:
			verdict = known.verdict
		case status == http.StatusOK:
			verdict = httpFailed
		}
		if ok && known.remedy != "" {
			remedy = known.remedy
		}
		text += fmt.Sprintf(", code %d %s", *answer.Code, safe.Snippet([]byte(t.scrub([]byte(answer.Text))), httpQuote))
		if answer.Guilty != nil {
			guilty = *answer.Guilty
		}
	case status == http.StatusOK:
		verdict, text = httpFailed, text+" "+aerr.Error()
	default:
		if quote := safe.Snippet([]byte(t.scrub(reply.body)), httpQuote); quote != "" && verdict != httpDenied {
			text += ": " + quote
		}
	}
	switch verdict {
	case httpDenied:
		return -1, true, &DeniedError{errors.New(text + ": " + remedy)}
	case httpRefuse:
		return guilty, false, &RefusedError{errors.New(text)}
	}
	err = errors.New(text)
	if after, ok := retryafter.Parse(reply.header.Get("Retry-After"), reply.header.Get("Date"), time.Now()); ok {
		return -1, true, &RetryAfterError{After: after, Err: err}
	}
	return -1, verdict == httpTooMuch, err
}
