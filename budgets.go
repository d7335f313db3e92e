package holdfast

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/spend"
)

// Budget is what one client key, tenant or route may spend in a day, and what
// one call of it may ask for. What was spent is kept while the Transport lives,
// also when the figures change.
type Budget struct {
	Per string // PerKey, PerTenant or PerRoute
	Of  string // which one
	spend.Config
}

// Validate reports everything that is wrong with b, not only the first thing.
func (b Budget) Validate() error {
	var errs []error
	if b.Per != PerKey && b.Per != PerTenant && b.Per != PerRoute {
		errs = append(errs, fmt.Errorf("per: %q is none of key, tenant, route", b.Per))
	}
	if b.Of == "" {
		errs = append(errs, errors.New("of: the one that it is for is missing"))
	}
	return errors.Join(append(errs, b.Config.Validate())...)
}

func (b Budget) id() string { return b.Per + " " + b.Of }

// owner is a dimension of a Limit or Budget and one of its names: who it is for.
type owner struct{ per, of string }

// owners are those whose limits and budgets the call falls under. A name it does
// not have is nobody's.
func (in *incoming) owners() [3]owner {
	return [...]owner{{PerKey, in.who.key}, {PerTenant, in.Tenant}, {PerRoute, in.Route}}
}

// pursesFor returns the accounts of a configuration.
func (m *memory) pursesFor(budgets []Budget) map[owner]*spend.Account {
	m.mu.Lock()
	defer m.mu.Unlock()
	fresh := make(map[owner]*spend.Account, len(budgets))
	for _, b := range budgets {
		by := owner{b.Per, b.Of}
		a := m.purses[by]
		if a == nil {
			a = spend.New(b.id(), b.Config)
		}
		a.Reconfigure(b.Config)
		fresh[by] = a
	}
	m.purses = fresh
	return fresh
}

// refusedCall is a call that a limit or a budget does not let in.
type refusedCall struct {
	problem call.Problem
	class   call.Class
	wait    time.Duration
}

// charge lets the call in where its limits and budgets can bear it, and charges
// it there; in all of them or in none.
func (in *incoming) charge() *refusedCall {
	if refused := in.afford(); refused != nil {
		return refused
	}
	if over := in.limited(); over != nil {
		in.tell(&call.Event{Kind: call.Limited, Reason: over.limit, To: call.LimitedRefused, Wait: over.wait})
		return over.tell()
	}
	return nil
}

func (l *limitRefusal) tell() *refusedCall {
	message := fmt.Sprintf("The limit %q of calls is used up; the next is allowed in %s.", l.limit, l.wait.Round(time.Second))
	if l.wait < time.Second {
		message = fmt.Sprintf("The limit %q of calls is used up for a moment; try again.", l.limit)
	}
	if l.atOnce {
		message = fmt.Sprintf("As many calls are under way as the limit %q allows; try again when one has ended.", l.limit)
	}
	return &refusedCall{problem: call.Problem{Reason: call.ReasonRateLimited, Message: message}, class: call.Refused, wait: l.wait}
}

// afford checks the caps of the call's budgets and takes what it will cost.
func (in *incoming) afford() *refusedCall {
	accounts, wants := in.purses()
	for _, a := range accounts {
		if err := a.Config().Check(in.Op, &in.Request, in.bodySize()); err != nil {
			return tooMuch(err)
		}
	}
	switch {
	case !in.guarded && wants.read && !in.free():
		return badRequest("not_metered", "This call falls under a budget, and what this path asks for and costs cannot be measured.")
	case !in.guarded || !wants.meter:
		return nil
	}
	expected := spend.Estimate(in.Op, &in.Request)
	charge := spend.Charge{Tokens: expected.Sum()}
	for _, t := range in.state.Targets {
		price, ok := in.price(t)
		if !ok && wants.price {
			return badRequest("price_missing", "This call falls under a budget in US dollars, and no price is configured for a model that may answer it.")
		}
		charge.Money = max(charge.Money, price.Of(expected))
	}
	hold, err := spend.Reserve(accounts, charge)
	if err != nil {
		return exhausted(err)
	}
	in.hold = hold
	return nil
}

// wants are what the budgets of a call need to know of it: what its body asks
// for, what it uses, what that costs.
type wants struct{ read, meter, price bool }

// purses are the accounts that the call is charged to.
func (in *incoming) purses() (list []*spend.Account, w wants) {
	all := in.house.purses
	if len(all) == 0 {
		return nil, w
	}
	for _, by := range in.owners() {
		a := all[by]
		if a == nil {
			continue
		}
		c := a.Config()
		list = append(list, a)
		w = wants{w.read || c.Reads(), w.meter || c.Metered(), w.price || c.USDPerDay > 0}
	}
	return list, w
}

// bodySize is the length of the request's body, below 0 when nobody knows it.
func (in *incoming) bodySize() int64 {
	if in.body != nil {
		return in.req.ContentLength
	}
	return int64(len(in.Body))
}

// free reports whether a call that nobody reads costs nothing: it asks a tool,
// or only looks.
func (in *incoming) free() bool {
	if in.upgrade != "" {
		return false
	}
	switch in.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete:
		return true
	}
	return in.mount != ""
}

// price is what the model costs that a target would ask for: by its own name,
// else by the name that the caller used.
func (in *incoming) price(t *call.Target) (spend.Price, bool) {
	return in.house.config.Prices.Find(in.model(t), in.Request.Model)
}

// cost notes what an attempt used, when it has ended: for limits of tokens, for
// its tenant's share of the waiting room, and for budgets.
func (s *sending) cost(o *call.Outcome) {
	in := s.in
	if !in.guarded {
		return
	}
	used, odd := spend.Used(in.Op, &in.Request, o, s.reasoning())
	in.used.Add(used.Sum())
	if in.hold == nil {
		return
	}
	price, _ := in.price(s.upstream.Target)
	in.hold.Add(spend.Charge{Tokens: used.Sum(), Money: price.Of(used)}, odd)
}

// settle ends what the call held of limits and budgets.
func (in *incoming) settle() {
	in.settleTokens()
	in.hold.End()
	in.vacate()
}

func tooMuch(err error) *refusedCall {
	var much *spend.TooMuchError
	if !errors.As(err, &much) {
		return badRequest("invalid_request_body", "This call may not ask for so much.")
	}
	message := fmt.Sprintf("One call may ask for %s of at most %d.", much.Cap, much.Most)
	switch {
	case much.Cap == "max_body":
		return &refusedCall{problem: call.Problem{Reason: call.ReasonTooLarge, Message: fmt.Sprintf("The request body may have at most %d bytes.", much.Most)}, class: call.ClientError}
	case much.Asked == 0:
		message = fmt.Sprintf("Name a limit of output tokens of at most %d: a call without one may not be sent here.", much.Most)
	}
	return badRequest(much.Cap+"_exceeded", message)
}

func exhausted(err error) *refusedCall {
	var over *spend.ExhaustedError
	if !errors.As(err, &over) {
		return badRequest("budget_exhausted", "The budget is used up.")
	}
	return &refusedCall{
		problem: call.Problem{Reason: call.ReasonBudgetExhausted,
			Message: fmt.Sprintf("The budget of the day (%s) is used up, or too small for this call; a new day begins in %s.", over.Cap, over.For.Round(time.Minute))},
		class: call.Refused, wait: over.For,
	}
}

func badRequest(code, message string) *refusedCall {
	return &refusedCall{problem: call.Problem{Reason: call.ReasonBadRequest, Code: code, Message: message}, class: call.ClientError}
}
