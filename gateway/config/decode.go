package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"

	"github.com/holdfast-gateway/holdfast/call"
)

// decoder fills a struct from a YAML tree and goes on after a mistake, so that
// one look at the output shows all of them. It follows the struct's tags:
//
//	yaml:"name"          the key
//	yaml:",key"          the name this struct stands under in a mapping
//	yaml:"name,mapping"  a slice written as a mapping, in the order of the file
//	min, max             bounds of a number, both included
//	oneof                the words or numbers allowed, separated by spaces
//	yaml:"name,policy"   the settings of a policy room (below)
//
// A policy's own struct needs no tags: a key is the field's name in snake case,
// unless renamed says otherwise. There zero means the default and a negative
// value means off, so in the file one writes off, or 0.
//
// The tree is as deep as the struct, whatever aliases the file plays with.
type decoder struct {
	source  *source
	env     environment
	anchors map[string]ast.Node
	places  places
	offs    map[string]bool // places where a setting was switched off
	errs    Errors
	budget  int // scalars and collections left; bounds what aliases can multiply
}

// maxNodes bounds one file's tree with its aliases followed.
const maxNodes = 100_000

// places remembers where things stand: the path of keys, joined by zero bytes,
// to the position of the key and of its value.
type places struct {
	keys, values map[string]*token.Position
	references   map[string]string // the words with ${...} in them, as written
}

func placeOf(path ...string) string { return strings.Join(path, "\x00") }

// find returns the most exact position known for a path: its own value, else
// the key of the nearest parent.
func (p places) find(path ...string) *token.Position {
	for i := len(path); i > 0; i-- {
		at := placeOf(path[:i]...)
		if i == len(path) && p.values[at] != nil {
			return p.values[at]
		}
		if p.keys[at] != nil {
			return p.keys[at]
		}
		if p.values[at] != nil {
			return p.values[at]
		}
	}
	return nil
}

// scalar is a type that a single word of the file can fill. The error says what
// would be right; it must not repeat the text, which may be a secret.
type scalar interface{ set(text string) error }

// isWord reports whether a struct is what a single word of the file means, and
// not a mapping.
func isWord(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || !reflect.PointerTo(t).Implements(reflect.TypeFor[scalar]()) {
		return false
	}
	for i := range t.NumField() {
		if t.Field(i).Tag.Get("yaml") != "" {
			return false
		}
	}
	return true
}

// decode fills target, a pointer to a struct, from the text of a file. It
// returns every mistake, in the order of their places.
func decode(src *source, text []byte, env environment, target any) (places, Errors) {
	d := &decoder{
		source: src, env: env, budget: maxNodes,
		anchors: map[string]ast.Node{},
		offs:    map[string]bool{},
		places:  places{keys: map[string]*token.Position{}, values: map[string]*token.Position{}, references: map[string]string{}},
	}
	if root := d.parse(text); root != nil {
		d.value(root, reflect.ValueOf(target).Elem(), nil, "")
	}
	sort.SliceStable(d.errs, func(i, j int) bool { return d.errs[i].Line < d.errs[j].Line })
	return d.places, d.errs
}

func (d *decoder) fail(pos *token.Position, format string, args ...any) {
	d.errs = append(d.errs, d.source.at(pos, format, args...))
}

// parse returns the tree of the one document in text, or nil after a mistake.
func (d *decoder) parse(text []byte) (root ast.Node) {
	defer func() {
		if r := recover(); r != nil { // the parser is foreign; its accident must not be ours
			d.fail(nil, "cannot be read as YAML")
			root = nil
		}
	}()
	file, err := parser.ParseBytes(text, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.syntax(err)
		return nil
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		d.fail(nil, "the file is empty; it begins with version: 1")
		return nil
	}
	if len(bodies) > 1 {
		d.fail(position(bodies[1]), "a second document; the configuration is one")
		return nil
	}
	return bodies[0]
}

