package cli

import (
	"fmt"
	"io"
	"log/slog"

	"s1stream/internal/config"
	"s1stream/internal/safe"
)

// newLog returns the process's log. Whatever a console or a destination said loses its control and bidi
// characters here, even where somebody forgot to.
func newLog(w io.Writer, cfg config.Log) *slog.Logger {
	o := &slog.HandlerOptions{Level: cfg.Slog(), ReplaceAttr: clean}
	if cfg.Format == "json" {
		return slog.New(slog.NewJSONHandler(w, o))
	}
	return slog.New(slog.NewTextHandler(w, o))
}

// clean is a ReplaceAttr: slog has resolved LogValuers, and with them secrets, before it calls this.
func clean(_ []string, a slog.Attr) slog.Attr {
	switch v := a.Value; v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(safe.Text(v.String()))
	case slog.KindAny:
		switch v := v.Any().(type) {
		case slog.Level:
		case error:
			a.Value = slog.StringValue(safe.Text(v.Error()))
		default:
			a.Value = slog.StringValue(safe.Text(fmt.Sprint(v)))
		}
	}
	return a
}
