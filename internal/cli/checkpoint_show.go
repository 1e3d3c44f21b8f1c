package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/config"
	"s1stream/internal/safe"
)

// shown is one row of `checkpoint show`.
type shown struct {
	Source     string     `json:"source"`
	Sink       string     `json:"sink"`
	Frontier   *time.Time `json:"frontier"` // null where there is no checkpoint
	Seen       int        `json:"seen"`
	Saved      *time.Time `json:"saved"`
	Generation uint64     `json:"generation"`
	Bytes      int64      `json:"bytes"`
	Usable     bool       `json:"usable"` // whether a run starts with it
	Note       string     `json:"note"`
}

// showCheckpoints prints a row a line, also for lines that have no checkpoint yet, with or without a directory.
func (a *app) showCheckpoints(cfg *config.Config, path string, lines []lineOf, asJSON bool) error {
	dir, err := checkpoint.View(checkpoint.OS{}, cfg.Checkpoint.Dir)
	var entries []checkpoint.Entry
	if err == nil {
		entries, err = dir.List()
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	rows := make([]shown, 0, len(lines))
	for _, l := range lines {
		row := shown{Source: l.source.Name, Sink: l.sink.Name, Usable: true, Note: "none yet: start = " + l.source.Config.Start}
		for _, e := range entries {
			if e.Source == row.Source && e.Sink == row.Sink {
				row.fill(e, fingerprint(l.source))
				row.Note = withConfig(row.Note, path)
			}
		}
		rows = append(rows, row)
	}
	if asJSON {
		enc := json.NewEncoder(a.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(rows)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SOURCE\tSINK\tFRONTIER\tLAG\tSEEN\tSAVED\tNOTE") // errors come out at Flush
	for _, r := range rows {
		lag := "-"
		if r.Frontier != nil {
			lag = time.Since(*r.Frontier).Round(time.Second).String()
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.Source, r.Sink, moment(r.Frontier), lag, r.Seen, moment(r.Saved), safe.Text(r.Note))
	}
	return w.Flush()
}

// fill takes over what is known of a checkpoint, and says whether it is of the console and filter that are
// configured.
func (r *shown) fill(e checkpoint.Entry, want checkpoint.Fingerprint) {
	r.Usable, r.Note = e.Err == nil, "good"
	if e.Err != nil {
		r.Note = e.Err.Error()
		return
	}
	r.Frontier, r.Saved = &e.Frontier, &e.Saved
	r.Seen, r.Generation, r.Bytes = e.Seen, e.Generation, e.Size
	switch {
	case e.Fingerprint != want:
		r.Usable = false
		r.Note = (&checkpoint.ForeignError{Source: r.Source, Sink: r.Sink, Have: e.Fingerprint, Want: want}).Error()
	case e.FromPrev != nil:
		r.Note = "the one before: " + e.FromPrev.Error()
	}
}

// moment writes a time to the second, in UTC as everywhere.
func moment(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}
