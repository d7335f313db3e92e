package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Text is the file as it was written.
func (f *File) Text() []byte { return f.text }

// Replace writes a new text over a file that was loaded or is to be, after
// checking it: a text with a mistake changes nothing and is the error. Who may
// read the file stays as it is.
func Replace(path string, text []byte) error {
	if _, err := parse(path, text, systemEnvironment()); err != nil {
		return err
	}
	mode := os.FileMode(0o600)
	if info, err := os.Stat(path); err == nil {
		mode = info.Mode().Perm()
	}
	return writeFile(path, text, mode)
}

var (
	keysLine  = regexp.MustCompile(`^keys:\s*(#.*)?$`)
	keysEmpty = regexp.MustCompile(`^keys:\s*\{\s*\}\s*(#.*)?$`)
	keysAny   = regexp.MustCompile(`^["']?keys["']?\s*:`)
)

// WithKey returns the file's text with one more client key: lines as they stand
// below keys, not indented. Comments and order stay.
func (f *File) WithKey(lines []string) ([]byte, error) {
	old := f.source.lines
	at := slices.IndexFunc(old, keysAny.MatchString)
	if at < 0 {
		for len(old) > 0 && strings.TrimSpace(old[len(old)-1]) == "" {
			old = old[:len(old)-1]
		}
		return f.join(slices.Concat(old, []string{"", "keys:"}, indented(lines, "  "), []string{""})), nil
	}
	head := old[at]
	switch {
	case keysEmpty.MatchString(head):
		head = "keys:"
	case !keysLine.MatchString(head):
		return nil, fmt.Errorf("%s:%d: keys is not written in lines of its own; add the key by hand", f.path, at+1)
	}
	return f.join(slices.Concat(old[:at], []string{head}, indented(lines, f.keyIndent(at)), old[at+1:])), nil
}

// keyIndent is how far the names below keys are indented.
func (f *File) keyIndent(at int) string {
	for _, line := range f.source.lines[at+1:] {
		text := strings.TrimLeft(line, " ")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if indent := line[:len(line)-len(text)]; indent != "" {
			return indent
		}
		break
	}
	return "  "
}

func indented(lines []string, by string) []string {
	out := make([]string, len(lines))
	for i, line := range lines {
		out[i] = by + line
	}
	return out
}

// join keeps the line ends the file has.
func (f *File) join(lines []string) []byte {
	end := "\n"
	if strings.Contains(string(f.text), "\r\n") {
		end = "\r\n"
	}
	return []byte(strings.Join(lines, end))
}

// WithoutKey returns the file's text without one client key. keys stays, so that
// nobody gets in when the last one goes.
func (f *File) WithoutKey(name string) ([]byte, error) {
	if !slices.ContainsFunc(f.Keys, func(k ClientKey) bool { return k.Name == name }) {
		names := make([]string, len(f.Keys))
		for i, k := range f.Keys {
			names[i] = k.Name
		}
		return nil, fmt.Errorf("%s: keys: no key %q%s", f.path, name, suggest(name, names))
	}
	old := f.source.lines
	from := f.places.keys[placeOf("keys", name)].Line - 1
	indent := f.places.keys[placeOf("keys", name)].Column - 1
	head := slices.IndexFunc(old, keysAny.MatchString)
	if head < 0 || from <= head || strings.TrimSpace(old[from][:indent]) != "" {
		return nil, fmt.Errorf("%s:%d: the key is not written in lines of its own; take it away by hand", f.path, from+1)
	}
	to := from + 1
	for to < len(old) && (deeper(old[to], indent) || strings.TrimSpace(old[to]) == "") {
		to++
	}
	for to > from+1 && strings.TrimSpace(old[to-1]) == "" {
		to-- // blank lines belong to what follows
	}
	rest := slices.Concat(old[:from], old[to:])
	if len(f.Keys) == 1 {
		rest[head] = "keys: {}"
	}
	return f.join(rest), nil
}

// deeper reports whether a line is indented further than a column.
func deeper(line string, indent int) bool {
	text := strings.TrimLeft(line, " ")
	return text != "" && len(line)-len(text) > indent
}

// CheckShape judges a text as if every variable and secret file it refers to
// were there, each with an address in it, which is good wherever a word is.
func CheckShape(path string, text []byte) error {
	_, err := parse(path, text, environment{
		lookup: func(name string) (string, bool) { return anywhere, !slices.Contains(concurrencyVariables, name) },
		read:   func(string) (string, error) { return anywhere, nil },
	})
	return err
}

const anywhere = "http://127.0.0.1"

// WriteNew writes a file that only its owner can read.
func WriteNew(path string, text []byte) error { return writeFile(path, text, 0o600) }
