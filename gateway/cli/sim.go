package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/sim"
)

func (p *program) sim() *cobra.Command {
	listen := "127.0.0.1:9090"
	var dials sim.Dials
	c := &cobra.Command{
		Use:   "sim",
		Short: "Run a simulated provider that fails on demand",
		Long: "Run a provider that speaks the OpenAI and Anthropic APIs and needs no key and no network. A model named\n" +
			"sim/FAULT breaks its answer in that way; every other model answers well. GET /sim/faults lists the\n" +
			"faults, POST /sim/dials turns the settings below while it runs, GET /sim/log tells what it saw.",
		Example: "  holdfast sim --latency calibrated\n  curl 127.0.0.1:9090/sim/faults",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := dials.Validate(); err != nil {
				return exit{exitUsage, err}
			}
			return p.simulate(c.Context(), listen, sim.New(sim.Config{Dials: dials}))
		},
	}
	f := c.Flags()
	f.StringVar(&listen, "listen", listen, "`address` to answer on")
	f.StringVar(&dials.Latency, "latency", "", "`profile` of waiting times: instant, or calibrated to true providers")
	f.DurationVar(&dials.HeaderDelay, "header-delay", 0, "wait before the status line")
	f.DurationVar(&dials.FirstTokenDelay, "first-token-delay", 0, "wait between the headers and the first token")
	f.DurationVar(&dials.TokenInterval, "token-interval", 0, "wait between two tokens")
	f.IntVar(&dials.OutputTokens, "output-tokens", 0, "length of an answer whose caller names no limit (default 20)")
	f.StringVar(&dials.Fault, "fault", "", "`fault` done to every call")
	f.Float64Var(&dials.FaultProbability, "fault-probability", 0, "chance of that, 0-1 (default 1)")
	f.StringVar(&dials.RequiredKey, "required-key", "", "refuse every other `key`")
	f.IntVar(&dials.RequestsPerMinute, "rpm", 0, "requests per minute, refused above with a true 429 (default no limit)")
	f.IntVar(&dials.TokensPerMinute, "tpm", 0, "tokens per minute, refused above with a true 429 (default no limit)")
	f.IntVar(&dials.OutputPerMinute, "otpm", 0, "output tokens per minute, where they have their own limit (default a fifth of --tpm)")
	f.StringVar(&dials.Accounting, "accounting", "", "`provider` whose way to count --tpm has: "+strings.Join(sim.Accountings(), ", "))
	f.Float64Var(&dials.CachedShare, "cached-share", 0, "part of each prompt that is read from a cache, 0-1")
	f.Float64Var(&dials.OutputSpread, "output-spread", 0, "sigma of the lognormal lengths of answers, 0-3")
	f.IntVar(&dials.Slots, "slots", 0, "be an engine with so many slots and one queue, which works on after callers have left")
	f.DurationVar(&dials.PrefillPerToken, "prefill-per-token", 0, "time the engine needs for each token of a prompt")
	f.Float64Var(&dials.BatchSlowdown, "batch-slowdown", 0, "how many times longer on top a token takes when all slots are busy")
	f.Float64Var(&dials.SlowShare, "slow-share", 0, "part of the calls that are ten times slower, 0-1")
	f.DurationVar(&dials.StallAfter, "stall-after", 0, "time until everything stops")
	f.DurationVar(&dials.StallFor, "stall-for", 0, "how long everything stops (default not at all)")
	f.Uint64Var(&dials.Seed, "seed", 0, "seed of words, waits and chances")
	return c
}

// simulate answers until a signal comes.
func (p *program) simulate(ctx context.Context, listen string, provider http.Handler) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return exit{exitFailed, fmt.Errorf("cannot listen on %s: %w", listen, err)}
	}
	server := &http.Server{Handler: provider, ReadHeaderTimeout: 10 * time.Second}
	fmt.Fprintf(p.out, "simulated provider on http://%s\n", l.Addr())
	ctx, _, stop := signals(ctx, func() {})
	defer stop()
	closed := make(chan struct{})
	go func() { // ends when ctx does, at the latest by stop
		defer close(closed)
		<-ctx.Done()
		_ = server.Close()
	}()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return exit{exitFailed, err}
	}
	<-closed
	return nil
}
