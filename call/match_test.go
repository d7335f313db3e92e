package call_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

// FuzzMatches compares with a regular expression that says the same.
func FuzzMatches(f *testing.F) {
	for _, c := range [][2]string{{"gpt-*", "gpt-4o"}, {"*", ""}, {"", ""}, {"", "a"}, {"gpt-4o", "gpt-4o-mini"}, {"a*a", "a"}, {"*-mini*", "gpt-4o-mini-2"},
		{"**", "x"}, {"a*b*c", "abc"}, {"a*b*c", "acb"}, {"*ab*ab", "ab"}, {"a*b*c", "a-b-b-c"}, {"*.", "a."}} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		parts := strings.Split(pattern, "*")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(parts[i])
		}
		oracle, err := regexp.Compile(`(?s)\A` + strings.Join(parts, ".*") + `\z`)
		if err != nil || strings.ToValidUTF8(pattern+name, "") != pattern+name {
			t.Skip("no regular expression says that")
		}
		if got, want := call.Matches(pattern, name), oracle.MatchString(name); got != want {
			t.Errorf("%q fits %q: %t, want %t", name, pattern, got, want)
		}
	})
}

func TestMatchingTakesNoMemory(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { call.Matches("gpt-*-mini*", "gpt-4o-mini-2024") }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
