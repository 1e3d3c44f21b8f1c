package config

import (
	"errors"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"s1stream/internal/pki"
	"s1stream/internal/safe"
	"s1stream/sink"
	"s1stream/source"
)

// CheckFiles reads every file that the configuration names: secrets, certificates and keys. What is missing or
// empty is an *Error; what others can read becomes a warning. Load has done it already.
func (c *Config) CheckFiles() error {
	r := newReport()
	r.checkFiles(c)
	c.Warnings = append(c.Warnings, r.warnings...)
	if len(r.mistakes) > 0 {
		return &Error{Mistakes: r.mistakes}
	}
	return nil
}

func (r *report) checkFiles(c *Config) {
	for i := range c.Sources {
		s := &c.Sources[i]
		r.checkTable("source."+s.Name, &s.Config, []string{s.Config.TokenFile, s.Config.ProxyFile})
	}
	for _, s := range c.Sinks {
		r.checkTable("sink."+s.Name, s.Config, s.Config.Secrets())
	}
}

// checkTable goes through the keys that end in _file, and those of tables within.
func (r *report) checkTable(prefix string, table any, secrets []string) {
	known := fields(table)
	for _, key := range sortedFields(known) {
		field, full := known[key], prefix+"."+key
		if isTable(field.Type()) {
			r.checkTable(full, field.Addr().Interface(), secrets)
			continue
		}
		path, isFile := field.Interface().(string)
		if !isFile || path == "" || !strings.HasSuffix(key, "_file") {
			continue
		}
		if err := checkFile(key, path, table); err != nil {
			r.mistake(full, "%v%s", err, remedy(err))
		}
		if slices.Contains(secrets, path) && safe.OpenToOthers(path) {
			r.warn(full, "every user of this machine can read %s: chmod o-r it", path)
		}
	}
}

// checkFile reads a file as its component will.
func checkFile(key, path string, table any) error {
	switch key {
	case "ca_file":
		if err := safe.CheckFile(path, maxCA); err != nil {
			return err
		}
		_, err := pki.Pool(path)
		return err
	case "key_file":
		return safe.CheckFile(path, maxKey)
	case "cert_file":
		if err := safe.CheckFile(path, maxKey); err != nil {
			return err
		}
		t, ok := table.(*sink.TLS)
		if !ok || t.KeyFile == "" {
			return nil // Validate knows
		}
		if err := safe.CheckFile(t.KeyFile, maxKey); err != nil {
			return nil // reported as key_file
		}
		_, err := sink.TLS{CertFile: t.CertFile, KeyFile: t.KeyFile}.Client()
		if inner := errors.Unwrap(err); inner != nil {
			return inner // without the keys, which are in front already
		}
		return err
	}
	if key == "secrets_file" {
		_, err := safe.ReadSecrets(path)
		return err
	}
	secret, err := safe.ReadSecret("", path)
	if _, ok := table.(*source.Config); ok && key == "token_file" && err == nil {
		err = source.CheckToken(secret)
	}
	return err
}

func remedy(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return ": create it, or correct the path"
	case errors.Is(err, fs.ErrPermission):
		return ": let the user that s1stream runs as read it"
	}
	return ""
}

// warnInline warns of secrets that stand in a configuration that others can read. A console on loopback is one
// to try things with, and its token no secret.
func (r *report) warnInline(c *Config, path string) {
	for i := range c.Sources {
		s := &c.Sources[i]
		if !strings.HasPrefix(s.Config.BaseURL(), "http://") {
			r.warnInlineTable("source."+s.Name, &s.Config, path)
		}
	}
	for _, s := range c.Sinks {
		r.warnInlineTable("sink."+s.Name, s.Config, path)
	}
}

func (r *report) warnInlineTable(prefix string, table any, path string) {
	known := fields(table)
	for _, key := range sortedFields(known) {
		field, full := known[key], prefix+"."+key
		switch {
		case isTable(field.Type()):
			r.warnInlineTable(full, field.Addr().Interface(), path)
		case key == "proxy" && !strings.Contains(field.String(), "@"): // an address, without a password
		case holdsSecret(field.Interface()) && r.origins[full] == "":
			r.warn(full, "every user of this machine can read %s: chmod o-r it, or use a file of its own", path)
		}
	}
}

func holdsSecret(value any) bool {
	switch v := value.(type) {
	case safe.Secret:
		return v != ""
	case []safe.Secret:
		return len(v) > 0
	}
	return false
}

func sortedFields(known map[string]reflect.Value) []string {
	keys := make([]string, 0, len(known))
	for key := range known {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
