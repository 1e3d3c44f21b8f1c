// Package corpus makes the threats that formats and their judges are tried on: the console's shape with every
// field null, empty, absent, huge, of a wrong kind and hostile, one by one and many at once.
//
// A corpus is a pure function of its seed: the same seed gives the same bytes for ever, so that a failure is
// named by its case's number. It is for tests; nothing in the program imports it.
package corpus
