// Package spelling finds the word that a misspelled one was meant to be.
package spelling

import (
	"math"
	"strings"
)

// Nearest returns the candidate that word is most likely a slip of, "" when none is near: of three letters
// one may be wrong. The beginning of a candidate is near too, from three letters on.
func Nearest(word string, candidates ...string) string {
	best, least := "", math.MaxInt
	for _, c := range candidates {
		d, long := distance(word, c), max(len(word), len(c))
		near := long > 2 && 3*d <= long+1 || len(word) > 2 && strings.HasPrefix(c, word)
		if near && d < least {
			best, least = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour to make
// a of b (optimal string alignment).
func distance(a, b string) int {
	var before, last []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replace := last[j]
			if a[i] != b[j] {
				replace++
			}
			row[j+1] = min(replace, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
