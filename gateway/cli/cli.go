package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
)

// The exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitInterrupted = 130
)

// exit is an error that says how the process ends. One without a sentence was
// told already.
type exit struct {
	code int
	err  error
}

func (e exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e exit) Unwrap() error { return e.err }

// program is what commands share.
type program struct {
	out, errs io.Writer
	version   string
}

// Main runs one command and returns the exit code. args do not include the
// program's name. When ctx ends, commands end cleanly.
func Main(ctx context.Context, args []string, out, errs io.Writer, version string) int {
	root := New(out, errs, version)
	root.SetArgs(args)
	return code(root.ExecuteContext(ctx), errs)
}

func code(err error, errs io.Writer) int {
	var ended exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &ended):
		if ended.err != nil {
			fmt.Fprintf(errs, "holdfast: %v\n", ended.err)
		}
		return ended.code
	}
	// What is left are the parser's complaints: unknown commands, flags, arguments.
	fmt.Fprintf(errs, "holdfast: %v\nRun 'holdfast help' for what there is.\n", err)
	return exitUsage
}

// New returns the tree of commands.
func New(out, errs io.Writer, version string) *cobra.Command {
	p := &program{out: out, errs: errs, version: version}
	root := &cobra.Command{
		Use:   "holdfast",
		Short: "Keeps AI features up when model providers are not",
		Long: "Holdfast stands between applications and model providers. It speaks the OpenAI and Anthropic APIs,\n" +
			"retries and fails over within one deadline, and tells the truth about broken answers.",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	root.SetOut(out)
	root.SetErr(errs)
	root.AddCommand(p.commands()...)
	return root
}

// commands lists the commands in alphabetical order. A new one adds its line here.
func (p *program) commands() []*cobra.Command {
	return []*cobra.Command{
		p.breaker(),
		p.queue(),
		p.config(),
		p.demo(),
		p.doctor(),
		p.events(),
		p.explain(),
		p.init(),
		p.key(),
		p.serve(),
		p.sim(),
		p.status(),
		p.validate(),
		p.versions(),
	}
}

// isTerminal reports whether people watch what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
