package cli_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
	"github.com/holdfast-gateway/holdfast/gateway/internal/docpage"
)

func TestTheReferenceNamesEveryCommandAndFlag(t *testing.T) {
	var b strings.Builder
	for _, c := range cli.New(io.Discard, io.Discard, "").Commands() {
		if c.IsAvailableCommand() && c.Name() != "completion" && c.Name() != "help" {
			describe(&b, c)
		}
	}
	docpage.Check(t, "../../docs/reference/cli.md", b.String())
}

func describe(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n", c.CommandPath())
	text := c.Long
	if text == "" {
		text = c.Short + "."
	}
	fmt.Fprintf(b, "```\n%s\n```\n\n%s\n", c.UseLine(), text)
	if c.Example != "" {
		fmt.Fprintf(b, "\n```\n%s\n```\n", strings.ReplaceAll("\n"+c.Example, "\n  ", "\n")[1:])
	}
	describeFlags(b, c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			describe(b, sub)
		}
	}
}

func describeFlags(b *strings.Builder, c *cobra.Command) {
	if !c.LocalFlags().HasAvailableFlags() {
		return
	}
	b.WriteString("\n| Flag | Default | Meaning |\n| --- | --- | --- |\n")
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		kind, usage := pflag.UnquoteUsage(f)
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		value := ""
		if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "false" {
			value = "`" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", name, value, usage)
	})
}
