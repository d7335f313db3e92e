package edge

import (
	"io"
	"net/http"
	"slices"
	"strings"
)

// minSecret is the shortest secret that is looked for, in bytes: a shorter one is
// an ordinary word.
const minSecret = 8

// scrubber takes the gateway's own secrets out of what callers see, should a
// provider send them back: in one piece or in several, as they are or escaped as
// JSON and URLs may. Every byte becomes a star, so that lengths stay right. Bytes
// are held back only while they could be the beginning of a secret.
//
// What a provider encodes otherwise, or compresses, is not recognised.
type scrubber struct {
	to      io.Writer
	secrets []string
	first   *[256]bool // bytes with which a secret may begin; nil: no secrets
	held    []byte     // a beginning that was not passed on yet
}

// wanted are secrets, prepared to be looked for.
type wanted struct {
	all     []string // as they were given
	secrets []string // those that are looked for
	first   *[256]bool
}

func lookingFor(all []string) *wanted {
	w := &wanted{all: all}
	for _, secret := range all {
		if len(secret) < minSecret {
			continue
		}
		if w.first == nil {
			w.first = &[256]bool{'\\': true, '%': true}
		}
		w.first[secret[0]] = true
		w.secrets = append(w.secrets, secret)
	}
	return w
}

// wanted prepares the secrets that are to be kept, once for all answers between
// two configurations.
func (h *Handler) wanted() *wanted {
	all := h.config.Secrets()
	w := h.looked.Load()
	if w == nil || !slices.Equal(w.all, all) {
		w = lookingFor(all)
		h.looked.Store(w)
	}
	return w
}

func newScrubber(to io.Writer, w *wanted) *scrubber {
	return &scrubber{to: to, secrets: w.secrets, first: w.first}
}

// Write passes p on without secrets. Like every io.Writer it leaves p as it is.
func (s *scrubber) Write(p []byte) (int, error) {
	if s.first == nil {
		return s.to.Write(p)
	}
	b := p
	if len(s.held) > 0 {
		b = append(s.held, p...)
		s.held = nil
	}
	clean, rest := s.clean(b)
	if len(rest) > 0 {
		s.held = slices.Clone(rest)
	}
	if len(clean) == 0 {
		return len(p), nil
	}
	if _, err := s.to.Write(clean); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close passes on what was held back, unless it is most of a secret.
func (s *scrubber) Close() error {
	if len(s.held) == 0 {
		return nil
	}
	rest := s.held
	s.held = nil
	for _, secret := range s.secrets {
		if _, matched, _ := match(secret, rest); matched >= minSecret {
			rest = stars(len(rest))
			break
		}
	}
	_, err := s.to.Write(rest)
	return err
}

// clean returns b without secrets, and the end of b in which one may begin.
func (s *scrubber) clean(b []byte) (clean, rest []byte) {
	own := false // b is ours to change
	for i := 0; i < len(b); i++ {
		if !s.first[b[i]] {
			continue
		}
		n, open := s.find(b[i:])
		if open {
			return b[:i], b[i:]
		}
		if n > 0 {
			if !own {
				b, own = slices.Clone(b), true
			}
			copy(b[i:], stars(n))
			i += n - 1
		}
	}
	return b, nil
}

// find returns how many bytes the longest secret at the beginning of b takes; 0
// for none. open says that b is too short to know.
func (s *scrubber) find(b []byte) (n int, open bool) {
	for _, secret := range s.secrets {
		if unlike(secret, b) {
			continue
		}
		taken, matched, short := match(secret, b)
		open = open || short
		if matched == len(secret) {
			n = max(n, taken)
		}
	}
	return n, open
}

// unlike reports whether b differs from a secret in one of its first two bytes,
// neither of which is the beginning of an escape. Most of what begins like a
// secret ends here.
func unlike(secret string, b []byte) bool {
	return differs(secret[0], b[0]) || len(b) > 1 && b[0] == secret[0] && differs(secret[1], b[1])
}

func differs(secret, b byte) bool { return b != secret && b != '\\' && b != '%' }

// match compares the beginning of b with a secret, each byte of which may be
// escaped. short says that b ended before a difference showed.
func match(secret string, b []byte) (taken, matched int, short bool) {
	for matched < len(secret) {
		c, size, ok := unescape(b[taken:], secret[matched])
		if !ok {
			return taken, matched, false
		}
		if size == 0 {
			return taken, matched, true
		}
		if c != secret[matched] {
			return taken, matched, false
		}
		taken, matched = taken+size, matched+1
	}
	return taken, matched, false
}

// unescape reads one byte of a text, where want is what it should be: as it is,
// as \u0061, \/ or %61. size is 0 when b ends too early to tell.
func unescape(b []byte, want byte) (c byte, size int, ok bool) {
	switch {
	case len(b) == 0:
		return 0, 0, true
	case b[0] == '\\' && want != '\\':
		if len(b) == 1 {
			return 0, 0, true
		}
		if b[1] != 'u' {
			return b[1], 2, true
		}
		return hexByte(b, 2, 4)
	case b[0] == '%' && want != '%':
		return hexByte(b, 1, 2)
	}
	return b[0], 1, true
}

// hexByte reads the hexadecimal digits from b[from:] as one byte.
func hexByte(b []byte, from, digits int) (c byte, size int, ok bool) {
	var v int
	for i := range digits {
		if from+i >= len(b) {
			return 0, 0, true
		}
		d := strings.IndexByte("0123456789abcdef", b[from+i]|0x20)
		if d < 0 || b[from+i] < '0' {
			return 0, 0, false
		}
		v = v<<4 | d
	}
	return byte(v), from + digits, v < 0x80
}

func stars(n int) []byte { return []byte(strings.Repeat("*", n)) }

// suspects reports whether a text holds a byte with which a secret begins,
// followed by the second one or by what may be an escape.
func (s *scrubber) suspects(text string) bool {
	for i := range len(text) {
		if !s.first[text[i]] {
			continue
		}
		for _, secret := range s.secrets {
			if differs(secret[0], text[i]) {
				continue
			}
			if text[i] != secret[0] || i+1 == len(text) || !differs(secret[1], text[i+1]) {
				return true
			}
		}
	}
	return false
}

// header takes secrets out of the values of an answer's header.
func (s *scrubber) header(h http.Header) {
	if s.first == nil {
		return
	}
	for name, values := range h {
		for i, value := range values {
			if !s.suspects(value) {
				continue
			}
			var clean strings.Builder
			one := scrubber{to: &clean, secrets: s.secrets, first: s.first}
			_, _ = io.WriteString(&one, value) // a Builder takes everything
			_ = one.Close()
			if clean.String() != value {
				h[name] = slices.Clone(values)
				values = h[name]
				values[i] = clean.String()
			}
		}
	}
}
