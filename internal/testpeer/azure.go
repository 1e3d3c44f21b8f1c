package testpeer

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// Azure is the Logs Ingestion API in front of a data collection rule and its table, written from Microsoft's documents,
// for nobody can run the real one: "Logs Ingestion API in Azure Monitor", its service limits, its troubleshooting table,
// and the OpenAPI description 2023-01-01. Where these leave a choice it takes the stricter one, and where the service
// would drop or cut something without a word, it either refuses or says so in its rows. It answers with all that it was
// sent, secrets included, as no server should.
type Azure struct {
	URL          string // of the endpoint
	Tokens       *Tokens
	Tenant       string
	Rule, Stream string
	Auxiliary    bool // the table's plan: a call may not span more than 30 minutes
	MaxField     int  // bytes of a column: what is longer is cut

	mu       sync.Mutex
	rows     []AzureRow
	requests int
	refuse   map[string]bool // by ThreatId
	deny     bool
	revoked  bool
	fault    func(request int) *AzureFault
}

// AzureRow is one row as the table has it.
type AzureRow struct {
	TimeGenerated                                  time.Time
	Version, ThreatID, Console, SourceName, Format string
	Event                                          json.RawMessage // cut where it was too long, and then no JSON any more
	Truncated                                      bool
	Cut                                            bool // a column was cut
}

// AzureFault is an answer instead of the service's own.
type AzureFault struct {
	Status        int
	Code, Message string
	RetryAfter    string
	Body          string // instead of code and message
	Keep          bool   // take the rows all the same, if the service does: the answer is wrong, or is lost
	HangUp        bool   // and say nothing
}

const azureMaxBody = 1_000_000

// StartAzure serves in clear text until the test ends.
func StartAzure(t testing.TB) *Azure {
	t.Helper()
	a := NewAzure(t)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	a.URL = server.URL
	return a
}

// NewAzure has a token endpoint of its own, and is to be served by the test.
func NewAzure(t testing.TB) *Azure {
	t.Helper()
	a := &Azure{
		Tokens: StartTokens(t, false), Tenant: "aaaabbbb-0000-cccc-1111-dddd2222eeee",
		Rule: "dcr-000a00a000a00000a000000aa000a0aa", Stream: "Custom-SentinelOneThreats", MaxField: 64_000,
		refuse: map[string]bool{},
	}
	a.Tokens.ClientID, a.Tokens.Scope = "00001111-aaaa-2222-bbbb-3333cccc4444", "https://monitor.azure.com/.default"
	a.Tokens.At("/" + a.Tenant + "/oauth2/v2.0/token")
	return a
}

// Authority is what gives the tokens.
func (a *Azure) Authority() string { return strings.TrimSuffix(a.Tokens.URL, a.Tokens.path) }

// Rows lists what was taken, in order, repeats included.
func (a *Azure) Rows() []AzureRow {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]AzureRow(nil), a.rows...)
}

// Requests is how many there were.
func (a *Azure) Requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

// Refuse calls every request malformed from now on that holds one of these threats.
func (a *Azure) Refuse(ids ...string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, id := range ids {
		a.refuse[id] = true
	}
}

// Deny takes the application its role.
func (a *Azure) Deny(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deny = on
}

// Revoke calls every token invalid, new ones too.
func (a *Azure) Revoke(on bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = on
}

// Fault has f say how each request is answered, by its number from 1; where it returns nil, and where f is nil, the
// service answers as it does.
func (a *Azure) Fault(f func(request int) *AzureFault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.fault = f
}

// ServeHTTP implements http.Handler.
func (a *Azure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off: the answer would reach nobody
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	var fault *AzureFault
	if a.fault != nil {
		fault = a.fault(a.requests)
	}
	if fault == nil || fault.Keep {
		status, code, message := a.upload(r, raw)
		if fault == nil || status != http.StatusNoContent { // nothing was taken that a fault could lie about
			a.say(w, status, code, fmt.Sprintf("%s (%s %s %v)", message, r.Method, r.URL, r.Header))
			return
		}
	}
	switch {
	case fault.HangUp:
		panic(http.ErrAbortHandler)
	case fault.RetryAfter != "":
		w.Header().Set("Retry-After", fault.RetryAfter)
	case fault.Status >= 300 && fault.Status < 400:
		w.Header().Set("Location", "https://elsewhere.example.com/secret-path")
	}
	if fault.Body == "" {
		a.say(w, fault.Status, fault.Code, fault.Message)
		return
	}
	w.WriteHeader(fault.Status)
	_, _ = io.WriteString(w, fault.Body)
}

func (a *Azure) say(w http.ResponseWriter, status int, code, message string) {
	if status == http.StatusNoContent || code == "" {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("x-ms-error-code", code)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"code": code, "message": message}})
}

