package config

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the names that a writer of name most likely meant, best first, at most three:
// those that differ in case only, begin with it, or are a few edits away.
func Nearest(name string, known []string) []string {
	type candidate struct {
		name     string
		distance int
	}
	allowed := min(len(name)/3+1, 4)
	var near []candidate
	for _, k := range known {
		distance := edits(strings.ToLower(name), strings.ToLower(k))
		if len(name) >= 3 && strings.HasPrefix(strings.ToLower(k), strings.ToLower(name)) {
			distance = min(distance, 1)
		}
		if distance <= allowed {
			near = append(near, candidate{k, distance})
		}
	}
	slices.SortStableFunc(near, func(a, b candidate) int { return a.distance - b.distance })
	var names []string
	for _, c := range near[:min(3, len(near))] {
		names = append(names, c.name)
	}
	return names
}

// suggest returns a remedy for a name that is not known.
func suggest(name string, known []string, otherwise string) string {
	if near := Nearest(name, known); len(near) > 0 {
		return fmt.Sprintf("did you mean %q?", near[0])
	}
	if len(known) == 0 {
		return ""
	}
	return otherwise + strings.Join(known, ", ")
}

// edits returns how many insertions, deletions, replacements and swaps of neighbours turn a into b. Long names are compared by
// their first bytes only, which bounds the cost of a hostile model name.
func edits(a, b string) int {
	const most = 64
	a, b = a[:min(len(a), most)], b[:min(len(b), most)]
	var before, prev, cur [most + 1]int
	for j := range len(b) + 1 {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], before[j-2]+1)
			}
		}
		before, prev = prev, cur
	}
	return prev[len(b)]
}
