package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// schema is the layout written here. Layout of schema 1:
//
//	header   one line of JSON (see header), ended by LF
//	body     a record for each seen threat, ordered by version, then id:
//	         uvarint length of the id, the id's bytes, updatedAt (int64, microseconds since 1970),
//	         version (16 bytes); integers are big-endian
//	trailer  CRC-32C (Castagnoli) of all bytes before it, 4 bytes big-endian
//
// Every schema keeps the magic, the number behind it, and the trailer. So a newer file is told from a damaged
// one: it is only believed to be newer when its CRC is right.
const (
	schema = 1
	magic  = `{"s1stream_checkpoint":`

	trailerSize   = 4
	minRecordSize = 1 + 8 + 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the first line of a checkpoint. Times are microseconds since 1970, as no text form of them holds
// every year.
type header struct {
	Schema     int    `json:"s1stream_checkpoint"`
	Generation uint64 `json:"generation"`
	Saved      int64  `json:"saved_us"`
	Console    string `json:"console"`
	Filter     string `json:"filter"`
	Frontier   int64  `json:"frontier_us"`
	Seen       int    `json:"seen"`       // records in the body
	BodyBytes  int    `json:"body_bytes"` // so that a cut is found by count too
}

// stored is a State with what its file adds.
type stored struct {
	State
	generation uint64
	saved      time.Time
	size       int // bytes of the file
}

// encode lays out a checkpoint. The same input gives the same bytes.
func encode(c stored) ([]byte, error) {
	if !utf8.ValidString(c.Fingerprint.Console) || !utf8.ValidString(c.Fingerprint.Filter) {
		return nil, errors.New("fingerprint is not UTF-8")
	}
	records, size := sortedSeen(c.Seen)

	var buf bytes.Buffer
	buf.Grow(size + len(c.Fingerprint.Filter) + 512)
	enc := json.NewEncoder(&buf) // ends the line itself
	enc.SetEscapeHTML(false)
	err := enc.Encode(header{
		Schema: schema, Generation: c.generation, Saved: c.saved.UnixMicro(),
		Console: c.Fingerprint.Console, Filter: c.Fingerprint.Filter,
		Frontier: c.Frontier.UnixMicro(), Seen: len(records), BodyBytes: size,
	})
	if err != nil {
		return nil, fmt.Errorf("encode header: %w", err)
	}
	out := buf.Bytes()
	for _, r := range records {
		out = binary.AppendUvarint(out, uint64(len(r.id)))
		out = append(out, r.id...)
		out = binary.BigEndian.AppendUint64(out, uint64(r.seen.UpdatedAt.UnixMicro())) //nolint:gosec // two's complement, undone by decode
		out = append(out, r.seen.Version[:]...)
	}
	return binary.BigEndian.AppendUint32(out, crc32.Checksum(out, castagnoli)), nil
}

type seenRecord struct {
	id   string
	seen Seen
}

// sortedSeen returns the seen-set by version, then id, and how many bytes it takes. Versions are hashes, so that
// one pass by their first bits leaves next to nothing to sort: 200,000 threats are encoded every few seconds.
func sortedSeen(set map[string]Seen) (sorted []*seenRecord, size int) {
	records := make([]seenRecord, 0, len(set))
	for id, seen := range set {
		records = append(records, seenRecord{id, seen})
		size += uvarintSize(len(id)) + len(id) + minRecordSize - 1
	}
	width := bits.Len(uint(len(records)))
	bucket := func(r *seenRecord) uint64 {
		return binary.BigEndian.Uint64(r.seen.Version[:]) >> (64 - width)
	}
	next := make([]int, 1<<width+1) // where a bucket's next record goes; in the end, where the bucket ends
	for i := range records {
		next[bucket(&records[i])+1]++
	}
	for i := 1; i < len(next); i++ {
		next[i] += next[i-1]
	}
	sorted = make([]*seenRecord, len(records))
	for i := range records {
		b := bucket(&records[i])
		sorted[next[b]] = &records[i]
		next[b]++
	}
	start := 0
	for _, end := range next {
		if end-start > 1 {
			slices.SortFunc(sorted[start:end], compareSeen)
		}
		start = end
	}
	return sorted, size
}

func compareSeen(a, b *seenRecord) int {
	if c := bytes.Compare(a.seen.Version[:], b.seen.Version[:]); c != 0 {
		return c
	}
	return strings.Compare(a.id, b.id)
}

func uvarintSize(n int) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// decode reads what encode wrote. It believes nothing before the CRC is right. A newer schema is ErrNewer, with
// the generation where the header gives one; every other error means that the bytes are damaged.
func decode(b []byte) (stored, error) {
	if len(b) == 0 {
		return stored{}, errors.New("is empty")
	}
	if !bytes.HasPrefix(b, []byte(magic)) || len(b) < len(magic)+trailerSize {
		return stored{}, errors.New("does not begin like a checkpoint")
	}
	content, trailer := b[:len(b)-trailerSize], b[len(b)-trailerSize:]
	if crc32.Checksum(content, castagnoli) != binary.BigEndian.Uint32(trailer) {
		return stored{}, errors.New("checksum does not match")
	}
	line, body, ok := bytes.Cut(content, []byte{'\n'})
	if !ok {
		return stored{}, errors.New("has no header line")
	}
	// The number alone first: a newer header may have other types under the old names.
	var v struct {
		Schema int `json:"s1stream_checkpoint"`
	}
	if err := json.Unmarshal(line, &v); err != nil {
		return stored{}, fmt.Errorf("read header: %w", err)
	}
	var h header
	err := json.Unmarshal(line, &h)
	if v.Schema > schema {
		return stored{generation: h.Generation}, fmt.Errorf("%w: its schema is %d, this s1stream knows %d", ErrNewer, v.Schema, schema)
	}
	switch {
	case err != nil:
		return stored{}, fmt.Errorf("read header: %w", err)
	case v.Schema < 1:
		return stored{}, fmt.Errorf("schema %d does not exist", v.Schema)
	case h.BodyBytes != len(body):
		return stored{}, fmt.Errorf("holds %d bytes of seen threats, its header says %d", len(body), h.BodyBytes)
	case h.Seen < 0 || h.Seen > len(body)/minRecordSize:
		return stored{}, fmt.Errorf("can't hold %d seen threats", h.Seen)
	}
	seen, err := decodeSeen(body, h.Seen)
	if err != nil {
		return stored{}, err
	}
	return stored{
		State: State{
			Fingerprint: Fingerprint{Console: h.Console, Filter: h.Filter},
			Frontier:    time.UnixMicro(h.Frontier).UTC(),
			Seen:        seen,
		},
		generation: h.Generation,
		saved:      time.UnixMicro(h.Saved).UTC(),
		size:       len(b),
	}, nil
}

func decodeSeen(body []byte, n int) (map[string]Seen, error) {
	seen := make(map[string]Seen, n)
	for i := range n {
		length, used := binary.Uvarint(body)
		if used <= 0 || length > uint64(len(body)) || len(body)-used < int(length)+minRecordSize-1 { //nolint:gosec // bounded by the comparison before
			return nil, fmt.Errorf("seen threat %d is cut short", i)
		}
		id, rest := body[used:used+int(length)], body[used+int(length):]                 //nolint:gosec // bounded above
		s := Seen{UpdatedAt: time.UnixMicro(int64(binary.BigEndian.Uint64(rest))).UTC()} //nolint:gosec // two's complement
		copy(s.Version[:], rest[8:])
		seen[string(id)] = s
		body = rest[minRecordSize-1:]
	}
	if len(body) != 0 || len(seen) != n {
		return nil, errors.New("seen threats do not match their count")
	}
	return seen, nil
}
