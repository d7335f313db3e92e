package config

import (
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
)

// Schema returns the JSON Schema (2020-12) of the file, for editors. It knows
// shapes, names and words; what only shows between parts of a file, such as a
// target whose provider does not exist, is for holdfast validate. What is a secret
// or the digest of one is writeOnly.
func Schema() map[string]any {
	s := schema{definitions: map[string]any{}}
	root := s.object(reflect.TypeFor[File]())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Holdfast configuration"
	root["required"] = []string{"version", "routes"}
	root["$defs"] = s.definitions
	return root
}

type schema struct{ definitions map[string]any }

// reference is what a ${...} in any value looks like: what it stands for is
// checked when the file is loaded.
const referencePattern = `\$\{`

func (s schema) object(t reflect.Type) map[string]any {
	properties := map[string]any{}
	for _, f := range fieldsOf(t).list {
		properties[f.name] = s.member(f, t.Field(f.index).Type)
	}
	return map[string]any{"type": []string{"object", "null"}, "additionalProperties": false, "properties": properties}
}

// define returns a reference to the schema of a struct, which is written once.
func (s schema) define(t reflect.Type) map[string]any {
	name := strings.ToLower(strings.ReplaceAll(t.String(), ".", "-"))
	if _, done := s.definitions[name]; !done {
		s.definitions[name] = nil // a struct that holds itself would not end otherwise
		s.definitions[name] = s.object(t)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

func (s schema) member(f field, t reflect.Type) map[string]any {
	switch {
	case f.option == "mapping":
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": s.define(t.Elem())}
	case t == reflect.TypeFor[concurrency.Config]():
		return anyOf(map[string]any{"type": "integer", "minimum": 0}, word("^off$"), word(referencePattern), s.define(t))
	case t.Kind() == reflect.Slice:
		item := s.single(f, t.Elem())
		return anyOf(map[string]any{"type": "array", "items": item}, item, map[string]any{"type": "null"})
	}
	return s.single(f, t)
}

func (s schema) single(f field, t reflect.Type) map[string]any {
	if t.Kind() != reflect.Struct {
		return s.scalar(f, t)
	}
	if t == reflect.TypeFor[Digest]() {
		return map[string]any{"type": "string", "pattern": digestPattern, "writeOnly": true}
	}
	if isWord(t) {
		return map[string]any{"type": "string", "minLength": 1}
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[scalar]()) {
		return anyOf(map[string]any{"type": "string"}, s.define(t))
	}
	return s.define(t)
}

const (
	digestPattern   = `^(sha256:)?[0-9a-fA-F]{64}$|\$\{`
	durationPattern = `^(off|0s?|([0-9.]+(ns|us|µs|ms|s|m|h))+)$`
	numberPattern   = `^[0-9.]+\s*%?$`
)

func (s schema) scalar(f field, t reflect.Type) map[string]any {
	if words := strings.Fields(f.tag.Get("oneof")); len(words) > 0 {
		values := make([]any, len(words))
		for i, w := range words {
			values[i] = w
			if n, err := strconv.Atoi(w); err == nil {
				values[i] = n
			}
			if w == "true" || w == "false" {
				values = append(values, w == "true")
			}
		}
		return anyOf(map[string]any{"enum": values}, word(referencePattern))
	}
	switch {
	case t == reflect.TypeFor[call.Secret]():
		return map[string]any{"type": []string{"string", "number", "boolean"}, "writeOnly": true}
	case t == reflect.TypeFor[time.Duration]():
		return anyOf(word(durationPattern), map[string]any{"const": 0}, word(referencePattern))
	case reflect.PointerTo(t).Implements(reflect.TypeFor[scalar]()):
		return map[string]any{"type": []string{"string", "integer"}}
	}
	switch {
	case f.tag.Get("unit") == "bytes":
		return map[string]any{"type": []string{"string", "integer"}}
	}
	switch t.Kind() {
	case reflect.Bool:
		return anyOf(map[string]any{"type": "boolean"}, word(referencePattern))
	case reflect.Int, reflect.Int64:
		return anyOf(bounded(map[string]any{"type": "integer"}, f.tag), word("^off$"), word(referencePattern))
	case reflect.Float64:
		return anyOf(map[string]any{"type": "number", "minimum": 0}, word(numberPattern), word("^off$"), word(referencePattern))
	}
	return map[string]any{"type": []string{"string", "number", "boolean"}}
}

func bounded(m map[string]any, tag reflect.StructTag) map[string]any {
	if least, err := strconv.Atoi(tag.Get("min")); err == nil {
		m["minimum"] = least
	}
	if most, err := strconv.Atoi(tag.Get("max")); err == nil {
		m["maximum"] = most
	}
	return m
}

func word(pattern string) map[string]any {
	return map[string]any{"type": "string", "pattern": pattern}
}

func anyOf(schemas ...map[string]any) map[string]any { return map[string]any{"anyOf": schemas} }
