package cli

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/doctor"
	"github.com/holdfast-gateway/holdfast/gateway/internal/reach"
)

func (p *program) doctor() *cobra.Command {
	var path string
	var asJSON bool
	var patience time.Duration
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Ask every target whether it would answer",
		Long: "Ask every target of the file whether it would answer: its name, connection and certificate, each key with a call of\n" +
			"one token, and how far its clock is from ours. Exit code 0: all would (there may be warnings), 1: some would not,\n" +
			"3: what fails cannot even be reached.",
		Example: "  holdfast doctor\n  holdfast doctor -c holdfast.yaml --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			file, err := load(c, path)
			if err != nil {
				return err
			}
			whole, err := file.Holdfast()
			if err == nil {
				whole, err = whole.Effective()
			}
			if err != nil {
				return exit{exitUsage, err}
			}
			guard := &reach.Guard{}
			guard.Allow(file.AllowedAddresses())
			checks := doctor.Examine(c.Context(), whole, doctor.Options{Timeout: patience, Dial: guard.DialContext})
			if asJSON {
				err = p.json(checks)
			} else {
				err = p.showChecks(checks)
			}
			if err != nil {
				return exit{exitFailed, err}
			}
			return diagnosis(checks)
		},
	}
	fileFlag(c, &path)
	c.Flags().DurationVar(&patience, "timeout", 15*time.Second, "how long each check may take")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (p *program) showChecks(checks []doctor.Check) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TARGET\tCHECK\tVERDICT\tDETAIL")
	for _, c := range checks {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.Target, c.Name, c.Verdict, c.Detail)
	}
	return w.Flush()
}

// diagnosis is the exit code of what was found.
func diagnosis(checks []doctor.Check) error {
	failed, away := 0, 0
	for _, c := range checks {
		switch c.Verdict {
		case doctor.Failed:
			failed++
		case doctor.Unreachable:
			away++
		}
	}
	switch {
	case failed > 0:
		return exit{code: exitFailed}
	case away > 0:
		return exit{code: exitUnreachable}
	}
	return nil
}
