package config

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/internal/docpage"
)

const repository = "../.." // from this folder

func TestTheReferenceNamesEveryKey(t *testing.T) {
	r := tables{t: t, done: map[reflect.Type]bool{}}
	r.section("The file", reflect.TypeFor[File]())
	for len(r.next) > 0 {
		s := r.next[0]
		r.next = r.next[1:]
		r.section(s.title, s.typ)
	}
	docpage.Check(t, repository+"/docs/reference/configuration.md", r.text.String())
}

// tables writes one table per mapping of the file, from the structs that the
// file fills and the comments of their fields.
type tables struct {
	t    *testing.T
	text strings.Builder
	next []section
	done map[reflect.Type]bool
}

type section struct {
	title string
	typ   reflect.Type
}

func (r *tables) section(title string, typ reflect.Type) {
	if r.done[typ] {
		return
	}
	r.done[typ] = true
	comments := fieldComments(r.t, typ)
	fmt.Fprintf(&r.text, "\n## %s\n\n| Key | Value | What it does |\n| --- | --- | --- |\n", title)
	for _, f := range fieldsOf(typ).list {
		goField := typ.Field(f.index)
		comment := comments[goField.Name]
		if comment == "" {
			r.t.Errorf("%s.%s has no comment, which would be its line in the reference", typ, goField.Name)
		}
		kind := r.kind(title, f, goField.Type)
		fmt.Fprintf(&r.text, "| `%s` | %s | %s |\n", f.name, kind, keyed(comment, typ))
	}
}

// kind says what a key takes, and notes the tables that are still to come.
func (r *tables) kind(title string, f field, t reflect.Type) string {
	below := "`" + f.name + "`"
	if title != "The file" && f.option != "policy" {
		below = strings.TrimSuffix(title, "`") + "." + f.name + "`"
	}
	words := f.tag.Get("oneof")
	switch {
	case words != "":
		return "`" + strings.ReplaceAll(words, " ", "`, `") + "`"
	case t == reflect.TypeFor[time.Duration]():
		return "duration"
	case t == reflect.TypeFor[Size](), f.tag.Get("unit") == "bytes":
		return "size"
	case t == reflect.TypeFor[call.Secret]():
		return "secret"
	case isWord(t):
		return "word"
	case f.option == "mapping":
		r.next = append(r.next, section{"`" + f.name + ".NAME`", t.Elem()})
		return "mapping of names"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct:
		r.next = append(r.next, section{strings.TrimSuffix(below, "`") + "[]`", t.Elem()})
		return "list"
	case t.Kind() == reflect.Struct:
		r.next = append(r.next, section{below, t})
		return "mapping"
	case t.Kind() == reflect.Slice:
		return "list of words"
	case t.Kind() == reflect.Bool:
		return "`true` or `false`"
	case t.Kind() == reflect.Int:
		return "whole number"
	case t.Kind() == reflect.Float64:
		return "number or share (`0.1`, `10%`)"
	}
	return "word"
}

var fieldName = regexp.MustCompile(`\b[A-Z][A-Za-z]+\b`)

// keyed makes a comment about Go fields one about keys, in one line of a table.
func keyed(comment string, t reflect.Type) string {
	names := map[string]string{}
	for _, f := range fieldsOf(t).list {
		names[t.Field(f.index).Name] = f.name
	}
	comment = fieldName.ReplaceAllStringFunc(comment, func(word string) string {
		if key, ok := names[word]; ok {
			return "`" + key + "`"
		}
		return word
	})
	return strings.NewReplacer("|", "\\|", "negative", "`off`").Replace(strings.Join(strings.Fields(comment), " "))
}

// fieldComments reads the comments of a struct's fields from its source.
func fieldComments(t *testing.T, typ reflect.Type) map[string]string {
	t.Helper()
	folder := strings.TrimPrefix(typ.PkgPath(), "github.com/holdfast-gateway/holdfast/")
	files, err := filepath.Glob(path.Join(repository, folder, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source of %s: %v", typ, err)
	}
	comments := map[string]string{}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != typ.Name() {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				collect(s, comments)
			}
			return false
		})
	}
	return comments
}

// collect notes each field's comment; fields that stand together share theirs.
func collect(s *ast.StructType, comments map[string]string) {
	last := ""
	for _, f := range s.Fields.List {
		text := f.Doc.Text()
		if text == "" {
			text = f.Comment.Text()
		}
		if text == "" {
			text = last
		}
		last = text
		for _, name := range f.Names {
			comments[name.Name] = text
		}
	}
}
