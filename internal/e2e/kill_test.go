package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"s1stream/internal/console"
	"s1stream/internal/event"
)

var (
	kills    = flag.Int("kills", 8, "how often TestKill ends the program")
	killSeed = flag.Uint64("kill.seed", 0, "seed of TestKill's console and moments; 0 takes a new one")
)

const (
	killTopic = "threats"
	killBatch = 100 // batch_events of every sink: what can be in flight
)

// TestKill ends the program at random moments, most of the times as a power cut would, and wants nothing lost: not at
// Kafka, a file, an HTTP collector, rsyslog by RELP, a Splunk that loses what it has not acknowledged, nor OpenSearch.
// Each end leaves a mark: how far destinations and checkpoints were. Of each mark it asks:
//
//   - I1: is every version before the checkpoint's frontier in the destination?
//   - I6: is what came again just what the checkpoint before did not know, and after a clean stop nothing?
func TestKill_LosesNothingAndRepeatsOnlyWhatWasNotSaved(t *testing.T) {
	t.Parallel()
	seed := *killSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano()) //nolint:gosec // any number will do
	}
	t.Logf("-kill.seed=%d", seed)
	faults, err := console.ParseFaults("429=0.04,500=0.02,truncate=0.03,reset=0.01,cursor-expire=0.02,late=1s")
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, console.Config{Token: "a-token", Seed: seed, Tiny: true, Ledger: true, Faults: faults}, false)
	c.Store.Fill(2000+40**kills, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	k := &killing{
		t: t, c: c, dir: t.TempDir(), rng: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // a test that can be run again
		targets: []target{killKafka(t, c), killFile(t, c), killHTTP(t, c), killRELP(t, c), killSplunk(t, c, seed), killElastic(t, c)},
	}
	var sinks string
	var names []string
	for _, target := range k.targets {
		sinks += fmt.Sprintf("[sink.%s]\n%sbatch_events = %d\nbatch_wait = \"20ms\"\n", target.name, target.config, killBatch)
		names = append(names, target.name)
	}
	k.file = c.config(t, k.dir, `start = "all"
poll_interval = "100ms"
settle = "8s" # above the 4 s by which this console is late
page_size = 200
requests_per_second = 200
`, sinks)
	plain.path(t) // built before the clock runs

	rest := c.live(t, 30, 60)
	begun := time.Now()
	for range *kills {
		k.life()
	}
	took := time.Since(begun)
	rest()
	p := start(t, plain, k.file)
	c.delivered(t, p, k.dir, names...)
	p.stop(t)
	k.mark(true, false)

	tr := truthOf(t, c.Console)
	noDeadLetters(t, k.dir)
	for _, target := range k.targets {
		copies := target.copies()
		n := tr.compare(t, target.name, copies, true)
		if target.once && n.repeated > 0 {
			t.Errorf("%s: %d versions lie there twice", target.name, n.repeated)
		}
		most, hit := k.judge(tr, target, copies)
		if *kills >= 100 && hit < *kills/10 {
			t.Errorf("%s: %d kills came while something was unsaved, want %d: the test has tested little", target.name, hit, *kills/10)
		}
		reportf(t, "%d kills in %v (seed %d), %s: %v (most after one kill %d; %d kills with something unsaved)",
			*kills, took.Round(time.Second), seed, target.name, n, most, hit)
	}
}

// killing is one run of the kill test.
type killing struct {
	t       *testing.T
	c       *served
	targets []target
	rng     *rand.Rand
	dir     string // of the checkpoints
	file    string // the configuration
	marks   []mark
}

// life lets the program live for 20 ms to a second, the shorter the likelier. In the middle of some lives those of its
// destinations crash that can.
func (k *killing) life() {
	k.t.Helper()
	p := spawn(k.t, plain, k.file)
	defer p.kill()
	gentle, crashed := k.rng.IntN(8) == 0, k.rng.IntN(4) == 0
	r := k.rng.Float64()
	half := (20*time.Millisecond + time.Duration(r*r*float64(980*time.Millisecond))) / 2
	if gentle {
		p.running(k.t) // before that a SIGTERM is no stop but a death
	}
	k.wait(p, half)
	for _, target := range k.targets {
		if crashed && target.crash != nil {
			target.crash()
		}
	}
	k.wait(p, half)
	if gentle {
		p.stop(k.t)
	} else {
		p.kill()
	}
	k.mark(gentle, crashed)
}

// wait waits, and wants the program to live.
func (k *killing) wait(p *process, d time.Duration) {
	k.t.Helper()
	select {
	case <-p.done:
		k.t.Fatalf("s1stream ended by itself with %v; it said:\n%s", p.cmd.ProcessState, p.stderr.text())
	case <-time.After(d):
	}
}

// judge asks each mark whether its frontier was true and its repeats were allowed. It returns the most versions
// that any one life repeated, and how many kills left something delivered but not saved.
func (k *killing) judge(tr truth, to target, copies []delivery) (most, hit int) {
	k.t.Helper()
	sink := to.name
	crashed := func(life int) bool { return to.crash != nil && life < len(k.marks) && k.marks[life].crashed }
	fail := limited(k.t, sink)
	lifeOf := func(d delivery) int {
		n, _ := slices.BinarySearchFunc(k.marks, d.at, func(m mark, at int64) int { return int(m.ends[sink][d.part] - at) })
		return n
	}
	first := map[event.Version]int{} // the life in which a version first came
	lives := make([][]delivery, len(k.marks)+1)
	repeats := make([]int, len(k.marks)+1)
	for _, d := range copies {
		life := lifeOf(d)
		lives[life] = append(lives[life], d)
		if _, again := first[d.version]; !again {
			first[d.version] = life
			continue
		}
		repeats[life]++
		if life == 0 && !crashed(0) {
			fail("I6: life 0 repeated threat %s by itself", d.id)
		} else if rank, ok := tr.rank[d.version]; life > 0 && ok && tr.knows(k.marks[life-1].states[sink], rank) {
			fail("I6: life %d repeated threat %s, which the checkpoint knew", life, d.id)
		}
	}
	for i, m := range k.marks {
		st := m.states[sink]
		unsaved := 0
		for v, life := range first {
			if rank, ok := tr.rank[v]; ok && life <= i && !tr.knows(st, rank) {
				unsaved++
			}
		}
		for id, rank := range tr.last(m.visible) {
			p := tr.all[rank]
			life, there := first[p.Version]
			if p.UpdatedAt.Before(st.Frontier) && (!there || life > i) {
				fail("I1: after kill %d the frontier was %v, with threat %s of %v not delivered", i, st.Frontier, id, p.UpdatedAt)
			}
		}
		// What a life before this one left unsaved, this one may not have come round to.
		allowed := unsaved + killBatch
		if crashed(i + 1) { // what it owed an ack for then came again too
			allowed += killBatch
		}
		if repeats[i+1] > allowed {
			fail("I6: after kill %d, %d versions were repeated; %d were unsaved or in flight", i, repeats[i+1], allowed)
		}
		for _, d := range lives[i] {
			if rank, ok := tr.rank[d.version]; m.clean && ok && !tr.knows(st, rank) {
				fail("I6: clean stop %d did not save that threat %s was delivered", i, d.id)
			}
		}
		most = max(most, repeats[i+1])
		if unsaved > 0 && !m.clean {
			hit++
		}
	}
	return most, hit
}
