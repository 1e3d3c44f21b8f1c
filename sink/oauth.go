package sink

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"s1stream/internal/safe"
	"s1stream/sink/oauth2"
)

// oauthKeys are the keys of a client credentials grant, as a sink's table has them.
type oauthKeys struct {
	prefix     string // of each key, as in "auth."
	tokenURL   string
	clientID   string
	secret     safe.Secret
	secretFile string
	scope      string
}

// given reports whether any key is set.
func (k oauthKeys) given() bool {
	return k.tokenURL != "" || k.clientID != "" || k.secret != "" || k.secretFile != "" || k.scope != ""
}

// mistakes checks the keys. cleartext permits a token endpoint over http:// beyond loopback.
func (k oauthKeys) mistakes(cleartext bool) []error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s%s: %w", k.prefix, key, fmt.Errorf(format, args...)))
	}
	if u, err := httpParseURL(safe.Secret(k.tokenURL)); errors.Is(err, errHTTPUser) {
		bad("token_url", "must hold no user and password: give %sclient_id and %sclient_secret", k.prefix, k.prefix)
	} else if err != nil {
		bad("token_url", "must be the token endpoint, as in \"https://login.example.com/oauth2/token\": it %w", err)
	} else if u.Scheme == "http" && !httpLoopback(u.Hostname()) && !cleartext {
		bad("token_url", "would send the secret in clear text to %s: use https://, or set allow_cleartext_auth = true", safe.Origin(k.tokenURL))
	}
	if k.clientID == "" || !httpFieldValue(k.clientID) {
		bad("client_id", "must be given, without a control character")
	}
	if (k.secret == "") == (k.secretFile == "") {
		bad("client_secret", "give it, or %sclient_secret_file, and not both", k.prefix)
	}
	if !httpFieldValue(k.scope) {
		bad("scope", "must hold no control character")
	}
	return errs
}

// client makes no request yet, but reads the secret once, so that a missing file is found at the start. log may be nil.
func (k oauthKeys) client(transport http.RoundTripper, log *slog.Logger) (*oauth2.Client, error) {
	read := func() (safe.Secret, error) {
		s, err := safe.ReadSecret(k.secret, k.secretFile)
		if err != nil {
			return "", fmt.Errorf("%sclient_secret_file: %w", k.prefix, err)
		}
		return s, nil
	}
	if _, err := read(); err != nil {
		return nil, err
	}
	return oauth2.New(oauth2.Config{URL: k.tokenURL, ClientID: k.clientID, Secret: read, Scope: k.scope, Log: log}, transport), nil
}

// oauthToken is Token with its failure classified as Write's own errors are. Where certificate or address are at fault,
// the error says what to do.
func oauthToken(ctx context.Context, c *oauth2.Client) (string, error) {
	token, err := c.Token(ctx)
	var failed *oauth2.Error
	if !errors.As(err, &failed) {
		return token, err
	}
	if failed.Denied {
		return "", &DeniedError{failed.Err}
	}
	if remedy, operator := httpRemedyFor(failed.Err); operator {
		return "", &DeniedError{fmt.Errorf("%w: %s", failed.Err, remedy)}
	}
	if failed.RetryAfter > 0 {
		return "", &RetryAfterError{After: failed.RetryAfter, Err: failed.Err}
	}
	return "", failed.Err
}
