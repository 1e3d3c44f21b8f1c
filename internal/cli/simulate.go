package cli

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"s1stream/internal/console"
	"s1stream/internal/safe"
)

// simulatedPast is how far back the threats go that a simulated console begins with.
const simulatedPast = 7 * 24 * time.Hour

// simulateOptions is the command line of simulate.
type simulateOptions struct {
	listen, tlsDir, token, tokenFile, faults string
	threats, cacheMB                         int
	births, changes                          float64
	static                                   bool
	seed                                     uint64
}

func (a *app) simulateCommand() *cobra.Command {
	var o simulateOptions
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Serve a simulated console, to try a configuration with",
		Long: `simulate serves a console's threats endpoint, system/status and system/info until it is interrupted: the
contract of the API, with a set of threats that lives, and with faults on demand. It prints its address, its
token and a block of configuration on standard error. Everything it serves is made up.

With --tls-dir it makes a certificate authority there and serves HTTPS; clients trust ca.pem. s1stream reaches
http:// on loopback alone.

` + console.FaultSyntax,
		Example: `  s1stream simulate --listen 127.0.0.1:9440
  s1stream simulate --threats 5000 --new 2 --update 10 --faults 429=0.05,500=0.02,outage=10s/2m
  s1stream simulate --listen 0.0.0.0:9440 --tls-dir ./simulator-tls --token-file token`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:9440", "`host:port` to listen on; port 0 takes a free one")
	f.IntVar(&o.threats, "threats", 1000, "threats to begin with, of the last seven days")
	f.Float64Var(&o.births, "new", 0.5, "new threats a second")
	f.Float64Var(&o.changes, "update", 1, "changes of threats a second")
	f.BoolVar(&o.static, "static", false, "nothing new and nothing changes")
	f.StringVar(&o.faults, "faults", "", "what goes wrong, see above")
	f.StringVar(&o.tlsDir, "tls-dir", "", "serve HTTPS; `directory` for the authority and certificates, made where missing")
	f.StringVar(&o.token, "token", "simulated-token", "the token that clients must send; \"\" lets everyone in")
	f.StringVar(&o.tokenFile, "token-file", "", "`file` that holds the token")
	f.Uint64Var(&o.seed, "seed", 1, "makes threats and faults come out the same again")
	f.IntVar(&o.cacheMB, "cache-mb", 0, "MiB of encoded pages to keep while nothing changes, for benchmarks")
	cmd.MarkFlagsMutuallyExclusive("token", "token-file")
	cmd.MarkFlagsMutuallyExclusive("static", "new")
	cmd.MarkFlagsMutuallyExclusive("static", "update")
	cmd.RunE = a.command(func(ctx context.Context, _ []string) error { return a.simulate(ctx, o) })
	return cmd
}

// mostASecond is what a simulated console is asked for at the most: more than a real one is read at.
const mostASecond = 10_000

// checkRates refuses what a simulated console can't do, NaN and infinity among it.
func checkRates(births, changes float64) error {
	for _, f := range []struct {
		flag string
		rate float64
	}{{"--new", births}, {"--update", changes}} {
		if !(f.rate >= 0 && f.rate <= mostASecond) {
			return usagef("%s %v: must be from 0 to %d a second", f.flag, f.rate, mostASecond)
		}
	}
	return nil
}

// simulate serves until ctx ends. It keeps no ledger, so that it may run for days.
func (a *app) simulate(ctx context.Context, o simulateOptions) error {
	if o.threats < 0 || o.cacheMB < 0 {
		return usagef("--threats and --cache-mb must not be negative")
	}
	if err := checkRates(o.births, o.changes); err != nil {
		return err
	}
	if o.tokenFile != "" {
		token, err := safe.ReadSecret("", o.tokenFile)
		if err != nil {
			return usagef("--token-file: %w", err)
		}
		o.token = token.Reveal()
	}
	faults, err := console.ParseFaults(o.faults)
	if err != nil {
		return usagef("--faults: %w", err)
	}
	c := console.New(console.Config{Token: o.token, Seed: o.seed, Faults: faults, CacheBytes: int64(o.cacheMB) << 20})
	now := time.Now()
	c.Store.Fill(o.threats, now.Add(-simulatedPast), now)
	s, err := c.Serve(ctx, o.listen, o.tlsDir)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", o.listen, err)
	}
	a.announce(o, s)
	var living sync.WaitGroup
	// The set stops living when the server stops, whatever the reason.
	alive, end := context.WithCancel(ctx)
	if !o.static {
		living.Go(func() { c.Living(alive, o.births, o.changes) })
	}
	<-s.Done()
	end()
	living.Wait()
	return s.Close()
}

// announce says how to reach the console.
func (a *app) announce(o simulateOptions, s *console.Server) {
	a.sayf("simulated console at %s with %s; Ctrl-C ends it\n", s.URL, plural(o.threats, "threat"))
	if o.tokenFile != "" {
		a.sayf("token: the one in %s\n", o.tokenFile)
	} else {
		a.sayf("token: %s\n", safe.Text(o.token))
	}
	if s.CAFile != "" {
		a.sayf("certificate authority: %s\n", s.CAFile)
	}
	if host, _, err := net.SplitHostPort(o.listen); err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback() {
		a.sayf("warning: other machines can reach it")
		if s.CAFile == "" {
			a.sayf(", but s1stream there will not, for http:// is for loopback alone: add --tls-dir")
		}
		a.sayf("\n")
	}
	a.sayf("\nfor config.toml:\n\n%s\n", simulateConfig(o, s))
}

// simulateConfig is a configuration that reads this console and writes to standard output.
func simulateConfig(o simulateOptions, s *console.Server) string {
	var b strings.Builder
	key := func(name, value string) { fmt.Fprintf(&b, "%s = %s\n", name, quoteTOML(value)) }
	b.WriteString("[checkpoint]\n")
	key("dir", "./s1stream-data")
	b.WriteString("\n[source.simulated]\n")
	key("url", s.URL)
	switch {
	case o.tokenFile != "":
		key("token_file", o.tokenFile)
	case o.token != "":
		key("token", o.token)
	default:
		key("token", "any") // it must have one
	}
	if s.CAFile != "" {
		key("ca_file", s.CAFile)
	}
	b.WriteString("\n[sink.stdout]\n")
	key("type", "file")
	key("path", "-")
	return b.String()
}

// quoteTOML writes a basic string of TOML, whose escapes JSON and Go share but for \x and \a and the like.
func quoteTOML(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
