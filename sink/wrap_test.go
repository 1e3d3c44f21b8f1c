package sink

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"s1stream/internal/event"
	"s1stream/sink/format"
)

// Text may become six times as long inside JSON, and stretches of invalid UTF-8 twice. What its format can shrink is no
// dead letter for that.
func TestWrap_MakesAnEventSmallEnoughWhateverItsTextBecomes(t *testing.T) {
	splunk := splunkTestSink(t, nil, nil)
	elastic := elasticTestSink(t, nil, nil)
	cef, err := format.NewCEF(format.CEFOptions{})
	if err != nil {
		t.Fatal(err)
	}
	wrappers := map[string]Wrapper{"splunk": splunk, "elastic": elastic}
	for _, filler := range []string{"a", "<", "\\u0001", "\xff", "\xffa", "\\\\", "é", "\\\""} {
		raw := fmt.Appendf(nil, `{"id":"1","threatInfo":{"threatName":"x","maliciousProcessArguments":"%s","filePath":"%s"},"indicators":[{"description":"%s"}]}`,
			strings.Repeat(filler, 4000), strings.Repeat(filler, 600), strings.Repeat(filler, 4000))
		ev := &event.Event{ID: "1", Raw: raw, UpdatedAt: time.Unix(1767693600, 0), Version: event.NewVersion("h", "1", "u", raw)}
		for name, w := range wrappers {
			for form, encode := range map[string]Encode{"json": format.JSON, "cef": cef} {
				for _, most := range []int{2000, 3000, 5000, 8000, 12_000, 20_000, 60_000} {
					body, _, err := w.Wrap(encode)(nil, ev, most)
					if err != nil || len(body) > most || name == "elastic" && !json.Valid(body) {
						t.Errorf("%s, %s of %q in %d bytes: %d bytes, %v", name, form, filler, most, len(body), err)
					}
				}
			}
		}
	}
}
