package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"s1stream/internal/nearest"
)

// Log is the [log] table.
type Log struct {
	Level  string `koanf:"level"`  // debug, info, warn or error
	Format string `koanf:"format"` // text or json
}

var levels = map[string]slog.Level{
	"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
}

// Slog returns the level for a slog.Handler.
func (l Log) Slog() slog.Level { return levels[l.Level] }

// Validate returns every mistake at once.
func (l Log) Validate() error {
	return errors.Join(
		oneOf("level", l.Level, "debug", "info", "warn", "error"),
		oneOf("format", l.Format, "text", "json"),
	)
}

func oneOf(key, value string, known ...string) error {
	if slices.Contains(known, value) {
		return nil
	}
	return fmt.Errorf("%s: unknown value %q; the nearest is %q, known are %s",
		key, value, nearest.Of(value, known), strings.Join(known, ", "))
}

// Ops is the [ops] table.
type Ops struct {
	Listen string `koanf:"listen"` // host:port of /metrics, /healthz, /readyz; "" switches them off
}

// Validate returns every mistake at once.
func (o Ops) Validate() error {
	if o.Listen == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(o.Listen)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return errors.New(`listen: must be host:port, as in "127.0.0.1:9464", or "" to switch it off`)
	}
	return nil
}

// Exposed reports whether others than this machine can reach it.
func (o Ops) Exposed() bool {
	host, _, err := net.SplitHostPort(o.Listen)
	return err == nil && host != "localhost" && !net.ParseIP(host).IsLoopback()
}

// Checkpoint is the [checkpoint] table.
type Checkpoint struct {
	Dir      string        `koanf:"dir"`      // where checkpoints live
	Interval time.Duration `koanf:"interval"` // shortest time between two saves of a line
}

// Validate returns every mistake at once.
func (c Checkpoint) Validate() error {
	var dir error
	if c.Dir == "" {
		dir = errors.New("dir: must not be empty")
	}
	return errors.Join(dir, positive("interval", c.Interval))
}

// Pipeline is the [pipeline] table.
type Pipeline struct {
	Patience     time.Duration `koanf:"patience"`      // how long a slow line may hold up the others
	DrainTimeout time.Duration `koanf:"drain_timeout"` // how long a stop waits for what is in flight
}

// Validate returns every mistake at once.
func (p Pipeline) Validate() error {
	return errors.Join(positive("patience", p.Patience), positive("drain_timeout", p.DrainTimeout))
}

func positive(key string, d time.Duration) error {
	if d > 0 {
		return nil
	}
	return fmt.Errorf("%s: must be longer than 0s", key)
}
