package holdfast

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
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

// spender is one key of a target and a model. Another secret is another account,
// and the same one the same, whatever the key is called.
type spender struct {
	secret call.Secret // "" without a key
	model  string
}

// at is the account of a spender at an address.
func (s spender) at(address string) accountID {
	id := accountID{address: address, model: s.model}
	if s.secret != "" {
		id.key = sha256.Sum256([]byte(s.secret))
	}
	return id
}

// account returns what a key of this target may spend on a model.
func (p *learnt) account(key *call.Key, model string) *quota.Account {
	p.mu.Lock()
	defer p.mu.Unlock()
	by := spender{model: model}
	if key != nil {
		by.secret = key.Secret
	}
	if a := p.accounts[by]; a != nil {
		return a
	}
	if len(p.accounts) >= maxModels*max(1, len(p.keys)) {
		by.model = ""
		if a := p.accounts[by]; a != nil {
			return a
		}
	}
	a := p.ledger.open(by.at(p.target.URL.String()), p, p.quota)
	p.accounts[by] = a
	return a
}

// keyed returns the keys of a target by their secrets.
func keyed(keys []Key) map[call.Secret]string {
	names := make(map[call.Secret]string, len(keys))
	for _, k := range keys {
		names[call.Secret(k.Secret)] = k.Name
	}
	return names
}

// spendsWith says which keys the target has now, and forgets what others could
// spend.
func (p *learnt) spendsWith(keys []Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keyed(keys)
	for by := range p.accounts {
		if _, stays := p.keys[by.secret]; !stays && (by.secret != "" || len(keys) > 0) {
			p.ledger.leave(by.at(p.target.URL.String()), p)
			delete(p.accounts, by)
		}
	}
}

// limitTo puts limits in force. Those that stay leave the accounts alone.
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

// clashingQuotas reports targets that share a key and a model, and so an account,
// but not what it may spend. A target without a model asks for any.
func clashingQuotas(routes []Route) error {
	var errs []error
	type id struct{ address, secret string }
	seen := map[id][]Target{}
	for _, r := range routes {
		for _, t := range r.Targets {
			t.fill()
			keys := t.Keys
			if len(keys) == 0 {
				keys = []Key{{}}
			}
			for _, k := range keys {
				at := id{t.BaseURL, k.Secret}
				for _, other := range seen[at] {
					if err := other.clash(t); err != nil && !slices.ContainsFunc(errs, func(e error) bool { return e.Error() == err.Error() }) {
						errs = append(errs, err)
					}
				}
				seen[at] = append(seen[at], t)
			}
		}
	}
	return errors.Join(errs...)
}

// clash says what is wrong with the quotas of two targets that share a key.
func (t Target) clash(other Target) error {
	switch {
	case t.Quota == other.Quota:
	case t.Model == other.Model:
		return fmt.Errorf("targets %s and %s share a key and a model: give them the same quota", t.Name, other.Name)
	case (t.Model == "" || other.Model == "") && t.Quota.Limits() && other.Quota.Limits():
		return fmt.Errorf("targets %s and %s share a key, and the one without a model may ask for %q: give them the same quota", t.Name, other.Name, t.Model+other.Model)
	}
	return nil
}

// ledger holds the accounts of all keys, and which targets use them.
type ledger struct {
	rand func() float64

	mu       sync.Mutex
	accounts map[accountID]*shared
}

// shared is an account and those who use it.
type shared struct {
	*quota.Account
	by []*learnt
}

// open returns the account of that identity, which it makes if there is none. p
// uses it from then on.
func (l *ledger) open(id accountID, p *learnt, c quota.Config) *quota.Account {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.accounts[id]
	if a == nil {
		if l.accounts == nil {
			l.accounts = map[accountID]*shared{}
		}
		a = &shared{Account: quota.New(c, quota.Options{Rand: l.rand})}
		l.accounts[id] = a
	}
	if !slices.Contains(a.by, p) {
		a.by = append(a.by, p)
	}
	return a.Account
}

