// Package bench measures the real program, console to sink, beside two baselines in the same run: the floor
// (fetch and decompress every page, keep nothing) and a plain pipeline (decode each threat into a map, encode
// it again, write it to a file). It does so in every format, and into a Splunk whose acks are slow. Figures are
// quoted as ratios, for machines differ and are noisy.
//
//	make bench        200,000 and 1,000,000 threats; prints the figures of docs/benchmarks.md
package bench
