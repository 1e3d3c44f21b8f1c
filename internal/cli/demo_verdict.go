package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"s1stream/checkpoint"
	"s1stream/internal/console"
	"s1stream/internal/event"
)

// verdict is the count at the end, in versions.
type verdict struct {
	published, delivered, lost, repeated, invented int
	left                                           int // not delivered, and read again at a next start
}

func (v verdict) String() string {
	s := fmt.Sprintf("published %s versions, delivered %s, lost %s, repeated %s",
		grouped(v.published), grouped(v.delivered), grouped(v.lost), grouped(v.repeated))
	if v.left > 0 {
		s += fmt.Sprintf("; %s left for a next start, which reads them from the checkpoint", grouped(v.left))
	}
	if v.invented > 0 {
		s += fmt.Sprintf(", invented %s", grouped(v.invented))
	}
	return s
}

// owed returns the versions that the console has published: those that were served, and those that are the last
// of their threat. A version that was overwritten before it was ever served can't be known to anyone who polls.
//
// It is counted strictly: one that was served must be delivered, even where a newer one came behind it. That is
// fair, for the console calls an answer served only when it was written to its end and was a good one; what a
// fault cuts off, drops or spoils is not. Between two sockets on loopback, and with a client that waits longer
// than the console is slow, nothing gets lost behind that.
func owed(truth []console.Published) map[event.Version]console.Published {
	out := make(map[event.Version]console.Published, len(truth))
	for _, p := range truth {
		have, twice := out[p.Version]
		if p.Last || !p.Served.IsZero() {
			p.Last = p.Last || twice && have.Last
			out[p.Version] = p
		}
	}
	return out
}

// settle waits until the console has nothing more to show and all of it was delivered. It gives up when ctx
// ends, when nobody reads standard output any more, and after the demo's patience.
func (d *demo) settle(ctx context.Context) bool {
	end := time.NewTimer(d.o.patience)
	defer end.Stop()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for said := time.Now(); ; {
		missing := d.console.Store.Pending()
		for v := range owed(d.console.Truth()) {
			if !d.out.has(v) {
				missing++
			}
		}
		if missing == 0 {
			return true
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			d.say("still waiting for %s versions; Ctrl-C does not wait", grouped(missing))
		}
		select {
		case <-look.C:
		case <-end.C:
			d.say("gave up after %s", d.o.patience)
			return false
		case <-d.out.gone:
			d.say("standard output was closed")
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// count compares what was delivered with what was published. A version that was not delivered is lost, unless
// the stream was cut short and the checkpoint proves that a next start would read it.
func (d *demo) count(cutShort bool) (verdict, error) {
	d.out.mu.Lock()
	defer d.out.mu.Unlock()
	truth := d.console.Truth()
	published := owed(truth)
	known := make(map[event.Version]console.Published, len(truth))
	for _, p := range truth {
		known[p.Version] = p
	}
	var v verdict
	for version, times := range d.out.acked {
		if _, ok := known[version]; !ok {
			v.invented++
			continue
		}
		published[version] = known[version] // read whole, though the console can't tell that it was
		v.delivered++
		v.repeated += times - 1
	}
	v.published = len(published)
	var st checkpoint.State
	if cutShort {
		dir, err := d.checkpoints()
		if err != nil {
			return v, err
		}
		if st, err = dir.Line(demoSource, demoSink).Load(); err != nil && !errors.Is(err, checkpoint.ErrNone) {
			return v, err
		}
	}
	for version, p := range published {
		seen := st.Seen[p.ID] // where there is none, its zero time is before every other
		switch {
		case d.out.acked[version] > 0:
		case cutShort && !p.UpdatedAt.Before(st.Frontier) && seen.UpdatedAt.Before(p.UpdatedAt):
			v.left++
		default:
			v.lost++
		}
	}
	return v, nil
}

// conclude prints the verdict. Anything lost, or delivered though nobody published it, is an error.
func (d *demo) conclude(cutShort bool) error {
	v, err := d.count(cutShort)
	if err != nil {
		return fmt.Errorf("count: %w", err)
	}
	d.print("%s\n", v)
	if v.lost > 0 || v.invented > 0 {
		return errors.New("the stream is not what the console published")
	}
	return nil
}
