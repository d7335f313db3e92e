package holdfast

import "testing"

// BenchmarkChain is the cost of what policies decide as a difference: a call that
// is read and decided, and one that is only read. Stopping the clock for the
// reading, as BenchmarkPolicies does, stops the world and empties its caches too.
// "every" is with all policies, "few" with those that failsafe-go has as well.
func BenchmarkChain(b *testing.B) {
	for name, c := range map[string]*chain{"every": everyPolicy(b), "few": fewPolicies(b)} {
		b.Run(name+"/reading", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.read(b)
			}
		})
		b.Run(name+"/deciding", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.decide(b, c.read(b))
			}
		})
	}
}
