package holdfast

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/dispatch"
	"github.com/holdfast-gateway/holdfast/quota"
)

// accountID tells what has limits of its own: one credential at one address, for
// one model. Targets that share it share the account, whatever their names.
type accountID struct {
	address string
	key     [sha256.Size]byte // of the secret; zero without one
	model   string
}

// spender is one key of a target and a model.
type spender struct{ key, model string }

// account returns what a key of this target may spend on a model.
func (p *learnt) account(key *call.Key, model string) *quota.Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	by := spender{model: model}
	if key != nil {
		by.key = key.Name
	}
	if a := p.accounts[by]; a != nil {
		return a
	}
	if len(p.accounts) >= maxModels*max(1, len(p.target.Keys)) {
		by.model = ""
		if a := p.accounts[by]; a != nil {
			return a
		}
	}
	id := accountID{address: p.target.URL.String(), model: by.model}
	if key != nil {
		id.key = sha256.Sum256([]byte(key.Secret))
	}
	a := p.shared(id, p.quota)
	p.accounts[by] = a
	return a
}

// clashingQuotas reports targets that share a key and a model, and so an account,
// but not what it may spend.
func clashingQuotas(routes []Route) error {
	var errs []error
	type id struct{ address, secret, model string }
	seen := map[id]Target{}
	for _, r := range routes {
		for _, t := range r.Targets {
			t.fill()
			for _, k := range t.Keys {
				at := id{t.BaseURL, k.Secret, t.Model}
				if other, ok := seen[at]; ok && other.Quota != t.Quota {
					errs = append(errs, fmt.Errorf("targets %s and %s share a key and a model: give them the same quota", other.Name, t.Name))
				}
				seen[at] = t
			}
		}
	}
	return errors.Join(errs...)
}

// account returns the account of that identity, which it makes if there is none.
func (m *memory) account(id accountID, c quota.Config) *quota.Account {
	m.accountsMu.Lock()
	defer m.accountsMu.Unlock()
	a := m.accounts[id]
	if a == nil {
		a = quota.New(c, quota.Options{Rand: m.rand})
		m.accounts[id] = a
	}
	return a
}

// limitTo puts limits in force. Those that stay leave the accounts alone, which
// may be shared with a target that has set others for its own model.
func (p *learnt) limitTo(c quota.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.quota == c {
		return
	}
	p.quota = c
	p.metered.Store(c.Limits())
	for _, a := range p.accounts {
		a.Reconfigure(c)
	}
}

// forgetAccounts drops the accounts that no target uses any more.
func (m *memory) forgetAccounts(posts map[string]*post) {
	used := map[*quota.Account]bool{}
	for _, p := range posts {
		p.mu.Lock()
		for _, a := range p.accounts {
			used[a] = true
		}
		p.mu.Unlock()
	}
	m.accountsMu.Lock()
	defer m.accountsMu.Unlock()
	for id, a := range m.accounts {
		if !used[a] {
			delete(m.accounts, id)
		}
	}
}

// need is what the call asks of a quota.
func (in *incoming) need() quota.Need {
	r := &in.Request
	return quota.Need{Input: r.InputTokens, MaxTokens: r.MaxTokens, Choices: r.Choices, Mute: !in.guarded || in.Op == call.OpEmbeddings}
}

// spends reports whether a call counts against what a target's keys may spend:
// questions to models do, and calls of tools; files, batches and counting have
// limits of their own.
func (in *incoming) spends(p *post) bool {
	if !p.metered.Load() {
		return false
	}
	if !in.guarded {
		return p.vendor.Dialect == nil
	}
	return in.Op != call.OpCountTokens
}

// waiter is the call as one that can wait for quota.
func (in *incoming) waiter() quota.Waiter {
	if in.turn == 0 {
		in.turn = in.house.memory.turns.Add(1)
	}
	return quota.Waiter{Number: in.turn, Patience: in.route.Queue.WithDefaults().MaxWait - time.Since(in.Arrived)}
}

// reserve is the gate between permit and circuit: it holds what the provider will
// charge for an attempt.
func (in *incoming) reserve(p *post, u call.Upstream) (held quota.Reservation, err error) {
	if !in.spends(p) {
		return held, nil
	}
	a := p.account(u.Key, u.Model)
	need := in.need()
	need.Thinks = u.Target.Reasoning || p.vendor.Reasoning(u.Model)
	wait, err := a.Take(need, in.waiter(), &held)
	switch {
	case err != nil:
		return held, dispatch.ErrIneligible
	case wait > 0:
		p.wakeIn(wait)
		return held, &dispatch.NoQuotaError{Wait: wait}
	}
	return held, nil
}

// affords reports whether some key of a target has quota for the call now, and
// otherwise how long that takes. A request that is too large for all of them is
// an error. who is the call, which keeps its place, or nobody.
func (in *incoming) affords(p *post, model string, who quota.Waiter) (ok bool, wait time.Duration, err error) {
	if !in.spends(p) {
		return true, 0, nil
	}
	ask := func(k *call.Key) bool {
		w, e := p.account(k, model).Ready(in.need(), who)
		switch {
		case e != nil:
			if wait == 0 {
				err = e
			}
		case w == 0:
			ok, wait, err = true, 0, nil
		case wait == 0 || w < wait:
			wait, err = w, nil
		}
		return !ok
	}
	if len(p.target.Keys) == 0 {
		ask(nil)
		return ok, wait, err
	}
	for i := range p.target.Keys {
		if k := &p.target.Keys[i]; (in.pinKey == "" || in.pinKey == k.Name) && !ask(k) {
			break
		}
	}
	return ok, wait, err
}

