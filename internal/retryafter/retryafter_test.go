package retryafter_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"s1stream/internal/retryafter"
)

func TestParse(t *testing.T) {
	const server = "Tue, 06 Jan 2026 10:00:00 GMT"
	now := time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC) // our clock is two hours ahead of the server's
	for _, tt := range []struct {
		name, value, date string
		want              time.Duration
		ok                bool
	}{
		{"seconds", "120", server, 2 * time.Minute, true},
		{"seconds with white space", " 7\t", server, 7 * time.Second, true},
		{"zero is an answer", "0", server, 0, true},
		{"leading zeros", "0007", server, 7 * time.Second, true},
		{"seconds are capped", "901", server, retryafter.Max, true},
		{"seconds at the cap", "900", server, 15 * time.Minute, true},
		{"more digits than an integer holds", strings.Repeat("9", 200), server, retryafter.Max, true},
		{"a date is measured against the answer's own Date", "Tue, 06 Jan 2026 10:00:30 GMT", server, 30 * time.Second, true},
		{"a date without Date is measured against our clock", "Tue, 06 Jan 2026 12:00:30 GMT", "", 30 * time.Second, true},
		{"a date beside an unreadable Date is measured against our clock", "Tue, 06 Jan 2026 12:00:30 GMT", "today", 30 * time.Second, true},
		{"a date that has passed is no wait", "Tue, 06 Jan 2026 09:00:00 GMT", server, 0, true},
		{"a date far ahead is capped", "Tue, 06 Jan 2126 09:00:00 GMT", server, retryafter.Max, true},
		{"RFC 850 date", "Tuesday, 06-Jan-26 10:01:00 GMT", server, time.Minute, true},
		{"asctime date", "Tue Jan  6 10:01:00 2026", server, time.Minute, true},
		{"absent", "", server, 0, false},
		{"blank", "  ", server, 0, false},
		{"negative", "-1", server, 0, false},
		{"signed", "+1", server, 0, false},
		{"fraction", "1.5", server, 0, false},
		{"unit", "10s", server, 0, false},
		{"words", "soon", server, 0, false},
		{"RFC 3339 is not an HTTP-date", "2026-01-06T10:01:00Z", server, 0, false},
		{"other digits", "١٢", server, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := retryafter.Parse(tt.value, tt.date, now)
			if got != tt.want || ok != tt.ok {
				t.Errorf("Parse(%q, %q) = %v, %v; want %v, %v", tt.value, tt.date, got, ok, tt.want, tt.ok)
			}
		})
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, v := range []string{"120", "-1", "1.5", "Tue, 06 Jan 2026 10:00:30 GMT", "", "99999999999999999999"} {
		f.Add(v, "Tue, 06 Jan 2026 10:00:00 GMT")
		f.Add(v, "")
	}
	now := time.Date(2026, 1, 6, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string) {
		got, ok := retryafter.Parse(value, date, now)
		if got < 0 || got > retryafter.Max || (!ok && got != 0) {
			t.Fatalf("Parse(%q, %q) = %v, %v: outside 0 … %v", value, date, got, ok, retryafter.Max)
		}
		// What the standard library reads must be read here too, and to the same value.
		trimmed := strings.Trim(value, " \t")
		if n, err := strconv.ParseUint(trimmed, 10, 31); err == nil {
			if want := min(time.Duration(n)*time.Second, retryafter.Max); !ok || got != want {
				t.Fatalf("Parse(%q) = %v, %v; want %v", value, got, ok, want)
			}
			return
		}
		if _, err := http.ParseTime(trimmed); (err == nil) && !ok {
			t.Fatalf("Parse(%q) ignores a date that net/http reads", value)
		}
	})
}
