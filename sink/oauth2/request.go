package oauth2

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"s1stream/internal/retryafter"
	"s1stream/internal/safe"
)

const (
	maxAnswer = 1 << 20 // bytes; tokens with many groups have some tens of kilobytes
	quote     = 200     // bytes of what the endpoint says that are shown
)

var (
	// errClient is in the error of an answer that calls the client, or its way to authenticate, unknown.
	errClient = errors.New("")
	// errElse is in the error of a denial that is no answer of RFC 6749, as of a firewall.
	errElse = errors.New("")
)

// post is one request. Its error is an *Error.
func (c *Client) post(parent context.Context, secret safe.Secret, inBody bool) (token string, life time.Duration, err error) {
	ctx, cancel := context.WithTimeout(parent, timeout)
	defer cancel()
	form := url.Values{"grant_type": {"client_credentials"}}
	if c.cfg.Scope != "" {
		form.Set("scope", c.cfg.Scope)
	}
	if inBody {
		form.Set("client_id", c.cfg.ClientID)
		form.Set("client_secret", secret.Reveal())
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.URL, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, &Error{Denied: true, Err: errors.New("the token endpoint is not a URL")}
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "s1stream")
	if !inBody { // both parts are form-encoded before they are joined (RFC 6749, section 2.3.1)
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(secret.Reveal()))
	}
	origin := safe.Origin(c.cfg.URL)
	res, err := c.transport.RoundTrip(req) // not a Client: a token is never asked for where a redirect leads
	if err != nil {
		if ctx.Err() != nil && parent.Err() == nil {
			err = fmt.Errorf("no whole answer within %v (timeout)", timeout)
		}
		return "", 0, &Error{Err: fmt.Errorf("ask %s for a token: %w", origin, c.scrub(err, secret))}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err == nil && len(body) > maxAnswer {
		err = fmt.Errorf("it has more than %d bytes", maxAnswer)
	}
	if err != nil {
		return "", 0, &Error{Err: fmt.Errorf("ask %s for a token: read the answer: %w", origin, c.scrub(err, secret))}
	}
	if res.StatusCode == http.StatusOK {
		if token, life, err = readToken(body); err != nil {
			err = &Error{Denied: true, Err: fmt.Errorf("%s gives no token: %w", origin, err)}
		}
		return token, life, err
	}
	return "", 0, c.refusal(res, body, origin, secret)
}

// answer is section 5.1 or 5.2 of RFC 6749. Some endpoints write expires_in as a string.
type answer struct {
	AccessToken string          `json:"access_token"`
	TokenType   string          `json:"token_type"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Error       string          `json:"error"`
	Description string          `json:"error_description"`
}

// readToken reads an answer 200. Its error never quotes it.
func readToken(body []byte) (token string, life time.Duration, err error) {
	var a answer
	switch err := json.Unmarshal(body, &a); {
	case err != nil:
		return "", 0, errors.New("the answer is no JSON object of RFC 6749: is this the token endpoint?")
	case a.AccessToken == "":
		return "", 0, errors.New("the answer has no access_token: is this the token endpoint?")
	case strings.ContainsFunc(a.AccessToken, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return "", 0, errors.New("the access_token holds characters that no header can carry")
	case !strings.EqualFold(a.TokenType, "bearer"):
		return "", 0, fmt.Errorf("the token is of type %q, and only bearer tokens are known", safe.Snippet([]byte(a.TokenType), 40))
	}
	return a.AccessToken, lifetime(a.ExpiresIn), nil
}

// lifetime reads seconds. A token that has ended as it comes is no such thing: taken at its word, each request to the
// destination would ask for another.
func lifetime(raw json.RawMessage) time.Duration {
	seconds, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 {
		return unsaid
	}
	return time.Duration(min(seconds, longest.Seconds()) * float64(time.Second))
}

// refusal describes an answer other than 200.
func (c *Client) refusal(res *http.Response, body []byte, origin string, secret safe.Secret) error {
	var a answer
	_ = json.Unmarshal(body, &a) // a page of HTML says less than the status
	text := fmt.Sprintf("%s gives no token: it answers %d %s", origin, res.StatusCode, http.StatusText(res.StatusCode))
	for _, s := range []string{a.Error, a.Description} {
		if s = safe.Snippet([]byte(c.hide(s, secret)), quote); s != "" {
			text += ": " + s
		}
	}
	e := &Error{}
	switch status := res.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500,
		a.Error == "temporarily_unavailable", a.Error == "server_error":
		e.RetryAfter, _ = retryafter.Parse(res.Header.Get("Retry-After"), res.Header.Get("Date"), time.Now())
		e.Err = errors.New(text)
		return e
	case status >= 300 && status < 400:
		text += ": redirects are not followed: name the token endpoint itself"
	case a.Error == "invalid_client", a.Error == "" && status == http.StatusUnauthorized, a.Error == "unauthorized_client":
		text += ": check client_id and client_secret, and that the secret has not expired"
		e.Denied, e.Err = true, fmt.Errorf("%s%w", text, errClient)
		return e
	case a.Error == "invalid_request" && status == http.StatusBadRequest:
		// What an endpoint says that reads the body alone, and misses client_id there.
		e.Denied, e.Err = true, fmt.Errorf("%s%w", text, errClient)
		return e
	case a.Error == "invalid_scope":
		text += ": check scope"
	default:
		text += ": check the token endpoint's address"
	}
	e.Denied, e.Err = true, errors.New(text)
	if a.Error == "" {
		e.Err = fmt.Errorf("%s%w", text, errElse)
	}
	return e
}

// scrub takes secret and URL out of an error of net/http, which quotes an answer that it can't read: what answers there
// may echo what it was sent.
func (c *Client) scrub(err error, secret safe.Secret) error {
	err = safe.URLError(err)
	text := err.Error()
	clean := c.hide(text, secret)
	if u, err := url.Parse(c.cfg.URL); err == nil && len(u.RequestURI()) > 1 {
		clean = strings.ReplaceAll(clean, u.RequestURI(), "***")
	}
	if clean = safe.Snippet([]byte(clean), 2*quote); clean != text {
		return errors.New(clean)
	}
	return err
}

// hide takes the secret, and the query of the URL, out of what the endpoint says, in each way that it may echo them.
func (c *Client) hide(s string, secret safe.Secret) string {
	raw := secret.Reveal()
	escaped := url.QueryEscape(raw)
	hidden := []string{raw, escaped, base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.cfg.ClientID) + ":" + escaped))}
	if u, err := url.Parse(c.cfg.URL); err == nil && u.RawQuery != "" {
		hidden = append(hidden, u.RequestURI(), u.RawQuery)
		for _, values := range u.Query() {
			hidden = append(hidden, values...)
		}
	}
	return safe.Hider(hidden...).Replace(s)
}
