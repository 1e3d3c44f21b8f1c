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

func readable(value string) bool {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	return err == nil && u.Hostname() != "" && slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme)
}
