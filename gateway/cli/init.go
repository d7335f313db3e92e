package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-gateway/holdfast/gateway/config"
)

func (p *program) init() *cobra.Command {
	var path, litellm string
	var force bool
	c := &cobra.Command{
		Use:   "init",
		Short: "Write a first holdfast.yaml",
		Long: "Write a first holdfast.yaml from the providers' keys found in the environment, or from a configuration of LiteLLM.\n" +
			"The file refers to the variables and holds no key. A file that exists is never overwritten without --force.",
		Example: "  holdfast init\n  holdfast init --from-litellm config.yaml",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if _, err := os.Lstat(path); err == nil && !force {
				return exit{exitUsage, fmt.Errorf("%s exists; --force overwrites it", path)}
			}
			text, err := firstFile(litellm)
			if err != nil {
				return exit{exitUsage, err}
			}
			if err := config.CheckShape(path, []byte(text)); err != nil {
				return exit{exitFailed, err}
			}
			if err := config.WriteNew(path, []byte(text)); err != nil {
				return exit{exitFailed, err}
			}
			fmt.Fprintf(p.out, "wrote %s\n", path)
			if left := strings.Count(text, "# not taken over:"); left > 0 {
				fmt.Fprintf(p.out, "%s not taken over: see the comments at its end\n", counted(left, "setting"))
			}
			return nil
		},
	}
	c.Flags().StringVarP(&path, "output", "o", defaultFile, "the `file` to write")
	c.Flags().StringVar(&litellm, "from-litellm", "", "translate this configuration `file` of LiteLLM")
	c.Flags().BoolVar(&force, "force", false, "overwrite a file that exists")
	return c
}

func firstFile(litellm string) (string, error) {
	if litellm == "" {
		return fromEnvironment(os.LookupEnv)
	}
	text, err := os.ReadFile(litellm)
	if err != nil {
		return "", err
	}
	return config.FromLiteLLM(litellm, text)
}

// account is a provider whose key people have in their environment.
type account struct {
	variable, provider string
	models             string // as callers write them
	first              string // asked by the route chat, or claude
}

// accounts in the order in which they stand in the file. Kinds not named here
// are no less good; only their variables are not common.
var accounts = []account{
	{"OPENAI_API_KEY", "openai", `["gpt-*", "o1*", "o3*", "o4*", "text-embedding-*"]`, "gpt-4o-mini"},
	{"AZURE_OPENAI_API_KEY", "azure", "", ""},
	{"ANTHROPIC_API_KEY", "anthropic", `["claude-*"]`, "claude-sonnet-4-5"},
	{"GROQ_API_KEY", "groq", `["llama-*"]`, "llama-3.3-70b-versatile"},
	{"MISTRAL_API_KEY", "mistral", `["mistral-*", "codestral-*", "ministral-*"]`, "mistral-small-latest"},
	{"DEEPSEEK_API_KEY", "deepseek", `["deepseek-*"]`, "deepseek-chat"},
	{"XAI_API_KEY", "xai", `["grok-*"]`, "grok-3-mini"},
	{"TOGETHER_API_KEY", "together", `["meta-llama/*"]`, "meta-llama/Llama-3.3-70B-Instruct-Turbo"},
	{"OPENROUTER_API_KEY", "openrouter", `["*/*"]`, "openai/gpt-4o-mini"},
}

// fromEnvironment writes a file for the keys that are set.
func fromEnvironment(lookup func(string) (string, bool)) (string, error) {
	var found []account
	for _, a := range accounts {
		value, _ := lookup(a.variable)
		endpoint, _ := lookup("AZURE_OPENAI_ENDPOINT")
		if value == "" || a.provider == "azure" && endpoint == "" {
			continue
		}
		if a.provider == "azure" {
			a.first = "gpt-4o-mini"
			if deployment, _ := lookup("AZURE_OPENAI_DEPLOYMENT"); deployment != "" {
				a.first = deployment
			}
		}
		found = append(found, a)
	}
	if len(found) == 0 {
		return "", errors.New("no provider's key is in the environment: set OPENAI_API_KEY, ANTHROPIC_API_KEY or another one first")
	}
	var b strings.Builder
	b.WriteString("version: 1\n\n# Who answers. The keys stay in the environment.\nproviders:\n")
	for _, a := range found {
		fmt.Fprintf(&b, "  %s:\n", a.provider)
		if a.provider == "azure" {
			b.WriteString("    base_url: ${AZURE_OPENAI_ENDPOINT}\n")
		}
		fmt.Fprintf(&b, "    api_key: ${%s}\n", a.variable)
	}
	b.WriteString("\n# Who answers what. The first route that fits takes the call; targets are asked in their order.\nroutes:\n")
	writeRoutes(&b, found)
	b.WriteString("\n# Before others can reach the gateway: holdfast key new --name app --write\n")
	return b.String(), nil
}

// writeRoutes writes one route by a name of its own for each dialect, so that
// there is something to fail over to, then one for the models of each provider.
func writeRoutes(b *strings.Builder, found []account) {
	var chat, claude []string
	for _, a := range found {
		if a.provider == "anthropic" {
			claude = append(claude, a.provider+"/"+a.first)
		} else {
			chat = append(chat, a.provider+"/"+a.first)
		}
	}
	for _, r := range []struct {
		name    string
		targets []string
	}{{"chat", chat}, {"claude", claude}} {
		if len(r.targets) > 0 {
			fmt.Fprintf(b, "  %s:\n    targets:\n      - %s\n", r.name, strings.Join(r.targets, "\n      - "))
		}
	}
	for _, a := range found {
		if a.models != "" {
			fmt.Fprintf(b, "  %s-models:\n    match:\n      model: %s\n    targets: [%s/*]\n", a.provider, a.models, a.provider)
		}
	}
}