func (d *decoder) syntax(err error) {
	var located yaml.Error
	if !errors.As(err, &located) || located.GetToken() == nil {
		d.fail(nil, "not YAML: %s", firstLine(err.Error()))
		return
	}
	pos := located.GetToken().Position
	message := "not YAML: " + firstLine(located.GetMessage())
	if line := d.source.line(pos); strings.Contains(line, "${") && strings.Contains(line, "{") {
		message += `; a ${NAME} inside {...} or [...] needs quotes: "${NAME}"`
	}
	d.fail(pos, "%s", message)
}

func (s *source) line(pos *token.Position) string {
	if pos == nil || pos.Line < 1 || pos.Line > len(s.lines) {
		return ""
	}
	return s.lines[pos.Line-1]
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}

// value decodes one node. path is where it stands, tag its field's.
func (d *decoder) value(n ast.Node, v reflect.Value, path []string, tag reflect.StructTag) {
	if d.budget--; d.budget < 0 {
		if d.budget == -1 {
			d.fail(position(n), "more than %d values, aliases followed", maxNodes)
		}
		return
	}
	n = d.plain(n)
	if n == nil {
		return
	}
	text, isScalar := scalarText(n)
	if at := placeOf(path...); isScalar || d.places.keys[at] == nil { // of a mapping the key is the place
		d.places.values[at] = position(n)
	}
	d.refer(text, path)
	if setter, ok := v.Addr().Interface().(scalar); ok && isScalar {
		d.scalar(n, text, tag, setter.set)
		return
	}
	if isWord(v.Type()) && !isScalar {
		d.fail(position(n), "want a single value, found %s", nodeName(n))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.list(n, v, path, tag)
	default:
		if !isScalar {
			d.fail(position(n), "want %s, found %s", kindName(v), nodeName(n))
			return
		}
		d.scalar(n, text, tag, func(text string) error { return setBasic(v, text, tag) })
	}
}

// refer remembers a word with a reference in it.
func (d *decoder) refer(text string, path []string) {
	if strings.Contains(text, "${") {
		d.places.references[placeOf(path...)] = text
	}
}

// scalar expands one word and hands it to set. Its complaints name the word as
// it stands in the file, never what a reference in it stands for.
func (d *decoder) scalar(n ast.Node, text string, tag reflect.StructTag, set func(string) error) {
	if n.Type() == ast.NullType {
		d.fail(position(n), "has no value; give it one or leave the key out")
		return
	}
	expanded, err := d.env.expand(text)
	if err == nil {
		err = set(expanded)
	}
	if err != nil {
		d.fail(position(n), "%s", err)
	}
}

// mapping decodes a mapping into a struct.
func (d *decoder) mapping(n ast.Node, v reflect.Value, path []string) {
	d.members(n, v.Type(), path, func(value ast.Node, f field, at []string) {
		switch f.option {
		case "mapping":
			d.named(value, v.Field(f.index), at)
		case "policy":
			d.policy(value, v.Field(f.index), at)
		default:
			d.value(value, v.Field(f.index), at, f.tag)
		}
	})
}

// members calls fill for each member of a mapping that t has a field for.
func (d *decoder) members(n ast.Node, t reflect.Type, path []string, fill func(value ast.Node, f field, at []string)) {
	if n.Type() == ast.NullType {
		return // a key with everything below it commented out
	}
	entries, ok := d.entries(n)
	if !ok {
		d.fail(position(n), "want a mapping (key: value), found %s", nodeName(n))
		return
	}
	fields := fieldsOf(t)
	seen := map[string]bool{}
	for _, e := range entries {
		name, ok := d.key(e.node, seen)
		if !ok {
			continue
		}
		at := append(slices.Clone(path), name)
		d.places.keys[placeOf(at...)] = position(e.node.Key)
		f, known := fields.byName(name)
		if !known {
			d.fail(position(e.node.Key), "unknown key %q%s", name, suggest(name, fields.names()))
			continue
		}
		fill(e.node.Value, f, at)
	}
}

