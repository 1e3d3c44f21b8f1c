package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"s1stream/internal/testpeer"
)

// killSplunk is a collector with indexer acks, slow to index, that forgets what it has not acknowledged when it crashes:
// all of it, or some of it, or its acks alone. A batch is several requests side by side.
func killSplunk(t *testing.T, c *served, seed uint64) target {
	t.Helper()
	fake := &testpeer.FakeSplunk{Token: "hec-token", Acks: true, IndexAfter: saveEvery / 2}
	srv := httptest.NewServer(fake)
	t.Cleanup(srv.Close)
	rng := rand.New(rand.NewPCG(seed, 2)) //nolint:gosec // a test that can be run again
	crashes, lost := 0, 0
	return target{
		name: "splunk",
		config: fmt.Sprintf("type = \"splunk\"\nurl = %q\ntoken = \"hec-token\"\nack = \"required\"\nack_timeout = \"2s\"\nmax_message_bytes = \"20KB\"\n",
			srv.URL),
		ends: func() []int64 {
			indexed, waiting := fake.Count()
			return []int64{int64(indexed + waiting)}
		},
		copies: func() []delivery {
			if *kills >= 100 && lost < *kills/10 {
				t.Errorf("splunk: in %d crashes the collector lost %d events: the test has hardly tested that", crashes, lost)
			}
			reportf(t, "splunk: %d crashes of the collector lost %d events that it had not acknowledged", crashes, lost)
			return identifySplunk(t, c.Host(), fake.Indexed())
		},
		crash: func() {
			p := float64(rng.IntN(3)) / 2
			crashes++
			lost += fake.Crash(func() bool { return rng.Float64() < p })
		},
	}
}

// identifySplunk identifies events by their bytes, and wants their envelopes to say the same.
func identifySplunk(t *testing.T, host string, events []testpeer.SplunkEvent) []delivery {
	t.Helper()
	fail := limited(t, "splunk")
	copies := make([]delivery, 0, len(events))
	for i, e := range events {
		d, err := identify(host, e.Event)
		if err != nil {
			fail("%v", err)
			continue
		}
		if e.Fields["version"] != d.version.String() || e.Fields["threat_id"] != d.id || e.Fields["console"] != "main" {
			fail("fields %v are not those of threat %s in version %v", e.Fields, d.id, d.version)
		}
		d.at = int64(i + 1)
		copies = append(copies, d)
	}
	return copies
}

const killStream = "logs-sentinel_one.threat-default"

// killElastic is OpenSearch. A version that is sent again is no second document there.
func killElastic(t *testing.T, c *served) target {
	t.Helper()
	node := testpeer.StartOpenSearch(t, 2, 1000)
	node.Do(http.MethodPut, "/_index_template/threats", `{"index_patterns":["logs-sentinel_one.*-*"],"data_stream":{},"priority":200,"template":{
		"settings":{"number_of_shards":1,"number_of_replicas":0,"refresh_interval":"30s"},
		"mappings":{"dynamic":false,"properties":{"@timestamp":{"type":"date"}}}}}`, nil)
	node.Do(http.MethodPut, "/_data_stream/"+killStream, "", nil)
	return target{
		name:   "elastic",
		config: fmt.Sprintf("type = \"elastic\"\nurls = [%q]\ntarget = %q\n", node.URL, killStream),
		ends:   func() []int64 { return []int64{node.LastSeq(killStream) + 1} },
		copies: func() []delivery {
			again := node.Conflicts(killStream)
			if *kills >= 100 && again < *kills/10 {
				t.Errorf("elastic: %d documents were sent again: the test has hardly tested that they are stored once", again)
			}
			reportf(t, "elastic: %d documents were sent again", again)
			return identifyDocs(t, c.Host(), node.Docs(killStream))
		},
		once: true,
	}
}

// identifyDocs identifies documents by their bytes but for the @timestamp in front, which must be the threat's updatedAt,
// and wants their _id to be the version.
func identifyDocs(t *testing.T, host string, docs []testpeer.Doc) []delivery {
	t.Helper()
	fail := limited(t, "elastic")
	copies := make([]delivery, 0, len(docs))
	for _, doc := range docs {
		var at struct {
			Timestamp  time.Time `json:"@timestamp"`
			ThreatInfo struct {
				UpdatedAt time.Time `json:"updatedAt"`
			} `json:"threatInfo"`
		}
		stamp, rest, ok := strings.Cut(string(doc.Source), `",`)
		if err := json.Unmarshal(doc.Source, &at); err != nil || !ok || !strings.HasPrefix(stamp, `{"@timestamp":"`) {
			fail("no document of ours: %.300q %v", doc.Source, err)
			continue
		}
		d, err := identify(host, []byte("{"+rest))
		if err != nil {
			fail("%v", err)
			continue
		}
		if doc.ID != d.version.String() || !at.Timestamp.Equal(at.ThreatInfo.UpdatedAt) {
			fail("_id %s and @timestamp %v are not those of threat %s in version %v, updated %v", doc.ID, at.Timestamp, d.id, d.version,
				at.ThreatInfo.UpdatedAt)
		}
		d.at = doc.Seq + 1
		copies = append(copies, d)
	}
	return copies
}
