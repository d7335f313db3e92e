package cli

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/admin"
)

func (p *program) queue() *cobra.Command {
	c := &cobra.Command{
		Use:   "queue",
		Short: "Show and hold the waiting rooms of a running gateway",
		Long:  "Show and hold the waiting rooms of the routes of a running gateway. A restart forgets what was held.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(
		listing(p, "Show the waiting rooms of all routes", "Show who is inside, who waits and who was refused, by route.", "/api/v1/queues",
			func(q admin.Queues) error { return p.showQueues(q.Queues) }),
		p.moveQueue("drain", "Refuse new calls of a route", "Refuse new calls of a route until it is resumed. Those that wait or are inside go on, to their ends."),
		p.moveQueue("pause", "Let no call of a route in", "Let no call of a route in until it is resumed. Calls wait as long as they may, 2 s by default, and are\nrefused then; those that are inside go on."),
		p.moveQueue("resume", "End a pause and a drain", "End a pause and a drain: what waits goes in."),
	)
	return c
}

func (p *program) moveQueue(action, short, long string) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{Use: action + " ROUTE", Short: short, Long: long + aboutOperators, Example: "  holdfast queue " + action + " chat", Args: cobra.ExactArgs(1)}
	o := askedBy(c)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		raw, err := o.do(c.Context(), "POST", "/api/v1/queues/"+url.PathEscape(args[0])+"/"+action, nil)
		if err != nil {
			return err
		}
		return answer(p, o, raw, asJSON, func(r holdfast.RouteStatus) error { return p.showQueues([]holdfast.RouteStatus{r}) })
	}
	return c
}

func (p *program) showQueues(all []holdfast.RouteStatus) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tSTATE\tINSIDE\tWAITING\tREFUSED: FULL\tTIMEOUT\tDRAINING")
	for _, r := range all {
		var full, timeout, draining int64
		var classes []string
		for _, c := range r.Classes {
			full, timeout, draining = full+c.Full, timeout+c.Timeout, draining+c.Draining
			if c.Waiting > 0 {
				classes = append(classes, fmt.Sprintf("%d %s", c.Waiting, c.Class))
			}
		}
		waiting := fmt.Sprint(r.Waiting)
		if len(classes) > 0 {
			waiting += " (" + strings.Join(classes, ", ") + ")"
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%d\t%d\n", printable(r.Name), roomState(r), r.Running, waiting, full, timeout, draining)
	}
	return w.Flush()
}

func roomState(r holdfast.RouteStatus) string {
	switch {
	case r.Paused && r.Draining:
		return "paused, draining"
	case r.Paused:
		return "paused"
	case r.Draining:
		return "draining"
	}
	return "open"
}