// named decodes a mapping of names into a slice of structs, in file order.
func (d *decoder) named(n ast.Node, v reflect.Value, path []string) {
	n = d.plain(n)
	if n == nil || n.Type() == ast.NullType {
		return
	}
	entries, ok := d.entries(n)
	if !ok {
		d.fail(position(n), "want names with a mapping below each, found %s", nodeName(n))
		return
	}
	seen := map[string]bool{}
	for _, e := range entries {
		name, ok := d.key(e.node, seen)
		if !ok {
			continue
		}
		at := append(slices.Clone(path), name)
		d.places.keys[placeOf(at...)] = position(e.node.Key)
		one := reflect.New(v.Type().Elem()).Elem()
		one.Field(fieldsOf(one.Type()).key).SetString(name)
		d.value(e.node.Value, one, at, "")
		v.Set(reflect.Append(v, one))
	}
}

// list decodes a sequence; a single word stands for a list of one.
func (d *decoder) list(n ast.Node, v reflect.Value, path []string, tag reflect.StructTag) {
	if n.Type() == ast.NullType {
		return
	}
	values := []ast.Node{n}
	if sequence, ok := n.(*ast.SequenceNode); ok {
		values = sequence.Values
	} else if _, isScalar := scalarText(n); !isScalar {
		d.fail(position(n), "want a list, found %s", nodeName(n))
		return
	}
	for i, item := range values {
		one := reflect.New(v.Type().Elem()).Elem()
		before := len(d.errs)
		d.value(item, one, append(slices.Clone(path), strconv.Itoa(i)), tag)
		if len(d.errs) == before {
			v.Set(reflect.Append(v, one))
		}
	}
}

type entry struct{ node *ast.MappingValueNode }

// entries returns the members of a mapping with merge keys (<<) resolved: own
// members win, as YAML says.
func (d *decoder) entries(n ast.Node) ([]entry, bool) {
	mapping, ok := asMapping(n)
	if !ok {
		return nil, false
	}
	var own, merged []entry
	names := map[string]bool{}
	for _, m := range mapping {
		if m.Key.IsMergeKey() {
			continue
		}
		own = append(own, entry{m})
		if name, ok := scalarText(m.Key); ok {
			names[name] = true
		}
	}
	for _, m := range mapping {
		if !m.Key.IsMergeKey() {
			continue
		}
		for _, e := range d.mergeSources(m.Value) {
			if slices.Contains(mapping, e) {
				d.fail(position(m.Key), "<< merges a mapping into itself")
				break
			}
			if name, ok := scalarText(e.Key); ok && !names[name] && !e.Key.IsMergeKey() {
				names[name] = true
				merged = append(merged, entry{e})
			}
		}
	}
	return append(own, merged...), true
}

func (d *decoder) mergeSources(n ast.Node) []*ast.MappingValueNode {
	n = d.plain(n)
	if list, ok := n.(*ast.SequenceNode); ok {
		var all []*ast.MappingValueNode
		for _, one := range list.Values {
			members, _ := asMapping(d.plain(one))
			all = append(all, members...)
		}
		return all
	}
	members, ok := asMapping(n)
	if !ok && n != nil {
		d.fail(position(n), "<< wants the alias of a mapping")
	}
	return members
}

