package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"s1stream/internal/config"
	"s1stream/internal/ops"
	"s1stream/internal/proxyenv"
	"s1stream/internal/safe"
	"s1stream/source"
)

// threatsOptions is the command line of threats.
type threatsOptions struct {
	config, source                string
	url, tokenFile, caFile, proxy string
	params                        []string
	all, include, filter          bool
}

func (a *app) threatsCommand() *cobra.Command {
	var o threatsOptions
	cmd := &cobra.Command{
		Use:   "threats",
		Short: "Ask a console for threats and print its answer",
		Long: `threats asks the threats endpoint once and prints the answer's body as it came. The console is a source of
--config, or else --url with --token-file. An answer other than 200 is printed too; the exit code is then 1.

--param name=value sets any parameter of the endpoint, countOnly, skip, sortBy and cursor included; lists are
written with commas. What is asked for is what --param says and nothing else: the filter of the source applies
only with --filter, and a --param then replaces the filter's of that name.

--all follows the cursor to the end and prints one JSON document, {"data":[...],"pagination":{...}}, a threat a
line, while it reads: nothing is held in memory. Progress goes to standard error. It waits as long as a 429
asks, and then goes on. If it has to give up, the document is closed in order, its pagination.nextCursor says
where to go on (--param cursor=...), and the exit code is 1.

--include wraps the answer: {"status":200,"reason":"OK","headers":{...},"body":...}; with --all these are the
first page's. Values of cookies are hidden, and so is the token wherever an answer quotes it.`,
		Example: `  s1stream threats --config config.toml --param limit=5 --param sortBy=updatedAt --param sortOrder=desc
  s1stream threats --config config.toml --source prod --param countOnly=true --param resolved=false
  s1stream threats --url https://example.sentinelone.net --token-file token --param incidentStatuses=unresolved,in_progress --all
  s1stream threats --config config.toml --include --param limit=1`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	configFlag(cmd, &o.config)
	f.StringVar(&o.source, "source", "", "the configuration's source to ask; needed where it has several")
	f.StringVar(&o.url, "url", "", "the console's address, instead of a configuration")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` that holds the API token, with --url")
	f.StringVar(&o.caFile, "ca-file", "", "PEM `file` to trust instead of the system's authorities, with --url")
	f.StringVar(&o.proxy, "proxy", "", "proxy's `URL`, or \"direct\", with --url; default: as the environment says")
	f.StringArrayVar(&o.params, "param", nil, "`name=value`, a parameter of the endpoint; may be repeated")
	f.BoolVar(&o.all, "all", false, "follow the cursor to the end")
	f.BoolVar(&o.include, "include", false, "print status, reason and headers of the answer too")
	f.BoolVar(&o.filter, "filter", false, "apply the source's filter")
	cmd.MarkFlagsMutuallyExclusive("url", "config")
	cmd.MarkFlagsMutuallyExclusive("url", "source")
	cmd.MarkFlagsMutuallyExclusive("url", "filter")
	_ = cmd.RegisterFlagCompletionFunc("param", completeParam)
	cmd.RunE = a.command(func(ctx context.Context, _ []string) error { return a.threats(ctx, o) })
	return cmd
}

// completeParam offers the names of parameters, and after one of them its values.
func completeParam(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	const d = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	var out []string
	if name, _, ok := strings.Cut(typed, "="); ok {
		for _, v := range source.ParamValues(name) {
			out = append(out, name+"="+v)
		}
		return out, d
	}
	for _, name := range source.ParamNames() {
		out = append(out, name+"=")
	}
	return out, d
}

// threats asks once, or with --all until the end.
func (a *app) threats(ctx context.Context, o threatsOptions) error {
	c, err := a.threatsConsole(o)
	if err != nil {
		return err
	}
	q := url.Values{}
	if o.filter {
		q = c.Filter()
	}
	if err := setParams(q, o.params); err != nil {
		return err
	}
	out := a.stdout
	if terminal(a.stdout) != nil {
		c := &cleanWriter{w: a.stdout}
		defer func() { _ = c.Close() }()
		out = c
	}
	if o.all {
		return a.allThreats(ctx, c, q, o.include, out)
	}
	got, err := c.Ask(ctx, source.ThreatsPath, q)
	if err != nil {
		return fmt.Errorf("ask the console: %w", err)
	}
	if err := printAnswer(out, got, o.include); err != nil {
		return err
	}
	if got.Status != http.StatusOK {
		return fmt.Errorf("the console answered %s%s", statusText(got), saying(got))
	}
	return nil
}

// threatsConsole makes the console that is to be asked.
func (a *app) threatsConsole(o threatsOptions) (*source.Console, error) {
	s := config.Source{Name: "console", Config: source.DefaultConfig()}
	if o.url != "" {
		s.Config.URL, s.Config.TokenFile, s.Config.CAFile = o.url, o.tokenFile, o.caFile
		s.Config.Proxy = safe.Secret(o.proxy)
		if err := s.Config.Validate(); err != nil {
			return nil, &usageError{err}
		}
		if name := proxyenv.Unreadable(a.env, "https"); name != "" && o.proxy == "" && strings.HasPrefix(s.Config.BaseURL(), "https://") {
			return nil, usagef("the environment's %s is no URL of a proxy: correct it, unset it, or give --proxy", name)
		}
	} else {
		if o.tokenFile != "" || o.caFile != "" || o.proxy != "" {
			return nil, usagef("--token-file, --ca-file and --proxy go with --url: the configuration has its own")
		}
		cfg, err := config.Load(o.config, a.env)
		if err != nil {
			return nil, err
		}
		if s, err = oneSource(cfg, o.source); err != nil {
			return nil, err
		}
	}
	silent := slog.New(slog.NewTextHandler(io.Discard, nil)) // errors are returned
	b := newBuilder(nil, silent, prometheus.NewRegistry(), new(ops.Conditions))
	c, err := b.console(s)
	if err != nil && o.url != "" { // its keys are flags here
		return nil, usagef("%s", strings.TrimPrefix(err.Error(), "source."+s.Name+"."))
	}
	return c, err
}

// oneSource picks the source that is meant; where there is one only, it need not be named.
func oneSource(cfg *config.Config, name string) (config.Source, error) {
	names := make([]string, 0, len(cfg.Sources))
	for _, s := range cfg.Sources {
		if s.Name == name || name == "" && len(cfg.Sources) == 1 {
			return s, nil
		}
		names = append(names, s.Name)
	}
	if name == "" {
		return config.Source{}, usagef("--source: say which one of %s", strings.Join(names, ", "))
	}
	return config.Source{}, usagef("--source %s: the configuration has %s", name, strings.Join(names, ", "))
}

// setParams checks what --param says, and sets it over what q has.
func setParams(q url.Values, params []string) error {
	given := map[string]bool{}
	for _, p := range params {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return usagef("--param %s: write name=value", p)
		}
		if given[name] {
			return usagef("--param %s: given twice; write a list with commas", name)
		}
		given[name] = true
		checked, err := source.ParseParam(name, value)
		if err != nil {
			return usagef("--param %w", err)
		}
		q.Set(name, checked)
	}
	return nil
}

// printAnswer writes an answer's body as it came, or wrapped.
func printAnswer(w io.Writer, a source.Answer, include bool) error {
	body := a.Body
	if include {
		head, err := answerHead(a)
		if err != nil {
			return err
		}
		if !json.Valid(body) { // a page of HTML, as a rule: it becomes a string
			if body, err = json.Marshal(string(body)); err != nil {
				return err
			}
		}
		body = append(append(head, bytes.TrimSpace(body)...), '}')
	}
	if !bytes.HasSuffix(body, []byte("\n")) {
		body = append(body, '\n')
	}
	_, err := w.Write(body)
	return err
}

// answerHead is what --include puts in front of a body.
func answerHead(a source.Answer) ([]byte, error) {
	h := a.Header.Clone()
	for name, values := range h {
		for i, v := range values {
			switch name {
			case "Set-Cookie", "Set-Cookie2":
				cookie, _, _ := strings.Cut(v, "=")
				values[i] = cookie + "=***"
			case "Location": // the query of a login page's address may hold a ticket
				values[i], _, _ = strings.Cut(v, "?")
			}
		}
	}
	head, err := json.Marshal(struct {
		Status  int         `json:"status"`
		Reason  string      `json:"reason"`
		Headers http.Header `json:"headers"`
	}{a.Status, a.Reason, h})
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSuffix(head, []byte("}")), `,"body":`...), nil
}
