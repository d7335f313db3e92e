package azure

import (
	"bytes"
	"strings"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// categories are what the filter looks for, the gravest first.
var categories = [...]string{
	"self_harm", "sexual", "violence", "hate", "jailbreak", "indirect_attack",
	"protected_material_text", "protected_material_code", "profanity", "custom_blocklists",
}

// classify names the category of a blocked prompt, which stands in the body.
func classify(e provider.Evidence) call.Verdict {
	v := byTable(e)
	if v.Class != call.PolicyViolation || e.InBand {
		return v
	}
	if found := promptCategory(e.Body); found != "" {
		v.Category = found
	}
	return v
}

// promptCategory finds the results in an error body. Azure spells the way to
// them in two ways.
func promptCategory(body []byte) string {
	told := call.Value(bytes.TrimSpace(body)).Get("error")
	for _, inner := range [...]string{"innererror", "inner_error"} {
		for _, results := range [...]string{"content_filter_result", "content_filter_results"} {
			if found := category(told.Get(inner, results)); found != "" {
				return found
			}
		}
	}
	return ""
}

var byTable = table.Classifier(resets, text)

// category returns the gravest category that was filtered; "" for none.
func category(results call.Value) string {
	for _, name := range categories {
		dashed := strings.ReplaceAll(name, "_", "-") // older answers say self-harm
		if results.Get(name, "filtered").True() || results.Get(dashed, "filtered").True() {
			return name
		}
	}
	return ""
}

// filtered is a dialect whose answers carry the results of the content filter.
type filtered struct{ call.Dialect }

// Frame reads a chunk, and for a filtered one the category.
func (d filtered) Frame(event, data []byte, s *call.Stream) call.Frame {
	return named(d.Dialect.Frame(event, data, s), data, s)
}

// Answer reads a whole answer, and for a filtered one the category.
func (d filtered) Answer(op call.Op, body []byte, s *call.Stream) call.Frame {
	return named(d.Dialect.Answer(op, body, s), body, s)
}

// named replaces the bare content_filter by what was found. Chunks without a
// sign of it are not looked into again: they are nearly all.
func named(f call.Frame, data []byte, s *call.Stream) call.Frame {
	switch {
	case f.Kind == call.FrameError && f.Problem.Code == "content_filter":
		if found := promptCategory(data); found != "" {
			f.Problem.Code = found
		}
	case f.Policy == "content_filter":
		_ = call.Value(bytes.TrimSpace(data)).Get("choices").Elements(func(choice call.Value) bool {
			found := category(choice.Get("content_filter_results"))
			if found != "" {
				f.Policy, s.Policy = found, found
			}
			return found == ""
		})
	case bytes.Contains(data, []byte(`"content_filter_error"`)):
		s.Note = "content_filter_error"
	}
	return f
}
