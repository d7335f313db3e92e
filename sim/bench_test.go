package sim_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/sim"
)

// The provider must cost less than what it is used to measure.
func BenchmarkAnswer(b *testing.B) {
	p := sim.New(sim.Config{LogSize: 1000})
	for _, stream := range []bool{false, true} {
		name := "whole"
		if stream {
			name = "stream"
		}
		body := dialects[0].ask("m", strings.Repeat("word ", 200), stream)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				p.ServeHTTP(w, httptest.NewRequest("POST", dialects[0].path, strings.NewReader(body)))
				if w.Code != 200 {
					b.Fatal(w.Code)
				}
			}
		})
	}
}
