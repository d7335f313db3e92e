package telemetry

import (
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"unicode"
)

// harmless returns a record whose texts cannot act on whoever shows them: line
// breaks, terminal sequences and invisible characters that turn the direction of
// reading are written out, as \n or \u2028. A format that escapes some of them by
// itself does not help a reader who takes the escapes away again.
func harmless(r slog.Record) slog.Record {
	if !tainted(r) {
		return r
	}
	clean := slog.NewRecord(r.Time, r.Level, visible(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(harmlessAttr(a))
		return true
	})
	return clean
}

// tainted reports whether a record holds anything to change, which is rare.
func tainted(r slog.Record) bool {
	if acting(r.Message) {
		return true
	}
	found := false
	r.Attrs(func(a slog.Attr) bool {
		switch a.Value.Kind() {
		case slog.KindString:
			found = acting(a.Value.String())
		case slog.KindAny, slog.KindGroup, slog.KindLogValuer:
			found = true // is looked at more closely
		default: // numbers and times do nothing
		}
		found = found || acting(a.Key)
		return !found
	})
	return found
}

// acting reports whether a text holds anything to change. Most texts are plain
// ASCII, of which this is known without asking for each character.
func acting(s string) bool {
	for i := range len(s) {
		if s[i]-0x20 >= 0x5f { // control characters, and all that is not ASCII
			return strings.ContainsFunc(s[i:], acts)
		}
	}
	return false
}

func harmlessAttr(a slog.Attr) slog.Attr {
	a.Key = visible(a.Key)
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		a.Value = slog.StringValue(visible(v.String()))
	case slog.KindGroup:
		group := make([]slog.Attr, 0, len(v.Group()))
		for _, member := range v.Group() {
			group = append(group, harmlessAttr(member))
		}
		a.Value = slog.GroupValue(group...)
	case slog.KindAny:
		a.Value = slog.StringValue(visible(fmt.Sprint(v.Any())))
	default: // numbers and times stay what they are
	}
	return a
}

// acts tells characters that do something from those that show something.
func acts(r rune) bool {
	return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\ufeff' ||
		r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' || r == '\u200e' || r == '\u200f'
}

// visible writes out what acts.
func visible(s string) string {
	if !strings.ContainsFunc(s, acts) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if !acts(r) {
			b.WriteRune(r)
			continue
		}
		quoted := strconv.QuoteRuneToASCII(r)
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}
