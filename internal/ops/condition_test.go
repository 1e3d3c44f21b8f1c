package ops

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestCondition_SaysAFailureOnceThenHourlyThenItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var all Conditions
		c := all.New("sink siem", slog.New(slog.NewTextHandler(&log, nil)))
		for range 3 * 60 {
			c.Fail("destination does not take events", errors.New("refused\x1b[31m"))
			time.Sleep(time.Minute)
		}
		if n := strings.Count(log.String(), "level=ERROR"); n != 3 {
			t.Errorf("said %d times in three hours:\n%s", n, log.String())
		}
		c.Fail("destination denies", errors.New("401"))
		if n := strings.Count(log.String(), "level=ERROR"); n != 4 {
			t.Error("another failure is not said at once")
		}
		if got := all.Reasons(); len(got) != 1 || got[0] != "sink siem: destination denies: 401" {
			t.Errorf("reasons: %q", got)
		}
		c.OK()
		c.OK()
		if n := strings.Count(log.String(), "msg=recovered"); n != 1 {
			t.Errorf("the end is said %d times", n)
		}
		if strings.ContainsRune(log.String(), 0x1b) || len(all.Reasons()) > 0 {
			t.Errorf("hostile text, or not ready: %q %q", log.String(), all.Reasons())
		}
	})
}
