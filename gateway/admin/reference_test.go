package admin_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/internal/docpage"
)

type described struct {
	Paths map[string]map[string]struct {
		Summary, Description string
		Parameters           []struct{ Name, In, Description string }
		RequestBody          struct {
			Content map[string]struct{ Schema schema }
		}
		Responses map[string]struct {
			Description string
			Content     map[string]struct{ Schema schema }
		}
	}
	Components struct{ Schemas map[string]schema }
}

type schema struct {
	Ref         string `json:"$ref"`
	Type        string
	Description string
	Items       *schema
	Properties  map[string]schema
}

func TestTheReferenceNamesEveryOperation(t *testing.T) {
	_, text := open(t, nil).ask("GET", "/api/v1/openapi.json", "")
	var doc described
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(doc.Paths[path])) {
			o := doc.Paths[path][method]
			fmt.Fprintf(&b, "\n## `%s %s`\n\n%s\n", strings.ToUpper(method), path, sentence(o.Summary, o.Description))
			b.WriteString("\n| | | |\n| --- | --- | --- |\n")
			for _, p := range o.Parameters {
				fmt.Fprintf(&b, "| %s | `%s` | %s |\n", p.In, p.Name, p.Description)
			}
			for kind, c := range o.RequestBody.Content {
				fmt.Fprintf(&b, "| body | %s | %s |\n", link(c.Schema), kind)
			}
			for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
				for kind, c := range o.Responses[status].Content {
					fmt.Fprintf(&b, "| %s | %s | %s |\n", status, link(c.Schema), about(kind, o.Responses[status].Description, o.Summary))
				}
			}
		}
	}
	b.WriteString("\n# Types\n")
	for _, name := range slices.Sorted(maps.Keys(doc.Components.Schemas)) {
		fmt.Fprintf(&b, "\n## %s\n\n| Member | Type | Meaning |\n| --- | --- | --- |\n", name)
		s := doc.Components.Schemas[name]
		for _, member := range slices.Sorted(maps.Keys(s.Properties)) {
			p := s.Properties[member]
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", member, link(p), p.Description)
		}
	}
	docpage.Check(t, "../../docs/reference/admin-api.md", b.String())
}

func sentence(parts ...string) string {
	text := strings.ToUpper(parts[0][:1]) + parts[0][1:] + "."
	if parts[1] != "" {
		text += " " + parts[1]
	}
	return text
}

func about(kind, why, summary string) string {
	if why == summary {
		return kind
	}
	return why
}

func link(s schema) string {
	switch {
	case s.Ref != "":
		name := s.Ref[strings.LastIndex(s.Ref, "/")+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	case s.Items != nil:
		return "list of " + link(*s.Items)
	case s.Type == "":
		return "any"
	}
	return s.Type
}
