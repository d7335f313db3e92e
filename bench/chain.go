package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// policyCost is what one request costs, in nanoseconds and allocations.
type policyCost struct {
	Time        float64 `json:"time"`
	Allocations float64 `json:"allocations"`
}

// policyRound is one round of what policies cost without a wire: stacks over an
// in-memory base, which is taken off, and what they decide alone.
type policyRound struct {
	Bare             policyCost `json:"bare"`
	Holdfast         policyCost `json:"holdfast"`
	Failsafe         policyCost `json:"failsafe"`
	Deciding         policyCost `json:"deciding"` // every policy
	Same             policyCost `json:"same"`     // those that failsafe-go has too
	FailsafeDeciding policyCost `json:"failsafe_deciding"`
}

// The programs that measure: processes of their own have heaps of their own.
const (
	policiesProgram = "policies"
	chainProgram    = "root.test"
)

func (b *bench) buildPolicies() error {
	if err := b.build(policiesProgram, "bench", "./policies"); err != nil {
		return err
	}
	compile := exec.Command("go", "test", "-c", "-o", filepath.Join(b.bin, chainProgram), ".")
	compile.Dir = b.root
	if out, err := compile.CombinedOutput(); err != nil {
		return fmt.Errorf("building the root's benchmarks: %w\n%s", err, out)
	}
	return nil
}

// measurePolicies runs the rounds, both programs in turn.
func (b *bench) measurePolicies(ctx context.Context) ([]policyRound, error) {
	var rounds []policyRound
	for n := range b.rounds {
		var round policyRound
		out, err := exec.CommandContext(ctx, filepath.Join(b.bin, policiesProgram), "-begin", strconv.Itoa(n)).Output()
		if err == nil {
			err = json.Unmarshal(out, &round)
		}
		if err != nil {
			return nil, fmt.Errorf("policies: %w", err)
		}
		if round.Deciding, round.Same, err = b.chain(ctx); err != nil {
			return nil, err
		}
		rounds = append(rounds, round)
	}
	return rounds, nil
}

// chain is what Holdfast's policies decide alone, all of them and those that
// failsafe-go has too: a call that is read and decided, minus one that is read.
func (b *bench) chain(ctx context.Context) (every, few policyCost, err error) {
	run := exec.CommandContext(ctx, filepath.Join(b.bin, chainProgram), "-test.run", "^$", "-test.bench", "^BenchmarkChain$", "-test.benchtime", "400ms")
	run.Dir = b.root
	out, err := run.Output()
	if err != nil {
		return every, few, fmt.Errorf("BenchmarkChain: %w", err)
	}
	costs := benchmarkLines(out)
	difference := func(name string) (c policyCost) {
		all, ok := costs["Chain/"+name+"/deciding"]
		reading, ok2 := costs["Chain/"+name+"/reading"]
		if !ok || !ok2 {
			err = fmt.Errorf("BenchmarkChain says %q", out)
		}
		return policyCost{Time: all.Time - reading.Time, Allocations: all.Allocations - reading.Allocations}
	}
	every, few = difference("every"), difference("few")
	return every, few, err
}

var benchmarkLine = regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s+\d+\s+([\d.]+) ns/op.*?([\d.]+) allocs/op`)

// benchmarkLines reads what go test prints of benchmarks, by their names.
func benchmarkLines(out []byte) map[string]policyCost {
	costs := map[string]policyCost{}
	for _, m := range benchmarkLine.FindAllSubmatch(out, -1) {
		time, _ := strconv.ParseFloat(string(m[2]), 64) // digits, says the pattern
		allocations, _ := strconv.ParseFloat(string(m[3]), 64)
		costs[string(m[1])] = policyCost{Time: time, Allocations: allocations}
	}
	return costs
}
