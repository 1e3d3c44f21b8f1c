// Package sinktest is the suite that every sink passes: what package pipeline relies on, shown against a peer
// that can be made to refuse, stall and break.
//
// A sink's test makes a Subject and calls Run. Faults of the network are the suite's own business: the peer
// listens through a Listener, which the suite turns.
package sinktest

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"s1stream/sink"
)

// Subject is a sink under test.
type Subject struct {
	Grade sink.Grade // what its ack proves
	// Start makes a peer for one case. It and all of its goroutines end with t.
	Start func(t *testing.T) *Rig
	// Local says that there is no peer beside us whose network could fail: a file.
	Local bool
	// OneLine says that line breaks between JSON's tokens arrive as spaces.
	OneLine bool
	// UTF8 says that invalid UTF-8 arrives as the replacement character, because no peer takes it.
	UTF8 bool
	// Soon is how long Write may go on once its ctx has ended. Default: 2 s.
	Soon time.Duration
	// CloseWithin bounds Close. Default: Soon.
	CloseWithin time.Duration
	// Patience bounds what must happen in the end. Default: 20 s.
	Patience time.Duration
	// Ignore lists goroutines of the peer's library that outlive it.
	Ignore []goleak.Option
}

// Rig is a peer and what reaches it. Functions may be nil where a peer or a protocol can't do such a thing.
type Rig struct {
	// Config is what a sink for the peer is made of. Where it is nil, New and MaxBytes stand for it.
	Config sink.Config
	// New makes a sink for the peer, as a line does.
	New func(t *testing.T, d sink.Deps) sink.Sink
	// MaxBytes is the config's MaxBytes.
	MaxBytes int
	// Received lists what the peer has taken, in the order it took it, repeats included.
	Received func() []Received
	// Net is what the peer listens on.
	Net *Listener
	// Refuse makes the peer call these threats malformed from now on, each by itself.
	Refuse func(ids ...string)
	// Deny makes the peer refuse who we are.
	Deny func(on bool)
	// Secrets must appear in no error and no log line.
	Secrets []string
}

// start is Start, with New and MaxBytes made of the Config.
func (s Subject) start(t *testing.T) *Rig {
	t.Helper()
	rig := s.Start(t)
	if rig.Config == nil {
		return rig
	}
	if err := rig.Config.Validate(); err != nil {
		t.Fatal(err)
	}
	rig.MaxBytes = rig.Config.MaxBytes(0)
	rig.New = func(t *testing.T, d sink.Deps) sink.Sink {
		t.Helper()
		made, err := rig.Config.New(d)
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	return rig
}

// Received is one record as the peer took it.
type Received struct {
	ID, Version string // as the protocol carries them beside the body; "" where it does not
	Body        []byte
}

// Run runs every case that applies.
func Run(t *testing.T, s Subject) {
	if s.Soon == 0 {
		s.Soon = 2 * time.Second
	}
	if s.CloseWithin == 0 {
		s.CloseWithin = s.Soon
	}
	if s.Patience == 0 {
		s.Patience = 20 * time.Second
	}
	run := func(name string, f func(c *testCase)) {
		t.Run(name, func(t *testing.T) {
			opts := append([]goleak.Option{goleak.IgnoreCurrent()}, s.Ignore...)
			t.Cleanup(func() { goleak.VerifyNone(t, opts...) }) // the last clean-up: sink and peer have ended
			c := newCase(t, s)
			f(c)
			c.close()
			c.checkSecrets()
		})
	}
	run("an empty batch is taken without a peer's help", emptyBatch)
	run("every record arrives once, whole and in order", everyRecordArrives)
	run("a body is handed on byte for byte", byteForByte)
	run("records are neither changed nor kept", neitherChangedNorKept)
	run("versions of a threat stay in order", versionsStayInOrder)
	run("the grade is constant", constantGrade)
	run("Close works without a Write, and twice", closeWithoutWrite)
	run("a ctx that has ended acknowledges nothing that was not taken", endedContext)
	run("exactly the refused records are refused", exactlyTheRefused)
	run("a batch that is refused whole is refused", allRefused)
	run("a denial is a denial until it ends", denied)
	if s.Local {
		return
	}
	network(s, run)
}

// network runs the cases that break the connection.
func network(s Subject, run func(string, func(*testCase))) {
	run("Write returns soon after ctx's deadline when the peer reads nothing", deadlineAgainstDeafPeer)
	run("a connection that breaks before the peer has read is no ack", brokenBefore)
	run("the connection is made again after the peer restarts", restart)
	run("Close is bounded when the peer hangs", closeAgainstDeafPeer)
	if s.Grade == sink.BestEffort {
		return // nobody answers, so no answer can be lost
	}
	run("a cancelled Write whose answer never comes is no ack", cancelAgainstMutePeer)
	run("an answer that is lost is no ack", brokenAfter)
}

// logBuffer collects what a sink logs.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// checkSecrets looks for canaries in all that the case's sink said.
func (c *testCase) checkSecrets() {
	c.t.Helper()
	said := c.log.String()
	for _, err := range c.errs {
		said += "\n" + err.Error()
	}
	for _, secret := range c.rig.Secrets {
		if strings.Contains(said, secret) {
			c.t.Errorf("the secret %q was said:\n%s", secret, said)
		}
	}
}
