package sink

import (
	"context"
	"net/http"

	"s1stream/sink/oauth2"
)

// Azure sends events to a data collection rule by the Logs Ingestion API. An ack is the service's 204: it has the
// request. What becomes of its rows behind that, in the rule's transformation and on the way into the table, nobody
// answers for; the rule's own error log and metrics tell.
//
// A batch goes out as several requests side by side. Within a batch no two records are of one threat, so nothing is
// reordered that matters. The service keeps repeats: the table is read by Version.
type Azure struct {
	cfg       AzureConfig
	deps      Deps
	maxBody   int // bytes of one request before gzip
	target    *httpTarget
	transport *http.Transport
	gzip      httpGzip
	tokens    *oauth2.Client
	asking    *http.Transport // of the tokens' requests
}

var _ Sink = (*Azure)(nil)

// NewAzure reads the secret and certificates; it opens no connection.
func NewAzure(cfg AzureConfig, d Deps) (*Azure, error) {
	target, err := cfg.target()
	if err != nil {
		return nil, err
	}
	transport, err := httpTransport(d, cfg.TLS, cfg.Proxy, azureSide)
	if err != nil {
		return nil, err
	}
	unseen := d
	unseen.Metrics = nil // no connection to the destination
	// Whose authority signs the one may sign the other, as a proxy that looks into TLS does. The rest is the endpoint's.
	asking, err := httpTransport(unseen, TLS{CAFile: cfg.TLS.CAFile}, cfg.Proxy, 1)
	if err != nil {
		return nil, err
	}
	tokens, err := cfg.oauth().client(asking, d.Log)
	if err != nil {
		return nil, err
	}
	return &Azure{
		cfg: cfg, deps: d, maxBody: azureLimit(d.MaxMessageBytes), target: target, transport: transport, tokens: tokens, asking: asking,
	}, nil
}

// Grade implements Sink.
func (a *Azure) Grade() Grade { return Acknowledged }

// Close implements Sink: it ends the idle connections. There are no others, for no Write is under way.
func (a *Azure) Close() error {
	a.transport.CloseIdleConnections()
	a.asking.CloseIdleConnections()
	return nil
}

// Write implements Sink. The service takes or refuses a request as a whole: one that is refused is sent again in
// halves, so that the *BatchError names the guilty records alone.
func (a *Azure) Write(ctx context.Context, records []Record) error {
	if len(records) == 0 {
		return nil
	}
	w := httpWrite{post: a.post, side: azureSide, ctx: ctx, records: records, errs: make([]error, len(records))}
	w.run(httpSplit(records, azureSide, a.maxBody))
	err, _ := httpOutcome(w.errs)
	return err
}
