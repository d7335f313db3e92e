package config

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/keys"
)

// ClientKey is the key of one client, of which the file holds a digest.
type ClientKey struct {
	// Name is in logs and listings.
	Name string `yaml:",key"`

	// SHA256 is the digest of the key: 64 hexadecimal digits. Required.
	SHA256 Digest `yaml:"sha256"`

	// Tenant says who pays.
	Tenant string `yaml:"tenant"`

	// Routes are those that the key may use; default all. A key with routes or
	// models cannot be used on paths that are not routed by a model, but for the
	// tools whose routes it names here.
	Routes []string `yaml:"routes"`

	// Models are the names that the key may ask for; * stands for any text.
	// Default all.
	Models []string `yaml:"models"`

	// Limits are what the key may use up.
	Limits Limits `yaml:"limits"`

	// Budget is what the key may spend.
	Budget Budget `yaml:"budget"`

	// Priority says how its calls wait: from 50 they are critical, from 1 high, below
	// 0 batch; default 0: as their route says.
	Priority int `yaml:"priority" min:"-100" max:"100"`

	// Expires is the day (2027-01-31, at 00:00 UTC) or the moment
	// (2027-01-31T18:00:00Z) from which on the key opens nothing; default never.
	Expires Moment `yaml:"expires"`
}

// Digest is the SHA-256 of a client key.
type Digest struct{ keys.Digest }

func (d *Digest) set(text string) error {
	parsed, err := keys.ParseDigest(text)
	d.Digest = parsed
	return err
}

// Moment is a point in time.
type Moment struct{ time.Time }

func (m *Moment) set(text string) error {
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil {
			m.Time = t
			return nil
		}
	}
	return errors.New("want a day or a moment: 2027-01-31, 2027-01-31T18:00:00Z")
}

// KeysRequired reports whether callers need a client key: keys stands in the
// file, be it empty.
func (f *File) KeysRequired() bool { return f.places.keys[placeOf("keys")] != nil }

// ClientKeys are the client keys, for who checks them.
func (f *File) ClientKeys() []keys.Key {
	var list []keys.Key
	for _, k := range f.Keys {
		list = append(list, keys.Key{
			Name: k.Name, Digest: k.SHA256.Digest, Tenant: k.Tenant, Routes: k.Routes, Models: k.Models,
			Priority: k.Priority, Expires: k.Expires.Time,
		})
	}
	return list
}

// RouteFor names the route that takes a model: the first that fits, "" if none
// does.
func (f *File) RouteFor(model string) string {
	for _, r := range f.Routes {
		if slices.ContainsFunc(r.models(), func(pattern string) bool { return call.Matches(pattern, model) }) {
			return r.Name
		}
	}
	return ""
}

// clientKeys finds what is wrong with the client keys.
func (c *checker) clientKeys() {
	if c.KeysRequired() && c.InsecureNoAuth {
		c.fail([]string{"insecure_no_auth"}, "excludes keys: with keys nobody calls without one")
	}
	owners := map[keys.Digest]string{}
	for _, k := range c.Keys {
		at := func(more ...string) []string { return append([]string{"keys", k.Name}, more...) }
		if strings.TrimSpace(k.Name) == "" {
			c.fail(at(), "a key needs a name")
		}
		if k.SHA256.Digest == (keys.Digest{}) {
			c.fail(at(), "sha256 is missing: the digest of the key; holdfast key new makes both")
		} else if other, twice := owners[k.SHA256.Digest]; twice {
			c.fail(at("sha256"), "the key %q has the same digest", other)
		}
		owners[k.SHA256.Digest] = k.Name
		for i, name := range k.Routes {
			if !slices.Contains(c.routeNames(), name) {
				c.fail(at("routes", strconv.Itoa(i)), "unknown route %q%s", name, suggest(name, c.routeNames()))
			}
		}
		for i, name := range k.Models {
			if name == "" {
				c.fail(at("models", strconv.Itoa(i)), "an empty name matches nothing; * matches every model")
			}
		}
	}
}

func (f *File) routeNames() []string {
	names := make([]string, len(f.Routes))
	for i, r := range f.Routes {
		names[i] = r.Name
	}
	return names
}
