package pipeline

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"s1stream/checkpoint"
	"s1stream/internal/event"
)

func TestLedger_KnowsWhatItsLineNeedNotBeHanded(t *testing.T) {
	frontier := ev("", 10).UpdatedAt
	same := func(e *event.Event, raw string) *event.Event { // another body under one updatedAt
		other := *e
		other.Version = event.NewVersion("h", e.ID, e.UpdatedAt.String(), []byte(raw))
		return &other
	}
	unordered := ev("x", 1)
	unordered.Unordered = true
	tests := []struct {
		name  string
		had   func(l *ledger)
		event *event.Event
		want  bool
	}{
		{"a threat that it never had", func(*ledger) {}, ev("x", 11), false},
		{"at the frontier", func(*ledger) {}, ev("x", 10), false},
		{"older than the frontier", func(*ledger) {}, ev("x", 9), true},
		{"older than the frontier, but out of order", func(*ledger) {}, unordered, false},
		{"dealt with", func(l *ledger) { l.queued(ev("x", 11)); l.taken(ev("x", 11)); l.dealt(ev("x", 11)) }, ev("x", 11), true},
		{"newer than what was dealt with", func(l *ledger) { l.dealt(ev("x", 11)) }, ev("x", 12), false},
		{"older than what was dealt with", func(l *ledger) { l.dealt(ev("x", 12)) }, ev("x", 11), true},
		{"another body of the same moment", func(l *ledger) { l.dealt(ev("x", 11)) }, same(ev("x", 11), "row"), false},
		{"queued", func(l *ledger) { l.queued(ev("x", 11)) }, ev("x", 11), true},
		{"older than what is queued", func(l *ledger) { l.queued(ev("x", 12)) }, ev("x", 11), true},
		{"newer than what is queued", func(l *ledger) { l.queued(ev("x", 11)) }, ev("x", 12), false},
		{"in hand", func(l *ledger) { l.queued(ev("x", 11)); l.taken(ev("x", 11)) }, ev("x", 11), true},
		{"dealt with, and a newer one is queued", func(l *ledger) {
			l.queued(ev("x", 11))
			l.taken(ev("x", 11))
			l.queued(ev("x", 12))
			l.dealt(ev("x", 11))
		}, ev("x", 12), true},
		{"queued and then thrown away", func(l *ledger) { l.queued(ev("x", 11)); l.forget() }, ev("x", 11), false},
		{"in hand while its queue was thrown away", func(l *ledger) { l.queued(ev("x", 11)); l.taken(ev("x", 11)); l.forget() }, ev("x", 11), true},
		{"thrown away behind one in hand", func(l *ledger) {
			l.queued(ev("x", 11))
			l.taken(ev("x", 11))
			l.queued(ev("x", 12))
			l.forget()
		}, ev("x", 12), false},
		{"a version that came back: A, B, A", func(l *ledger) { l.dealt(ev("x", 11)); l.dealt(same(ev("x", 11), "row")) }, ev("x", 11), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLedger(checkpoint.State{Frontier: frontier})
			tt.had(&l)
			if got := l.known(tt.event); got != tt.want {
				t.Errorf("known: %v, want %v", got, tt.want)
			}
		})
	}
}

func TestLedger_NeverForgetsANewerVersionForAnOlderOne(t *testing.T) {
	l := newLedger(checkpoint.State{Frontier: ev("", 0).UpdatedAt})
	l.dealt(ev("x", 5))
	l.dealt(ev("x", 3))
	if !l.known(ev("x", 5)) {
		t.Error("the older one took its place")
	}
}

func TestLedger_KeepsOnlyWhatTheFrontierDoesNotStandFor(t *testing.T) {
	l := newLedger(checkpoint.State{Frontier: ev("", 0).UpdatedAt})
	for i := range 10 {
		l.dealt(ev(fmt.Sprint(i), i))
	}
	l.advance(ev("", 7).UpdatedAt)
	l.advance(ev("", 2).UpdatedAt) // never back
	want := map[string]checkpoint.Seen{"7": seenOf(ev("7", 7)), "8": seenOf(ev("8", 8)), "9": seenOf(ev("9", 9))}
	st := l.state(checkpoint.Fingerprint{})
	if diff := cmp.Diff(want, st.Seen); diff != "" || !st.Frontier.Equal(ev("", 7).UpdatedAt) {
		t.Errorf("frontier %s, seen (-want +got):\n%s", st.Frontier, diff)
	}
	l.dealt(ev("10", 10))
	if len(st.Seen) != 3 {
		t.Error("what is being saved changes under the saver")
	}
}

func TestLedger_CarriesAThreatWithoutAnUpdatedAtAlong(t *testing.T) {
	l := newLedger(checkpoint.State{Frontier: ev("", 0).UpdatedAt})
	for i := range 20 { // each read stamps it anew
		e := ev("x", i)
		e.Version = ev("x", 0).Version
		if known := l.known(e); known != (i > 0) {
			t.Fatalf("read %d: known %v", i, known)
		} else if !known {
			l.dealt(e)
		}
		l.advance(e.UpdatedAt.Add(-2 * time.Second))
	}
}

func TestLedger_IsBoundedAndTakesUpdatesOfWhatItHas(t *testing.T) {
	l := newLedger(checkpoint.State{Frontier: ev("", 0).UpdatedAt})
	for i := range maxSeen + 1000 {
		if took := l.dealt(ev(fmt.Sprint(i), 1)); took != (i < maxSeen) {
			t.Fatalf("threat %d: %v", i, took)
		}
	}
	if len(l.seen) != maxSeen {
		t.Errorf("%d entries", len(l.seen))
	}
	if !l.dealt(ev("7", 2)) || !l.known(ev("7", 2)) {
		t.Error("takes no newer version of a threat that it has")
	}
}
