package edge

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/keys"
	"github.com/holdfast-gateway/holdfast/provider/all"
)

// credentialHeaders are where a client key may stand, in the order in which they
// are looked at. The first is for callers whose other headers hold their own
// provider's key.
var credentialHeaders = []string{"X-Holdfast-Key", "Authorization", "X-Api-Key", "Api-Key"}

// caller is who asks: the owner of a client key, or nobody in particular where
// the gateway asks for none.
type caller struct {
	keys.Key
	known bool
	route string // the one that was found permitted; "" any
}

// authenticate finds out who asks, and takes the key out of the request: no key
// of ours ever reaches a provider. Without client keys everybody may call.
func (h *Handler) authenticate(r *http.Request) (who caller, problem *call.Problem) {
	if h.config.Keys == nil {
		return who, nil
	}
	set, required := h.config.Keys()
	switch {
	case !required:
		return who, nil
	case set == nil: // never open by accident
		return who, &call.Problem{Reason: call.ReasonShed, Message: "Keys cannot be checked now; try again."}
	}
	key, secret, err := find(set, r.Header)
	if err != nil {
		return who, unauthorized(err)
	}
	for _, name := range credentialHeaders {
		if values := r.Header[name]; len(values) > 0 {
			if values = withoutKeys(set, name, values, secret); len(values) > 0 {
				r.Header[name] = values
			} else {
				delete(r.Header, name)
			}
		}
	}
	return caller{Key: key, known: true}, nil
}

// find returns the first key that opens, and what was presented for it. An
// expired key is told as such, since who holds it has proved to know it.
func find(set *keys.Set, header http.Header) (key keys.Key, secret string, err error) {
	worst := keys.ErrMissing
	for _, name := range credentialHeaders {
		for _, value := range header[name] {
			secret = presented(name, value)
			if key, err = set.Find(secret, time.Now()); err == nil {
				return key, secret, nil
			}
			if !errors.Is(err, keys.ErrMissing) && !errors.Is(worst, keys.ErrExpired) {
				worst = err
			}
		}
	}
	return keys.Key{}, "", worst
}

// presented returns the credential in a header's value.
func presented(name, value string) string {
	value = strings.TrimSpace(value)
	if name != "Authorization" {
		return value
	}
	scheme, rest, _ := strings.Cut(value, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(rest)
}

// withoutKeys leaves what is no key of ours, expired or not. One of them, open,
// is known already.
func withoutKeys(set *keys.Set, name string, values []string, open string) []string {
	var rest []string
	for _, value := range values {
		one := presented(name, value)
		if one == open {
			continue
		}
		if _, err := set.Find(one, time.Now()); errors.Is(err, keys.ErrUnknown) || errors.Is(err, keys.ErrMissing) {
			rest = append(rest, value)
		}
	}
	return rest
}

func unauthorized(err error) *call.Problem {
	message := "No client key of this gateway was sent; send one as Authorization: Bearer, x-api-key, api-key or x-holdfast-key."
	switch {
	case errors.Is(err, keys.ErrExpired):
		message = "This client key has expired."
	case errors.Is(err, keys.ErrUnknown):
		message = "This client key is not known here."
	}
	return &call.Problem{Reason: call.ReasonUnauthorized, Message: message}
}

// permitted binds the caller to the route that was checked, so that what was
// allowed is what happens, also when the configuration changes in between. A key
// with limits reaches only what a route takes by its model, and the tools of the
// routes it names: other paths that are not read could be anything.
func (h *Handler) permitted(who *caller, r *http.Request, content []byte) *call.Problem {
	if !who.known || !who.Limited() {
		return nil
	}
	if tool := h.config.Tool(r.URL.Path); tool != "" {
		if !who.MayTool(tool) {
			return &call.Problem{Reason: call.ReasonUnknownRoute, Message: "This key may not use the tool that stands at this path."}
		}
		who.route = tool
		return nil
	}
	model := modelOf(r, content)
	route := h.config.Route(model)
	if model == "" || route == "" || !who.May(route, model) {
		return unknownModel(model)
	}
	who.route = route
	return nil
}

func unknownModel(model string) *call.Problem {
	if model == "" {
		return &call.Problem{Reason: call.ReasonUnknownRoute, Message: "This key may only be used with models it is allowed to name."}
	}
	return &call.Problem{Reason: call.ReasonUnknownRoute,
		Message: "No route that this key may use takes the model \"" + capped(model) + "\"."}
}

// modelsFor returns the names that a caller may ask for.
func (h *Handler) modelsFor(who *caller) []string {
	names := h.config.Models()
	if !who.known || !who.Limited() {
		return names
	}
	var own []string
	for _, name := range names {
		if who.May(h.config.Route(name), name) {
			own = append(own, name)
		}
	}
	return own
}

// modelOf returns the model that a request on a path whose bodies are read asks
// for; "" for other paths and bodies that cannot be read.
func modelOf(r *http.Request, content []byte) string {
	v, e := all.Reading(r.Method, r.URL.Path)
	if v == nil {
		return ""
	}
	var asked call.Request
	if err := e.Dialect.Read(content, &asked); err != nil {
		return ""
	}
	return cmp.Or(asked.Model, e.Model)
}
