package testpeer

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// Tokens is a token endpoint for the client credentials grant, as strict as RFC 6749 lets it be. It holds no real server's
// place: what it stands for is a service that no test can have.
type Tokens struct {
	URL    string // of the endpoint
	Client *http.Client

	ClientID, Secret, Scope string // what it expects

	mu     sync.Mutex
	path   string
	given  []string
	asked  int
	answer func(w http.ResponseWriter, r *http.Request) bool
	mint   func() (token string, seconds any)
	ways   map[string]bool
}

// StartTokens serves until the test ends. secure serves TLS, with the certificate that Client trusts.
func StartTokens(t testing.TB, secure bool) *Tokens {
	t.Helper()
	k := &Tokens{ClientID: "s1stream", Secret: "s3cr3t /+&=é", Scope: "siem.write", path: "/oauth2/token", ways: map[string]bool{"header": true, "body": true}}
	var server *httptest.Server
	if secure {
		server = httptest.NewTLSServer(k)
	} else {
		server = httptest.NewServer(k)
	}
	t.Cleanup(server.Close)
	k.URL, k.Client = server.URL+k.path, server.Client()
	return k
}

// At moves the endpoint to another path.
func (k *Tokens) At(path string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.URL, k.path = strings.TrimSuffix(k.URL, k.path)+path, path
}

// Only says which way of sending credentials is taken: "header" or "body".
func (k *Tokens) Only(way string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ways = map[string]bool{way: true}
}

// Answer has f answer before the endpoint does; it returns whether it did. nil takes it away.
func (k *Tokens) Answer(f func(w http.ResponseWriter, r *http.Request) bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = f
}

// Mint has f make the tokens and their expires_in; nil takes it away.
func (k *Tokens) Mint(f func() (token string, seconds any)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mint = f
}

// Asked returns how many requests there were, and the tokens that were given.
func (k *Tokens) Asked() (requests int, given []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.asked, append([]string(nil), k.given...)
}

// Valid reports whether a token is the newest one: the older ones count as revoked.
func (k *Tokens) Valid(token string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.given) > 0 && k.given[len(k.given)-1] == token
}

// ServeHTTP implements http.Handler.
func (k *Tokens) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	k.asked++
	answer := k.answer
	k.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	status, reply := k.grant(r)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(reply)
}

func (k *Tokens) grant(r *http.Request) (status int, reply map[string]any) {
	if r.Method != http.MethodPost || r.URL.Path != k.path || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "not a form by POST"}
	}
	if err := r.ParseForm(); err != nil || r.URL.RawQuery != "" {
		return http.StatusBadRequest, map[string]any{"error": "invalid_request", "error_description": "parameters belong into the body"}
	}
	if !k.authenticates(r) {
		return http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": "client or secret unknown"}
	}
	if r.PostForm.Get("grant_type") != "client_credentials" {
		return http.StatusBadRequest, map[string]any{"error": "unsupported_grant_type"}
	}
	if r.PostForm.Get("scope") != k.Scope {
		return http.StatusBadRequest, map[string]any{"error": "invalid_scope", "error_description": fmt.Sprintf("scope %q is unknown", r.PostForm.Get("scope"))}
	}
	token, seconds := fmt.Sprintf("token-%d", len(k.given)+1), any(3600)
	if k.mint != nil {
		token, seconds = k.mint()
	}
	k.given = append(k.given, token)
	return http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": seconds}
}

// authenticates holds the credentials against both ways of RFC 6749, section 2.3.1: one of them, never both.
func (k *Tokens) authenticates(r *http.Request) bool {
	id, secret, header := r.BasicAuth()
	body := r.PostForm.Has("client_secret")
	switch {
	case header == body:
		return false
	case body:
		return k.ways["body"] && r.PostForm.Get("client_id") == k.ClientID && r.PostForm.Get("client_secret") == k.Secret
	}
	id, err1 := url.QueryUnescape(id)
	secret, err2 := url.QueryUnescape(secret)
	return k.ways["header"] && err1 == nil && err2 == nil && id == k.ClientID && secret == k.Secret
}
