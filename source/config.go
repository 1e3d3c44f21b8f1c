package source

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"s1stream/internal/safe"
)

// Config is one console as configured: a [source.NAME] table.
type Config struct {
	URL               string         `koanf:"url"`                 // https://host[:port]; a path is dropped
	Token             safe.Secret    `koanf:"token"`               // API token
	TokenFile         string         `koanf:"token_file"`          // file that holds it, read again when it is rejected
	Start             string         `koanf:"start"`               // where a line without a checkpoint begins: see Console.Start
	PollInterval      time.Duration  `koanf:"poll_interval"`       // pause between two walks
	Settle            time.Duration  `koanf:"settle"`              // how late a change may become visible
	PageSize          int            `koanf:"page_size"`           // threats a request, 1 to 1000
	RequestsPerSecond float64        `koanf:"requests_per_second"` // of this token, all walks together
	Timeout           time.Duration  `koanf:"timeout"`             // of one request, its body read whole
	Buffer            int            `koanf:"buffer"`              // events on the channel of one feed
	Proxy             safe.Secret    `koanf:"proxy"`               // URL or "direct"; unset: the environment decides
	ProxyFile         string         `koanf:"proxy_file"`          // file that holds the proxy's URL
	CAFile            string         `koanf:"ca_file"`             // PEM; trusted instead of the system's roots
	Filter            map[string]any `koanf:"filter"`              // see ParseFilter
}

// The most that is allowed: what the vendor lets a token do, and what keeps a mistyped zero from taking the memory.
const (
	configMaxRate      = 10
	configMaxLocalRate = 10_000 // of a console on this machine, which is a simulator
	configMaxBuffer    = 100_000
)

// DefaultConfig returns what an absent key means.
func DefaultConfig() Config {
	return Config{
		Start:             "-24h",
		PollInterval:      5 * time.Second,
		Settle:            2 * time.Minute,
		PageSize:          1000,
		RequestsPerSecond: 5,
		Timeout:           time.Minute,
		Buffer:            1000,
	}
}

// Validate returns every mistake at once, each "key: what would be right". It reads no file, and leaves the
// filter to ParseFilter.
func (c Config) Validate() error {
	var mistakes []error
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			mistakes = append(mistakes, fmt.Errorf(format, args...))
		}
	}
	u, err := c.parseURL()
	wrong(err != nil, "url: %w", err)
	wrong(c.Token == "" && c.TokenFile == "", "token_file: name a file that holds the console's API token, or set token")
	wrong(c.Token != "" && c.TokenFile != "", "token: must not be set together with token_file: remove one of them")
	err = CheckToken(c.Token)
	wrong(err != nil, "token: %w", err)
	_, _, err = parseStart(c.Start)
	wrong(err != nil, "start: %w", err)
	wrong(c.PollInterval <= 0, "poll_interval: must be longer than 0s")
	wrong(c.Settle <= 0, "settle: must be longer than 0s, or changes that become visible late are lost")
	wrong(c.PageSize < 1 || c.PageSize > paramMaxLimit, "page_size: must be from 1 to %d", paramMaxLimit)
	most := float64(configMaxRate)
	if u != nil && isLoopback(u.Hostname()) {
		most = configMaxLocalRate
	}
	wrong(!(c.RequestsPerSecond > 0 && c.RequestsPerSecond <= most), // catches NaN too
		"requests_per_second: must be more than 0 and at most %v, which is what a console allows a token", most)
	wrong(c.Timeout <= 0, "timeout: must be longer than 0s")
	wrong(c.Buffer < 1 || c.Buffer > configMaxBuffer, "buffer: must be from 1 to %d", configMaxBuffer)
	wrong(c.Proxy != "" && c.ProxyFile != "", "proxy: must not be set together with proxy_file: remove one of them")
	wrong(!proxyOK(c.Proxy), `proxy: must be a URL such as "http://proxy.example:3128", or "direct"`)
	wrong(u != nil && u.Scheme == "http" && (c.ProxyFile != "" || c.Proxy != "" && c.Proxy != "direct"),
		"proxy: an http:// console is never reached by a proxy, which would see the token: remove it")
	return errors.Join(mistakes...)
}

// Host returns the console's host[:port] in lower case, without the port where it is the scheme's own. It is
// "" for a URL that Validate refuses.
func (c Config) Host() string {
	u, err := c.parseURL()
	if err != nil {
		return ""
	}
	return u.Host
}

// BaseURL returns scheme://host[:port], or "" for a URL that Validate refuses.
func (c Config) BaseURL() string {
	u, err := c.parseURL()
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// parseURL reads the console's address, with its host as Host returns it. Errors don't quote the URL: a token
// pasted into it would show.
func (c Config) parseURL() (*url.URL, error) {
	if c.URL == "" {
		return nil, errors.New(`must be the console's address, as in "https://example.sentinelone.net"`)
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Hostname() == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return nil, errors.New(`must begin with https:// and a host, as in "https://example.sentinelone.net"`)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return nil, errors.New("must be scheme and host alone, without user, password, query or fragment")
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, errors.New("must have a port from 1 to 65535, or none")
		}
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, errors.New("must begin with https://, or the token would cross the network in clear text")
	}
	u.Host = strings.ToLower(u.Host)
	port := map[string]string{"https": ":443", "http": ":80"}[u.Scheme]
	u.Host = strings.TrimSuffix(strings.TrimSuffix(u.Host, port), ":")
	return u, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return ip.IsLoopback() || strings.EqualFold(host, "localhost")
}

// CheckToken refuses what can't be an API token, and would only be told as a request that can't be sent. "" is for
// Validate to refuse.
func CheckToken(token safe.Secret) error {
	t := token.Reveal()
	if first, _, many := strings.Cut(t, " "); many && (strings.EqualFold(first, "ApiToken") || strings.EqualFold(first, "Bearer") || strings.EqualFold(first, "Authorization:")) {
		return fmt.Errorf("must be the token alone: take %q away from before it", first)
	}
	if strings.ContainsFunc(t, notInToken) {
		return errors.New("must be one word of printable ASCII, without white space: copy the API token again, alone")
	}
	return nil
}

func notInToken(r rune) bool { return r <= ' ' || r >= 0x7f }

func proxyOK(proxy safe.Secret) bool {
	if proxy == "" || proxy == "direct" {
		return true
	}
	u, err := url.Parse(proxy.Reveal())
	if err != nil || u.Hostname() == "" {
		return false
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return true
	}
	return false
}
