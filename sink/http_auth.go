package sink

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"s1stream/internal/safe"
)

// HTTPAuth says how requests prove who sends them.
type HTTPAuth struct {
	Type         string      `koanf:"type"` // "", "bearer", "basic", "header" or "oauth2"
	Username     string      `koanf:"username"`
	Password     safe.Secret `koanf:"password"`
	PasswordFile string      `koanf:"password_file"`
	Token        safe.Secret `koanf:"token"`
	TokenFile    string      `koanf:"token_file"`
	Header       string      `koanf:"header"`
	Value        safe.Secret `koanf:"value"`
	ValueFile    string      `koanf:"value_file"`

	TokenURL         string      `koanf:"token_url"` // https://, or http:// as AllowCleartextAuth says
	ClientID         string      `koanf:"client_id"`
	ClientSecret     safe.Secret `koanf:"client_secret"`
	ClientSecretFile string      `koanf:"client_secret_file"` // read again for each token
	Scope            string      `koanf:"scope"`              // as the token endpoint knows it; "" asks for its default
}

// oauth is the part of auth.type = "oauth2".
func (a HTTPAuth) oauth() oauthKeys {
	return oauthKeys{prefix: "auth.", tokenURL: a.TokenURL, clientID: a.ClientID, secret: a.ClientSecret, secretFile: a.ClientSecretFile, scope: a.Scope}
}

// mistakes checks the auth table alone: every key that its type needs, and none of another type. cleartext lets the
// client's secret go over http://; ours reports whether the sink writes a header itself.
func (a HTTPAuth) mistakes(cleartext bool, ours func(header string) bool) []error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains([]string{"", "bearer", "basic", "header", "oauth2"}, a.Type) {
		return []error{fmt.Errorf("auth.type: must be \"bearer\", \"basic\", \"header\" or \"oauth2\", is %q", a.Type)}
	}
	errs = append(errs, httpKeysOfType(a.Type, a.Username,
		httpTypeSecret{"bearer", "token", a.Token, a.TokenFile},
		httpTypeSecret{"basic", "password", a.Password, a.PasswordFile},
		httpTypeSecret{"header", "value", a.Value, a.ValueFile})...)
	switch {
	case a.Header != "" && a.Type != "header":
		bad("auth.header: is for auth.type = \"header\"")
	case a.Type == "header" && !httpToken(a.Header):
		bad("auth.header: must be the name of a header, as in \"X-Api-Key\"")
	case a.Type == "header" && ours(http.CanonicalHeaderKey(a.Header)):
		bad("auth.header: %s is written by s1stream itself and can't be set", a.Header)
	}
	if a.Type == "oauth2" {
		errs = append(errs, a.oauth().mistakes(cleartext)...)
	} else if a.oauth().given() {
		bad("auth.type: must be \"oauth2\" where auth.token_url, auth.client_id, auth.client_secret or auth.scope is given")
	}
	return errs
}

// httpTypeSecret is a secret that one auth.type needs and no other may have: auth.KEY, or auth.KEY_file.
type httpTypeSecret struct {
	typ, key string
	value    safe.Secret
	file     string
}

// httpKeysOfType checks that the secret of typ is given once and no other is, and auth.username, which is for "basic".
func httpKeysOfType(typ, username string, secrets ...httpTypeSecret) (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, k := range secrets {
		switch given := k.value.Reveal() != "" || k.file != ""; {
		case given && typ != k.typ:
			bad("auth.%s: is for auth.type = %q", k.key, k.typ)
		case typ == k.typ && (k.value.Reveal() == "") == (k.file == ""):
			bad("auth.%s: give it, or auth.%s_file, and not both", k.key, k.key)
		case !httpFieldValue(k.value.Reveal()):
			bad("auth.%s: must hold no line break or other control character", k.key)
		}
	}
	switch {
	case username != "" && typ != "basic":
		bad("auth.username: is for auth.type = \"basic\"")
	case typ == "basic" && (username == "" || strings.Contains(username, ":") || !httpFieldValue(username)):
		bad("auth.username: must be given, without a colon or a control character") // RFC 7617, section 2
	}
	return errs
}

// authHeader names the header that carries the credentials, "" for none.
func (a HTTPAuth) authHeader() string {
	switch a.Type {
	case "bearer", "basic", "oauth2":
		return "Authorization"
	case "header":
		return http.CanonicalHeaderKey(a.Header)
	}
	return ""
}

// credentials reads the secrets and returns the value of authHeader, "" where each request has one of its own.
func (a HTTPAuth) credentials() (value string, secrets []string, err error) {
	switch a.Type {
	case "bearer":
		t, err := httpSecret("auth.token", a.Token, a.TokenFile)
		return "Bearer " + t, []string{t}, err
	case "basic":
		return httpBasic(a.Username, a.Password, a.PasswordFile)
	case "header":
		v, err := httpSecret("auth.value", a.Value, a.ValueFile)
		return v, []string{v}, err
	}
	return "", nil, nil
}

// httpBasic returns the credentials of RFC 7617 from auth.password or its file.
func httpBasic(username string, password safe.Secret, file string) (value string, secrets []string, err error) {
	p, err := httpSecret("auth.password", password, file)
	pair := base64.StdEncoding.EncodeToString([]byte(username + ":" + p))
	return "Basic " + pair, []string{p, pair}, err
}

// httpSecret reads what goes into a header, from its key or the file that KEY_file names.
func httpSecret(key string, s safe.Secret, file string) (string, error) {
	v, err := safe.ReadSecret(s, file)
	if err == nil && !httpFieldValue(v.Reveal()) {
		err = errors.New("must hold no control character")
	}
	if err != nil {
		return "", fmt.Errorf("%s_file: %w", key, err)
	}
	return v.Reveal(), nil
}
