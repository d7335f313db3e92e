package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/demo"
)

func (p *program) demo() *cobra.Command {
	d := demo.Config{Outage: 20 * time.Second, Rate: 10, Out: p.out, Errs: p.errs, Version: p.version}
	log := ""
	c := &cobra.Command{
		Use:   "demo",
		Short: "Watch an outage that users do not notice",
		Long: "Run simulated providers and the gateway in this process, send the same calls through it and around it,\n" +
			"and make the primary provider answer 503 for a while. It needs no key and no network and ends by itself\n" +
			"within a minute. Exit code 0: no call through the gateway failed, more than 50 around it did, and the\n" +
			"gateway's metrics agree with what the providers logged. Else 1.",
		Example: "  holdfast demo\n  holdfast demo --keep\n  holdfast demo --json | jq .protected",
		Args:    cobra.NoArgs,
		RunE:    func(c *cobra.Command, _ []string) error { return runDemo(c.Context(), d, log) },
	}
	f := c.Flags()
	f.DurationVar(&d.Outage, "outage", d.Outage, "how long the primary is down, 6s to 24s")
	f.IntVar(&d.Rate, "rate", d.Rate, "calls per second in each arm, 10 to 50")
	f.Uint64Var(&d.Seed, "seed", 0, "seed of prompts, words and moments (the circuit's jitter has none)")
	f.BoolVar(&d.Keep, "keep", false, "leave gateway and providers running after the summary, until Ctrl-C")
	f.BoolVar(&d.JSON, "json", false, "print the report as JSON, and progress on standard error")
	f.StringVar(&log, "log", "", "write the gateway's log to this `file`")
	c.AddCommand(p.demoStorm())
	return c
}

func runDemo(ctx context.Context, d demo.Config, log string) error {
	if d.Outage == 0 || d.Rate == 0 { // for the demo zero is the default, for a flag it is a value
		return exit{exitUsage, errors.New("--outage and --rate must be more than zero")}
	}
	if err := d.Validate(); err != nil {
		return exit{exitUsage, err}
	}
	if log != "" {
		file, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) //nolint:gosec // the user names the file
		if err != nil {
			return exit{exitUsage, fmt.Errorf("--log: %w", err)}
		}
		defer func() { _ = file.Close() }() // the demo's end does not hang on its log
		d.Log = file
	}
	return played(ctx, func(ctx context.Context) error { return demo.Run(ctx, d) })
}

// played runs a demo to its end or to a signal, and says which exit code it has.
func played(ctx context.Context, play func(context.Context) error) error {
	// The first signal ends the demo cleanly, a second one at once: it finds
	// nobody listening any more.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()

	err := play(ctx)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, demo.ErrInterrupted):
		return exit{code: exitInterrupted}
	}
	return exit{exitFailed, err}
}
