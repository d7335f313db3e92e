package call_test

import (
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// FuzzMatches compares with a table that is filled as the meaning says: a star is
// nothing, or one byte and the star again.
func FuzzMatches(f *testing.F) {
	for _, c := range [][2]string{{"gpt-*", "gpt-4o"}, {"*", ""}, {"", ""}, {"", "a"}, {"gpt-4o", "gpt-4o-mini"}, {"a*a", "a"}, {"*a", "a"}, {"*-mini*", "gpt-4o-mini-2"},
		{"**", "x"}, {"a*b*c", "abc"}, {"a*b*c", "acb"}, {"*ab*ab", "ab"}, {"a*b*c", "a-b-b-c"}, {"*.", "a."}, {"\xff*", "\xff\xfe"}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if got, want := call.Matches(pattern, name), fits(pattern, name); got != want {
			t.Errorf("%q fits %q: %t, want %t", name, pattern, got, want)
		}
	})
}

// fits answers from the ends: row[n] says whether name[n:] fits the part of the
// pattern that was looked at.
func fits(pattern, name string) bool {
	row := make([]bool, len(name)+1)
	row[len(name)] = true
	for p := len(pattern) - 1; p >= 0; p-- {
		next := make([]bool, len(name)+1)
		for n := len(name); n >= 0; n-- {
			if pattern[p] == '*' {
				next[n] = row[n] || n < len(name) && next[n+1]
			} else {
				next[n] = n < len(name) && name[n] == pattern[p] && row[n+1]
			}
		}
		row = next
	}
	return row[0]
}

func TestMatchingTakesNoMemory(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { call.Matches("gpt-*-mini*", "gpt-4o-mini-2024") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
