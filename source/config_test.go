package source

import (
	"strings"
	"testing"
)

func TestConfig_ValidateNamesEveryMistake(t *testing.T) {
	good := func() Config {
		c := DefaultConfig()
		c.URL, c.TokenFile = "https://example.sentinelone.net", "/run/token"
		return c
	}
	if err := good().Validate(); err != nil {
		t.Fatalf("a good configuration: %v", err)
	}
	for _, c := range []struct {
		name  string
		spoil func(*Config)
		want  string
	}{
		{"no url", func(c *Config) { c.URL = "" }, "url: must be the console's address"},
		{"a url without scheme", func(c *Config) { c.URL = "example.sentinelone.net" }, "url: must begin with https://"},
		{"another scheme", func(c *Config) { c.URL = "ftp://example.sentinelone.net" }, "url: must begin with https://"},
		{"clear text", func(c *Config) { c.URL = "http://example.sentinelone.net" }, "clear text"},
		{"a user in the url", func(c *Config) { c.URL = "https://me:pw@example.net" }, "without user"},
		{"a query", func(c *Config) { c.URL = "https://example.net/?token=x" }, "without user, password, query"},
		{"a port that is none", func(c *Config) { c.URL = "https://example.net:70000" }, "must have a port from 1 to 65535"},
		{"no token", func(c *Config) { c.TokenFile = "" }, "token_file: name a file"},
		{"two tokens", func(c *Config) { c.Token = "x" }, "token: must not be set together with token_file"},
		{"a token with its scheme", func(c *Config) { c.TokenFile = ""; c.Token = "ApiToken abc" }, "token: must be the token alone: take \"ApiToken\" away"},
		{"a token of two lines", func(c *Config) { c.TokenFile = ""; c.Token = "a\nb" }, "token: must be one word"},
		{"a start that is none", func(c *Config) { c.Start = "24h" }, "start: "},
		{"no pause", func(c *Config) { c.PollInterval = 0 }, "poll_interval: must be longer"},
		{"no settle", func(c *Config) { c.Settle = 0 }, "settle: must be longer"},
		{"a page too large", func(c *Config) { c.PageSize = 1001 }, "page_size: must be from 1 to 1000"},
		{"no page", func(c *Config) { c.PageSize = 0 }, "page_size: must be from 1 to 1000"},
		{"no requests", func(c *Config) { c.RequestsPerSecond = 0 }, "requests_per_second: must be more than 0"},
		{"too many requests", func(c *Config) { c.RequestsPerSecond = 11 }, "at most 10"},
		{"no time", func(c *Config) { c.Timeout = -1 }, "timeout: must be longer"},
		{"no buffer", func(c *Config) { c.Buffer = 0 }, "buffer: must be from 1"},
		{"two proxies", func(c *Config) { c.Proxy, c.ProxyFile = "direct", "/p" }, "proxy: must not be set together"},
		{"a proxy that is none", func(c *Config) { c.Proxy = "proxy:3128" }, "proxy: must be a URL"},
		{"http by a proxy", func(c *Config) { c.URL, c.Proxy = "http://127.0.0.1:1", "http://p:1" }, "never reached by a proxy"},
	} {
		cfg := good()
		c.spoil(&cfg)
		err := cfg.Validate()
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one mistake: %q", c.name, err, c.want)
		}
	}
	err := Config{}.Validate()
	if err == nil || strings.Count(err.Error(), "\n") < 7 {
		t.Errorf("an empty configuration has eight mistakes or more, reported: %v", err)
	}
}

func TestConfig_ErrorsShowNoSecret(t *testing.T) {
	c := DefaultConfig()
	c.URL, c.Token, c.Proxy = "https://u:hunter2@example.net/?hunter2", "hunter2 hunter2", "hunter2"
	if err := c.Validate(); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("mistakes show a secret, or there are none: %v", err)
	}
}

func TestConfig_HostIsLowerCaseWithoutTheUsualPort(t *testing.T) {
	for in, want := range map[string][2]string{
		"https://Example.SentinelOne.net":          {"example.sentinelone.net", "https://example.sentinelone.net"},
		"https://example.net/":                     {"example.net", "https://example.net"},
		"https://example.net/web/api/v2.1/threats": {"example.net", "https://example.net"},
		"https://example.net:443/":                 {"example.net", "https://example.net"},
		"HTTPS://example.net:8443":                 {"example.net:8443", "https://example.net:8443"},
		"http://127.0.0.1:9440":                    {"127.0.0.1:9440", "http://127.0.0.1:9440"},
		"http://localhost:80":                      {"localhost", "http://localhost"},
		"http://[::1]:9440/":                       {"[::1]:9440", "http://[::1]:9440"},
		"https://[2001:DB8::1]":                    {"[2001:db8::1]", "https://[2001:db8::1]"},
		"http://example.net":                       {"", ""},
	} {
		c := Config{URL: in}
		if got := [2]string{c.Host(), c.BaseURL()}; got != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}
