package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"s1stream/checkpoint"
	"s1stream/source"
)

// change is something that an operator decides about checkpoints.
type change struct {
	check func() error // of the command line, before anything is asked
	say   func(l lineOf, had *checkpoint.Entry) string
	do    func(dir *checkpoint.Dir, l lineOf) error
}

// reset makes lines read again from a moment.
func reset(from string) change {
	var at time.Time
	return change{
		check: func() (err error) {
			if at, err = source.StartAt(from, time.Now()); err != nil {
				return usagef("--from %w", err)
			}
			if at.After(time.Now()) {
				return usagef("--from %s: must not be in the future", from)
			}
			return nil
		},
		say: func(_ lineOf, had *checkpoint.Entry) string {
			before := "no checkpoint"
			switch {
			case had != nil && had.Err != nil:
				before = "an unusable checkpoint"
			case had != nil:
				before = moment(&had.Frontier)
			}
			return fmt.Sprintf("from %s to %s", before, moment(&at))
		},
		do: func(dir *checkpoint.Dir, l lineOf) error {
			return dir.Reset(l.source.Name, l.sink.Name, at, fingerprint(l.source))
		},
	}
}

// adopt keeps frontiers for the console and filter that are configured now.
func adopt() change {
	return change{
		check: func() error { return nil },
		say: func(l lineOf, had *checkpoint.Entry) string {
			switch {
			case had == nil:
				return "there is none"
			case had.Err != nil:
				return "can't be used"
			case had.Fingerprint == fingerprint(l.source):
				return "is of this url and filter already"
			}
			return "kept at " + moment(&had.Frontier) + " for the new url or filter"
		},
		do: func(dir *checkpoint.Dir, l lineOf) error {
			err := dir.Adopt(l.source.Name, l.sink.Name, fingerprint(l.source))
			if errors.Is(err, checkpoint.ErrNone) {
				return nil // its start applies
			}
			return err
		},
	}
}

// changeCheckpoints takes the lock, says what would change, asks, and does it.
func (a *app) changeCheckpoints(ctx context.Context, s *selection, args []string, yes bool, c change) (err error) {
	if err := c.check(); err != nil {
		return err
	}
	if !yes && terminal(a.stdin) == nil {
		return usagef("standard input is no terminal to ask on: confirm with --yes")
	}
	cfg, lines, err := s.lines(a, args)
	if err != nil {
		return err
	}
	// Locked before anything is shown: what the operator agrees to must not move on meanwhile.
	lock, err := lockDir(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	dir, err := checkpoint.Open(checkpoint.OS{}, cfg.Checkpoint.Dir)
	if err != nil {
		return err
	}
	entries, err := dir.List()
	if err != nil {
		return err
	}
	for _, l := range lines {
		a.sayf("%s %s: %s\n", l.source.Name, l.sink.Name, c.say(l, entryOf(entries, l)))
	}
	if !yes {
		a.sayf("go on? [y/N] ")
		if !agreed(ctx, a.stdin) {
			return errors.New("nothing was changed")
		}
	}
	for _, l := range lines {
		if err := c.do(dir, l); err != nil {
			return fmt.Errorf("%s %s: %w", l.source.Name, l.sink.Name, err)
		}
	}
	a.sayf("done\n")
	return nil
}

// entryOf returns what is known of a line's checkpoint, nil where there is none.
func entryOf(entries []checkpoint.Entry, l lineOf) *checkpoint.Entry {
	for i := range entries {
		if entries[i].Source == l.source.Name && entries[i].Sink == l.sink.Name {
			return &entries[i]
		}
	}
	return nil
}

// agreed reads an answer. The reading goroutine ends with the process where a signal comes first.
func agreed(ctx context.Context, r io.Reader) bool {
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(r).ReadString('\n') // end of file is no
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case a := <-answer:
		return a == "y" || a == "yes"
	case <-ctx.Done():
		return false
	}
}
