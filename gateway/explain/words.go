package explain

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/holdfast-gateway/holdfast/gateway/internal/reach"
)

// longest is how much of a text that others wrote is kept, in bytes.
const longest = 128

// plain cuts and cleans a text that a caller or a provider wrote: it is shown
// on terminals. The copy does not keep a larger text alive.
func plain(s string) string {
	if len(s) <= longest && printable(s) {
		return strings.Clone(s)
	}
	cut := len(s) > longest
	if cut {
		s = s[:longest]
	}
	s = strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, s)
	if cut {
		return s + "..."
	}
	return strings.Clone(s)
}

// printable reports whether a text is of ASCII that is shown as it is.
func printable(s string) bool {
	for i := range len(s) {
		if s[i]-0x20 >= 0x5f {
			return false
		}
	}
	return true
}

// still is plain for a text that was kept before and has rarely changed.
func still(kept, s string) string {
	if kept == s && s != "" {
		return kept
	}
	return plain(s)
}

// code keeps a provider's code if it looks like one: a word of letters with few
// digits. A hostile or careless provider may echo a credential there.
func code(s string) string {
	digits := 0
	for _, r := range s {
		switch {
		case r >= '0' && r <= '9':
			digits++
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r == '.':
		default:
			return "unlisted"
		}
	}
	if len(s) > 64 || digits > 4 {
		return "unlisted"
	}
	return strings.Clone(s)
}

// fault names what was wrong with a connection by a closed list: the text of
// such an error can repeat what the other side sent.
func fault(err error) string {
	if err == nil { // what follows takes memory
		return ""
	}
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var verification *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var forbidden *reach.RefusedError
	switch {
	case errors.As(err, &forbidden):
		return "forbidden_address"
	case errors.As(err, &dns):
		return "name_not_found"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "reset"
	case errors.As(err, &record), errors.As(err, &alert), errors.As(err, &verification), errors.As(err, &unknown), errors.As(err, &name):
		return "tls"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "unexpected_end"
	}
	return "other"
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
