package holdfast

import (
	"context"
	"net/netip"

	"github.com/holdfast-gateway/holdfast/ratelimit"
)

// options travel with a request's context.
type options struct {
	route, tenant, client string
	who                   caller
	priority              int
	noRetry               bool
}

type optionsKey struct{}

func with(ctx context.Context, set func(*options)) context.Context {
	o := &options{}
	if before, ok := ctx.Value(optionsKey{}).(*options); ok {
		*o = *before
	}
	set(o)
	return context.WithValue(ctx, optionsKey{}, o) // nobody changes it any more
}

func optionsFrom(ctx context.Context) options {
	if o, ok := ctx.Value(optionsKey{}).(*options); ok {
		return *o
	}
	return options{}
}

// Caller is who makes a call. A field that is left zero is not known.
type Caller struct {
	Key      string     // as WithKey
	Tenant   string     // as WithTenant
	Client   string     // as WithClient
	Address  netip.Addr // as WithAddress
	Priority int        // as WithPriority
	Route    string     // as WithRoute
}

// WithCaller says all at once who makes the call; it replaces what was said
// before.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return with(ctx, func(o *options) {
		o.who, o.tenant, o.client, o.priority, o.route = caller{c.Key, c.Address}, c.Tenant, c.Client, c.Priority, c.Route
	})
}

// WithRoute makes the call use the route of that name instead of the one its
// model would choose. An unknown name is answered with 404.
func WithRoute(ctx context.Context, name string) context.Context {
	return with(ctx, func(o *options) { o.route = name })
}

// WithTenant says who pays for the call.
func WithTenant(ctx context.Context, tenant string) context.Context {
	return with(ctx, func(o *options) { o.tenant = tenant })
}

// WithClient names the client, so that its own retries are recognised. It must
// not be the client's credential: use a digest. Default: a digest of the
// request's credential headers.
func WithClient(ctx context.Context, digest string) context.Context {
	return with(ctx, func(o *options) { o.client = digest })
}

// caller is who asks, as limits and budgets know them.
type caller struct {
	key  string
	from netip.Addr
}

// address is under what limits count the address that a call comes from.
func (c caller) address() string {
	if !c.from.IsValid() {
		return ""
	}
	return ratelimit.AddressKey(c.from)
}

// WithKey names the client key that the call was made with, for limits and
// budgets of keys. It must not be the key itself.
func WithKey(ctx context.Context, name string) context.Context {
	return with(ctx, func(o *options) { o.who.key = name })
}

// WithAddress says from which address the call came, for limits of addresses:
// the caller's own, not that of a proxy in between.
func WithAddress(ctx context.Context, a netip.Addr) context.Context {
	return with(ctx, func(o *options) { o.who.from = a })
}

// WithPriority says how urgent the call is, and so its class in the waiting room:
// from 50 critical, from 1 high, below 0 batch. 0 is that of the call's route. A
// request may lower it with the header X-Holdfast-Priority and a class's name.
func WithPriority(ctx context.Context, p int) context.Context {
	return with(ctx, func(o *options) { o.priority = p })
}

// WithNoRetry gives the call one attempt.
func WithNoRetry(ctx context.Context) context.Context {
	return with(ctx, func(o *options) { o.noRetry = true })
}
