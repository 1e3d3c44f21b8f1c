package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"s1stream/internal/config"
	"s1stream/internal/safe"
	"s1stream/source"
)

const (
	clockGood  = 5 * time.Second  // a Date is cut to the second, and an answer takes a while
	clockBad   = 10 * time.Minute // beyond this the freshness metric and a start of "-24h" mislead
	certExpiry = 14 * 24 * time.Hour
)

// checkConsole asks for what needs nothing, then the token, then the permission, so that the first failure
// names what is missing.
func (b *builder) checkConsole(ctx context.Context, s config.Source) []finding {
	c, err := b.console(s)
	if err != nil {
		return []finding{fail("correct that key", "%v", err)}
	}
	origin := safe.Origin(s.Config.BaseURL())
	status, err := c.Ask(ctx, source.StatusPath, nil)
	if err != nil {
		return []finding{fail(networkRemedy(err), "reach %s: %v", origin, err)}
	}
	if status.Status != http.StatusOK || !json.Valid(status.Body) {
		return []finding{fail(statusRemedy(status.Status), "%s answered %s to system/status%s", origin, statusText(status), saying(status))}
	}
	out := append([]finding{ok("reached %s%s", origin, tlsText(status.TLS))}, certificate(status.TLS)...)
	out = append(out, clock(status))
	if at, err := source.StartAt(s.Config.Start, time.Now()); err == nil && at.After(time.Now().Add(time.Minute)) {
		out = append(out, warn("correct start, unless it is meant so", "start = %q is in the future: what changes before is not delivered to a sink without a checkpoint", s.Config.Start))
	}
	info, err := c.Ask(ctx, source.InfoPath, nil)
	switch {
	case err != nil:
		return append(out, fail(networkRemedy(err), "ask for system/info: %v", err))
	case info.Status == http.StatusForbidden: // known, then, but not allowed this; what counts is the next question
		out = append(out, warn("nothing, if the threats can be read", "the token is known, but may not read system/info"))
	case info.Status != http.StatusOK:
		return append(out, fail(statusRemedy(info.Status), "the console answered %s to the token%s", statusText(info), saying(info)))
	default:
		out = append(out, ok("the token is accepted%s", infoVersion(info.Body)))
	}
	return append(out, checkThreats(ctx, c))
}

// checkThreats asks for one threat as a walk would ask, with the source's filter.
func checkThreats(ctx context.Context, c *source.Console) finding {
	q := c.Filter()
	q.Set("limit", "1")
	q.Set("sortBy", "updatedAt")
	q.Set("sortOrder", "asc")
	got, err := c.Ask(ctx, source.ThreatsPath, q)
	if err != nil {
		return fail(networkRemedy(err), "ask for a threat: %v", err)
	}
	if got.Status != http.StatusOK {
		return fail(statusRemedy(got.Status), "the console answered %s to a request for a threat%s", statusText(got), saying(got))
	}
	page, err := readPage(got)
	if err != nil {
		return fail("look for a proxy or a login page in between", "ask for a threat: %v", err)
	}
	if page.Pagination.TotalItems > 0 {
		return ok("may read threats; %d match the filter", page.Pagination.TotalItems)
	}
	return ok("may read threats")
}

// clock compares the console's clock with ours, half of the request's time ago.
func clock(a source.Answer) finding {
	if a.Date.IsZero() {
		return fail("look for a proxy that strips the header: without it no checkpoint moves", "the console sends no Date")
	}
	d := a.Date.Add(500 * time.Millisecond).Sub(a.Asked.Add(a.Took / 2)).Round(time.Second)
	way := "ahead of"
	if d < 0 {
		way = "behind"
	}
	text := fmt.Sprintf("its clock is %s %s ours", d.Abs(), way)
	const remedy = "set this machine's clock by NTP; nothing is lost, but freshness is measured wrongly"
	switch {
	case d.Abs() <= clockGood:
		return ok("its clock agrees with ours to %s", clockGood)
	case d.Abs() <= clockBad:
		return warn(remedy, "%s", text)
	}
	return fail(remedy, "%s", text)
}

// certificate warns of one that ends soon.
func certificate(state *tls.ConnectionState) []finding {
	if state == nil || len(state.PeerCertificates) == 0 {
		return nil
	}
	end := state.PeerCertificates[0].NotAfter
	if left := time.Until(end); left < certExpiry {
		return []finding{warn("have it renewed: expired, it ends the stream", "the console's certificate ends on %s", end.UTC().Format(time.DateOnly))}
	}
	return nil
}

// tlsText tells the version of TLS that was agreed on.
func tlsText(state *tls.ConnectionState) string {
	if state == nil {
		return " without TLS, which loopback alone may"
	}
	return ", " + tls.VersionName(state.Version)
}

// infoVersion quotes the version that system/info tells, where it does.
func infoVersion(body []byte) string {
	var info struct {
		Data struct{ Version string }
	}
	if json.Unmarshal(body, &info) != nil || info.Data.Version == "" {
		return ""
	}
	return "; console version " + safe.Snippet([]byte(info.Data.Version), 64)
}

// statusText is the status line; its reason is the server's own text.
func statusText(a source.Answer) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", a.Status, safe.Snippet([]byte(a.Reason), 64)))
}

// saying quotes the API's own explanation.
func saying(a source.Answer) string {
	var said struct {
		Errors []struct{ Title, Detail string }
	}
	if json.Unmarshal(a.Body, &said) != nil || len(said.Errors) == 0 {
		return ""
	}
	e := said.Errors[0]
	return ": " + safe.Snippet([]byte(strings.TrimSuffix(e.Title+": "+e.Detail, ": ")), 200)
}

// statusRemedy says what to do about an answer other than 200.
func statusRemedy(status int) string {
	switch {
	case status == http.StatusUnauthorized:
		return "make a new API token in the console (they expire) and put it into token_file"
	case status == http.StatusForbidden:
		return "give the token's user a role with the permission Threats.view in that scope"
	case status == http.StatusBadRequest:
		return "correct the source's filter: the console refuses it"
	case status == http.StatusTooManyRequests:
		return "try again in a minute; if it stays, another program uses this token: give each its own"
	case status >= 500:
		return "try again later; if it stays, ask the vendor's support"
	}
	return "correct url: it must be the console's own address"
}

// networkRemedy says what to do about a request that got no answer.
func networkRemedy(err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var dns *net.DNSError
	var notURL *url.Error
	switch {
	case errors.As(err, &unknown):
		return "set ca_file to the authority that signed the certificate, or look for a proxy that opens TLS"
	case errors.As(err, &name), errors.As(err, &invalid):
		return "correct url, or have the certificate renewed"
	case errors.As(err, &dns):
		return "correct url, or this machine's DNS"
	case errors.As(err, &notURL), errors.Is(err, context.DeadlineExceeded):
		return "look at url, the firewall and proxy"
	}
	return "look at url, the firewall and proxy; is it up?"
}
