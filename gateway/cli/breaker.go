package cli

import (
	"fmt"
	"net/url"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/admin"
)

func (p *program) breaker() *cobra.Command {
	c := &cobra.Command{
		Use:   "breaker",
		Short: "Show and move the circuits of a running gateway",
		Long: "Show and move the circuits of the targets of a running gateway. A target is named as holdfast status\n" +
			"names it: provider/model by custom.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		listing(p, "Show the circuits of all targets", "Show the circuits of all targets, and what operators did to them.", "/api/v1/breakers",
			func(b admin.Breakers) error { return p.showBreakers(b.Breakers) }),
		p.moveBreaker("open", "Send nothing to a target", "Send nothing to a target, for a time or until it is closed or reset. After the time it is probed, as after\nany outage. Calls under way end as they do.",
			"  holdfast breaker open openai/gpt-4o --for 30m --reason \"maintenance at the provider\""),
		p.moveBreaker("close", "Admit everything to a target, whatever it answers", "Admit everything to a target, whatever it answers, for a time or until it is opened or reset. After the\ntime it works by itself again.",
			"  holdfast breaker close openai/gpt-4o --for 10m --reason \"the provider says it is back\""),
		p.moveBreaker("reset", "Let a circuit work by itself, as if nothing had been", "Forget what was counted and what was done by hand: the circuit is closed and works by itself.",
			"  holdfast breaker reset openai/gpt-4o"),
	)
	return c
}

func (p *program) moveBreaker(action, short, long, example string) *cobra.Command {
	var move admin.Move
	var during time.Duration
	var asJSON bool
	c := &cobra.Command{Use: action + " TARGET", Short: short, Long: long + aboutOperators, Example: example, Args: cobra.ExactArgs(1)}
	o := askedBy(c)
	c.Flags().StringVar(&move.Reason, "reason", "", "why, for the log and other operators")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	if action != "reset" {
		_ = c.MarkFlagRequired("reason") // the flag is there
		c.Flags().DurationVar(&during, "for", 0, "how long (default until another action)")
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if during < 0 || c.Flags().Changed("for") && during == 0 {
			return exit{exitUsage, fmt.Errorf("--for: %s is no time", during)}
		}
		if during > 0 {
			move.For = during.String()
		}
		raw, err := o.do(c.Context(), "POST", "/api/v1/breakers/"+url.PathEscape(args[0])+"/"+action, move)
		if err != nil {
			return err
		}
		return answer(p, o, raw, asJSON, func(b admin.Breaker) error { return p.showBreakers([]admin.Breaker{b}) })
	}
	return c
}

func (p *program) showBreakers(all []admin.Breaker) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tCIRCUIT\tBY HAND")
	for _, b := range all {
		state := b.State
		if left := time.Until(b.OpenUntil); left > 0 {
			state += " for " + left.Round(time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", printable(b.Target), state, byHand(b.Hand))
	}
	return w.Flush()
}

func byHand(h *admin.Hand) string {
	if h == nil {
		return "-"
	}
	text := h.Action + " since " + h.Since.Local().Format("15:04:05")
	if !h.Until.IsZero() {
		text += " until " + h.Until.Local().Format("15:04:05")
	}
	return text + ": " + printable(h.Reason)
}
