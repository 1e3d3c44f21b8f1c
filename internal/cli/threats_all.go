package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v4"

	"s1stream/internal/retryafter"
	"s1stream/internal/safe"
	"s1stream/source"
)

const (
	allTries    = 6           // times in a row that a page is asked for; a 429 is no try
	allProgress = time.Second // between two lines on standard error
)

// allDocument writes one JSON document while it is read.
type allDocument struct {
	w       *bufio.Writer
	include bool
	begun   bool
	threats int
	pages   int
	total   int64 // as the last page told it; 0 where it did not
}

// allThreats follows the cursor to the end.
func (a *app) allThreats(ctx context.Context, c *source.Console, q url.Values, include bool, w io.Writer) error {
	for _, name := range []string{"skip", "countOnly"} {
		if q.Has(name) {
			return usagef("--param %s: does not go with --all", name)
		}
	}
	if !q.Has("limit") {
		q.Set("limit", "1000")
	}
	doc := &allDocument{w: bufio.NewWriterSize(w, 64<<10), include: include}
	followed := map[string]bool{}
	var said time.Time
	for {
		got, page, err := a.nextPage(ctx, c, q)
		if err == nil && page.Pagination.NextCursor != "" && followed[page.Pagination.NextCursor] {
			err = errors.New("the console gave a cursor twice")
		}
		if err != nil {
			return errors.Join(err, doc.giveUp(got, q.Get("cursor")))
		}
		if err := doc.page(got, page); err != nil {
			return err
		}
		cursor := page.Pagination.NextCursor
		if time.Since(said) >= allProgress || cursor == "" {
			a.sayf("%s, %s\n", plural(doc.pages, "page"), plural(doc.threats, "threat"))
			said = time.Now()
		}
		if cursor == "" {
			return doc.end("")
		}
		followed[cursor] = true
		q.Set("cursor", cursor)
	}
}

// nextPage asks until it has a page, waiting as long as the console says. The error is of the last try; the
// Answer has no status where there was none.
func (a *app) nextPage(ctx context.Context, c *source.Console, q url.Values) (source.Answer, threatsPage, error) {
	wait := backoff.NewExponentialBackOff(backoff.WithMaxElapsedTime(0))
	for try := 1; ; try++ {
		got, err := c.Ask(ctx, source.ThreatsPath, q)
		var page threatsPage
		switch {
		case err != nil:
			err = fmt.Errorf("ask the console: %w", err)
		case got.Status != http.StatusOK:
			err = fmt.Errorf("the console answered %s%s", statusText(got), saying(got))
		default:
			if page, err = readPage(got); err == nil {
				return got, page, nil
			}
		}
		if ctx.Err() != nil {
			return source.Answer{}, page, errors.New("interrupted")
		}
		pause := wait.NextBackOff()
		if asked, ok := retryafter.Parse(got.Header.Get("Retry-After"), got.Header.Get("Date"), time.Now()); ok {
			pause = max(pause, asked)
		}
		switch {
		case got.Status == http.StatusTooManyRequests:
			try = 0 // it is the console's wish, not its failure
		case got.Status >= 300 && got.Status < 500, try == allTries:
			return got, page, err
		}
		a.sayf("%s; asking again in %s\n", safe.Text(err.Error()), pause.Round(100*time.Millisecond))
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
	}
}

// begin opens the document, in front of the first page: before that, nothing is known to be a page.
func (d *allDocument) begin(a source.Answer) error {
	d.begun = true
	if d.include {
		head, err := answerHead(a)
		if err != nil {
			return err
		}
		_, _ = d.w.Write(head) // bufio keeps the error for Flush
	}
	_, err := d.w.WriteString(`{"data":[`)
	return err
}

// page writes a page's threats as they came, a line each, and flushes: a reader gets them while the rest is on
// its way, and learns of a closed pipe early.
func (d *allDocument) page(a source.Answer, p threatsPage) error {
	if !d.begun {
		if err := d.begin(a); err != nil {
			return err
		}
	}
	d.pages++
	d.total = p.Pagination.TotalItems
	for _, threat := range p.Data {
		separator := ",\n"
		if d.threats == 0 {
			separator = "\n"
		}
		d.threats++
		_, _ = d.w.WriteString(separator)
		_, _ = d.w.Write(threat)
	}
	return d.w.Flush()
}

// end closes the document. cursor is where to go on, "" at the end of the data.
func (d *allDocument) end(cursor string) error {
	next := []byte("null")
	if cursor != "" {
		var err error
		if next, err = json.Marshal(cursor); err != nil {
			return err
		}
	}
	total := d.total
	if total == 0 {
		total = int64(d.threats)
	}
	_, _ = fmt.Fprintf(d.w, "\n],\"pagination\":{\"nextCursor\":%s,\"totalItems\":%d}}", next, total)
	if d.include {
		_ = d.w.WriteByte('}')
	}
	_ = d.w.WriteByte('\n')
	return d.w.Flush()
}

// giveUp ends a document that stays incomplete, or prints the answer that no document could begin with.
func (d *allDocument) giveUp(a source.Answer, cursor string) error {
	switch {
	case d.begun:
		return d.end(cursor)
	case a.Status == 0 || a.Status == http.StatusOK:
		return nil
	}
	var b strings.Builder
	if err := printAnswer(&b, a, d.include); err != nil {
		return err
	}
	_, _ = d.w.WriteString(b.String())
	return d.w.Flush()
}
