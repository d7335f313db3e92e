package cli

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/demo"
)

func (p *program) demoStorm() *cobra.Command {
	d := demo.Storm{Out: p.out, Errs: p.errs, Version: p.version}
	c := &cobra.Command{
		Use:   "storm",
		Short: "Watch a burst of impatient callers, with protection and without",
		Long: "Send the same calls through the gateway and straight to a simulated engine: for a while twice as many as it can\n" +
			"answer, by callers who wait two seconds and try twice more. Without protection the engine then works for callers\n" +
			"who have left, and the collapse stays after the burst. It needs no key and no network and ends by itself in half a\n" +
			"minute. Exit code 0: of the calls begun in the 8 s after the burst at least 95 % were good through the gateway,\n" +
			"and fewer than 50 % without it. Else 1.",
		Example: "  holdfast demo storm\n  holdfast demo storm --json | jq .window_after_burst",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return played(c.Context(), func(ctx context.Context) error { return demo.RunStorm(ctx, d) })
		},
	}
	f := c.Flags()
	f.Uint64Var(&d.Seed, "seed", 0, "seed of words and of the moments when calls begin")
	f.BoolVar(&d.JSON, "json", false, "print the report as JSON, and progress on standard error")
	return c
}
