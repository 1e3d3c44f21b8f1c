package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// elasticMaxProbe bounds what a probe reads of one answer: a cluster has some hundred templates.
const elasticMaxProbe = 32 << 20

// Probe implements Config. It connects to every node, and asks the first that answers for its version and for what
// target is: a data stream, an index, or a template that makes one of it. It writes nothing.
func (c *ElasticConfig) Probe(ctx context.Context, d Deps) Probe {
	p := Probe{Grade: Acknowledged, Connections: 1}
	nodes, err := c.readNodes()
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	d.Metrics = nil // a probe is no connection of a line
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	var alive *httpTarget
	for _, node := range nodes {
		transport, err := httpTransport(d, c.TLS, c.Proxy, 1)
		if err != nil {
			return p.httpProblem(err, "correct the configuration or the file it names")
		}
		if p.httpReach(ctx, transport, node) && alive == nil {
			alive = node
		}
		transport.CloseIdleConnections()
	}
	if alive == nil {
		return p
	}
	transport, err := httpTransport(d, c.TLS, c.Proxy, 1)
	if err != nil {
		return p.httpProblem(err, "correct the configuration or the file it names")
	}
	defer transport.CloseIdleConnections()
	look := elasticLook{ctx: ctx, node: alive, transport: transport}
	look.version(&p)
	if len(p.Problems) == 0 {
		look.target(&p, strings.ReplaceAll(c.Target, "{source}", d.Source), c.Op)
	}
	return p
}

// elasticLook asks one node.
type elasticLook struct {
	ctx       context.Context //nolint:containedctx // lives as long as the one probe
	node      *httpTarget
	transport *http.Transport
}

// get reads the JSON of an answer of 200 into v. Another answer is an error that comes with its status, 0 for none.
func (l elasticLook) get(path string, v any) (status int, err error) {
	req, err := http.NewRequestWithContext(l.ctx, http.MethodGet, l.node.url+path, nil)
	if err != nil {
		return 0, l.node.scrubError(err)
	}
	req.Header = l.node.header.Clone()
	res, err := l.transport.RoundTrip(req)
	if err != nil {
		return 0, fmt.Errorf("ask %s: %w", l.node.origin, l.node.scrubError(err))
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		err, _ := l.node.judge(res)
		return res.StatusCode, err
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, elasticMaxProbe)).Decode(v); err != nil {
		return res.StatusCode, fmt.Errorf("%s answers 200 with what is no JSON", l.node.origin)
	}
	return res.StatusCode, nil
}

// version notes what the node is. An account may be allowed to write and not to ask.
func (l elasticLook) version(p *Probe) {
	var about struct {
		Version struct{ Number, Distribution string }
	}
	status, err := l.get("/", &about)
	switch {
	case status == http.StatusForbidden:
		p.Found = append(p.Found, "the account may not ask for the version")
	case err != nil:
		*p = p.httpProblem(err, "check urls and the auth keys")
	case about.Version.Number == "":
		*p = p.httpProblem(errors.New(l.node.origin+" is no Elasticsearch and no OpenSearch"), "check urls")
	default:
		name := "Elasticsearch"
		if about.Version.Distribution == "opensearch" {
			name = "OpenSearch"
		}
		p.Found = append(p.Found, name+" "+about.Version.Number)
	}
}

// target notes what events are written to, or what is missing for it.
func (l elasticLook) target(p *Probe, name, op string) {
	esc := url.PathEscape(name)
	var streams struct {
		Streams []struct{ Name, Template string } `json:"data_streams"`
	}
	status, err := l.get("/_data_stream/"+esc, &streams)
	if err == nil && len(streams.Streams) == 1 {
		p.Found = append(p.Found, fmt.Sprintf("data stream %s, of the index template %s", name, streams.Streams[0].Template))
		if op == "index" {
			*p = p.httpProblem(fmt.Errorf("data stream %s takes no op = \"index\"", name), "set op = \"create\"")
		}
		return
	}
	if status == http.StatusForbidden || status == http.StatusUnauthorized {
		p.Found = append(p.Found, "the account may not look for "+name+": whether it exists is first known by the first event")
		return
	}
	var indices map[string]json.RawMessage // by name; an alias gives the indices behind it
	if _, err = l.get("/"+esc+"?filter_path=*.aliases", &indices); err == nil && len(indices) > 0 {
		p.Found = append(p.Found, "index "+name)
		return
	}
	template, status, err := l.template(name)
	switch {
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		p.Found = append(p.Found, name+" does not exist yet, and the account may not look for its index template")
	case err != nil:
		*p = p.httpProblem(err, "check the cluster")
	case template == nil:
		*p = p.httpProblem(fmt.Errorf("%s: there is no such data stream or index, and no index template for it", name),
			"install the index template for it first: without, every field gets a type by its first value")
	case template.Stream == nil:
		p.Found = append(p.Found, fmt.Sprintf("index template %s makes an index of %s at the first event", template.name, name))
	default:
		p.Found = append(p.Found, fmt.Sprintf("index template %s makes a data stream of %s at the first event", template.name, name))
	}
}

type elasticTemplate struct {
	name     string
	Patterns []string        `json:"index_patterns"`
	Priority int64           `json:"priority"`
	Stream   json.RawMessage `json:"data_stream"`
}

// template finds the composable template that a new index or data stream of that name gets: of those whose patterns
// match, the one of the highest priority. It is nil where there is none.
func (l elasticLook) template(name string) (best *elasticTemplate, status int, err error) {
	var all struct {
		Templates []struct {
			Name     string
			Template elasticTemplate `json:"index_template"`
		} `json:"index_templates"`
	}
	const filter = "index_templates.name,index_templates.index_template.index_patterns,index_templates.index_template.priority,index_templates.index_template.data_stream"
	if status, err = l.get("/_index_template?filter_path="+filter, &all); err != nil {
		return nil, status, err
	}
	for _, t := range all.Templates {
		for _, pattern := range t.Template.Patterns {
			if elasticMatch(pattern, name) && (best == nil || t.Template.Priority > best.Priority) {
				found := t.Template
				found.name, best = t.Name, &found
			}
		}
	}
	return best, status, nil
}

// elasticMatch reports whether an index pattern, in which "*" stands for any text, matches a name.
func elasticMatch(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, first)
	if !ok {
		return false
	}
	for {
		part, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}
