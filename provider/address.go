package provider

import (
	"net/url"
	"strings"
)

// Place is what an address is made of.
type Place struct {
	Base    *url.URL // of the target, as the operator wrote it
	Asked   *url.URL // what the caller asked for
	Model   string   // to be asked, after routing; "" where the path is not read
	Version string   // of the API, where the vendor keeps it in the query; "" none
}

// URL returns the address at v for p: what the vendor's Address says, else Join.
func (v *Vendor) URL(p Place) *url.URL {
	if v.Address != nil {
		return v.Address(p)
	}
	return Join(p.Base, p.Asked)
}

// Join puts the path that was asked for behind the base's. A base that ends in
// /v1, as SDKs write it, does not double the /v1 of the path. The query stays.
func Join(base, asked *url.URL) *url.URL {
	u := At(base, asked)
	prefix := strings.TrimSuffix(base.Path, "/")
	if rest, ok := strings.CutSuffix(prefix, "/v1"); ok && (strings.HasPrefix(asked.Path, "/v1/") || asked.Path == "/v1") {
		prefix = rest
	}
	if prefix != "" {
		u.Path = prefix + asked.Path
		if asked.RawPath != "" {
			u.RawPath = prefix + asked.RawPath
		}
	}
	return u
}

// At returns asked, at the host of base.
func At(base, asked *url.URL) *url.URL {
	u := *asked
	u.Scheme, u.Host, u.User, u.Fragment = base.Scheme, base.Host, nil, ""
	return &u
}
