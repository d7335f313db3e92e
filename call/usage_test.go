package call_test

import (
	"math"
	"testing"

	"github.com/holdfast-gateway/holdfast/call"
)

func TestWhatIsNoCountMakesTheUsageOdd(t *testing.T) {
	cases := []struct {
		text string
		want int
		ok   bool
		odd  bool
	}{
		{"12", 12, true, false},
		{"0", 0, true, false},
		{"1e3", 1000, true, false},
		{"1000000000", 1_000_000_000, true, false},
		{"", 0, false, false},
		{"null", 0, false, false},
		{"-1", 0, false, true},
		{"1000000001", 0, false, true},
		{"9223372036854775808", 0, false, true},
		{"1e308", 0, false, true},
		{"1.5", 0, false, true},
		{"NaN", 0, false, true},
		{`"12"`, 0, false, true},
		{"true", 0, false, true},
		{"[1]", 0, false, true},
	}
	for _, c := range cases {
		var u call.Usage
		n, ok := u.Count(call.Value(c.text))
		if n != c.want || ok != c.ok || u.Odd != c.odd {
			t.Errorf("%q: %d, %v, odd %v; want %d, %v, odd %v", c.text, n, ok, u.Odd, c.want, c.ok, c.odd)
		}
	}
}

func TestTheLargestLimitOfOutputIsRemembered(t *testing.T) {
	var r call.Request
	if got := []int{r.Limit(call.Value("70")), r.Limit(call.Value("5"))}; got[0] != 70 || got[1] != 5 || r.MaxNamed != 70 {
		t.Fatalf("limits %v, largest %d; want 70, 5, 70", got, r.MaxNamed)
	}
	r.Limit(nil)
	r.Limit(call.Value("null"))
	if r.MaxNamed != 70 {
		t.Fatalf("largest %d, want 70: nothing was named", r.MaxNamed)
	}
	if n := r.Limit(call.Value(`"100000"`)); n != 0 || r.MaxNamed != math.MaxInt {
		t.Fatalf("a limit that is no count: %d, largest %d; want 0 and the largest int", n, r.MaxNamed)
	}
}

func TestToolsAreCounted(t *testing.T) {
	var r call.Request
	r.Offer(call.Value(`[{"type":"function"},{"type":"function"}]`))
	r.Offer(call.Value(`"auto"`))
	r.Offer(nil)
	if r.Tools != 2 {
		t.Fatalf("%d tools, want 2", r.Tools)
	}
}
