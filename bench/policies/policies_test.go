package main

import (
	"net/http"
	"testing"
)

func TestEveryStackPassesTheAnswerOn(t *testing.T) {
	var counted counter
	house, err := Holdfast(&counted)
	if err != nil {
		t.Fatal(err)
	}
	for name, rt := range map[string]http.RoundTripper{"bare": Bare(), "Holdfast": house, "failsafe-go": Failsafe()} {
		if err := Spend(rt); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if counted == 0 {
		t.Error("the Recorder heard nothing")
	}
}

func TestFailsafesPoliciesDecide(t *testing.T) {
	if err := Decide(policies())(); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkBare(b *testing.B)             { benchmark(b, spending(Bare())) }
func BenchmarkFailsafe(b *testing.B)         { benchmark(b, spending(Failsafe())) }
func BenchmarkFailsafeDeciding(b *testing.B) { benchmark(b, Decide(policies())) }

func BenchmarkHoldfast(b *testing.B) {
	house, err := Holdfast(new(counter))
	if err != nil {
		b.Fatal(err)
	}
	benchmark(b, spending(house))
}

func benchmark(b *testing.B, work func() error) {
	b.ReportAllocs()
	for b.Loop() {
		if err := work(); err != nil {
			b.Fatal(err)
		}
	}
}
