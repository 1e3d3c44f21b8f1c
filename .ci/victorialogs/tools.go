//go:build tools

// Package tools pins VictoriaLogs, which has a Splunk HEC endpoint. `.ci/peers` builds it into .peers/bin. It is a module
// of its own because `go install` can't: its releases pin a version of another module that is not served.
package tools

import _ "github.com/VictoriaMetrics/VictoriaLogs/app/victoria-logs"
