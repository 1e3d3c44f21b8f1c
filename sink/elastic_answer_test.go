package sink

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
)

func elasticTestError(status int, kind, reason string) string {
	return fmt.Sprintf(`"status":%d,"error":{"type":%q,"reason":%q}`, status, kind, reason)
}

func TestElastic_JudgesEachResultByItself(t *testing.T) {
	for _, tt := range []struct{ name, op, item, want string }{
		{"created", "create", `"status":201`, "taken"},
		{"there already", "create", elasticTestError(409, "version_conflict_engine_exception", "document already exists"), "taken"},
		{"another conflict", "create", elasticTestError(409, "other_exception", "x"), "failed"},
		{"a conflict of op index", "index", elasticTestError(409, "version_conflict_engine_exception", "x"), "failed"},
		{"replaced by op index", "index", `"status":200`, "taken"},
		{"accepted is no ack", "create", `"status":202`, "failed"},
		{"a full queue", "create", elasticTestError(429, "es_rejected_execution_exception", "rejected"), "failed"},
		{"no copies", "create", elasticTestError(503, "unavailable_shards_exception", "x"), "failed"},
		{"a fault of the node", "create", `"status":500`, "failed"},
		{"mapping", "create", elasticTestError(400, "mapper_parsing_exception", "failed to parse"), "refused"},
		{"mapping, later name", "create", elasticTestError(400, "document_parsing_exception", "failed to parse"), "refused"},
		{"strict mapping", "create", elasticTestError(400, "strict_dynamic_mapping_exception", "x"), "refused"},
		{"too many fields", "create", elasticTestError(400, "illegal_argument_exception", "Limit of total fields [1000] has been exceeded"), "refused"},
		{"no index", "create", elasticTestError(404, "index_not_found_exception", "no such index"), "denied"},
		{"a bad name", "create", elasticTestError(400, "invalid_index_name_exception", "x"), "denied"},
		{"no template", "create", elasticTestError(400, "illegal_argument_exception", "no matching index template found for data stream [x]"), "denied"},
		{"op index into a data stream", "index", elasticTestError(400, "illegal_argument_exception", "only write ops with an op_type of create are allowed in data streams"), "denied"},
		{"no pipeline", "create", elasticTestError(400, "illegal_argument_exception", "pipeline with id [x] does not exist"), "denied"},
		{"a full disk", "create", elasticTestError(429, "cluster_block_exception", "x"), "denied"},
		{"a full disk, earlier status", "create", elasticTestError(403, "cluster_block_exception", "x"), "denied"},
		{"no privilege", "create", elasticTestError(403, "security_exception", "x"), "denied"},
		{"gone to the failure store", "create", `"status":201,"failure_store":"used"`, "refused"},
		{"refused, without a failure store", "create", elasticTestError(400, "document_parsing_exception", "x") + `,"failure_store":"not_enabled"`, "refused"},
		{"an error of text alone", "create", `"status":400,"error":"MapperParsingException[x]"`, "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := elasticTestSink(t, func(c *ElasticConfig) { c.Op = tt.op }, elasticTestAnswer(func(int) string { return tt.item }))
			if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != tt.want {
				t.Errorf("%s (%v), want %s", httpKind(err), err, tt.want)
			}
		})
	}
}

func TestElastic_NamesTheDocumentsThatFailedAndTakesTheOthers(t *testing.T) {
	s := elasticTestSink(t, nil, elasticTestAnswer(func(i int) string {
		switch i {
		case 3:
			return elasticTestError(429, "es_rejected_execution_exception", "rejected")
		case 7:
			return `"status":400,"error":{"type":"mapper_parsing_exception","reason":"failed","caused_by":{"type":"x","reason":"no \u001b[31mcolours\u202e"}}`
		}
		return `"status":201`
	}))
	batch, ok := s.Write(t.Context(), httpTestRecords(10, 10)).(*BatchError) //nolint:errorlint // as it is returned
	if !ok || len(batch.Failed) != 2 || batch.Failed[0].Index != 3 || batch.Failed[1].Index != 7 {
		t.Fatalf("Write: %v, want a BatchError of 3 and 7", batch)
	}
	if a, b := httpKind(batch.Failed[0].Err), httpKind(batch.Failed[1].Err); a != "failed" || b != "refused" {
		t.Errorf("3 is %s and 7 %s, want failed and refused", a, b)
	}
	if text := batch.Failed[1].Err.Error(); strings.ContainsAny(text, "\x1b\u202e") || !strings.Contains(text, "colours") {
		t.Errorf("the reason is not shown in safe text: %q", text)
	}
}

