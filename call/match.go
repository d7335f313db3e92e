package call

import "strings"

// Matches reports whether a name fits a pattern in which * stands for any text,
// none included. It takes no memory.
func Matches(pattern, name string) bool {
	first, pattern, star := strings.Cut(pattern, "*")
	rest, ok := strings.CutPrefix(name, first)
	if !ok || !star {
		return ok && rest == ""
	}
	for {
		part, after, more := strings.Cut(pattern, "*")
		if !more {
			return strings.HasSuffix(rest, part)
		}
		at := strings.Index(rest, part)
		if at < 0 {
			return false
		}
		rest, pattern = rest[at+len(part):], after
	}
}
