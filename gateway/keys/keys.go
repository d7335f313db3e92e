// Package keys knows who may call: the client keys of a gateway, of which it
// holds digests and never the keys.
//
// A key is found by the SHA-256 of what a caller presents. Keys are long and
// random, so a plain digest is enough: there is nothing to guess. What a key may
// do (routes, models, until when) is told with it; asking is the edge's business.
package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Why a key does not open.
var (
	ErrMissing = errors.New("keys: no key was presented")
	ErrUnknown = errors.New("keys: no such key")
	ErrExpired = errors.New("keys: the key has expired")
)

// Digest is the SHA-256 of a key.
type Digest [sha256.Size]byte

// DigestOf returns the digest of what a caller presents.
func DigestOf(secret string) Digest { return sha256.Sum256([]byte(secret)) }

// ParseDigest reads a digest as configuration files hold it: 64 hexadecimal
// digits, with or without "sha256:" before them. That of an empty key, of a blank
// or the end of a line, as a shell makes them by mistake, and one of zeros are
// refused. The error holds no part of text.
func ParseDigest(text string) (Digest, error) {
	raw, err := hex.DecodeString(strings.TrimPrefix(text, "sha256:"))
	if err != nil || len(raw) != sha256.Size {
		return Digest{}, errors.New("want the SHA-256 digest of a key, 64 hexadecimal digits; holdfast key new makes both")
	}
	d := Digest(raw)
	if d == (Digest{}) {
		return Digest{}, errors.New("is all zeros: the digest of no key; holdfast key new makes both")
	}
	for _, nothing := range []string{"", " ", "\n", "\r\n", "\x00"} {
		if d == DigestOf(nothing) {
			return Digest{}, errors.New("is the digest of an empty key; holdfast key new makes both")
		}
	}
	return d, nil
}

// String returns the digest as configuration files hold it.
func (d Digest) String() string { return "sha256:" + hex.EncodeToString(d[:]) }

// Key is one client's key, without the key.
type Key struct {
	Name     string    // in logs and listings
	Digest   Digest    // of the key
	Tenant   string    // who pays; "" nobody in particular
	Routes   []string  // that it may use; none: all
	Models   []string  // that it may name, * stands for any text; none: all
	Priority int       // in the waiting room; 0 is normal
	Expires  time.Time // from here on it opens nothing; zero: never
}

// Limited reports whether the key may not use everything.
func (k Key) Limited() bool { return len(k.Routes) > 0 || len(k.Models) > 0 }

// May reports whether the key may ask for a model that a route takes.
func (k Key) May(route, model string) bool {
	return allowed(k.Routes, func(r string) bool { return r == route }) &&
		allowed(k.Models, func(pattern string) bool { return call.Matches(pattern, model) })
}

// MayTool reports whether the key may call the tool of a route. Nobody reads what a
// tool is asked, so a key with limits has to name the route.
func (k Key) MayTool(route string) bool { return !k.Limited() || slices.Contains(k.Routes, route) }

func allowed(list []string, fits func(string) bool) bool {
	for _, one := range list {
		if fits(one) {
			return true
		}
	}
	return len(list) == 0
}

// Set are the keys of one configuration. It is not changed after it is made and
// safe for concurrent use. An empty one lets nobody in; a nil one cannot be asked.
type Set struct {
	byDigest map[Digest]Key
}

// NewSet returns a Set. Of two keys with one digest the last counts.
func NewSet(list []Key) *Set {
	s := &Set{byDigest: make(map[Digest]Key, len(list))}
	for _, k := range list {
		s.byDigest[k.Digest] = k
	}
	return s
}

// Find returns the key that a caller presents at a moment: ErrMissing without
// one, ErrUnknown or ErrExpired when it opens nothing. The time it takes depends
// on the digest at most, from which nothing can be learnt about a key.
func (s *Set) Find(secret string, now time.Time) (Key, error) {
	if secret == "" {
		return Key{}, ErrMissing
	}
	digest := DigestOf(secret)
	k, ok := s.byDigest[digest]
	if !ok || subtle.ConstantTimeCompare(k.Digest[:], digest[:]) != 1 {
		return Key{}, ErrUnknown
	}
	if !k.Expires.IsZero() && !now.Before(k.Expires) {
		return Key{}, ErrExpired
	}
	return k, nil
}

// New makes a key: 256 random bits behind a prefix by which secret scanners and
// people recognise it.
func New() (secret string, digest Digest) {
	secret = "hfk_" + rand.Text() + rand.Text()
	return secret, DigestOf(secret)
}
