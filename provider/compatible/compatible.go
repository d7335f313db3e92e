// Package compatible is what is known of the many servers that speak OpenAI's
// dialect without being OpenAI: one vendor for each, made from a Profile of its
// quirks, and one, "compatible", for those nobody has described.
//
// They differ in how errors look, in what a code is called, in whether a stream
// ends with [DONE], and in where their paths begin. All of that is data.
package compatible

import (
	"bytes"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dialect/chat"
	"github.com/holdfast-gateway/holdfast/dialect/responses"
	"github.com/holdfast-gateway/holdfast/provider"
)

// Profile is what one server does differently.
type Profile struct {
	Name    string
	GenAI   string   // as in provider.Vendor
	BaseURL string   // with the path before /chat/completions; "" for none of its own
	Hosts   []string // as in provider.Vendor
	Bare    bool     // its paths carry no /v1
	Own     bool     // software that its users run
	Done    bool     // its streams always end with [DONE]
	Usage   []string // where a stream's last chunk counts tokens, if not in "usage"
	Think   []string // beginnings of the names of models that think for minutes
	Rows    provider.Table
	Answers *provider.Answers // on paths of its own
}

// Vendors returns a vendor for each profile, in alphabetical order.
func Vendors() []*provider.Vendor {
	var all []*provider.Vendor
	for _, p := range profiles {
		all = append(all, p.Vendor())
	}
	return all
}

// Named returns the vendor of that profile, nil if there is none.
func Named(name string) *provider.Vendor {
	for _, p := range profiles {
		if p.Name == name {
			return p.Vendor()
		}
	}
	return nil
}

// Vendor makes a vendor of p.
func (p Profile) Vendor() *provider.Vendor {
	table := p.Rows.Join(common)
	v := &provider.Vendor{
		Name: p.Name, GenAI: p.GenAI, BaseURL: p.BaseURL, Hosts: p.Hosts, Table: table,
		Endpoint:   p.endpoint,
		Classify:   table.Classifier(resets, text),
		Sign:       sign,
		Reasoning:  p.reasoning,
		Dialect:    chat.New(),
		Answers:    p.Answers,
		RequestID:  "X-Request-Id",
		OwnServer:  p.Own,
		StrictEnd:  p.Done,
		Credential: []string{"Authorization"},
	}
	if p.Bare {
		v.Address = bare
	}
	return v
}

func (p Profile) endpoint(method, path string) provider.Endpoint {
	if method != http.MethodPost {
		return provider.Endpoint{}
	}
	switch {
	case strings.HasSuffix(path, "/v1/chat/completions"):
		return provider.Endpoint{Op: call.OpChat, Dialect: p.chat()}
	case strings.HasSuffix(path, "/v1/responses"):
		return provider.Endpoint{Op: call.OpResponses, Dialect: responses.New()}
	case strings.HasSuffix(path, "/v1/embeddings"):
		return provider.Endpoint{Op: call.OpEmbeddings, Dialect: chat.New()}
	}
	return provider.Endpoint{}
}

func (p Profile) chat() call.Dialect {
	if len(p.Usage) == 0 {
		return chat.New()
	}
	return counting{chat.New(), p.Usage}
}

// counting is a chat dialect that counts tokens in a place of its own.
type counting struct {
	call.Dialect
	usage []string
}

// Frame reads a chunk, and in the one that finishes the tokens.
func (d counting) Frame(event, data []byte, s *call.Stream) call.Frame {
	f := d.Dialect.Frame(event, data, s)
	if f.Kind != call.FrameFinish || s.Usage.Known {
		return f
	}
	usage := call.Value(bytes.TrimSpace(data)).Get(d.usage...)
	in, ok := s.Usage.Count(usage.Get("prompt_tokens"))
	out, too := s.Usage.Count(usage.Get("completion_tokens"))
	if ok || too {
		s.Usage.Input, s.Usage.Output, s.Usage.Known = in, out, true
	}
	return f
}

// bare leaves the version out of the path.
func bare(p provider.Place) *url.URL {
	asked := *p.Asked
	if rest, ok := strings.CutPrefix(asked.Path, "/v1/"); ok {
		asked.Path = "/" + rest
		asked.RawPath = strings.TrimPrefix(asked.RawPath, "/v1")
	}
	return provider.Join(p.Base, &asked)
}

func (p Profile) reasoning(model string) bool {
	if i := strings.LastIndexByte(model, '/'); i >= 0 { // "deepseek/deepseek-r1"
		model = model[i+1:]
	}
	model = strings.ToLower(model)
	for _, family := range p.Think {
		if strings.HasPrefix(model, family) {
			return true
		}
	}
	return false
}

func sign(h http.Header, key call.Secret) {
	provider.StripCredentials(h)
	h.Set("Authorization", "Bearer "+strings.TrimPrefix(string(key), "Bearer "))
}

func resets(e provider.Evidence, _ provider.ErrorBody) (time.Duration, bool) {
	return provider.ResetDurations(e.Header)
}

func text(_ provider.Evidence, body provider.ErrorBody) (time.Duration, bool) {
	return provider.WaitInText(body.Message)
}
