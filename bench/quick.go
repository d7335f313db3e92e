package main

import (
	"context"
	"fmt"
)

// unit is one of the two figures of the quick run.
type unit struct {
	name  string
	phase func(*load)
}

// quick compares Holdfast with the tuned ReverseProxy alone: CPU per request
// and per streamed event. It is what one looks at while tuning.
func (b *bench) quick(ctx context.Context) error {
	units := []unit{
		{"CPU us/request", closedLoop(64)},
		{"CPU us/event", liveStreams(200, livePlan)},
	}
	both := []string{reverseProxy, holdfast}
	started, err := b.startAll(both)
	if err != nil {
		return err
	}
	defer stopAll(started)
	ratios := make([][]float64, len(units))
	costs := make([][2][]float64, len(units))
	for round := range b.rounds {
		for i, u := range units {
			var cost [2]float64
			for turn := range both {
				side := (turn + round) % 2
				t, err := measure(ctx, started[both[side]].subject, b.warm, b.window, u.phase)
				if err != nil {
					return fmt.Errorf("%s: %s: %w", both[side], u.name, err)
				}
				cost[side] = perUnit(t)
				costs[i][side] = append(costs[i][side], cost[side])
			}
			ratio := cost[1] / cost[0]
			ratios[i] = append(ratios[i], ratio)
			b.say("round %d  %-15s reverseproxy %6.1f  holdfast %6.1f  ratio %.2f", round+1, u.name, cost[0], cost[1], ratio)
		}
	}
	for i, u := range units {
		b.say("median   %-15s reverseproxy %6.1f  holdfast %6.1f  ratio %s", u.name,
			spreadOf(costs[i][0]).Median, spreadOf(costs[i][1]).Median, spreadOf(ratios[i]))
	}
	return nil
}
