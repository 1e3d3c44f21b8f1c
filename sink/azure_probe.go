package sink

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"s1stream/internal/safe"
)

// Probe implements Config. It connects to the endpoint, gets a token, and sends an empty list, which has no event in it
// but has to pass by the token, the role, the rule and the stream.
func (c *AzureConfig) Probe(ctx context.Context, d Deps) Probe {
	p := Probe{Grade: Acknowledged, Connections: azureSide + 1}
	p.Warnings = c.doubts(d.MaxMessageBytes)
	d.Metrics = nil // a probe is no connection of a line
	a, err := NewAzure(*c, d)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	defer func() { _ = a.Close() }()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	transport, err := httpTransport(d, c.TLS, c.Proxy, 1)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	defer transport.CloseIdleConnections()
	reached := p.httpReach(ctx, transport, a.target)
	if token := a.probeToken(ctx, &p); token != "" && reached {
		a.probeRule(ctx, &p, token)
	}
	return p
}

// probeToken notes whether there is a token to be had, and returns it.
func (a *Azure) probeToken(ctx context.Context, p *Probe) string {
	token, err := oauthToken(ctx, a.tokens)
	if err != nil {
		*p = p.httpProblem(err, "check authority, tenant_id, client_id, client_secret and scope, and that proxies and firewalls let s1stream reach authority")
		return ""
	}
	p.Found = append(p.Found, fmt.Sprintf("%s gives application %s a token, which holds until %s and is renewed before",
		safe.Origin(a.cfg.Authority), safe.Text(a.cfg.ClientID), a.tokens.Ends().UTC().Format("2006-01-02 15:04 MST")))
	return token
}

// probeRule notes what the service says to an empty list. Microsoft does not say what that has to be: an answer that
// blames nobody is no problem.
func (a *Azure) probeRule(ctx context.Context, p *Probe, token string) {
	body, err := a.gzip.compress(azureBody(nil))
	if err != nil {
		*p = p.httpProblem(err, "this is a mistake of s1stream")
		return
	}
	answer, err := a.roundTrip(ctx, token, body)
	if err != nil {
		*p = p.httpProblem(err, "check endpoint, proxy and the tls keys")
		return
	}
	if answer.taken() {
		p.Found = append(p.Found, fmt.Sprintf("rule %s lets the application write to stream %s (asked with an empty list)", a.cfg.RuleID, a.cfg.Stream))
		return
	}
	var denied *DeniedError
	if err, _ := a.target.judgeAzure(answer, token); errors.As(err, &denied) {
		*p = p.httpProblem(err, "correct it, and run check again")
	} else {
		p.Found = append(p.Found, fmt.Sprintf("asked with an empty list, %s: whether rule_id, stream and the application's role are right is first shown by the first event", err))
	}
}

// azureClouds are Microsoft's clouds: what an endpoint's host ends in, who gives the tokens, and for what.
// "Logs Ingestion API in Azure Monitor", request headers; "Microsoft Entra authentication & national clouds".
var azureClouds = []struct {
	name, ends, authority, scope string
	also                         string // another name of the authority's host
}{
	{"Azure's public cloud", ".monitor.azure.com", "https://login.microsoftonline.com", "https://monitor.azure.com/.default", "login.windows.net"},
	{"Azure US Government", ".monitor.azure.us", "https://login.microsoftonline.us", "https://monitor.azure.us/.default", "login-us.microsoftonline.com"},
	{"Azure operated by 21Vianet", ".monitor.azure.cn", "https://login.partner.microsoftonline.cn", "https://monitor.azure.cn/.default", "login.chinacloudapi.cn"},
}

// doubts are what may be meant, and hardly is.
func (c *AzureConfig) doubts(maxMessageBytes int) (doubts []Problem) {
	if maxMessageBytes > azureMaxBody {
		doubts = append(doubts, Problem{
			What:   fmt.Sprintf("max_message_bytes = %q is more than the service takes, and counts as %q", Size(maxMessageBytes), Size(azureMaxBody)),
			Remedy: "leave it out",
		})
	}
	if !splunkGUID.MatchString(c.ClientID) {
		doubts = append(doubts, Problem{What: "client_id is no GUID", Remedy: "give the Application (client) ID, which is one"})
	}
	endpoint, err := azureOrigin(c.Endpoint)
	if err != nil || httpLoopback(endpoint.Hostname()) {
		return doubts
	}
	host := strings.ToLower(endpoint.Hostname())
	for _, cloud := range azureClouds {
		if !strings.HasSuffix(host, cloud.ends) {
			continue
		}
		if h := azureHost(c.Authority); h != azureHost(cloud.authority) && h != cloud.also || azureHost(c.Scope) != azureHost(cloud.scope) {
			doubts = append(doubts, Problem{
				What:   "endpoint is in " + cloud.name + ", which takes tokens of its own authority and scope alone",
				Remedy: fmt.Sprintf("set authority = %q and scope = %q", cloud.authority, cloud.scope),
			})
		}
		return doubts
	}
	return append(doubts, Problem{
		What:   "endpoint is no host of Azure Monitor (….ingest.monitor.azure.com)",
		Remedy: "check it, unless a gateway of your own stands there",
	})
}

// azureHost is the host of a URL in lower case, "" for what is none.
func azureHost(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