// solvent picks a usable key that has quota, if there is one; else a usable one,
// whose gate will say what is missing.
func (in *incoming) solvent(t *call.Target, model string, tried []*call.Key) (*call.Key, time.Duration, bool) {
	pool, p := in.house.memory.pool, in.route.byTarget[t]
	first, wait, ok := pool.Key(t, model, tried)
	if !ok || len(t.Keys) < 2 || !in.spends(p) {
		return first, wait, ok
	}
	tried = slices.Clone(tried)
	for k := first; ok; k, _, ok = pool.Key(t, model, tried) {
		if wait, err := p.account(k, model).Ready(in.need(), in.waiter()); wait == 0 && err == nil {
			return k, 0, true
		}
		tried = append(tried, k)
	}
	return first, 0, true
}

// unaffordable refuses a call that no waiting room helps: it is larger than the
// whole limit of every target, or what is left of the limits comes in too late.
func (in *incoming) unaffordable() *refusedCall {
	var large *quota.TooLargeError
	next := time.Duration(0)
	for _, t := range in.state.Targets {
		ok, wait, err := in.affords(in.route.byTarget[t], in.model(t), quota.Waiter{})
		switch {
		case err != nil:
			if e := tooLarge(err); large == nil || e.Limit > large.Limit {
				large = e
			}
		case ok || wait <= maxRetryAfter+time.Second:
			return nil
		case next == 0 || wait < next:
			next = wait
		}
	}
	if next > 0 {
		message := fmt.Sprintf("What the providers of route %q allow is used up; the next call is possible in %s.", in.Route, next.Round(time.Second))
		return &refusedCall{problem: call.Problem{Reason: call.ReasonRateLimited, Message: message}, class: call.Refused, wait: next}
	}
	message := fmt.Sprintf("The request takes %d tokens, as its provider counts prompt and max_tokens; no target of route %q allows more than %d a minute (%s). Shorten the prompt or lower max_tokens.",
		large.Need, in.Route, large.Limit, large.Of)
	return &refusedCall{problem: call.Problem{Reason: call.ReasonTooLarge, Message: message}, class: call.ClientError}
}

// tooLarge returns the only error that a quota has for a call.
func tooLarge(err error) *quota.TooLargeError {
	var e *quota.TooLargeError
	if !errors.As(err, &e) {
		return &quota.TooLargeError{}
	}
	return e
}

// wakeIn has the waiting rooms look again when quota will have come in. At most
// one look is due at a time; what comes first counts.
func (p *learnt) wakeIn(d time.Duration) {
	d = min(max(d, time.Millisecond), time.Minute)
	at := time.Now().Add(d)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.alarmAt.IsZero() && !at.Before(p.alarmAt) {
		return
	}
	p.alarmAt = at
	if p.alarm != nil {
		p.alarm.Reset(d)
		return
	}
	p.alarm = time.AfterFunc(d, func() {
		p.mu.Lock()
		p.alarmAt = time.Time{}
		p.mu.Unlock()
		p.wake()
	})
}

// QuotaStatus is one limit of one key for one model.
type QuotaStatus struct {
	Key      string `json:"key"`             // alias; "" for a target without keys
	Model    string `json:"model,omitempty"` // asked for; "" for all beyond the first 256
	Limit    string `json:"limit"`           // rpm, rpd, tpm, itpm or otpm
	Allowed  int64  `json:"allowed"`         // per minute (rpd: per day), as configured or announced by the provider if that is lower
	Left     int64  `json:"left"`            // that may be taken now; negative is debt
	Reserved int64  `json:"reserved"`        // held by attempts under way

	// Waste is the share of the charged tokens that nobody used, where max_tokens
	// is so far above what answers take that lowering it is worth while; else 0.
	Waste     float64 `json:"waste,omitempty"`
	MaxTokens int     `json:"max_tokens,omitempty"` // with Waste: the usual max_tokens
	Used      int     `json:"used,omitempty"`       // with Waste: what 99 of 100 answers stay within
}

// quotas is the post's accounts as a Status shows them.
func (p *learnt) quotas() []QuotaStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []QuotaStatus
	for by, a := range p.accounts {
		hint, wasteful := a.Hint()
		for _, l := range a.Levels() {
			s := QuotaStatus{Key: by.key, Model: by.model, Limit: l.Of.String(), Allowed: l.Limit, Left: l.Left, Reserved: l.Reserved}
			if wasteful && l.Of == quota.Tokens {
				s.Waste, s.MaxTokens, s.Used = hint.Waste, hint.MaxTokens, hint.Used
			}
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b QuotaStatus) int {
		return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Model, b.Model), strings.Compare(a.Limit, b.Limit))
	})
	return list
}
