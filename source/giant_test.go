package source

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"s1stream/internal/event"
)

// mostInTests is the size from which a threat is a giant here.
const mostInTests = 1 << 20

// filler is part of a string; it has what would end one, or a list.
var filler = []byte(strings.Repeat(strings.Repeat("a", 250)+`\"{]\\`, 128))

// giantThreat writes a threat of some size whose live part differs from read to read.
func giantThreat(id string, at time.Time, size, read int) io.Reader {
	return io.MultiReader(
		strings.NewReader(fmt.Sprintf(`{"agentRealtimeInfo":{"n":%d},%s"whiteningOptions":["`, read, id)),
		io.LimitReader(&forever{b: filler}, int64(size/len(filler)*len(filler))),
		strings.NewReader(fmt.Sprintf(`"],"threatInfo":{"updatedAt":%q}}`, formatTime(at))))
}

// giants is a console of which some threats are larger than a page may be.
type giants struct {
	threats []func(read int) io.Reader
	reads   int
	later   func(n int) (*reply, error) // a request's own fate; nil for a good one
}

func (g *giants) answer(_ int, r *http.Request) (*reply, error) {
	g.reads++
	q := r.URL.Query()
	if g.later != nil {
		if res, err := g.later(g.reads); res != nil || err != nil {
			return res, err
		}
	}
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil {
		return nil, err
	}
	first, _ := strconv.Atoi(q.Get("cursor"))
	end, cursor := min(first+limit, len(g.threats)), "null"
	if end < len(g.threats) {
		cursor = strconv.Quote(strconv.Itoa(end))
	}
	parts := []io.Reader{strings.NewReader(`{"data":[`)}
	for i, th := range g.threats[first:end] {
		if i > 0 {
			parts = append(parts, strings.NewReader(","))
		}
		parts = append(parts, th(g.reads))
	}
	parts = append(parts, strings.NewReader(`],"pagination":{"nextCursor":`+cursor+`}}`))
	res := respond(200, "")
	res.body = io.MultiReader(parts...)
	return res, nil
}

func TestWalk_AThreatLargerThanAPageBecomesAStubAndHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const big = mostInTests + 64<<10
		plain := func(id string) func(int) io.Reader {
			return func(int) io.Reader { return strings.NewReader(threat(id, ago(time.Hour))) }
		}
		at := ago(time.Hour)
		c := &giants{threats: []func(int) io.Reader{
			plain("1"),
			func(read int) io.Reader { return giantThreat(`"id":"2290000000000000002",`, at, big, read) },
			func(read int) io.Reader { return giantThreat(``, at, big, read) },
			plain("4"), plain("5"),
		}}
		r := newRig(t, &answers{f: c.answer}, func(c *Config) { c.PageSize = 2 })
		r.most = mostInTests
		begin, asked := time.Now(), 0
		var first map[string]event.Event
		for range 2 {
			found := map[string]event.Event{}
			for p, err := range r.Walk(t.Context(), ago(2*time.Hour), true) {
				if err != nil {
					t.Fatal(err)
				}
				for _, ev := range p.Events {
					ev.Raw = bytes.Clone(ev.Raw)
					found[ev.ID] = ev
				}
			}
			stubs := 0
			for id, ev := range found {
				if ev.Stub == "" {
					continue
				}
				stubs++
				var raw struct {
					ID   string
					Size int
				}
				if err := json.Unmarshal(ev.Raw, &raw); err != nil || raw.ID != id || raw.Size < big-len(filler) || raw.Size > big+300 || len(ev.Raw) > 200 {
					t.Errorf("stub %s: %v", ev.Raw, err)
				}
				if !ev.UpdatedAt.Equal(at) || !strings.Contains(ev.Stub, "64 MiB") {
					t.Errorf("stub of %s at %v: %s", id, ev.UpdatedAt, ev.Stub)
				}
				if first != nil && first[id].Version != ev.Version {
					t.Errorf("stub %s has another version the second time", id)
				}
			}
			if len(found) != 5 || stubs != 2 || found["2290000000000000002"].Stub == "" || found["4"].Stub != "" || found["5"].Stub != "" {
				t.Fatalf("%d events, %d stubs", len(found), stubs)
			}
			// Every request takes its place, the second one for a giant too.
			if took := time.Since(begin); took < time.Duration(c.reads-asked-1)*time.Second/5 {
				t.Errorf("%d requests within %v, at five a second", c.reads-asked, took)
			}
			begin, asked = time.Now(), c.reads
			if first = found; len(r.ready.Reasons()) > 0 {
				t.Errorf("not ready: %v", r.ready.Reasons())
			}
		}
	})
}

