package sim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast/sim"
)

// TestAnAnswerHasTheFormThatIsAskedFor: under the name that each dialect has for
// it, streamed and not.
func TestAnAnswerHasTheFormThatIsAskedFor(t *testing.T) {
	const schema = `{"type":"object","properties":{"pages":{"type":"integer"},"title":{"type":"string"}},"required":["pages","title"]}`
	_, s := start(t, sim.Dials{})
	for name, format := range map[string]string{
		"chat":      `"response_format":{"type":"json_schema","json_schema":{"name":"book","schema":%s}}`,
		"responses": `"text":{"format":{"type":"json_schema","name":"book","schema":%s}}`,
		"messages":  `"output_config":{"format":{"type":"json_schema","schema":%s}}`,
	} {
		for _, d := range dialects {
			if d.name != name {
				continue
			}
			got := post(t, s.URL+d.path, d.ask("m", "hi", true, fmt.Sprintf(format, schema)))
			var book struct {
				Pages *int
				Title *string
			}
			if err := json.Unmarshal([]byte(strings.Join(tokens(got.body), "")), &book); err != nil || book.Pages == nil || book.Title == nil {
				t.Errorf("%s: %v in %s", name, err, got.body)
			}
			if words := post(t, s.URL+d.path, d.ask("m", "hi", true, strings.Replace(fmt.Sprintf(format, schema), "json_schema", "text", 1))); len(tokens(words.body)) != 20 {
				t.Errorf("%s: free text is %q", name, tokens(words.body))
			}
		}
	}
}
