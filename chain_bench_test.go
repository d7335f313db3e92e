package holdfast

import "testing"

// BenchmarkChain is the cost of what policies decide as a difference: a call that
// is read and decided, and one that is only read. Stopping the clock for the
// reading, as BenchmarkPolicies does, stops the world and empties its caches too.
func BenchmarkChain(b *testing.B) {
	c := everyPolicy(b)
	b.Run("reading", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.read(b)
		}
	})
	b.Run("deciding", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.decide(b, c.read(b))
		}
	})
	few := fewPolicies(b)
	b.Run("few", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			few.decide(b, few.read(b))
		}
	})
}