func asMapping(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

// key returns the name of a member, once: a second one of that name is a mistake.
func (d *decoder) key(m *ast.MappingValueNode, seen map[string]bool) (string, bool) {
	name, ok := scalarText(m.Key)
	if !ok {
		d.fail(position(m.Key), "a key must be a word, found %s", nodeName(m.Key))
		return "", false
	}
	if seen[name] {
		d.fail(position(m.Key), "%q stands here twice", name)
		return "", false
	}
	seen[name] = true
	return name, true
}

// plain follows anchors, aliases and tags to the node that holds the value. It
// returns nil after a mistake.
func (d *decoder) plain(n ast.Node) ast.Node {
	for range 100 {
		switch node := n.(type) {
		case *ast.AnchorNode:
			if name, ok := scalarText(node.Name); ok {
				d.anchors[name] = node.Value
			}
			n = node.Value
		case *ast.TagNode:
			n = node.Value
		case *ast.AliasNode:
			name, _ := scalarText(node.Value)
			target, ok := d.anchors[name]
			if !ok {
				d.fail(position(node), "no anchor &%s before this alias", name)
				return nil
			}
			n = target
		case nil:
			return nil
		default:
			return n
		}
	}
	d.fail(position(n), "an alias that leads to itself")
	return nil
}

// scalarText returns the word of a node as it was written.
func scalarText(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		if s.Value == nil {
			return "", true
		}
		return s.Value.Value, true
	case *ast.MappingKeyNode:
		return scalarText(s.Value)
	case *ast.NullNode:
		return "", true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func position(n ast.Node) *token.Position {
	if n == nil {
		return nil
	}
	switch m := n.(type) { // a mapping's own token is a colon
	case *ast.MappingNode:
		if len(m.Values) > 0 && !m.IsFlowStyle {
			return position(m.Values[0].Key)
		}
	case *ast.MappingValueNode:
		return position(m.Key)
	}
	if tk := n.GetToken(); tk != nil {
		return tk.Position
	}
	return nil
}

func nodeName(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	}
	return "a single value"
}

func kindName(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	}
	return "a single value"
}

// setBasic parses a word into a string, number, length of time or truth value,
// within the bounds its tag names.
func setBasic(v reflect.Value, text string, tag reflect.StructTag) error {
	switch kind := v.Kind(); {
	case kind == reflect.String:
		return setText(v, text, tag)
	case kind == reflect.Bool:
		if text != "true" && text != "false" {
			return errors.New("want true or false")
		}
		v.SetBool(text == "true")
		return nil
	case v.Type() == reflect.TypeFor[time.Duration]():
		length, err := parseDuration(text)
		v.SetInt(int64(length))
		return err
	case v.CanInt() && tag.Get("unit") == "bytes":
		var size Size
		err := size.set(text)
		v.SetInt(int64(size))
		return err
	case v.CanInt():
		n, err := strconv.ParseInt(text, 10, v.Type().Bits())
		if err != nil {
			return errors.New("want a whole number")
		}
		v.SetInt(n)
		if err := oneOf(text, tag); err != nil {
			return err
		}
		return inBounds(float64(n), tag)
	case v.CanFloat():
		f, err := parseRatio(text)
		if err != nil {
			return err
		}
		v.SetFloat(f)
		return inBounds(f, tag)
	}
	return fmt.Errorf("cannot be set in a file (%s)", v.Type())
}

func setText(v reflect.Value, text string, tag reflect.StructTag) error {
	if v.Type() == reflect.TypeFor[call.Secret]() {
		if err := checkSecret(text); err != nil {
			return err
		}
	}
	if err := oneOf(text, tag); err != nil {
		return err
	}
	v.SetString(text)
	return nil
}

func oneOf(text string, tag reflect.StructTag) error {
	if words := strings.Fields(tag.Get("oneof")); len(words) > 0 && !slices.Contains(words, text) {
		return fmt.Errorf("want %s", alternatives(words))
	}
	return nil
}

func inBounds(f float64, tag reflect.StructTag) error {
	least, errLeast := strconv.ParseFloat(tag.Get("min"), 64)
	most, errMost := strconv.ParseFloat(tag.Get("max"), 64)
	switch {
	case errLeast == nil && errMost == nil && !(f >= least && f <= most):
		return fmt.Errorf("must be from %s to %s", tag.Get("min"), tag.Get("max"))
	case errLeast == nil && !(f >= least):
		return fmt.Errorf("must be at least %s", tag.Get("min"))
	case errMost == nil && !(f <= most):
		return fmt.Errorf("must be at most %s", tag.Get("max"))
	}
	return nil
}

func alternatives(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}
