package edge

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/keys"
	"github.com/holdfast-gateway/holdfast/provider/all"
)

// credentialHeaders are where a client key may stand, in the order in which they
// are looked at. The first is for callers whose other headers hold their own
// provider's key.
var credentialHeaders = []string{"X-Holdfast-Key", "Authorization", "X-Api-Key", "Api-Key"}

type callerKey struct{}

// callerOf returns the client key of an authenticated request; false when the
// gateway asks for none.
func callerOf(r *http.Request) (keys.Key, bool) {
	if k, ok := r.Context().Value(callerKey{}).(*keys.Key); ok {
		return *k, true
	}
	return keys.Key{}, false
}

// authenticate returns the request of a caller who may call, with the key's
// owner in its context and without the key in its headers: no key of ours ever
// reaches a provider. Without client keys everybody may call.
func (h *Handler) authenticate(r *http.Request) (*http.Request, *call.Problem) {
	if h.config.Keys == nil {
		return r, nil
	}
	set, required := h.config.Keys()
	switch {
	case !required:
		return r, nil
	case set == nil: // never open by accident
		return nil, &call.Problem{Reason: call.ReasonShed, Message: "Keys cannot be checked now; try again."}
	}
	key, err := find(set, r.Header)
	if err != nil {
		return nil, unauthorized(err)
	}
	known := r.WithContext(context.WithValue(r.Context(), callerKey{}, &key))
	known.Header = maps.Clone(r.Header)
	for _, name := range credentialHeaders {
		known.Header[name] = withoutKeys(set, name, known.Header[name])
		if len(known.Header[name]) == 0 {
			delete(known.Header, name)
		}
	}
	return known, nil
}

// find returns the first key that opens. An expired key is told as such, since
// who holds it has proved to know it.
func find(set *keys.Set, header http.Header) (keys.Key, error) {
	worst := keys.ErrMissing
	for _, name := range credentialHeaders {
		for _, value := range header[name] {
			key, err := set.Find(presented(name, value), time.Now())
			if err == nil {
				return key, nil
			}
			if !errors.Is(err, keys.ErrMissing) && !errors.Is(worst, keys.ErrExpired) {
				worst = err
			}
		}
	}
	return keys.Key{}, worst
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

// withoutKeys leaves what is no key of ours, expired or not.
func withoutKeys(set *keys.Set, name string, values []string) []string {
	var rest []string
	for _, value := range values {
		if _, err := set.Find(presented(name, value), time.Now()); errors.Is(err, keys.ErrUnknown) || errors.Is(err, keys.ErrMissing) {
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

// permitted returns the request bound to the route that was checked, so that
// what was allowed is what happens, also when the configuration changes in
// between. A key with limits reaches only what a route takes by its model: paths
// that are not read could be anything.
func (h *Handler) permitted(r *http.Request, content []byte) (*http.Request, *call.Problem) {
	key, known := callerOf(r)
	if !known || !key.Limited() {
		return r, nil
	}
	model := modelOf(r, content)
	route := h.config.Route(model)
	if model == "" || route == "" || !key.May(route, model) {
		return r, unknownModel(model)
	}
	return r.WithContext(holdfast.WithRoute(r.Context(), route)), nil
}

func unknownModel(model string) *call.Problem {
	if model == "" {
		return &call.Problem{Reason: call.ReasonUnknownRoute, Message: "This key may only be used with models it is allowed to name."}
	}
	return &call.Problem{Reason: call.ReasonUnknownRoute,
		Message: "No route that this key may use takes the model \"" + capped(model) + "\"."}
}

// modelsFor returns the names that a caller may ask for.
func (h *Handler) modelsFor(r *http.Request) []string {
	names := h.config.Models()
	key, known := callerOf(r)
	if !known || !key.Limited() {
		return names
	}
	var own []string
	for _, name := range names {
		if key.May(h.config.Route(name), name) {
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
