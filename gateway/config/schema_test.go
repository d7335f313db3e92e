package config

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := json.Marshal(Schema())
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("holdfast.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	compiled, err := c.Compile("holdfast.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// plainData reads a YAML file as JSON has it.
func plainData(t *testing.T, file string) any {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	var v any
	if err := json.Unmarshal(asJSON, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestTheSchemaAcceptsEveryGoodFile(t *testing.T) {
	schema := compiledSchema(t)
	for _, file := range files(t, "testdata/good/*.yaml") {
		if err := schema.Validate(plainData(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// What an editor can know without knowing the rest of the file.
func TestTheSchemaRefusesWhatAnEditorShouldMark(t *testing.T) {
	schema := compiledSchema(t)
	for _, name := range []string{
		"auth-word", "clocks-impossible", "duration-without-unit", "key-limits", "key-shape", "key-unknown-setting", "keys-is-a-list",
		"negative", "no-version", "not-a-duration", "queue-impossible", "unknown-key", "unknown-key-at-top", "words", "wrong-shape",
	} {
		if err := schema.Validate(plainData(t, filepath.Join("testdata/bad", name+".yaml"))); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
