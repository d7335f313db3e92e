package config

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/holdfast-gateway/holdfast/provider/all"
)

// litellmFile is as much of LiteLLM's configuration as has a meaning here.
type litellmFile struct {
	Models []litellmModel `yaml:"model_list"`
	Router map[string]any `yaml:"router_settings"`
	LLM    map[string]any `yaml:"litellm_settings"`
	Rest   map[string]any `yaml:",inline"`
}

type litellmModel struct {
	Name   string         `yaml:"model_name"`
	Params map[string]any `yaml:"litellm_params"`
	Rest   map[string]any `yaml:",inline"`
}

// FromLiteLLM translates a configuration of LiteLLM: models become providers and
// routes, rpm and tpm quotas of their targets, fallbacks, retries and the timeout
// what they are here. What has no counterpart is listed in comments at the end. The result refers to variables
// where the original did; a key that stood in the original stands in the result.
func FromLiteLLM(name string, text []byte) (translated string, err error) {
	defer func() {
		if r := recover(); r != nil { // the parser is foreign; its accident must not be ours
			err = fmt.Errorf("%s: cannot be read as YAML", name)
		}
	}()
	var in litellmFile
	if err := yaml.Unmarshal(text, &in); err != nil {
		return "", fmt.Errorf("%s: is no configuration of LiteLLM: %s", name, firstLine(mask(err.Error())))
	}
	if len(in.Models) == 0 {
		return "", fmt.Errorf("%s: no model_list: is this a configuration of LiteLLM?", name)
	}
	t := &translation{targets: map[string][]string{}, quotas: map[string]litellmQuota{}}
	for i, m := range in.Models {
		t.model(i, m)
	}
	if len(t.routes) == 0 {
		return "", errors.New(name + ": none of its models is of a provider that is known here")
	}
	t.settings("router_settings", in.Router)
	t.settings("litellm_settings", in.LLM)
	t.leave("", without(in.Rest, "model_list", "router_settings", "litellm_settings"))
	return t.text(), nil
}

// translation is what has been understood so far.
type translation struct {
	providers []litellmProvider
	routes    []string                // in the order of the file
	targets   map[string][]string     // by route
	quotas    map[string]litellmQuota // by target
	attempts  int
	total     time.Duration
	left      []string
}

// litellmProvider is one account: a kind, an address and a key.
type litellmProvider struct{ name, kind, base, key, version string }

// litellmQuota is what a contract allows one model of one account, per minute; 0:
// not said.
type litellmQuota struct{ rpm, tpm int }

func (q litellmQuota) String() string {
	var limits []string
	if q.rpm > 0 {
		limits = append(limits, fmt.Sprintf("rpm: %d", q.rpm))
	}
	if q.tpm > 0 {
		limits = append(limits, fmt.Sprintf("tpm: %d", q.tpm))
	}
	return "{" + strings.Join(limits, ", ") + "}"
}

func (t *translation) model(i int, m litellmModel) {
	where := fmt.Sprintf("model_list[%d]", i)
	t.leave(where+".", without(m.Rest, "model_name", "litellm_params"))
	t.leave(where+".litellm_params.", without(m.Params, "model", "api_key", "api_base", "api_version", "rpm", "tpm"))
	kind, model := kindOf(wordIn(m.Params, "model"))
	base := expandable(wordIn(m.Params, "api_base"))
	if v := all.ByName(kind); v == nil || v.BaseURL == "" && base == "" || m.Name == "" || model == "" {
		t.left = append(t.left, fmt.Sprintf("%s: %s (no such kind of provider here, or no address)", where, wordIn(m.Params, "model")))
		return
	}
	p := t.provider(litellmProvider{
		kind: kind, base: base,
		key: expandable(wordIn(m.Params, "api_key")), version: wordIn(m.Params, "api_version"),
	})
	target := p + "/" + model
	if !slices.Contains(t.routes, m.Name) {
		t.routes = append(t.routes, m.Name)
	}
	if !slices.Contains(t.targets[m.Name], target) {
		t.targets[m.Name] = append(t.targets[m.Name], target)
	}
	t.quota(where, target, m.Params)
}

// quota notes the limits of a target. One account has one limit for a model, so
// that of two entries that say different ones the first counts.
func (t *translation) quota(where, target string, params map[string]any) {
	var q litellmQuota
	for _, l := range []struct {
		key string
		to  *int
	}{{"rpm", &q.rpm}, {"tpm", &q.tpm}} {
		n, ok := numberOf(params[l.key])
		if ok && n >= 1 && n <= 1e9 && n == math.Trunc(n) {
			*l.to = int(n)
		} else if params[l.key] != nil {
			t.left = append(t.left, where+".litellm_params."+l.key+" (want a whole number above 0)")
		}
	}
	switch known := t.quotas[target]; {
	case q == litellmQuota{} || q == known:
	case known == litellmQuota{}:
		t.quotas[target] = q
	default:
		t.left = append(t.left, where+".litellm_params.rpm, tpm (the target has others already)")
	}
}

// provider returns the name of the provider with this account.
func (t *translation) provider(p litellmProvider) string {
	p.key = cmp.Or(p.key, defaultKeys[p.kind])
	count := 1
	for _, known := range t.providers {
		same := known
		same.name = ""
		if same == p {
			return known.name
		}
		if known.kind == p.kind {
			count++
		}
	}
	p.name = p.kind
	if count > 1 {
		p.name = fmt.Sprintf("%s-%d", p.kind, count)
	}
	t.providers = append(t.providers, p)
	return p.name
}