// upload is the one operation. code is "" where the service answers without a body.
func (a *Azure) upload(r *http.Request, raw []byte) (status int, code, message string) {
	rule, stream, ok := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), "/dataCollectionRules/"), "/streams/")
	token, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !ok || !strings.HasPrefix(r.URL.Path, "/dataCollectionRules/"):
		return http.StatusNotFound, "", ""
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, "", ""
	case r.URL.RawQuery != "api-version=2023-01-01":
		return http.StatusBadRequest, "UnsupportedApiVersion", "The requested API version is not supported."
	case !bearer || a.revoked || !a.Tokens.Valid(token):
		return http.StatusUnauthorized, "InvalidToken", "The authentication token provided is not valid."
	case rule != a.Rule:
		return http.StatusNotFound, "NotFound", "Data collection rule with immutable Id '" + rule + "' not found."
	case a.deny:
		return http.StatusForbidden, "OperationFailed", "The authentication token provided does not have access to ingest data for the data collection rule with immutable Id '" + rule + "'"
	case stream != a.Stream:
		return http.StatusBadRequest, "InvalidStream", "Stream '" + stream + "' was not found in the data collection rule."
	case r.Header.Get("Content-Type") != "application/json":
		return http.StatusUnsupportedMediaType, "UnsupportedMediaType", "The media type is not supported."
	case len(raw) == 0:
		return http.StatusInternalServerError, "", "" // as Microsoft's own tests of its clients expect
	case len(raw) > azureMaxBody:
		return tooLarge(len(raw))
	}
	body, err := azureUnpack(r.Header.Get("Content-Encoding"), raw)
	switch {
	case err != nil:
		return http.StatusBadRequest, "InvalidContentEncoding", err.Error()
	case len(body) > azureMaxBody:
		return tooLarge(len(body))
	}
	rows, err := a.read(body)
	switch {
	case errors.Is(err, errAzureSpan):
		return http.StatusBadRequest, "RecordsTimeRangeIsMoreThan30Minutes", "The time range of the records is more than 30 minutes."
	case err != nil:
		return http.StatusBadRequest, "InvalidPayload", "malformed JSON: " + err.Error()
	}
	a.rows = append(a.rows, rows...)
	return http.StatusNoContent, "", ""
}

func tooLarge(size int) (status int, code, message string) {
	return http.StatusRequestEntityTooLarge, "ContentLengthLimitExceeded",
		fmt.Sprintf("Maximum allowed content length: 1048576 bytes (1 MB). Provided content length: %d bytes.", size)
}

// azureUnpack undoes gzip, of which there is one member and nothing behind it.
func azureUnpack(encoding string, raw []byte) ([]byte, error) {
	switch encoding {
	case "":
		return raw, nil
	case "gzip":
	default:
		return nil, errors.New("the content encoding is neither gzip nor none")
	}
	in := bytes.NewReader(raw)
	z, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	z.Multistream(false)
	body, err := io.ReadAll(io.LimitReader(z, 2*azureMaxBody))
	if err == nil && in.Len() > 0 {
		err = errors.New("there is more behind the gzip member")
	}
	return body, err
}

var errAzureSpan = errors.New("the span is too long")

// read takes the rows apart. A column that the rule does not declare would be dropped without a word, and a value of
// another type become empty: here both are mistakes.
func (a *Azure) read(body []byte) ([]AzureRow, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("not UTF-8")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil || list == nil {
		return nil, errors.New("not an array")
	}
	rows := make([]AzureRow, 0, len(list))
	var first, last time.Time
	for _, raw := range list {
		row, at, err := a.row(raw)
		if err != nil {
			return nil, err
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
		rows = append(rows, row)
	}
	if a.Auxiliary && last.Sub(first) > 30*time.Minute {
		return nil, errAzureSpan
	}
	return rows, nil
}

func (a *Azure) row(raw []byte) (row AzureRow, at time.Time, err error) {
	var c struct {
		TimeGenerated, Version, ThreatID, Console, SourceName, Format *string
		Event                                                         *json.RawMessage
		Truncated                                                     *bool
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return row, at, err
	}
	var names map[string]json.RawMessage
	_ = json.Unmarshal(raw, &names) // it was an object a moment ago
	for _, name := range []string{"TimeGenerated", "Version", "ThreatId", "Console", "SourceName", "Format", "Event", "Truncated"} {
		if value, has := names[name]; !has || string(value) == "null" {
			return row, at, errors.New("no column " + name)
		}
	}
	if (*c.Event)[0] != '{' {
		return row, at, errors.New("the event is no object")
	}
	if a.refuse[*c.ThreatID] {
		return row, at, errors.New("a row that it does not like")
	}
	if at, err = time.Parse("2006-01-02T15:04:05.000000Z", *c.TimeGenerated); err != nil {
		return row, at, err
	}
	row = AzureRow{TimeGenerated: at, Event: *c.Event, Truncated: *c.Truncated}
	// "Standard columns in Azure Monitor Logs": what is older than two days, or more than a day ahead, is replaced.
	if now := time.Now(); at.Before(now.Add(-48*time.Hour)) || at.After(now.Add(24*time.Hour)) {
		row.TimeGenerated = now
	}
	for to, from := range map[*string]*string{
		&row.Version: c.Version, &row.ThreatID: c.ThreatID, &row.Console: c.Console, &row.SourceName: c.SourceName, &row.Format: c.Format,
	} {
		if *to = *from; len(*to) > a.MaxField {
			*to, row.Cut = (*to)[:a.MaxField], true
		}
	}
	if len(row.Event) > a.MaxField {
		row.Event, row.Cut = row.Event[:a.MaxField], true
	}
	return row, at, nil
}
