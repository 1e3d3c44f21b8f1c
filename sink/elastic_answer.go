package sink

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// elasticItem is the result of one document.
type elasticItem struct {
	status       int
	kind, reason string // of the error, if any, as the cluster words them
	astray       bool   // stored, but in the data stream's failure store
}

// readElasticItems reads an answer to _bulk: one result for each record, in their order. Everything else is an error, and
// nothing is known of any record: an answer without results, too few or too many of them, one of another document.
func readElasticItems(answer []byte, records []Record) ([]elasticItem, error) {
	var doc struct {
		Items []map[string]struct {
			ID     *string         `json:"_id"`
			Status int             `json:"status"`
			Error  json.RawMessage `json:"error"`
			Store  string          `json:"failure_store"`
		} `json:"items"`
	}
	if err := json.Unmarshal(answer, &doc); err != nil {
		return nil, errors.New("with what is no answer of _bulk: check urls, and what stands between here and there")
	}
	if len(doc.Items) != len(records) {
		return nil, fmt.Errorf("with %d results for %d documents", len(doc.Items), len(records))
	}
	out := make([]elasticItem, len(records))
	for i, results := range doc.Items {
		if len(results) != 1 {
			return nil, fmt.Errorf("with a result of %d actions", len(results))
		}
		for _, r := range results { // by the name of its action
			// What is put into the failure store gets an _id of its own, and the status of success.
			// https://www.elastic.co/docs/manage-data/data-store/data-streams/failure-store
			out[i].astray = r.Store == "used"
			if r.ID != nil && *r.ID != records[i].Event.Version.String() && !out[i].astray {
				return nil, errors.New("with the result of another document")
			}
			if r.Status < 100 || r.Status > 599 {
				return nil, fmt.Errorf("with a result of status %d", r.Status)
			}
			out[i].status = r.Status
			out[i].kind, out[i].reason = elasticCause(r.Error)
		}
	}
	return out, nil
}

// elasticAllUnread reports whether every result is the one that OpenSearch gives to all documents of a request when its
// ingest pipeline can't read one of them, as where a name stands twice in an object.
func elasticAllUnread(items []elasticItem) bool {
	for _, i := range items {
		if i.status != 400 || i.kind != "parse_exception" {
			return false
		}
	}
	return len(items) > 0
}

// elasticCause returns type and reason of an error, with the innermost reason, which is the telling one. Very old
// versions give a text alone.
func elasticCause(raw json.RawMessage) (kind, reason string) {
	type cause struct {
		Type, Reason string
		CausedBy     json.RawMessage `json:"caused_by"`
	}
	var c cause
	if len(raw) == 0 || json.Unmarshal(raw, &c) != nil {
		_ = json.Unmarshal(raw, &reason) // stays empty where it is no text
		return "", reason
	}
	kind, reason = c.Type, c.Reason
	for range 8 { // as deep as it is worth
		var inner cause
		if len(c.CausedBy) == 0 || json.Unmarshal(c.CausedBy, &inner) != nil || inner.Reason == "" {
			break
		}
		reason += ": " + inner.Reason
		c = inner
	}
	return kind, reason
}

const elasticInstall = "create the index, or install the index template for it, and check target"

// elasticConfigFaults are errors that the cluster gives to a document, and that are every document's: they lie in the
// cluster's configuration or in ours.
var elasticConfigFaults = []struct{ kind, reason, remedy string }{
	{"index_not_found_exception", "", elasticInstall},
	{"invalid_index_name_exception", "", "correct target"},
	{"", "no matching index template", elasticInstall},
	{"", "only write ops with an op_type of create", "set op = \"create\": target is a data stream"},
	{"", "no write index is defined", "give the alias a write index, or name another target"},
	{"", "does not exist", "create the ingest pipeline that the index names"}, // "pipeline with id [x] does not exist"
	{"cluster_block_exception", "", "the cluster blocks writes to this index: free disk space, or lift the block"},
	{"index_closed_exception", "", "open the index"},
	{"security_exception", "", "check the auth keys, and what the account behind them may do"},
}

// class says what a result means for its document, and what to do where an operator must act.
func (i elasticItem) class(op string) (verdict httpVerdict, remedy string) {
	switch {
	case i.astray: // where no search for threats looks, and for 30 days: not delivered
		return httpRefuse, ""
	case i.status == 200, i.status == 201:
		return httpTaken, ""
	case i.status == 409 && op == "create" && (i.kind == "" || i.kind == "version_conflict_engine_exception"):
		return httpTaken, "" // stored by an attempt before
	case i.status < 300 || i.status == 429 && i.kind != "cluster_block_exception" || i.status >= 500:
		return httpFailed, ""
	}
	for _, f := range elasticConfigFaults {
		if (f.kind == "" || f.kind == i.kind) && strings.Contains(i.reason, f.reason) &&
			(f.kind != "" || i.kind == "illegal_argument_exception") {
			return httpDenied, f.remedy
		}
	}
	return httpClass(i.status), "check target, the auth keys, and the cluster's log"
}
