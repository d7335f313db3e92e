package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/config"
	clientkeys "github.com/holdfast-gateway/holdfast/gateway/keys"
)

func (p *program) key() *cobra.Command {
	c := &cobra.Command{
		Use:   "key",
		Short: "Make, list and revoke the keys of callers",
		Long:  "Make, list and revoke the keys of callers. The file holds a digest of each key, never the key.",
		Args:  cobra.NoArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(p.keyList(), p.keyNew(), p.keyRevoke())
	return c
}

// newKey is what key new is asked for.
type newKey struct {
	name, tenant, expires string
	routes, models        []string
	priority              int
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func (p *program) keyNew() *cobra.Command {
	var path string
	var write bool
	var k newKey
	c := &cobra.Command{
		Use:   "new",
		Short: "Make a key for a caller",
		Long: "Make a key for a caller and print it: once, it is kept nowhere. The lines for the file hold its digest;\n" +
			"--write puts them there. A running gateway notices within a second.",
		Example: "  holdfast key new --name web --tenant shop --routes chat --expires 2027-01-31 --write",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !keyName.MatchString(k.name) {
				return exit{exitUsage, errors.New("--name: want a word of letters, digits, '.', '_' and '-', at most 64")}
			}
			secret, digest := clientkeys.New()
			lines := k.lines(digest)
			if write {
				if err := writeKey(c, path, k.name, lines); err != nil {
					return err
				}
			}
			fmt.Fprintf(p.out, "%s\n", secret)
			if write {
				fmt.Fprintf(p.errs, "This is the only time the key is shown. Its digest is in %s.\n", path)
				return nil
			}
			fmt.Fprintf(p.errs, "This is the only time the key is shown. For the file:\n\nkeys:\n  %s\n", strings.Join(lines, "\n  "))
			return nil
		},
	}
	fileFlag(c, &path)
	c.Flags().StringVar(&k.name, "name", "client", "the key's `name`, in logs and listings")
	c.Flags().StringVar(&k.tenant, "tenant", "", "`who` pays")
	c.Flags().StringSliceVar(&k.routes, "routes", nil, "the `routes` it may use, with commas between; none: all")
	c.Flags().StringSliceVar(&k.models, "models", nil, "the `models` it may ask for, with commas between; none: all")
	c.Flags().StringVar(&k.expires, "expires", "", "the `day` or moment from which on it opens nothing, or a time from now (720h)")
	c.Flags().IntVar(&k.priority, "priority", 0, "how `urgent` its calls are: from 50 critical, from 1 high, below 0 batch")
	c.Flags().BoolVar(&write, "write", false, "put its lines into the file, which keeps its comments")
	return c
}

func writeKey(c *cobra.Command, path, name string, lines []string) error {
	file, err := config.Draft(path) // one that others can reach may still wait for its first key
	if err != nil {
		return exit{exitUsage, explainMissing(err, path, c.Flags().Changed("config"))}
	}
	if slices.ContainsFunc(file.Keys, func(k config.ClientKey) bool { return k.Name == name }) {
		return exit{exitUsage, fmt.Errorf("%s has a key %q already; give this one another --name", path, name)}
	}
	text, err := file.WithKey(lines)
	if err != nil {
		return exit{exitUsage, err}
	}
	return replace(path, text)
}

// replace writes a file anew. What cannot be written is no mistake in the command.
func replace(path string, text []byte) error {
	err := config.Replace(path, text)
	var mistakes config.Errors
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mistakes):
		return exit{exitUsage, err}
	}
	return exit{exitFailed, fmt.Errorf("%s cannot be written: %w", path, err)}
}

// lines are what the file says of the key. Words are quoted wherever YAML could
// read them as something else.
func (k newKey) lines(digest clientkeys.Digest) []string {
	lines := []string{quoted(k.name) + ":", `  sha256: "` + digest.String() + `"`}
	if k.tenant != "" {
		lines = append(lines, "  tenant: "+quoted(k.tenant))
	}
	if len(k.routes) > 0 {
		lines = append(lines, "  routes: ["+quotedList(k.routes)+"]")
	}
	if len(k.models) > 0 {
		lines = append(lines, "  models: ["+quotedList(k.models)+"]")
	}
	if k.priority != 0 {
		lines = append(lines, fmt.Sprintf("  priority: %d", k.priority))
	}
	if k.expires != "" {
		if in, err := time.ParseDuration(k.expires); err == nil {
			k.expires = time.Now().Add(in).UTC().Format(time.RFC3339)
		}
		lines = append(lines, "  expires: "+k.expires)
	}
	return lines
}

var plainWord = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9._/-]*$`)

// quoted writes a word for YAML: as it is where that is safe, else in single
// quotes, in which only the quote itself is special.
func quoted(word string) string {
	lower := strings.ToLower(word)
	if plainWord.MatchString(word) && !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}, lower) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", "''") + "'"
}

func quotedList(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = quoted(w)
	}
	return strings.Join(out, ", ")
}

// listedKey is a key as key list prints it.
type listedKey struct {
	Name    string   `json:"name"`
	Tenant  string   `json:"tenant,omitempty"`
	Routes  []string `json:"routes,omitempty"`
	Models  []string `json:"models,omitempty"`
	Expires string   `json:"expires,omitempty"`
	Expired bool     `json:"expired"`
	Digest  string   `json:"sha256"`
}

func (p *program) keyList() *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "List the keys of callers",
		Long:  "List the keys of callers that the file knows.",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			file, err := load(c, path)
			if err != nil {
				return err
			}
			list := listKeys(file, time.Now())
			if asJSON {
				return p.json(list)
			}
			return p.showKeys(list)
		},
	}
	fileFlag(c, &path)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func listKeys(file *config.File, now time.Time) []listedKey {
	list := []listedKey{}
	for _, k := range file.ClientKeys() {
		one := listedKey{Name: k.Name, Tenant: k.Tenant, Routes: k.Routes, Models: k.Models, Digest: k.Digest.String()}
		if !k.Expires.IsZero() {
			one.Expires, one.Expired = k.Expires.UTC().Format(time.RFC3339), !now.Before(k.Expires)
		}
		list = append(list, one)
	}
	return list
}

func (p *program) showKeys(list []listedKey) error {
	w := tabwriter.NewWriter(p.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tTENANT\tROUTES\tMODELS\tEXPIRES")
	for _, k := range list {
		expires := k.Expires
		if expires == "" {
			expires = "never"
		}
		if k.Expired {
			expires += " (expired)"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", k.Name, dash(k.Tenant), allOr(k.Routes), allOr(k.Models), expires)
	}
	return w.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func allOr(list []string) string {
	if len(list) == 0 {
		return "all"
	}
	return strings.Join(list, ", ")
}

func (p *program) keyRevoke() *cobra.Command {
	var path string
	c := &cobra.Command{
		Use:   "revoke NAME",
		Short: "Take a key out of the file",
		Long: "Take a key out of the file, which keeps its comments. A running gateway notices within a second. When the last\n" +
			"key goes, nobody gets in any more. Exit code 1: the file cannot be written, 2: it has no such key.",
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file, err := load(c, path)
			if err != nil {
				return err
			}
			text, err := file.WithoutKey(args[0])
			if err != nil {
				return exit{exitUsage, err}
			}
			if err := replace(path, text); err != nil {
				return err
			}
			fmt.Fprintf(p.out, "%s is out of %s\n", args[0], path)
			return nil
		},
	}
	fileFlag(c, &path)
	return c
}