func TestWalk_AFailureWhileAGiantIsReadIsAFailureLikeAnother(t *testing.T) {
	for name, later := range map[string]func(n int) (*reply, error){
		"throttled": func(int) (*reply, error) { return respond(429, "", "Retry-After", "7"), nil },
		"no answer": func(int) (*reply, error) { return nil, context.DeadlineExceeded },
		"cut off":   func(int) (*reply, error) { return respond(200, `{"data":[{"id":"1`), nil },
		"errors": func(int) (*reply, error) {
			return respond(200, `{"data":[],"errors":[1],"pagination":{}}`), nil
		},
		"a second":    func(int) (*reply, error) { return respond(200, page("null", `{}`, `{}`)), nil },
		"a login":     func(int) (*reply, error) { return respond(200, `<html>`), nil },
		"text behind": func(int) (*reply, error) { return respond(200, page("null", `{"id":"1"}`)+"}"), nil },
	} {
		synctest.Test(t, func(t *testing.T) {
			at := ago(time.Hour)
			c := &giants{threats: []func(int) io.Reader{func(read int) io.Reader { return giantThreat(`"id":"7",`, at, mostInTests+64<<10, read) }}}
			c.later = func(n int) (*reply, error) {
				if n == 2 {
					return later(n)
				}
				return nil, nil
			}
			r := newRig(t, &answers{f: c.answer}, func(c *Config) { c.PageSize = 1 })
			r.most = mostInTests
			pages, err := r.read(t.Context(), ago(2*time.Hour))
			if err != nil || all(pages) != "7" || c.reads != 4 {
				t.Errorf("%s: %v, %v after %d requests", name, pages, err, c.reads)
			}
		})
	}
}

func TestGiant_RefusesWhatIsNoPage(t *testing.T) {
	for _, body := range []string{
		``, `[]`, `{}`, `{"data":[]}`, `{"pagination":{}}`, `{"data":null,"pagination":{}}`, `{"data":[],"data":[],"pagination":{}}`,
		`{"data":[{"a":1}{"b":1}],"pagination":{}}`, `{"data":[{"a" 1}],"pagination":{}}`, `{"data":[{a:1}],"pagination":{}}`,
		`{"data":[{"a":}],"pagination":{}}`, `{"data":[{"a":1]],"pagination":{}}`, "{\"data\":[{\"a\":\"\n\"}],\"pagination\":{}}",
		`{"data":[],"pagination":{"nextCursor":7}}`, `{"data":[],"pagination":[]}`, `{"data":[],"pagination":{}}{`,
		`{"data":[{"a":` + strings.Repeat("[", giantDepth+1), `{"data":[],"errors":"no","pagination":{}}`, `{"data":[],"errors":{"a":1},"pagination":{}}`,
	} {
		g := newGiantReader(strings.NewReader(body))
		err := g.page()
		var pe *pageError
		if !errors.As(bodyError(orEOF(err)), &pe) {
			t.Errorf("%.60q: %v, want a bad page", body, err)
		}
	}
}

// orEOF makes a nil error one that is no bad page, so that one check does for both.
func orEOF(err error) error {
	if err == nil {
		return errors.New("it was taken")
	}
	return err
}

func FuzzGiant(f *testing.F) {
	for _, seed := range []string{
		page(`"c"`, `{"id":"1","threatInfo":{"updatedAt":"2026-10-05T09:02:00.000001Z"},"agentRealtimeInfo" : {"a":[1,{}]} }`),
		page(`null`, `{"x":-1.5e3,"agentRealtimeInfo":1}`), page(`"null"`, `{"threatInfo":{"updatedAt":"x"},"threatInfo":null,"id":7}`),
		`{"data":[ ],"errors":[ ],"pagination":{"nextCursor":"x"},"pagination":{}}`, page(`""`, `null`), page(`"\u0041"`, `{"\u0069d":"\u0031\ud800"}`),
		`{"data":[{"a":"` + "\xff" + `"}],"pagination":{}}`, `{"data":[[1],"errors":""`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		g := newGiantReader(bytes.NewReader(body))
		err := g.page()
		p := splitter{host: "h"}
		events, cursor, splitErr := p.split(body, moment)
		if splitErr != nil || len(events) > 1 {
			return // the giant reader lets some pass that the splitter refuses: it checks structure alone
		}
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		if long := 4000; len(body) > long {
			return // a string may be longer than what is kept of one
		}
		if g.cursor != cursor || g.threats != len(events) {
			t.Fatalf("cursor %q with %d threats, want %q with %d", g.cursor, g.threats, cursor, len(events))
		}
		if len(events) == 0 {
			return
		}
		q := splitter{host: "h"}
		q.addStub(&g, moment)
		stub, want := q.events[0], events[0]
		if !stub.UpdatedAt.Equal(want.UpdatedAt) || q.last != p.last || int(g.size) != len(want.Raw) {
			t.Fatalf("updatedAt %v and %d bytes, want %v and %d", stub.UpdatedAt, g.size, want.UpdatedAt, len(want.Raw))
		}
		// Where the live part stands twice, the hash leaves out both of them instead of the last one.
		if stub.ID != want.ID && (threatID(field(want.Raw, "id")) != "" || bytes.Count(want.Raw, []byte("Info")) < 2) {
			t.Fatalf("id %q, want %q", stub.ID, want.ID)
		}
		if !json.Valid(stub.Raw) {
			t.Fatalf("stub is no JSON: %q", stub.Raw)
		}
	})
}

// BenchmarkGiant reads a threat that is not kept.
func BenchmarkGiant(b *testing.B) {
	const size = 8 << 20
	b.SetBytes(size)
	for b.Loop() {
		g := newGiantReader(io.MultiReader(strings.NewReader(`{"data":[`), giantThreat(`"id":"1",`, moment, size, 1), strings.NewReader(`],"pagination":{}}`)))
		if err := g.page(); err != nil || g.id != "1" {
			b.Fatal(err)
		}
	}
}
