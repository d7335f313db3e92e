package admin

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast"
)

// Bounds of what operators say about a circuit.
const (
	maxBody   = 16 << 10
	maxReason = 200
	maxFor    = 720 * time.Hour
)

func (a *API) listBreakers(w http.ResponseWriter, _ *http.Request, _ map[string]string) *problem {
	list := Breakers{Breakers: []Breaker{}}
	for _, t := range a.current().Targets {
		list.Breakers = append(list.Breakers, a.breaker(t))
	}
	return reply(w, http.StatusOK, list)
}

// breaker is the circuit of a target, with what was done to it by hand.
func (a *API) breaker(t holdfast.TargetStatus) Breaker {
	b := Breaker{Target: t.Name, Provider: t.Provider, Model: t.Model, State: t.Breaker, OpenUntil: t.OpenUntil}
	a.mu.Lock()
	defer a.mu.Unlock()
	if h := a.hands[t.Name]; h != nil && (h.Until.IsZero() || h.Until.After(a.now())) {
		held := *h
		b.Hand = &held
	}
	return b
}

func (a *API) target(name string) (holdfast.TargetStatus, bool) {
	all := a.current().Targets
	i := slices.IndexFunc(all, func(t holdfast.TargetStatus) bool { return t.Name == name })
	if i < 0 {
		return holdfast.TargetStatus{}, false
	}
	return all[i], true
}

// move does one action on the circuit of a target.
func (a *API) move(w http.ResponseWriter, r *http.Request, name, action string) *problem {
	t, ok := a.target(name)
	if !ok {
		return &problem{Status: http.StatusNotFound, Code: "not_found", Detail: "No target has that name. GET /api/v1/breakers names them."}
	}
	var m Move
	if p := read(w, r, &m); p != nil {
		return p
	}
	during, p := m.check(action)
	if p != nil {
		return p
	}
	if err := a.act(t, action, m.Reason, during); err != nil { // it was removed meanwhile
		return &problem{Status: http.StatusNotFound, Code: "not_found", Detail: err.Error()}
	}
	a.Log.Warn("operator", "action", action, "target", name, "reason", m.Reason, "for", during.String(), "from", r.RemoteAddr)
	t, _ = a.target(name)
	return reply(w, http.StatusOK, a.breaker(t))
}

// read reads a JSON body strictly; nothing at all stands for {}.
func read(w http.ResponseWriter, r *http.Request, into any) *problem {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return badRequest("The body cannot be read, or is larger than 16 kB.")
	}
	if len(body) == 0 {
		return nil
	}
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return &problem{Status: http.StatusUnsupportedMediaType, Code: "unsupported_media_type", Detail: "Send the body as Content-Type: application/json."}
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return badRequest("The body is no JSON object with the members reason and for.")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return badRequest("Something stands behind the JSON object.")
	}
	return nil
}

// check says what is wrong with what an operator wants, and how long it is to last.
func (m Move) check(action string) (time.Duration, *problem) {
	switch {
	case len(m.Reason) > maxReason || !printable(m.Reason):
		return 0, badRequest("reason is one line of at most 200 characters.")
	case action == "reset" && m.For != "":
		return 0, badRequest("A reset does not last; leave for out.")
	case action != "reset" && strings.TrimSpace(m.Reason) == "":
		return 0, badRequest("Say why in reason: other operators will ask.")
	case m.For == "":
		return 0, nil
	}
	during, err := time.ParseDuration(m.For)
	if err != nil || during <= 0 || during > maxFor {
		return 0, badRequest("for is a time such as 30m or 2h, at most 720h.")
	}
	return during, nil
}

// act moves the circuit and remembers who holds it, for how long.
func (a *API) act(t holdfast.TargetStatus, action, reason string, during time.Duration) error {
	a.mu.Lock()
	defer a.mu.Unlock()                                               // actions on circuits are rare, and must not cross each other
	if action == "open" && during > 0 && t.Breaker == "forced_open" { // it would stay open for good
		if err := a.Breaker(t.Name, "reset", reason, 0); err != nil {
			return err
		}
	}
	if err := a.Breaker(t.Name, action, reason, during); err != nil {
		return err
	}
	if timer := a.timers[t.Name]; timer != nil {
		timer.Stop()
		delete(a.timers, t.Name)
	}
	delete(a.hands, t.Name)
	if action == "reset" {
		return nil
	}
	h := &Hand{Action: action, Reason: reason, Since: a.now()}
	if during > 0 {
		h.Until = h.Since.Add(during)
	}
	a.hands[t.Name] = h
	if action == "close" && during > 0 && !a.closed { // an open circuit is probed by itself
		a.timers[t.Name] = time.AfterFunc(during, func() { a.letGo(t.Name, h) })
	}
	return nil
}

// letGo resets a circuit whose time of being held closed is over.
func (a *API) letGo(target string, h *Hand) {
	if a.dropHand(target, h) {
		a.Log.Warn("operator", "action", "reset", "target", target, "reason", "the time of close is over")
	}
}

// dropHand reports whether it was still that hand, and whether there still is
// such a target.
func (a *API) dropHand(target string, h *Hand) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed || a.hands[target] != h {
		return false // somebody did something else meanwhile
	}
	delete(a.hands, target)
	delete(a.timers, target)
	return a.Breaker(target, "reset", "", 0) == nil
}
