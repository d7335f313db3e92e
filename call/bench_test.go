package call

import (
	"strings"
	"testing"
)

var usualRequest = []byte(`{"model":"m","stream":true,"max_tokens":256,"messages":[{"role":"user","content":"` + strings.Repeat("word ", 380) + `"}]}`)

func BenchmarkCheckBody(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if err := CheckBody(usualRequest); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMembersOfARequest walks over the prompt without looking into it.
func BenchmarkMembersOfARequest(b *testing.B) {
	b.SetBytes(int64(len(usualRequest)))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		if err := Value(usualRequest).Members(func([]byte, Value) bool { n++; return true }); err != nil || n != 4 {
			b.Fatalf("%d members and %v, want 4", n, err)
		}
	}
}
