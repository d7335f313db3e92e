package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
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
