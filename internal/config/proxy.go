package config

import (
	"net"
	"net/url"
	"strings"

	"s1stream/internal/proxyenv"
	"s1stream/internal/safe"
	"s1stream/sink"
)

// checkProxies refuses proxy variables that can't be read where a source or a sink would go by them, NO_PROXY or not:
// whoever reads the mistake should not have to know what else the environment holds. Their values may hold a password,
// and are not shown.
func (r *report) checkProxies(c *Config, env []string) {
	for i := range c.Sources {
		s := &c.Sources[i]
		if s.Config.Proxy == "" && s.Config.ProxyFile == "" && strings.HasPrefix(s.Config.BaseURL(), "https://") {
			r.checkProxy("source."+s.Name, "proxy", env, safe.Secret(s.Config.BaseURL()))
		}
	}
	for _, s := range c.Sinks {
		if p, ok := s.Config.(sink.Proxied); ok {
			key, urls := p.ByEnvironment()
			r.checkProxy("sink."+s.Name, key, env, urls...)
		}
	}
}

// checkProxy reports the first variable that decides on one of these URLs and can't be read.
func (r *report) checkProxy(table, key string, env []string, urls ...safe.Secret) {
	for _, to := range urls {
		u, err := url.Parse(to.Reveal())
		if err != nil || strings.EqualFold(u.Hostname(), "localhost") || net.ParseIP(u.Hostname()).IsLoopback() { // never by a proxy
			continue
		}
		name := proxyenv.Unreadable(env, u.Scheme)
		switch {
		case name == "":
			continue
		case key == "proxy":
			r.mistake(table+".proxy", "is not set, and the environment's %s is no URL of a proxy: correct it, unset it, or set proxy", name)
		default:
			r.mistake(table+"."+key, "is reached by the environment's %s, which is no URL of a proxy: correct it or unset it", name)
		}
		return
	}
}
