package config

import (
	"net"
	"net/url"
	"strings"

	"s1stream/internal/proxyenv"
	"s1stream/internal/safe"
	"s1stream/sink"
)

// checkProxies refuses proxy variables that can't be read where a source or a sink would go by them. Their values
// may hold a password, and are not shown.
func (r *report) checkProxies(c *Config, env []string) {
	for i := range c.Sources {
		s := &c.Sources[i]
		if s.Config.Proxy == "" && s.Config.ProxyFile == "" && strings.HasPrefix(s.Config.BaseURL(), "https://") {
			r.checkProxy("source."+s.Name+".proxy", s.Config.BaseURL(), env)
		}
	}
	for _, s := range c.Sinks {
		h, ok := s.Config.(*sink.HTTPConfig)
		if !ok || h.Proxy != "" {
			continue
		}
		if target, err := safe.ReadSecret(h.URL, h.URLFile); err == nil { // else reported already
			r.checkProxy("sink."+s.Name+".proxy", target.Reveal(), env)
		}
	}
}

func (r *report) checkProxy(key, target string, env []string) {
	u, err := url.Parse(target)
	if err != nil || u.Hostname() == "localhost" || net.ParseIP(u.Hostname()).IsLoopback() { // never by a proxy
		return
	}
	if name := proxyenv.Unreadable(env, u.Scheme); name != "" {
		r.mistake(key, "is not set, and the environment's %s is no URL of a proxy: correct it, unset it, or set proxy", name)
	}
}