// leave says that p does not use an account any more.
func (l *ledger) leave(id accountID, p *learnt) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if a := l.accounts[id]; a != nil {
		a.by = slices.DeleteFunc(a.by, func(other *learnt) bool { return other == p })
	}
}

// keep drops the accounts that none of the posts uses and no attempt under way
// has taken from.
func (l *ledger) keep(posts map[string]*post) {
	used := map[*learnt]bool{}
	for _, p := range posts {
		used[p.learnt] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, a := range l.accounts {
		a.by = slices.DeleteFunc(a.by, func(p *learnt) bool { return !used[p] })
		if len(a.by) == 0 && a.Open() == 0 {
			delete(l.accounts, id)
		}
	}
}

// need is what the call asks of a quota.
func (in *incoming) need() quota.Need {
	return quota.NeedOf(in.Op, &in.Request)
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
		in.placed.Store(true)
		return held, &dispatch.NoQuotaError{Wait: wait}
	}
	in.yield()
	return held, nil
}

// yield gives up the places that the call may have at accounts that it did not
// take from: it went elsewhere, or has ended.
func (in *incoming) yield() {
	if !in.placed.Swap(false) {
		return
	}
	for _, t := range in.state.Targets {
		p := in.route.byTarget[t]
		if !in.spends(p) {
			continue
		}
		if len(t.Keys) == 0 {
			p.account(nil, in.model(t)).Yield(in.turn)
		}
		for i := range t.Keys {
			p.account(&t.Keys[i], in.model(t)).Yield(in.turn)
		}
	}
}

// affords reports whether some key of a target has quota for the call now, and
// otherwise how long that takes. A request that is too large for all of them is
// an error. Where no key is there to be asked, no quota is missing. If the call
// waits, it keeps its place.
func (in *incoming) affords(p *post, model string, waits bool) (ok bool, wait time.Duration, err error) {
	if !in.spends(p) {
		return true, 0, nil
	}
	need, who := in.need(), quota.Waiter{}
	if waits {
		who = in.waiter()
	}
	ask := func(k *call.Key) bool {
		w, e := p.account(k, model).Ready(need, who)
		if waits && w > 0 {
			in.placed.Store(true)
		}
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
	return ok || wait == 0 && err == nil, wait, err
}

// solvent picks a usable key that has quota, if there is one; else a usable one,
// whose gate will say what is missing.
func (in *incoming) solvent(t *call.Target, model string, tried []*call.Key) (*call.Key, time.Duration, bool) {
	pool, p := in.house.memory.pool, in.route.byTarget[t]
	prefer := in.prefers(t)
	first, wait, ok := pool.Key(t, model, prefer, tried)
	if !ok || len(t.Keys) < 2 || !in.spends(p) {
		return first, wait, ok
	}
	need, who := in.need(), in.waiter()
	tried = slices.Clone(tried)
	for k := first; ok; k, _, ok = pool.Key(t, model, prefer, tried) {
		if wait, err := p.account(k, model).Ready(need, who); wait == 0 && err == nil {
			return k, 0, true
		}
		in.placed.Store(true)
		tried = append(tried, k)
	}
	return first, 0, true
}

// unaffordable refuses a call that no waiting room helps: it is larger than the
// whole limit of every target, or what is left of the limits comes in too late.
func (in *incoming) unaffordable() *http.Response {
	var large *quota.TooLargeError
	next := time.Duration(0)
	for _, t := range in.state.Targets {
		ok, wait, err := in.affords(in.route.byTarget[t], in.model(t), false)
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
		return in.refuse(call.ReasonRateLimited, message, next)
	}
	message := fmt.Sprintf("The request takes %d tokens, as its provider counts prompt and max_tokens; no target of route %q allows more than %d a minute (%s). Shorten the prompt or lower max_tokens.",
		large.Need, in.Route, large.Limit, large.Of)
	return in.refuse(call.ReasonTooLarge, message, 0)
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
			s := QuotaStatus{Key: p.keys[by.secret], Model: by.model, Limit: l.Of.String(), Allowed: l.Limit, Left: l.Left, Reserved: l.Reserved}
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
