package sink

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"s1stream/internal/safe"
)

// HTTPSigning says how requests prove who has sent them and that nobody has changed them: Standard Webhooks, with the
// symmetric signature v1 (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
type HTTPSigning struct {
	Secrets      []safe.Secret `koanf:"secrets"`       // each whsec_ and base64; while one is being replaced both, the new one first
	SecretsFile  string        `koanf:"secrets_file"`  // a file that holds them, one a line
	HubSignature bool          `koanf:"hub_signature"` // adds X-Hub-Signature-256, by the first secret
}

// What the specification allows a secret to have, in bytes, and what fits into a header.
const (
	httpSigningShortest = 24
	httpSigningLongest  = 64
	httpSigningMost     = 10 // secrets
)

// on reports whether requests are signed.
func (s HTTPSigning) on() bool { return len(s.Secrets) > 0 || s.SecretsFile != "" }

// mistakes checks the signing table alone. Its errors never quote a secret.
func (s HTTPSigning) mistakes() []error {
	var errs []error
	switch {
	case s.Secrets != nil && s.SecretsFile != "":
		errs = append(errs, errors.New("signing.secrets: give them, or signing.secrets_file, and not both"))
	case s.Secrets != nil:
		if _, err := httpSigningKeys(s.Secrets); err != nil {
			errs = append(errs, fmt.Errorf("signing.secrets: %w", err))
		}
	}
	if s.HubSignature && !s.on() {
		errs = append(errs, errors.New("signing.hub_signature: needs signing.secrets or signing.secrets_file"))
	}
	return errs
}

// read returns the signer, and what must be shown nowhere.
func (s HTTPSigning) read() (signer httpSigner, secrets []string, err error) {
	if !s.on() {
		return httpSigner{}, nil, nil
	}
	all, key := s.Secrets, "signing.secrets"
	if s.SecretsFile != "" {
		key = "signing.secrets_file"
		if all, err = safe.ReadSecrets(s.SecretsFile); err != nil {
			return httpSigner{}, nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if signer.keys, err = httpSigningKeys(all); err != nil {
		return httpSigner{}, nil, fmt.Errorf("%s: %w", key, err)
	}
	for _, one := range all {
		text := strings.TrimPrefix(one.Reveal(), "whsec_")
		secrets = append(secrets, one.Reveal(), text, strings.TrimRight(text, "="))
	}
	signer.hub = s.HubSignature
	return signer, secrets, nil
}

// httpSigningKeys decodes secrets.
func httpSigningKeys(secrets []safe.Secret) ([][]byte, error) {
	if len(secrets) == 0 || len(secrets) > httpSigningMost {
		return nil, fmt.Errorf("must hold 1 to %d secrets, has %d", httpSigningMost, len(secrets))
	}
	keys := make([][]byte, 0, len(secrets))
	for i, s := range secrets {
		key, err := httpSigningKey(s.Reveal())
		if err != nil {
			return nil, fmt.Errorf("number %d %w", i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// httpSigningKey decodes one secret. Padding may be missing, as the libraries that verify allow it to be.
func httpSigningKey(secret string) ([]byte, error) {
	text, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return nil, errors.New("must begin with whsec_, as in \"whsec_\" and what `openssl rand -base64 32` prints")
	}
	if strings.ContainsAny(text, "\r\n") { // which base64 would skip
		return nil, errors.New("must be one line")
	}
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return nil, errors.New("must be base64 behind whsec_")
	}
	if len(key) < httpSigningShortest || len(key) > httpSigningLongest {
		return nil, fmt.Errorf("must hold %d to %d bytes in base64, holds %d", httpSigningShortest, httpSigningLongest, len(key))
	}
	return key, nil
}

// httpSigner signs requests. The zero value signs nothing.
type httpSigner struct {
	keys [][]byte // the newest first
	hub  bool
}

func (s httpSigner) equal(o httpSigner) bool {
	return s.hub == o.hub && slices.EqualFunc(s.keys, o.keys, bytes.Equal)
}

// sign sets the headers of one attempt. body is what the receiver verifies: before Content-Encoding. id is the same at
// every attempt and must hold no dot, which stands between the parts of what is signed.
func (s httpSigner) sign(header http.Header, id string, at time.Time, body []byte) {
	if len(s.keys) == 0 {
		return
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	signatures := make([]string, 0, len(s.keys))
	for _, key := range s.keys {
		mac := hmac.New(sha256.New, key)
		_, _ = io.WriteString(mac, id+"."+stamp+".") // a hash takes everything
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	header.Set("Webhook-Id", id)
	header.Set("Webhook-Timestamp", stamp)
	header.Set("Webhook-Signature", strings.Join(signatures, " "))
	if s.hub {
		mac := hmac.New(sha256.New, s.keys[0])
		mac.Write(body)
		header.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
}

// httpSecretsFile notices that signing.secrets_file was written anew. A receiver that no longer takes the old secret may
// answer with what reads like a refusal, so that waiting for a denial, as for the other secrets, would be too late.
type httpSecretsFile struct {
	path string
	seen os.FileInfo
}

// changed reports whether the file is another one than at the last call. A file that is away for a moment has not changed.
func (f *httpSecretsFile) changed() bool {
	if f.path == "" {
		return false
	}
	now, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	last := f.seen
	f.seen = now
	return last == nil || !os.SameFile(last, now) || last.Size() != now.Size() || !last.ModTime().Equal(now.ModTime())
}
