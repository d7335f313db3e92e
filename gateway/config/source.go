package config

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/token"
)

// Error is one mistake in a configuration file and where it stands. Line and
// Column count from 1; they are 0 when the mistake has no place, as in a file
// that cannot be read.
type Error struct {
	File    string `json:"file"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Message string `json:"message"`
	Source  string `json:"source,omitempty"` // the line, with secrets masked
}

// Error returns the mistake as people read it: file:line:column and a sentence,
// then the line with a caret below the place.
func (e *Error) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Message)
	}
	number := fmt.Sprint(e.Line)
	return fmt.Sprintf("%s:%d:%d: %s\n  %s | %s\n  %s | %s^",
		e.File, e.Line, e.Column, e.Message,
		number, e.Source,
		strings.Repeat(" ", len(number)), e.indent())
}

// indent returns what moves the caret below the column: as wide as the text in
// front of it, tabs kept.
func (e *Error) indent() string {
	var b strings.Builder
	column := 1
	for _, r := range e.Source {
		if column >= e.Column {
			break
		}
		if r == '\t' {
			b.WriteRune('\t')
		} else {
			b.WriteByte(' ')
		}
		column++
	}
	return b.String()
}

// Errors are all mistakes of one file, in the order of their places.
type Errors []*Error

// Error returns the mistakes one below the other.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each mistake.
func (e Errors) Unwrap() []error {
	all := make([]error, len(e))
	for i, one := range e {
		all[i] = one
	}
	return all
}

// source is the text of a file, for pointing at places in it.
type source struct {
	name  string
	lines []string
}

func newSource(name string, text []byte) *source {
	return &source{name: name, lines: strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")}
}

// at returns an Error that points at a position; a nil position means the file
// as a whole.
func (s *source) at(pos *token.Position, format string, args ...any) *Error {
	e := &Error{File: s.name, Message: fmt.Sprintf(format, args...)}
	if pos == nil || pos.Line < 1 || pos.Line > len(s.lines) {
		return e
	}
	e.Line, e.Column = pos.Line, max(1, pos.Column)
	e.Source = mask(s.lines[pos.Line-1])
	if n := utf8.RuneCountInString(e.Source); e.Column > n+1 {
		e.Column = n + 1
	}
	return e
}

var (
	secretMember = regexp.MustCompile(`(?i)((?:^|[\s{,])["']?(?:api_?key|key|secret|token|password)["']?\s*:\s+)(\S.*)$`)
	secretLook   = regexp.MustCompile(`\b((?:sk|pk|key)-|hfk_)[A-Za-z0-9_-]{6,}`)
	reference    = regexp.MustCompile(`^["']?\$\{[^}]*\}["']?\s*[,}]?`)
)

// mask hides what is or looks like a credential in a line of the file. A
// reference to a variable or a file is no secret and stays.
func mask(line string) string {
	line = secretMember.ReplaceAllStringFunc(line, func(found string) string {
		parts := secretMember.FindStringSubmatch(found)
		if reference.MatchString(parts[2]) {
			return found
		}
		return parts[1] + "***"
	})
	return secretLook.ReplaceAllString(line, "$1***")
}

// nearest returns the candidate that name is probably a misspelling of, or "".
func nearest(name string, candidates []string) string {
	best, least := "", len(name)/3+2
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < least {
			best, least = c, d
		}
	}
	return best
}

// suggest returns the end of a sentence about an unknown name.
func suggest(name string, candidates []string) string {
	if best := nearest(name, candidates); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	if len(candidates) == 0 {
		return ""
	}
	return " (known: " + strings.Join(candidates, ", ") + ")"
}

// distance is the Levenshtein distance of two short names, with a swap of two
// neighbours counted as one step.
func distance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return len(a) + len(b)
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			step := 1
			if a[i-1] == b[j-1] {
				step = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+step)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
