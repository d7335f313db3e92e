package cache

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
)

// Key names a call by a digest: calls that differ anywhere in what went into it
// have different Keys.
type Key [sha256.Size]byte

// Digest makes a Key. Each part goes in with its length, so that no two lists of
// parts are the same text. It serves one goroutine.
type Digest struct{ sum hash.Hash }

// NewDigest returns a Digest without parts.
func NewDigest() Digest { return Digest{sha256.New()} }

// Text adds a part.
func (d Digest) Text(s string) {
	d.length(len(s))
	_, _ = d.sum.Write([]byte(s)) // never fails
}

// Bytes adds a part: the same as Text of it.
func (d Digest) Bytes(b []byte) {
	d.length(len(b))
	_, _ = d.sum.Write(b)
}

func (d Digest) length(n int) {
	var room [8]byte
	binary.BigEndian.PutUint64(room[:], uint64(n))
	_, _ = d.sum.Write(room[:])
}

// Key returns the Key of the parts so far.
func (d Digest) Key() (k Key) {
	d.sum.Sum(k[:0])
	return k
}
