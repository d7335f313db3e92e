// Package tool is what is known of a plain HTTP service: nothing but what HTTP
// itself says. Its paths are passed through, its answers are not read, and its
// errors are judged by their status alone: the words of a stranger's body have no
// agreed meaning.
package tool

import (
	"net/http"
	"net/textproto"
	"strings"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
)

// New returns what is known of any HTTP tool.
func New() *provider.Vendor {
	return &provider.Vendor{
		Name:       "http",
		Table:      table,
		Endpoint:   func(string, string) provider.Endpoint { return provider.Endpoint{} },
		Classify:   classify,
		Sign:       sign,
		Reasoning:  func(string) bool { return false },
		RequestID:  "X-Request-Id",
		Credential: []string{"Authorization"},
	}
}

// table holds what differs from a model's API: what a tool refuses, it refuses
// to the caller.
var table = provider.Table{
	{Status: 404, Class: call.ClientError, Note: "what the caller named is not there: the tool is innocent"},
	{Status: 409, Class: call.ClientError, Note: "the state is in the way, and a second try would not find another"},
	{Status: 501, Class: call.ClientError, Note: "the tool does not do this"},
}

var byStatus = table.Classifier()

// classify looks at status and Retry-After. A page in HTML is an answer too.
func classify(e provider.Evidence) call.Verdict {
	if e.InBand {
		return byStatus(e)
	}
	return byStatus(provider.Evidence{Status: e.Status, Header: e.Header, PassThrough: true, Now: e.Now})
}

// sign sends the credential as a bearer token or, written as "Name: value", in
// the header of that name.
func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	if name, value, ok := strings.Cut(string(key), ": "); ok && isName(name) {
		h.Set(name, strings.TrimSpace(value))
		return
	}
	h.Set("Authorization", "Bearer "+strings.TrimPrefix(string(key), "Bearer "))
}

// isName reports whether s can be the name of a header.
func isName(s string) bool {
	return s != "" && strings.Trim(textproto.CanonicalMIMEHeaderKey(s), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}
