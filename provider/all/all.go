// Package all is the list of vendors.
package all

import (
	"net/http"
	"slices"

	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/anthropic"
	"github.com/holdfast-gateway/holdfast/provider/openai"
)

// Default is the vendor whose dialect most servers speak.
const Default = "openai"

// vendors is the list, in alphabetical order. A new vendor adds its line here.
var vendors = []*provider.Vendor{
	anthropic.New(),
	openai.New(),
}

// Vendors returns the built-in vendors in alphabetical order.
func Vendors() []*provider.Vendor { return slices.Clone(vendors) }

// ByName returns the vendor of that name, nil if there is none.
func ByName(name string) *provider.Vendor {
	for _, v := range vendors {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// ByHost returns the vendor whose host that is, with or without a port; nil for
// a host nobody knows.
func ByHost(host string) *provider.Vendor {
	for _, v := range vendors {
		if v.OwnsHost(host) {
			return v
		}
	}
	return nil
}

// Claiming returns the vendor whose client sent a request on a path nobody
// reads. Most servers speak OpenAI's dialect, so it has what nobody claims.
func Claiming(h http.Header, path string) *provider.Vendor {
	for _, v := range vendors {
		if v.Claims != nil && v.Claims(h, path) {
			return v
		}
	}
	return ByName(Default)
}
