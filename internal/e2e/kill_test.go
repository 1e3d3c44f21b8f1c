package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/console"
	"s1stream/internal/event"
	"s1stream/internal/testpeer"
)

var (
	kills    = flag.Int("kills", 8, "how often TestKill ends the program")
	killSeed = flag.Uint64("kill.seed", 0, "seed of TestKill's console and moments; 0 takes a new one")
)

const (
	killTopic = "threats"
	killBatch = 100 // batch_events of every sink: what can be in flight
)

var killSinks = []string{"kafka", "file", "siem"}

// TestKill ends the program at random moments, most of the times as a power cut would, and wants nothing lost.
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
	broker := testpeer.StartKafka(t)
	broker.CreateTopic(t, killTopic, 3)

	faults, err := console.ParseFaults("429=0.04,500=0.02,truncate=0.03,reset=0.01,cursor-expire=0.02,late=1s")
	if err != nil {
		t.Fatal(err)
	}
	c := serve(t, console.Config{Token: "a-token", Seed: seed, Tiny: true, Ledger: true, Faults: faults}, false)
	c.Store.Fill(2000+40**kills, time.Now().Add(-48*time.Hour), time.Now().Add(-time.Hour))
	siem := receive(t, "127.0.0.1:0", c.Host())
	siem.delay = 120 * time.Millisecond // longer than saveEvery: many a kill and many a save finds a batch without its ack
	k := &killing{t: t, c: c, siem: siem, dir: t.TempDir(), out: filepath.Join(t.TempDir(), "threats.jsonl"), broker: broker,
		rng: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // a test that can be run again
	k.file = c.config(t, k.dir, `start = "all"
poll_interval = "100ms"
settle = "8s" # above the 4 s by which this console is late
page_size = 200
requests_per_second = 200
`, fmt.Sprintf(`[sink.kafka]
type = "kafka"
brokers = [%q]
topic = %q
batch_events = %d
batch_wait = "20ms"
[sink.file]
type = "file"
path = %q
max_size = "256KiB"
max_files = 1000
batch_events = %d
batch_wait = "20ms"
[sink.siem]
type = "http"
url = %q
body = "ndjson"
batch_events = %d
batch_wait = "20ms"
`, broker.Plain, killTopic, killBatch, k.out, killBatch, siem.URL, killBatch))
	plain.path(t) // built before the clock runs
	k.dial()

	rest := c.live(t, 30, 60)
	begun := time.Now()
	for range *kills {
		k.life()
	}
	took := time.Since(begun)
	rest()
	p := start(t, plain, k.file)
	c.delivered(t, p, k.dir, killSinks...)
	p.stop(t)
	k.mark(true)

	tr := truthOf(t, c.Console)
	noDeadLetters(t, k.dir)
	for sink, copies := range map[string][]delivery{"kafka": k.inKafka(), "file": k.inFiles(), "siem": siem.taken(t)} {
		n := tr.compare(t, sink, copies, true)
		most, hit := k.judge(tr, sink, copies)
		if *kills >= 100 && hit == 0 {
			t.Errorf("%s: no kill came while something was unsaved: the test has tested nothing", sink)
		}
		reportf(t, "%d kills in %v (seed %d), %s: %v (most after one kill %d; %d kills with something unsaved)",
			*kills, took.Round(time.Second), seed, sink, n, most, hit)
	}
}

// killing is one run of the kill test.
type killing struct {
	t      *testing.T
	c      *served
	siem   *receiver
	broker *testpeer.Kafka
	conns  []*kafka.Conn // one a partition
	rng    *rand.Rand
	dir    string // of the checkpoints
	out    string // of the file sink
	file   string // the configuration
	marks  []mark
}

// life lets the program live for 20 ms to a second, the shorter the likelier.
func (k *killing) life() {
	k.t.Helper()
	p := spawn(k.t, plain, k.file)
	defer p.kill()
	gentle := k.rng.IntN(8) == 0
	r := k.rng.Float64()
	span := 20*time.Millisecond + time.Duration(r*r*float64(980*time.Millisecond))
	if gentle {
		p.running(k.t) // before that a SIGTERM is no stop but a death
	}
	select {
	case <-p.done:
		k.t.Fatalf("s1stream ended by itself with %v; it said:\n%s", p.cmd.ProcessState, p.stderr.text())
	case <-time.After(span):
	}
	if gentle {
		p.stop(k.t)
	} else {
		p.kill()
	}
	k.mark(gentle)
}

// judge asks each mark whether its frontier was true and its repeats were allowed. It returns the most versions
// that any one life repeated, and how many kills left something delivered but not saved.
func (k *killing) judge(tr truth, sink string, copies []delivery) (most, hit int) {
	k.t.Helper()
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
		if life == 0 {
			fail("I6: life 0 repeated threat %s by itself", d.id)
		} else if rank, ok := tr.rank[d.version]; ok && tr.knows(k.marks[life-1].states[sink], rank) {
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
		if allowed := unsaved + killBatch; repeats[i+1] > allowed {
			fail("I6: after kill %d, %d versions were repeated; %d were unsaved or in flight", i, repeats[i+1], allowed)
		}
		for _, d := range lives[i] {
			if rank, ok := tr.rank[d.version]; m.clean && ok && !tr.knows(st, rank) {
				fail("I6: clean stop %d did not save that threat %s was delivered", i, d.id)
			}
		}
		most = max(most, repeats[i+1])
		if unsaved > 0 {
			hit++
		}
	}
	return most, hit
}
