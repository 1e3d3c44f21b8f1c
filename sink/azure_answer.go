package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"s1stream/internal/retryafter"
	"s1stream/internal/safe"
)

// azureMaxAnswer bounds what is read of an answer. One that says why has some hundred bytes.
const azureMaxAnswer = 64 << 10

// post sends one request and judges its answer. A token that is not accepted is replaced once. last says that what
// failed would fail for every request.
func (a *Azure) post(ctx context.Context, records []Record) (err error, last bool) { //nolint:revive // error first: last explains it
	body, err := a.gzip.compress(azureBody(records))
	if err != nil {
		return fmt.Errorf("compress the request: %w", err), false
	}
	for again := true; ; again = false {
		token, err := oauthToken(ctx, a.tokens)
		if err != nil {
			return err, true
		}
		answer, err := a.roundTrip(ctx, token, body)
		switch {
		case err != nil:
			return err, true
		case answer.taken():
			return nil, false
		case answer.status == http.StatusUnauthorized && again:
			a.tokens.Reject(token)
			continue
		}
		return a.target.judgeAzure(answer, token)
	}
}

// azureBody joins rows. It is a copy: net/http may still read it after the round trip was cancelled, when the records
// are the line's again.
func azureBody(records []Record) []byte {
	size := len("[]")
	for _, r := range records {
		size += len(r.Body) + 1
	}
	b := append(make([]byte, 0, size), '[')
	for i, r := range records {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.Body...)
	}
	return append(b, ']')
}

// azureAnswer is a whole answer.
type azureAnswer struct {
	status int
	header http.Header
	body   []byte
}

// roundTrip sends a body and reads the whole answer.
func (a *Azure) roundTrip(parent context.Context, token string, body []byte) (*azureAnswer, error) {
	ctx, cancel := context.WithTimeout(parent, a.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.target.url, bytes.NewReader(body))
	if err != nil {
		return nil, a.target.scrubError(err)
	}
	req.Header = a.target.header.Clone()
	req.Header.Set("Authorization", "Bearer "+token)
	// The transport, not a Client: a Client would take the token where a redirect leads.
	res, err := a.transport.RoundTrip(req)
	if err != nil {
		return nil, a.target.hiding(token).failure(parent, ctx, a.cfg.Timeout, err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, azureMaxAnswer))
	if err != nil {
		return nil, a.target.hiding(token).failure(parent, ctx, a.cfg.Timeout, fmt.Errorf("answer %d breaks off: %w", res.StatusCode, err))
	}
	return &azureAnswer{status: res.StatusCode, header: res.Header, body: text}, nil
}

// taken reports whether the service says that it has the rows. The API's description (OpenAPI, 2023-01-01) knows 204 alone,
// and Microsoft's own clients take no other answer for success. A 200 or a 202 is somebody else's, between here and there.
func (r *azureAnswer) taken() bool { return r.status == http.StatusNoContent }

// azureError is what the service says about a request that it does not take.
type azureError struct{ Code, Message string }

// readAzureError reads the body of an answer; the zero value is what no service says, such as a page of a proxy.
func readAzureError(body []byte) azureError {
	var a struct {
		Error azureError `json:"error"`
	}
	if json.Unmarshal(body, &a) != nil {
		return azureError{}
	}
	return a.Error
}

// azureRemedies are the codes of answers 400 and 404 that are about where the rows were sent, not about the rows.
var azureRemedies = map[string]string{
	"InvalidStream":         "check stream: the rule has no such stream among its streamDeclarations",
	"InvalidDcrImmutableId": "check rule_id, and that endpoint is of the same region as the rule",
	"NotFound":              "check rule_id, which is the rule's immutableId, and that endpoint is of the same region as the rule",
}

// judgeAzure makes an error of an answer that takes nothing. last says that every other request would fail alike.
func (t *httpTarget) judgeAzure(r *azureAnswer, token string) (err error, last bool) { //nolint:revive // as post
	said := readAzureError(r.body)
	text := fmt.Sprintf("%s answers %d %s", t.origin, r.status, http.StatusText(r.status))
	hide := t.hiding(token).hide
	for _, s := range []string{said.Code, said.Message} {
		if s = safe.Snippet([]byte(hide.Replace(s)), 2*httpQuote); s != "" {
			text += ": " + s
		}
	}
	if r.status >= 200 && r.status <= 299 {
		text += ": the service says 204, so that this is somebody else's answer, and no event counts as taken: check what stands between here and there"
	}
	class, remedy := azureClass(r, said.Code)
	switch class {
	case httpDenied:
		return &DeniedError{errors.New(text + ": " + remedy)}, true
	case httpRefuse:
		return &RefusedError{errors.New(text)}, false
	}
	err = errors.New(text)
	if after, ok := retryafter.Parse(r.header.Get("Retry-After"), r.header.Get("Date"), time.Now()); ok {
		return &RetryAfterError{After: after, Err: err}, true
	}
	return err, class == httpTooMuch
}

// azureClass reads an answer that takes nothing, and says what an operator can do where nobody else can.
//
// A request over a table's limits, RecordsTimeRangeIsMoreThan30Minutes among them, is refused, and its halves are not.
func azureClass(r *azureAnswer, code string) (class httpVerdict, remedy string) {
	known, ok := azureRemedies[code]
	switch {
	case ok && (r.status == http.StatusBadRequest || r.status == http.StatusNotFound):
		return httpDenied, known
	case r.status == http.StatusUnauthorized:
		return httpDenied, "a new token is not accepted either: check tenant_id, and that authority and scope are those of endpoint's cloud"
	case r.status == http.StatusForbidden:
		return httpDenied, "give the application the role \"Monitoring Metrics Publisher\" on the data collection rule; it may take 30 minutes to hold"
	case r.status == http.StatusNotFound:
		return httpDenied, "check endpoint, rule_id and stream"
	case r.status >= 200 && r.status <= 299:
		return httpFailed, ""
	case r.status == http.StatusProxyAuthRequired, r.status >= 300 && r.status <= 399:
		return httpDenied, httpRemedy(&http.Response{StatusCode: r.status, Header: r.header})
	case r.status == http.StatusUnsupportedMediaType: // said of every request, or of none
		class = httpDenied
	default:
		class = httpClass(r.status)
	}
	return class, "check endpoint, and what stands between here and there"
}
