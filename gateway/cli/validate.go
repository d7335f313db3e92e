package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/config"
)

func (p *program) validate() *cobra.Command {
	format := "text"
	c := &cobra.Command{
		Use:   "validate [FILE...]",
		Short: "Check configuration files without running anything",
		Long: "Check configuration files (holdfast.yaml when none is named) without running anything or asking anybody.\n" +
			"Every mistake is told with its place; --format github marks them in a pull request. Exit code 0: all are good,\n" +
			"2: some are not.",
		Example: "  holdfast validate holdfast.yaml\n  holdfast validate --format json *.yaml",
		RunE: func(_ *cobra.Command, files []string) error {
			if len(files) == 0 {
				files = []string{defaultFile}
			}
			switch format {
			case "text":
				return p.validateText(files)
			case "json":
				return p.validateJSON(files)
			case "github":
				return p.validateGitHub(files)
			}
			return exit{exitUsage, fmt.Errorf("--format is text, json or github, not %q", format)}
		},
	}
	c.Flags().StringVar(&format, "format", format, "`format` of what is printed: text, json or github")
	return c
}

func (p *program) validateText(files []string) error {
	bad := 0
	for _, name := range files {
		file, err := config.Load(name)
		if err != nil {
			bad++
			fmt.Fprintln(p.errs, err)
			continue
		}
		fmt.Fprintf(p.out, "%s: good: %s, %s\n", name, counted(len(file.Routes), "route"), counted(len(file.Providers), "provider"))
	}
	if bad > 0 {
		return exit{code: exitUsage}
	}
	return nil
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// verdict is what validate --format json prints.
type verdict struct {
	Valid  bool            `json:"valid"`
	Files  []string        `json:"files"`
	Errors []*config.Error `json:"errors"`
}

func (p *program) validateJSON(files []string) error {
	v := verdict{Files: files, Errors: []*config.Error{}}
	for _, name := range files {
		_, err := config.Load(name)
		var found config.Errors
		if errors.As(err, &found) {
			v.Errors = append(v.Errors, found...)
		}
	}
	v.Valid = len(v.Errors) == 0
	if err := p.json(v); err != nil {
		return err
	}
	if !v.Valid {
		return exit{code: exitUsage}
	}
	return nil
}

// annotation escapes text for GitHub's workflow commands.
var annotation = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")

// property escapes a property of such a command, too.
var property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")

func (p *program) validateGitHub(files []string) error {
	bad := false
	for _, name := range files {
		_, err := config.Load(name)
		var found config.Errors
		if !errors.As(err, &found) {
			continue
		}
		bad = true
		for _, e := range found {
			place := "file=" + property.Replace(e.File)
			if e.Line > 0 {
				place += fmt.Sprintf(",line=%d,col=%d", e.Line, e.Column)
			}
			fmt.Fprintf(p.out, "::error %s::%s\n", place, annotation.Replace(e.Message))
		}
	}
	if bad {
		return exit{code: exitUsage}
	}
	return nil
}

func (p *program) json(v any) error {
	encoder := json.NewEncoder(p.out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return exit{exitFailed, err}
	}
	return nil
}
