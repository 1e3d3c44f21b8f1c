package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"strings"

	"s1stream/internal/safe"
	"s1stream/source"
)

// threatsPage is an answer of the endpoint, with its threats as they came.
type threatsPage struct {
	Data       []json.RawMessage
	Pagination struct {
		NextCursor string
		TotalItems int64
	}
	Errors []struct{ Title, Detail string }
}

// readPage reads a 200. What is no page of the API is an error.
func readPage(a source.Answer) (threatsPage, error) {
	var p threatsPage
	kind, _, err := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return p, fmt.Errorf("the answer is %q, not JSON", safe.Snippet([]byte(a.Header.Get("Content-Type")), 64))
	}
	if err := json.Unmarshal(a.Body, &p); err != nil {
		return p, fmt.Errorf("the answer is no page of threats: %w", err)
	}
	if len(p.Errors) > 0 {
		return p, fmt.Errorf("the answer is an error%s", saying(a))
	}
	if p.Data == nil {
		return p, errors.New("the answer has no data")
	}
	return p, nil
}
