// Package splunkaddon holds the tests of deploy/siem/splunk: no Splunk can be had where they run, so they do to an event
// what Splunk's search does, by its documents, and no more than the add-on uses. What they do not know is an error.
//
// The order is that of "The sequence of search-time operations" (Knowledge Manager Manual): EXTRACT, REPORT, automatic
// extraction, FIELDALIAS, EVAL (all of them on the same fields, as if at once), LOOKUP, event types, tags.
// https://docs.splunk.com/Documentation/Splunk/latest/Knowledge/Searchtimeoperationssequence
package splunkaddon