// defaultKeys are the variables that LiteLLM reads by itself.
var defaultKeys = map[string]string{
	"openai": "${OPENAI_API_KEY}", "anthropic": "${ANTHROPIC_API_KEY}", "azure": "${AZURE_API_KEY}", "groq": "${GROQ_API_KEY}",
	"mistral": "${MISTRAL_API_KEY}", "deepseek": "${DEEPSEEK_API_KEY}", "openrouter": "${OPENROUTER_API_KEY}",
	"xai": "${XAI_API_KEY}", "together": "${TOGETHERAI_API_KEY}",
}

// kindOf splits LiteLLM's provider/model.
func kindOf(text string) (kind, model string) {
	prefix, rest, ok := strings.Cut(text, "/")
	if !ok {
		if strings.HasPrefix(text, "claude") {
			return "anthropic", text
		}
		return "openai", text
	}
	names := map[string]string{"together_ai": "together", "hosted_vllm": "vllm", "ollama_chat": "ollama", "text-completion-openai": ""}
	if name, renamed := names[prefix]; renamed {
		prefix = name
	}
	return prefix, rest
}

func (t *translation) settings(where string, settings map[string]any) {
	for _, key := range sortedKeys(settings) {
		value := settings[key]
		n, isNumber := numberOf(value)
		switch {
		case key == "num_retries" && isNumber && n >= 0 && n < 100:
			t.attempts = int(n) + 1
		case (key == "timeout" || key == "request_timeout") && isNumber && n > 0 && n < 1e6:
			t.total = time.Duration(n * float64(time.Second))
		case key == "fallbacks":
			t.fallbacks(where, value)
		default:
			t.leave(where+".", map[string]any{key: value})
		}
	}
}

func numberOf(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, !math.IsNaN(n)
	}
	return 0, false
}

// fallbacks reads [{model: [other, ...]}, ...]: the targets of the others stand
// behind the model's own.
func (t *translation) fallbacks(where string, value any) {
	own := map[string][]string{}
	for name, targets := range t.targets {
		own[name] = slices.Clone(targets)
	}
	list, _ := value.([]any)
	for _, one := range list {
		rule, _ := one.(map[string]any)
		for _, from := range sortedKeys(rule) {
			others, _ := rule[from].([]any)
			for _, other := range others {
				name := fmt.Sprint(other)
				if own[from] == nil || own[name] == nil {
					t.left = append(t.left, fmt.Sprintf("%s.fallbacks: %s to %s (no such model)", where, from, name))
					continue
				}
				for _, target := range own[name] {
					if !slices.Contains(t.targets[from], target) {
						t.targets[from] = append(t.targets[from], target)
					}
				}
			}
		}
	}
}

// leave notes what is not taken over, by its name only: values may be secrets.
func (t *translation) leave(where string, members map[string]any) {
	for _, key := range sortedKeys(members) {
		hint := ""
		if key == "general_settings" {
			hint = " (client keys: holdfast key new)"
		}
		t.left = append(t.left, where+key+hint)
	}
}

func (t *translation) text() string {
	var b strings.Builder
	b.WriteString("version: 1\n\nproviders:\n")
	for _, p := range t.providers {
		fmt.Fprintf(&b, "  %s:\n    kind: %s\n", p.name, inQuotes(p.kind))
		for _, m := range []struct{ key, value string }{{"base_url", p.base}, {"api_version", p.version}, {"api_key", p.key}} {
			if m.value != "" {
				fmt.Fprintf(&b, "    %s: %s\n", m.key, inQuotes(m.value))
			}
		}
	}
	b.WriteString("\nroutes:\n")
	for _, name := range t.routes {
		fmt.Fprintf(&b, "  %s:\n    targets:\n", inQuotes(name))
		for _, target := range t.targets[name] {
			if q := t.quotas[target]; q != (litellmQuota{}) {
				fmt.Fprintf(&b, "      - target: %s\n        quota: %s\n", inQuotes(target), q)
			} else {
				fmt.Fprintf(&b, "      - %s\n", inQuotes(target))
			}
		}
	}
	if t.attempts > 0 {
		fmt.Fprintf(&b, "\nretry:\n  max_attempts: %d\n", t.attempts)
	}
	if t.total > 0 {
		fmt.Fprintf(&b, "\ntimeout:\n  total: %s\n", t.total)
	}
	if len(t.left) > 0 {
		b.WriteString("\n")
	}
	for _, line := range t.left {
		fmt.Fprintf(&b, "# not taken over: %s\n", strings.Map(printable, line))
	}
	return b.String()
}

func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
		return '?'
	}
	return r
}

// inQuotes writes a word for YAML, in single quotes, where only the quote itself
// is special.
func inQuotes(word string) string {
	return "'" + strings.ReplaceAll(strings.Map(printable, word), "'", "''") + "'"
}

// expandable turns os.environ/NAME into ${NAME}, and keeps ${ in other words
// from being read as a reference.
func expandable(word string) string {
	if name, ok := strings.CutPrefix(word, "os.environ/"); ok {
		return "${" + name + "}"
	}
	return strings.ReplaceAll(word, "${", "$${")
}

// without returns the members that have no meaning here.
func without(members map[string]any, understood ...string) map[string]any {
	rest := map[string]any{}
	for key, value := range members {
		if !slices.Contains(understood, key) {
			rest[key] = value
		}
	}
	return rest
}

func wordIn(members map[string]any, key string) string {
	if v, ok := members[key].(string); ok {
		return v
	}
	return ""
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
