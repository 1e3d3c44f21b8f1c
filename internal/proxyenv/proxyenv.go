// Package proxyenv judges the proxy variables of the environment. net/http drops one that it can't read, and dials
// directly: past the proxy that a company wants everything to go through.
package proxyenv

import (
	"net/url"
	"slices"
	"strings"
)

// Unreadable returns the name of the variable that decides on the proxy for a scheme ("http" or "https") and can't
// be read, or "". env is as os.Environ gives it. The rules are those of golang.org/x/net/http/httpproxy: upper case
// first, and a value without a scheme is host:port.
func Unreadable(env []string, scheme string) string {
	upper := strings.ToUpper(scheme) + "_PROXY"
	for _, name := range []string{upper, strings.ToLower(upper)} {
		for _, variable := range env {
			if key, value, _ := strings.Cut(variable, "="); key == name && value != "" {
				if readable(value) {
					return ""
				}
				return name
			}
		}
	}
	return ""
}

func readable(value string) bool { return parse(value) != nil }

// parse returns nil where a value can't be read.
func parse(value string) *url.URL {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		return nil
	}
	return u
}

// Users returns who the proxies of the environment are told one is, where their variables say.
func Users(env []string) (users []*url.Userinfo) {
	for _, variable := range env {
		key, value, _ := strings.Cut(variable, "=")
		if !slices.Contains([]string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"}, key) {
			continue
		}
		if u := parse(value); u != nil && u.User != nil {
			users = append(users, u.User)
		}
	}
	return users
}
