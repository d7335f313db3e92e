package admin

import (
	"encoding/json"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object of the document.
type object = map[string]any

// document returns the OpenAPI 3.1 document of a table.
func document(table []operation) []byte {
	s := schemas{}
	paths := object{}
	for _, o := range table {
		path := prefix + strings.ReplaceAll(o.path, "...}", "}")
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path].(object)[strings.ToLower(o.method)] = s.operation(o)
	}
	text, err := json.MarshalIndent(object{
		"openapi": "3.1.1",
		"info": object{"title": "Holdfast admin API", "version": "1",
			"description": "For operators, on the address of admin.listen. Errors are RFC 9457 problems. No answer holds a secret."},
		"servers":    []any{object{"url": "http://127.0.0.1:8081"}},
		"security":   []any{object{"token": []any{}}, object{}},
		"paths":      paths,
		"components": object{"schemas": s, "securitySchemes": object{"token": object{"type": "http", "scheme": "bearer", "description": "admin.token; not needed on a loopback listener without one"}}},
	}, "", "  ")
	if err != nil {
		panic("admin: the document of the API cannot be written: " + err.Error()) // it is made of maps and words
	}
	return append(text, '\n')
}

// everywhere are the problems that every operation may answer, and why.
var everywhere = map[int]string{
	401: "the token is missing or wrong",
	421: "asked under a name that is not this gateway's",
}

// because says why an operation may answer a problem.
var because = map[int]string{
	400: "the query or body is not as described",
	403: "sent by a web page of another origin",
	404: "no such thing",
	415: "the body is not JSON",
	422: "the file has a mistake; the one before stays in force",
	503: "too many readers",
}

func (s schemas) operation(o operation) object {
	out := object{"operationId": o.id, "summary": o.summary, "responses": s.responses(o)}
	if o.does != "" {
		out["description"] = o.does
	}
	var parameters []any
	for _, p := range o.parameters {
		parameters = append(parameters, object{"name": p.name, "in": p.in, "description": p.doc, "required": p.in == "path", "schema": object{"type": p.kind}})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if o.takes != nil {
		out["requestBody"] = object{"required": false, "content": object{"application/json": object{"schema": s.of(reflect.TypeOf(o.takes))}}}
	}
	return out
}

func (s schemas) responses(o operation) object {
	kind := o.kind
	if kind == "" {
		kind = "application/json"
	}
	all := object{strconv.Itoa(o.status): object{"description": o.summary, "content": object{kind: object{"schema": s.of(reflect.TypeOf(o.gives))}}}}
	refused := maps.Clone(everywhere)
	for _, status := range o.problems {
		refused[status] = because[status]
	}
	if o.method != "GET" {
		refused[403] = because[403]
	}
	for status, why := range refused {
		all[strconv.Itoa(status)] = object{"description": why, "content": object{"application/problem+json": object{"schema": s.of(reflect.TypeFor[problem]())}}}
	}
	return all
}

// schemas are the types of the answers, by name.
type schemas object

// of returns the schema of a type: a reference for a struct of ours.
func (s schemas) of(t reflect.Type) object {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t.Kind() == reflect.Struct:
		name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
		if s[name] == nil {
			s[name] = object{} // a type may hold itself
			s[name] = s.structure(t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	case t.Kind() == reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case t.Kind() == reflect.Map && t.Elem().Kind() == reflect.Interface:
		return object{"type": "object"}
	case t.Kind() == reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case t.Kind() == reflect.Interface:
		return object{}
	case t.Kind() == reflect.Bool:
		return object{"type": "boolean"}
	case t.Kind() == reflect.Float64:
		return object{"type": "number"}
	case t.Kind() == reflect.String:
		return object{"type": "string"}
	}
	return object{"type": "integer"}
}

// structure returns the schema of a struct: nothing but its members.
func (s schemas) structure(t reflect.Type) object {
	properties, required := object{}, []string{}
	s.members(t, properties, &required)
	slices.Sort(required)
	return object{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

func (s schemas) members(t reflect.Type, properties object, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			s.members(f.Type, properties, required)
			continue
		case !f.IsExported():
			continue
		}
		schema := s.of(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			schema["description"] = doc
		} else if doc := ofTheLibrary[t.Name()+"."+name]; doc != "" {
			schema["description"] = doc
		}
		properties[name] = schema
		if !regexp.MustCompile(`omit(empty|zero)`).MatchString(options) {
			*required = append(*required, name)
		}
	}
}

// ofTheLibrary describes members of the library's types, which have no tags for it.
var ofTheLibrary = map[string]string{
	"RouteStatus.running":       "calls inside, to the end of their bodies",
	"RouteStatus.waiting":       "calls in the waiting room",
	"RouteStatus.calls":         "ended since the start",
	"RouteStatus.ok":            "of these with class ok",
	"RouteStatus.refused":       "of these answered by Holdfast itself",
	"RouteStatus.cache":         "what it keeps; absent without a cache",
	"Contents.entries":          "answers kept",
	"Contents.bytes":            "what they take in memory; an estimate",
	"Contents.kept":             "answers taken in since the start",
	"Contents.evicted":          "answers that made room for others",
	"Contents.too_big":          "answers not taken in for their size",
	"TargetStatus.breaker":      "closed, half_open, open, forced_open, forced_closed",
	"TargetStatus.open_until":   "then it is probed",
	"TargetStatus.permits":      "attempts it may carry at once; 0: unlimited",
	"TargetStatus.retry_budget": "share left, 0 to 1",
	"TargetStatus.attempts":     "ended since the start",
	"TargetStatus.classes":      "attempts ended by class",
	"TargetStatus.quotas":       "what is left of the provider's limits, by key, model and limit",
	"KeyStatus.name":            "alias of the credential, never the credential",
	"QuotaStatus.key":           "alias of the credential; empty for a target without keys",
	"QuotaStatus.limit":         "rpm, rpd, tpm, itpm, otpm",
	"QuotaStatus.allowed":       "per minute, or per day (rpd); as configured, or as the provider announces if that is lower",
	"QuotaStatus.left":          "that may be taken now; below 0 is debt",
	"QuotaStatus.reserved":      "held by attempts under way",
	"QuotaStatus.waste":         "share of the charged tokens that nobody used, where a lower max_tokens would help",
	"QuotaStatus.max_tokens":    "with waste: the usual max_tokens",
	"QuotaStatus.used":          "with waste: what 99 of 100 answers stay within",
}
