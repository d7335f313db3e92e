package config

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml/ast"

	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/retry"
)

// renamed are the keys that read better in the file than the fields' names.
var renamed = map[reflect.Type]map[string]string{
	reflect.TypeFor[admission.Config]():   {"running": "concurrency", "max_depth": "max", "max_wait": "wait"},
	reflect.TypeFor[breaker.Config]():     {"ratio": "failure_ratio"},
	reflect.TypeFor[concurrency.Config](): {},
	reflect.TypeFor[retry.Config]():       {"budget_ratio": "budget"},
}

// policy decodes the settings of a policy room and lets the room judge them, so
// that its complaints point at the keys they are about.
func (d *decoder) policy(n ast.Node, v reflect.Value, path []string) {
	n = d.plain(n)
	if n == nil {
		return
	}
	before := len(d.errs)
	if text, ok := scalarText(n); ok && n.Type() != ast.NullType {
		d.shorthand(n, text, v, path)
	} else {
		d.settings(n, v, path)
	}
	if len(d.errs) > before {
		return
	}
	room, ok := v.Interface().(interface{ Validate() error })
	if !ok {
		return
	}
	for _, problem := range flatten(room.Validate()) {
		d.complain(problem, v.Type(), path)
	}
}

// shorthand lets one number stand for concurrency: {max: N}.
func (d *decoder) shorthand(n ast.Node, text string, v reflect.Value, path []string) {
	if v.Type() != reflect.TypeFor[concurrency.Config]() {
		d.fail(position(n), "want a mapping (key: value), found a single value")
		return
	}
	d.setting(n, text, v.FieldByName("Max"), append(slices.Clone(path), "max"), "")
}

func (d *decoder) settings(n ast.Node, v reflect.Value, path []string) {
	d.members(n, v.Type(), path, func(value ast.Node, f field, at []string) {
		value = d.plain(value)
		if value == nil {
			return
		}
		text, ok := scalarText(value)
		if !ok {
			d.fail(position(value), "want %s, found %s", kindName(v.Field(f.index)), nodeName(value))
			return
		}
		d.setting(value, text, v.Field(f.index), at, unitOf(f.tag))
	})
}

// unitOf leaves of a tag what says how a number is read: the room itself says
// which are good.
func unitOf(tag reflect.StructTag) reflect.StructTag {
	if unit := tag.Get("unit"); unit != "" {
		return reflect.StructTag("unit:" + strconv.Quote(unit))
	}
	return ""
}

// setting decodes one setting of a policy; off and 0 switch it off.
func (d *decoder) setting(n ast.Node, text string, v reflect.Value, at []string, tag reflect.StructTag) {
	d.places.values[placeOf(at...)] = position(n)
	d.refer(text, at)
	d.scalar(n, text, "", func(text string) error {
		if !v.CanInt() && !v.CanFloat() {
			return setBasic(v, text, tag)
		}
		if isOff(text) {
			d.offs[placeOf(at...)] = true
			if v.CanInt() {
				v.SetInt(-1)
			} else {
				v.SetFloat(-1)
			}
			return nil
		}
		if strings.HasPrefix(text, "-") {
			return errors.New("must not be negative; off switches it off, where that is possible")
		}
		return setBasic(v, text, tag)
	})
}

func isOff(text string) bool {
	if text == "off" || text == "0s" {
		return true
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && f == 0
}

// complain tells one of a room's complaints ("key: what is wrong") at its key.
func (d *decoder) complain(problem string, t reflect.Type, path []string) {
	key, rest, ok := strings.Cut(problem, ": ")
	if name, is := renamed[t][key]; is {
		key = name
	}
	if _, known := fieldsOf(t).byName(key); !ok || !known {
		d.fail(d.places.find(path...), "%s", problem)
		return
	}
	at := append(slices.Clone(path), key)
	if d.offs[placeOf(at...)] {
		rest = "cannot be off or 0"
	}
	if d.places.keys[placeOf(at...)] == nil {
		rest = key + ": " + rest // a default that does not fit what was set
	}
	d.fail(d.places.find(at...), "%s", rest)
}

// flatten returns the sentences of an error made with errors.Join and %w, each
// with its own prefixes.
func flatten(err error) []string {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the tree itself is walked
		var all []string
		for _, one := range joined.Unwrap() {
			all = append(all, flatten(one)...)
		}
		return all
	}
	inner := errors.Unwrap(err)
	if inner == nil {
		return []string{err.Error()}
	}
	prefix, ok := strings.CutSuffix(err.Error(), inner.Error())
	if !ok {
		return []string{err.Error()}
	}
	all := flatten(inner)
	for i := range all {
		all[i] = prefix + all[i]
	}
	return all
}

// fields are the keys that a struct accepts.
type fields struct {
	list []field
	key  int // index of the field tagged ",key"; -1 none
}

type field struct {
	name   string
	index  int
	option string // "", "mapping" or "policy"
	tag    reflect.StructTag
}

func fieldsOf(t reflect.Type) fields {
	f := fields{key: -1}
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if option == "key" {
			f.key = i
			continue
		}
		if name == "" {
			name = snake(t.Field(i).Name)
		}
		if other, ok := renamed[t][name]; ok {
			name = other
		}
		if name != "-" && t.Field(i).IsExported() && settable(t.Field(i).Type) {
			f.list = append(f.list, field{name: name, index: i, option: option, tag: t.Field(i).Tag})
		}
	}
	return f
}

func settable(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Func, reflect.Interface, reflect.Chan, reflect.Pointer, reflect.Map:
		return false
	}
	return true
}

func (f fields) byName(name string) (field, bool) {
	i := slices.IndexFunc(f.list, func(one field) bool { return one.name == name })
	if i < 0 {
		return field{}, false
	}
	return f.list[i], true
}

func (f fields) names() []string {
	names := make([]string, len(f.list))
	for i, one := range f.list {
		names[i] = one.name
	}
	return names
}

// snake writes a Go name as a key: MaxRetryAfter is max_retry_after, BudgetTTL
// is budget_ttl.
func snake(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		upper := unicode.IsUpper(r)
		wordBegins := i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if upper && wordBegins {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
