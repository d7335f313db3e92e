// Package all is the list of vendors.
package all

import (
	"net/http"
	"slices"
	"strings"

	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/anthropic"
	"github.com/holdfast-gateway/holdfast/provider/azure"
	"github.com/holdfast-gateway/holdfast/provider/bedrock"
	"github.com/holdfast-gateway/holdfast/provider/cohere"
	"github.com/holdfast-gateway/holdfast/provider/compatible"
	"github.com/holdfast-gateway/holdfast/provider/gemini"
	"github.com/holdfast-gateway/holdfast/provider/openai"
	"github.com/holdfast-gateway/holdfast/provider/tool"
)

// Default is the vendor whose dialect most servers speak.
const Default = "openai"

// NotYet says why a vendor that is only described cannot be a target.
const NotYet = "is only known by its errors so far: requests come with failover between providers"

// vendors is the list, in alphabetical order. A new vendor adds its line here.
var vendors = inOrder(
	[]*provider.Vendor{
		anthropic.New(),
		azure.New(),
		openai.New(),
		tool.New(),
	},
	compatible.Vendors(),
)

// readers are the vendors in the order they are asked who reads a path.
var readers = slices.Concat([]*provider.Vendor{ByName(Default)}, slices.DeleteFunc(Vendors(), func(v *provider.Vendor) bool { return v.Name == Default }))

// described are the vendors whose codes and frames are known and whose dialect
// nobody speaks here yet: no request is ever sent to them.
var described = []*provider.Vendor{
	bedrock.New(),
	cohere.New(),
	gemini.New(),
	gemini.NewVertex(),
}

func inOrder(lists ...[]*provider.Vendor) []*provider.Vendor {
	all := slices.Concat(lists...)
	slices.SortFunc(all, func(a, b *provider.Vendor) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// Vendors returns the vendors that a target may name, in alphabetical order.
func Vendors() []*provider.Vendor { return slices.Clone(vendors) }

// Tables returns every vendor with a table: Vendors, and those of which no more
// than the table is known. In alphabetical order.
func Tables() []*provider.Vendor { return inOrder(vendors, described) }

// Described reports whether name is a vendor of which only the table is known.
// NotYet is what to tell who names one as a target.
func Described(name string) bool {
	return slices.ContainsFunc(described, func(v *provider.Vendor) bool { return v.Name == name })
}

// ByName returns the vendor of that name that a target may name, nil if there is
// none.
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

// Reading returns the vendor that reads a path, and what the path asks for; nil
// when nobody reads it. Most paths are OpenAI's, so it is asked first.
func Reading(method, path string) (*provider.Vendor, provider.Endpoint) {
	for _, v := range readers {
		if ep := v.Endpoint(method, path); ep.Dialect != nil {
			return v, ep
		}
	}
	return nil, provider.Endpoint{}
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
