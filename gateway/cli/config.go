package cli

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/config"
)

func (p *program) config() *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Show, describe and bring back configurations",
		Long:  "Show what a configuration means, print its schema for editors, and bring back a version that was in force.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.configHistory(), p.configRollback(), p.configSchema(), p.configShow())
	return c
}

func fileFlag(c *cobra.Command, path *string) {
	c.Flags().StringVarP(path, "config", "c", defaultFile, "the configuration `file`")
}

// load reads a configuration for a command that needs it.
func load(c *cobra.Command, path string) (*config.File, error) {
	file, err := config.Load(path)
	if err != nil {
		return nil, exit{exitUsage, explainMissing(err, path, c.Flags().Changed("config"))}
	}
	return file, nil
}

func (p *program) configShow() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use:   "show",
		Short: "Print every effective setting and where it comes from",
		Long: "Print every effective setting and where it comes from: the file and its line, the profile, the environment,\n" +
			"or a default. Secrets are printed as ***.",
		Example: "  holdfast config show\n  holdfast config show --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			file, err := load(c, path)
			if err != nil {
				return err
			}
			settings, err := file.Effective()
			if err != nil {
				return exit{exitUsage, err}
			}
			if asJSON {
				return p.json(settings)
			}
			w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "SETTING\tVALUE\tORIGIN")
			for _, s := range settings {
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Path, s.Value, s.Origin)
			}
			return w.Flush()
		},
	}
	fileFlag(c, &path)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (p *program) configSchema() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the file, for editors",
		Long: "Print the JSON Schema of the file, for editors. With the line\n" +
			"# yaml-language-server: $schema=holdfast.schema.json\n" +
			"in the file, many editors complete keys and mark mistakes while one types.",
		Example: "  holdfast config schema > holdfast.schema.json",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return p.json(config.Schema()) },
	}
}

func (p *program) configHistory() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use:   "history",
		Short: "List the versions of the file that were in force",
		Long: "List the versions of the file that a gateway on this machine put in force, the newest first; twenty are kept.\n" +
			"They are below $HOLDFAST_STATE, else $XDG_STATE_HOME/holdfast, else ~/.local/state/holdfast, as they were\n" +
			"written: references to variables and files are not replaced.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			versions, err := versionsOf(path)
			if err != nil {
				return err
			}
			if asJSON {
				return p.json(versions)
			}
			w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
			fmt.Fprintln(w, "VERSION\tIN FORCE FROM\tBYTES\tKEPT IN")
			for i, v := range versions {
				fmt.Fprintf(w, "%d\t%s\t%d\t%s\n", i+1, v.At.UTC().Format(time.RFC3339), v.Size, v.File)
			}
			return w.Flush()
		},
	}
	fileFlag(c, &path)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func versionsOf(path string) ([]config.Version, error) {
	h, err := config.HistoryOf(path)
	if err != nil {
		return nil, exit{exitFailed, err}
	}
	versions, err := h.Versions()
	if err != nil {
		return nil, exit{exitFailed, err}
	}
	if len(versions) == 0 {
		return nil, exit{exitFailed, fmt.Errorf("no version of %s was put in force by a gateway on this machine", path)}
	}
	return versions, nil
}

func (p *program) configRollback() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "rollback [VERSION]",
		Short: "Write back a version of the file that was in force",
		Long: "Write back a version of the file that was in force, by its number in config history. Without a number: the last\n" +
			"one that differs from the file. A running gateway notices within a second. A version that is not good any more,\n" +
			"as when a variable is gone, changes nothing.",
		Example: "  holdfast config rollback\n  holdfast config rollback 3",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			versions, err := versionsOf(path)
			if err != nil {
				return err
			}
			v, text, err := chooseVersion(versions, path, args)
			if err != nil {
				return err
			}
			if err := config.Replace(path, text); err != nil {
				return exit{exitUsage, err}
			}
			fmt.Fprintf(p.out, "%s is again what was put in force at %s\n", path, v.At.UTC().Format(time.RFC3339))
			return nil
		},
	}
	fileFlag(c, &path)
	return c
}

// chooseVersion returns the version that was named, or the newest that is not
// what the file says now.
func chooseVersion(versions []config.Version, path string, args []string) (v config.Version, text []byte, err error) {
	if len(args) == 1 {
		n, err := strconv.Atoi(args[0])
		if err != nil || n < 1 || n > len(versions) {
			return v, nil, exit{exitUsage, fmt.Errorf("%q is no version: config history lists 1 to %d", args[0], len(versions))}
		}
		versions = versions[n-1 : n]
	}
	now, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return v, nil, exit{exitFailed, err}
	}
	for _, v := range versions {
		text, err := os.ReadFile(v.File)
		if err != nil {
			return v, nil, exit{exitFailed, err}
		}
		if len(args) == 1 || string(text) != string(now) {
			return v, text, nil
		}
	}
	return v, nil, exit{exitFailed, fmt.Errorf("no other version than what %s says now is kept", path)}
}
