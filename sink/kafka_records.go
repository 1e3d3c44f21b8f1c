package sink

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"

	"s1stream/internal/event"
	"s1stream/internal/safe"
	"s1stream/sink/cloudevents"
	"s1stream/sink/format"
)

// kafkaTimeFormat writes s1-updated-at as the console does: UTC, with microseconds.
const kafkaTimeFormat = "2006-01-02T15:04:05.000000Z"

// kafkaMaxHeaders is the most that the headers of one's own may have, in bytes as Kafka counts them: each record
// carries them, and they are no place for content.
const kafkaMaxHeaders = 8192

// kafkaUsualID is the longest id of a threat for which MaxBytes has kept enough free: a console's have 18 or 19 digits.
const kafkaUsualID = 64

var _ Wrapper = (*Kafka)(nil)

// Wrap implements Wrapper: an event whose id is longer, which is its key and stands in headers too, has so much less room.
func (k *Kafka) Wrap(encode Encode) Encode {
	return func(dst []byte, ev *event.Event, max int) (body []byte, shrunk bool, err error) {
		if len(ev.ID) > kafkaUsualID {
			msgs, _ := k.messages([]Record{{Event: ev}})
			around := kafkaSize(&msgs[0])
			if around >= k.limit {
				return nil, false, fmt.Errorf("the record's key and headers alone have %d bytes, over the limit of %d", around, k.limit)
			}
			if room := k.limit - around; max <= 0 || room < max {
				max = room
			}
		}
		return encode(dst, ev, max)
	}
}

// messages encodes records for kafka-go. A record that is too large gets its result at once: kafka-go would void
// the whole call for it.
func (k *Kafka) messages(records []Record) ([]kafka.Message, []error) {
	perRecord := 5 + len(k.own)
	if k.cfg.CloudEvents {
		perRecord += 6
	}
	msgs := make([]kafka.Message, len(records))
	results := make([]error, len(records))
	headers := make([]kafka.Header, 0, perRecord*len(records))
	contentType := cmp.Or(k.deps.ContentType, format.JSONType)
	source, typeBytes := []byte(k.deps.Source), []byte(contentType)
	now := time.Now()
	for i, r := range records {
		ev := r.Event
		id := []byte(ev.ID)
		from := len(headers)
		headers = append(headers,
			kafka.Header{Key: "s1-version", Value: []byte(ev.Version.String())},
			kafka.Header{Key: "s1-id", Value: id},
			kafka.Header{Key: "s1-updated-at", Value: ev.UpdatedAt.UTC().AppendFormat(nil, kafkaTimeFormat)},
			kafka.Header{Key: "s1-source", Value: source},
			kafka.Header{Key: "content-type", Value: typeBytes}, // of CloudEvents too: it stands for datacontenttype
		)
		if k.cfg.CloudEvents {
			for _, h := range cloudevents.Of(ev, k.deps.Host, contentType).Kafka() {
				headers = append(headers, kafka.Header{Key: h.Name, Value: []byte(h.Value)})
			}
		}
		headers = append(headers, k.own...)
		at := now
		if k.cfg.Timestamp == "updated_at" {
			at = ev.UpdatedAt
		}
		msgs[i] = kafka.Message{Key: id, Value: r.Body, Headers: headers[from:len(headers):len(headers)], Time: at}
		if n := kafkaSize(&msgs[i]); n > k.limit {
			results[i] = &RefusedError{Err: fmt.Errorf("the record has %d bytes with key and headers, over the limit of %d", n, k.limit)}
		}
	}
	return msgs, results
}

// kafkaSize is at least what kafka-go compares with BatchBytes, which is more than a record takes on the wire.
func kafkaSize(m *kafka.Message) int {
	return 32 + len(m.Key) + len(m.Value) + kafkaHeadersSize(m.Headers)
}

func kafkaHeadersSize(headers []kafka.Header) int {
	n := 0
	for _, h := range headers {
		n += 10 + len(h.Key) + len(h.Value)
	}
	return n
}

// ownHeaders returns the headers table, by name.
func (c *KafkaConfig) ownHeaders() []kafka.Header {
	var out []kafka.Header
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		out = append(out, kafka.Header{Key: name, Value: []byte(c.Headers[name])})
	}
	return out
}

// kafkaExtension is an attribute of CloudEvents beyond those of its own (spec.md, "Attribute Naming Convention").
var kafkaExtension = regexp.MustCompile(`^ce_[a-z0-9]{1,20}$`)

// kafkaCloudEventNames are those that the sink writes, or that must not stand beside content-type and the record.
var kafkaCloudEventNames = []string{
	"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject", "ce_datacontenttype", "ce_data",
}

// headerMistakes checks the headers table.
func (c *KafkaConfig) headerMistakes() []error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		bad := func(text string) { errs = append(errs, fmt.Errorf("headers.%s: %s", safe.Text(name), text)) }
		lower := strings.ToLower(name)
		event := strings.HasPrefix(lower, "ce_")
		switch {
		case !kafkaHeaderText(name) || name == "":
			errs = append(errs, fmt.Errorf("headers: %q is not the name of a header: it must be text without a control character", name))
		case event && !c.CloudEvents:
			bad("names an attribute of CloudEvents: set cloudevents = true too, or choose another name")
		case strings.HasPrefix(lower, "s1-"), lower == "content-type", slices.Contains(kafkaCloudEventNames, lower):
			bad("is written by s1stream itself and can't be set")
		case event && !kafkaExtension.MatchString(name):
			bad("must be ce_ and up to 20 of a-z and 0-9, as CloudEvents names its attributes")
		case event && c.Headers[name] == "":
			bad("must not be empty, as an attribute of CloudEvents")
		}
		if !kafkaHeaderText(c.Headers[name]) {
			bad("must be text without a control character")
		}
	}
	if n := kafkaHeadersSize(c.ownHeaders()); n > kafkaMaxHeaders {
		errs = append(errs, fmt.Errorf("headers: have %d bytes together, and every record carries them: at most %d", n, kafkaMaxHeaders))
	}
	return errs
}

// kafkaHeaderText reports whether s is UTF-8 that every reader can show. Kafka itself takes any bytes as a value.
func kafkaHeaderText(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}
