// Package all is the list of vendors.
package all

import (
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/anthropic"
	"github.com/holdfast-gateway/holdfast/provider/openai"
)

// Vendors returns the built-in vendors in alphabetical order. A new one adds its
// line here.
func Vendors() []*provider.Vendor {
	return []*provider.Vendor{
		anthropic.New(),
		openai.New(),
	}
}

// ByName returns the vendor of that name, nil if there is none.
func ByName(name string) *provider.Vendor {
	for _, v := range Vendors() {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// ByHost returns the vendor whose host that is, with or without a port; nil for
// a host nobody knows.
func ByHost(host string) *provider.Vendor {
	for _, v := range Vendors() {
		if v.OwnsHost(host) {
			return v
		}
	}
	return nil
}
