// Package provider is what all vendors share: how their knowledge is written
// down, how error bodies and waits are read, and the common tail of every
// table that says what an answer means.
//
// What is known of one vendor stands in its own folder, as data: a Table of
// codes, types and statuses first, functions only where data cannot say it.
// Nothing outside these folders asks which vendor it talks to.
package provider

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
)

// Vendor is what is known of one vendor. Its fields are not changed after it is
// made, and its functions are safe for concurrent use.
type Vendor struct {
	Name    string   // as in configuration: "openai"
	BaseURL string   // where its API is, without the version: "https://api.openai.com"; "" where every customer has an own address
	Hosts   []string // host names that are this vendor's; one with a leading dot stands for all below it
	Table   Table    // its own rows; the common ones follow them

	// Address says where a request goes. nil: where Join puts it.
	Address func(Place) *url.URL
	// Endpoint says what a path asks for. The path may carry a prefix before
	// its version. A path that is not read has no Dialect.
	Endpoint func(method, path string) Endpoint
	// Classify says what an error means. It never returns call.OK or
	// call.Unclassified.
	Classify func(Evidence) call.Verdict
	// Sign removes every credential from h and adds this one.
	Sign func(h http.Header, key call.Secret)
	// Reasoning reports whether a model may think for minutes before its first
	// token.
	Reasoning func(model string) bool

	// Dialect is the one in which errors on paths nobody reads are told. nil for a
	// tool: a path that no route names is never sent to one.
	Dialect call.Dialect
	// Answers reads the answers on paths that no dialect of ours reads, to tell how
	// they ended. nil: nothing is known of them.
	Answers *Answers
	// Claims reports whether a request on a path nobody reads comes from a client
	// of this vendor. nil claims nothing.
	Claims func(h http.Header, path string) bool

	GenAI      string   // what OpenTelemetry's gen_ai.provider.name calls it; "" as Name
	RequestID  string   // response header with the vendor's own request id
	OwnServer  bool     // software that its users run, which queues what it cannot take at once
	StrictEnd  bool     // the dialect's terminator is always sent: a stream without it is cut
	Credential []string // request headers in which this vendor takes a credential
}

// Endpoint is what a path asks for. A nil Dialect is a pass-through: its answers
// are not read.
type Endpoint struct {
	Op      call.Op
	Dialect call.Dialect
	Model   string // that the path names, for bodies that name none
}

// Evidence is what an attempt came back with when it was no success.
type Evidence struct {
	Status      int // HTTP status of the answer
	Header      http.Header
	Body        []byte       // the error body, bounded by who read it; nil when InBand
	Type        string       // the error's type, where it is told outside the body
	Problem     call.Problem // the error found inside an answer; zero unless InBand
	InBand      bool         // the error stood inside a 2xx answer
	PassThrough bool         // the path is not one we read: a 404 speaks of what the caller named, not of our target
	Now         time.Time    // when the answer came; waits are counted from here
}

// CredentialHeaders are the request headers in which clients send credentials to
// any vendor, or name the account the credential belongs to. A credential
// travels only to the host it was meant for, so Sign removes them all first.
var CredentialHeaders = []string{
	"Api-Key", "Authorization", "Cookie", "Openai-Organization", "Openai-Project",
	"Proxy-Authorization", "X-Api-Key", "X-Goog-Api-Key",
}

// StripCredentials removes every CredentialHeader from h.
func StripCredentials(h http.Header) {
	for _, name := range CredentialHeaders {
		h.Del(name)
	}
}

// OwnsHost reports whether host, with or without a port, is one of v's.
func (v *Vendor) OwnsHost(host string) bool {
	name := strings.ToLower(host)
	if i := strings.LastIndexByte(name, ':'); i > 0 && !strings.HasSuffix(name, "]") {
		name = name[:i]
	}
	name = strings.TrimSuffix(name, ".")
	for _, own := range v.Hosts {
		if below := own[0] == '.'; name == own && !below || below && len(name) > len(own) && strings.HasSuffix(name, own) {
			return true
		}
	}
	return false
}