// What goes to the failure store gets an _id of its own, and its neighbours are taken all the same.
func TestElastic_NamesTheDocumentsThatWentToTheFailureStore(t *testing.T) {
	records := httpTestRecords(2, 10)
	answer := fmt.Sprintf(`{"errors":false,"items":[{"create":{"_id":"KSAPvJYBGMQ","status":201,"failure_store":"used"}},{"create":{"_id":%q,"status":201}}]}`,
		records[1].Event.Version)
	s := elasticTestSink(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.URL.RawQuery, "items.*.failure_store") {
			w.WriteHeader(http.StatusTeapot) // filter_path would leave it out
		}
		_, _ = io.WriteString(w, answer)
	}))
	batch, ok := s.Write(t.Context(), records).(*BatchError) //nolint:errorlint // as it is returned
	if !ok || len(batch.Failed) != 1 || batch.Failed[0].Index != 0 || httpKind(batch.Failed[0].Err) != "refused" ||
		!strings.Contains(batch.Failed[0].Err.Error(), "failure store") {
		t.Errorf("Write: %v, want record 0 refused alone, with the reason", batch)
	}
}

func TestElastic_KnowsNothingWithoutOneResultForEachDocument(t *testing.T) {
	records := httpTestRecords(3, 10)
	ok := func(i int) string {
		return fmt.Sprintf(`{"create":{"_id":%q,"status":201}}`, records[i].Event.Version)
	}
	for name, answer := range map[string]string{
		"no items":                `{"errors":false}`,
		"null items":              `{"errors":false,"items":null}`,
		"fewer":                   `{"errors":false,"items":[` + ok(0) + `,` + ok(1) + `]}`,
		"more":                    `{"errors":false,"items":[` + ok(0) + `,` + ok(1) + `,` + ok(2) + `,` + ok(2) + `]}`,
		"another order":           `{"errors":false,"items":[` + ok(1) + `,` + ok(0) + `,` + ok(2) + `]}`,
		"an empty item":           `{"errors":false,"items":[` + ok(0) + `,{},` + ok(2) + `]}`,
		"a null item":             `{"errors":false,"items":[` + ok(0) + `,null,` + ok(2) + `]}`,
		"no status":               `{"errors":false,"items":[` + ok(0) + `,{"create":{}},` + ok(2) + `]}`,
		"a login page":            `<!DOCTYPE html><title>Sign in</title>`,
		"nothing":                 ``,
		"cut off":                 `{"errors":false,"items":[` + ok(0),
		"data behind":             `{"errors":false,"items":[` + ok(0) + `,` + ok(1) + `,` + ok(2) + `]}{}`,
		"an error of the request": `{"error":"x","status":200}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := elasticTestSink(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
			err := s.Write(t.Context(), records)
			if _, some := err.(*BatchError); httpKind(err) != "failed" || some { //nolint:errorlint // as it is returned
				t.Errorf("Write: %v, want an unknown outcome of all", err)
			}
		})
	}
}

func TestElastic_JudgesEveryStatusOfTheWholeRequest(t *testing.T) {
	var status atomic.Int64
	s := elasticTestSink(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(int(status.Load())) }))
	for code, want := range map[int]string{
		201: "failed", 204: "failed", 301: "denied", 400: "refused", 401: "denied", 403: "denied", 404: "denied", 405: "denied", 406: "denied",
		407: "denied", 408: "failed", 413: "refused", 429: "failed", 500: "failed", 502: "failed", 503: "failed", 504: "failed",
	} {
		status.Store(int64(code))
		if err := s.Write(t.Context(), httpTestRecords(1, 10)); httpKind(err) != want {
			t.Errorf("%d: %s (%v), want %s", code, httpKind(err), err, want)
		}
	}
}

func FuzzElasticAnswer(f *testing.F) {
	records := httpTestRecords(2, 10)
	a, b := records[0].Event.Version, records[1].Event.Version
	f.Add([]byte(fmt.Sprintf(`{"errors":true,"items":[{"create":{"_id":%q,"status":201}},{"create":{"_id":%q,"status":400,"error":{"type":"x","reason":"y","caused_by":{"reason":"z"}}}}]}`, a, b)))
	f.Add([]byte(`{"items":[{"create":{"status":201}},{"index":{"status":409,"error":"x"}}]}`))
	f.Add([]byte(`{"items":[{"create":{"_id":"x","status":201,"failure_store":"used"}},{"create":{"status":201}}]}`))
	f.Add([]byte(`{"items":null}`))
	f.Fuzz(func(t *testing.T, answer []byte) {
		items, err := readElasticItems(answer, records)
		if err != nil {
			return
		}
		// Whoever reads it otherwise must find the same: two results, each an object with one action and its status.
		var doc struct{ Items []map[string]map[string]any }
		if uerr := json.Unmarshal(answer, &doc); uerr != nil || len(doc.Items) != 2 || len(items) != 2 {
			t.Fatalf("taken for an answer: %q (%v)", answer, uerr)
		}
		for i, item := range items {
			if verdict, _ := item.class("create"); verdict == httpTaken && item.status != 200 && item.status != 201 && item.status != 409 {
				t.Fatalf("item %d of status %d is taken", i, item.status)
			}
		}
	})
}
