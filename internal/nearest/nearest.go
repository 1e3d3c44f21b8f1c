// Package nearest finds the word that somebody most likely meant, for errors that name what would be right.
package nearest

import "strings"

// Of returns the word of known that takes the fewest edits, ignoring case; a common beginning counts for half an
// edit a letter, because people know how a word begins. It is the first where several are as near, "" where
// known is empty.
func Of(word string, known []string) string {
	best, least := "", 0
	for i, k := range known {
		a, b := strings.ToLower(word), strings.ToLower(k)
		if d := 2*distance(a, b) - common(a, b); i == 0 || d < least {
			best, least = k, d
		}
	}
	return best
}

// common returns the length of the beginning that a and b share.
func common(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// maxWord bounds the work spent on a word that nobody could have meant.
const maxWord = 100

// distance counts the insertions, deletions and substitutions that turn a into b.
func distance(a, b string) int {
	ra, rb := []rune(a[:min(len(a), maxWord)]), []rune(b)
	row := make([]int, len(rb)+1)
	for j := range row {
		row[j] = j
	}
	for i, ca := range ra {
		diagonal := row[0]
		row[0] = i + 1
		for j, cb := range rb {
			cost := diagonal
			if ca != cb {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(rb)]
}
