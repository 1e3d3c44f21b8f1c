package sink

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"s1stream/internal/safe"
)

// httpRemedyFor says what to do about a round trip that failed on the way. operator: it lasts until somebody
// acts, and is no passing trouble of the network.
func httpRemedyFor(err error) (remedy string, operator bool) {
	var (
		dns    *net.DNSError
		op     *net.OpError
		proxy  *httpProxyError
		host   x509.HostnameError
		expiry x509.CertificateInvalidError
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
		slow   net.Error
	)
	switch {
	case errors.As(err, &proxy):
		return "check proxy: its address, its credentials, and whether it may reach this host", httpClass(proxy.status) == httpDenied
	case errors.As(err, &op) && op.Op == "proxyconnect": // how net/http marks what is not of the destination
		return "the proxy is not reached: check proxy, or HTTPS_PROXY where proxy is not set", false
	case errors.As(err, &host):
		return "use the name that the certificate is for in the URL, or set tls.server_name to it", true
	case errors.As(err, &expiry):
		return "the server needs a valid certificate; check this machine's clock too", true
	case errors.As(err, &verify):
		return "set tls.ca_file to the authority that signed the server's certificate", true
	case errors.As(err, &record):
		return "the port speaks no TLS: use its TLS port, or http:// in the URL", true
	case errors.As(err, &op) && op.Op == "remote error": // how crypto/tls marks an alert of the peer
		return "the server ends the TLS handshake: it may want a client certificate (tls.cert_file, tls.key_file) that it trusts", true
	case errors.As(err, &dns):
		return "check the host in the URL, and this machine's name servers; behind a proxy, set proxy", false
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: check host and port in the URL, and that the receiver runs", false
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return "no answer: check firewalls between here and there, or set proxy", false
	}
	return "check the URL, proxy and the tls keys", false
}

// httpRemedy says what to do about an answer that only an operator can change.
func httpRemedy(res *http.Response) string {
	switch status := res.StatusCode; {
	case status == 401 || status == 403:
		return "check the auth keys, and what the account behind them may do"
	case status == 407:
		return "the proxy wants credentials: put them into proxy"
	case status == 405:
		return "check method and url"
	case status >= 300 && status <= 399:
		if to, err := url.Parse(res.Header.Get("Location")); err == nil && to.Host != "" {
			return "redirects are not followed: correct the URL, it leads to " + safe.Origin(to.String())
		}
		return "redirects are not followed: correct the URL"
	}
	return "check url"
}
