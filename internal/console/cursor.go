package console

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// cursor names the last threat of a page: the next page begins after it. Nothing is kept for it, so it does not
// expire, and filters are not in it.
type cursor struct {
	at Stamp // in the sort column; 0 when sorted by id
	id uint64
}

// cursorJSON is what a real cursor decodes to (rapid7/insightconnect-plugins, pull request 625).
type cursorJSON struct {
	IDColumn    string          `json:"id_column"`
	IDValue     uint64          `json:"id_value"`
	SortColumn  string          `json:"sort_by_column"`
	SortValue   json.RawMessage `json:"sort_by_value"`
	SortOrder   string          `json:"sort_order"`
	IDSortOrder string          `json:"id_sort_order"`
}

const idColumn = "ThreatView.id"

var columnNames = [...]string{byID: idColumn, byCreated: "ThreatView.created_at", byUpdated: "ThreatView.updated_at"}

func orderName(desc bool) string {
	if desc {
		return "desc"
	}
	return "asc"
}

// appendCursor writes base64 whose padding is escaped already, "%3D" for "=", as the console's own is: a client
// has to pass it through as it came.
func appendCursor(dst []byte, c cursor, by column, desc bool) []byte {
	var buf [256]byte
	b := append(buf[:0], `{"id_column":"`+idColumn+`","id_value":`...)
	b = strconv.AppendUint(b, c.id, 10)
	b = append(b, `,"sort_by_column":"`...)
	b = append(b, columnNames[by]...)
	b = append(b, `","sort_by_value":`...)
	if by == byID {
		b = strconv.AppendUint(b, c.id, 10)
	} else {
		b = append(c.at.append(append(b, '"')), '"')
	}
	b = append(b, `,"sort_order":"`...)
	b = append(b, orderName(desc)...)
	b = append(b, `","id_sort_order":"`...)
	b = append(b, orderName(desc)...)
	b = append(b, `"}`...)
	dst = base64.RawStdEncoding.AppendEncode(dst, b)
	for n := len(b); n%3 != 0; n++ {
		dst = append(dst, "%3D"...)
	}
	return dst
}

// parseCursor refuses whatever appendCursor did not write for the same order.
func parseCursor(s string, by column, desc bool) (cursor, bool) {
	s = strings.TrimRight(strings.ReplaceAll(s, "%3D", "="), "=")
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return cursor{}, false
	}
	var j cursorJSON
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&j); err != nil || j.IDColumn != idColumn || j.SortColumn != columnNames[by] ||
		j.SortOrder != orderName(desc) || j.IDSortOrder != orderName(desc) {
		return cursor{}, false
	}
	c := cursor{id: j.IDValue}
	if by == byID {
		return c, string(j.SortValue) == strconv.FormatUint(c.id, 10)
	}
	value, err := strconv.Unquote(string(j.SortValue))
	if err != nil {
		return cursor{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, value)
	c.at = StampOf(at)
	return c, err == nil
}
