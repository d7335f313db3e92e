package config

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/breaker"
	"github.com/holdfast-gateway/holdfast/cache"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/quota"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/target"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// The comments of the fields below are the reference: docs/reference/
// configuration.md is made from them.

// File is a configuration as it was written. It is not changed after Load.
type File struct {
	// Version is the version of this format: 1. Required.
	Version int `yaml:"version"`

	// Listen is the address that callers use; default 127.0.0.1:8080. An address
	// that other machines can reach needs keys, or insecure_no_auth.
	Listen string `yaml:"listen"`

	// InsecureNoAuth lets everybody who can reach a listen address that is not
	// loopback spend the configured credentials. Set it only where something in
	// front of the gateway authenticates. It excludes keys.
	InsecureNoAuth bool `yaml:"insecure_no_auth"`

	// Hosts are further names that callers may use for this address in a URL when
	// there are no keys. Addresses, names of one word and those under .localhost,
	// .local and .internal are always good; requests under other names are refused
	// (421), as DNS rebinding makes them: a web page's owner may point his name at
	// this machine. Keys or insecure_no_auth make every name good.
	Hosts []string `yaml:"hosts"`

	// TLS makes callers use https. Without it put the gateway behind something
	// that does, or listen on loopback.
	TLS TLS `yaml:"tls"`

	// Realtime says what happens to WebSockets on /v1/realtime: refuse (default,
	// 426) or tunnel: authenticated, with one permit and one attempt, to the route
	// of the model in its query. What goes through is not read.
	Realtime string `yaml:"realtime" oneof:"refuse tunnel"`

	// Admin is the listener for operators.
	Admin Admin `yaml:"admin"`

	// Logs says what is logged.
	Logs Logs `yaml:"logs"`

	// Telemetry says what programs that watch the gateway are told.
	Telemetry Telemetry `yaml:"telemetry"`

	// Profile is the set of defaults: standard (default) or interactive, for
	// chat users who wait: 9 s in all, few calls in flight.
	Profile string `yaml:"profile" oneof:"standard interactive"`

	// Providers are the services that answer, by a name of your choice.
	Providers []Provider `yaml:"providers,mapping"`

	// Keys are the keys of those who may call, by a name for each. With this key in
	// the file nobody else may, so keys: {} lets nobody in. Without it everybody
	// who can reach the address may call. holdfast key new makes one.
	Keys []ClientKey `yaml:"keys,mapping"`

	// Tenants are limits and budgets of those who pay, by the names that keys have
	// as their tenant.
	Tenants []Tenant `yaml:"tenants,mapping"`

	// Limits are limits of what callers may ask for, by a name for each. A call is
	// charged in all that it falls under, once, or in none when one refuses it. With
	// this key in the file the profile's own do not count: limits: {} has none.
	Limits []Limit `yaml:"limits,mapping"`

	// Prices are those of models, by name, for budgets in US dollars.
	Prices []Price `yaml:"prices,mapping"`

	// TrustedProxies are networks and addresses of proxies in front of the gateway.
	// Only of them X-Forwarded-For and Forwarded are believed: the caller's address
	// is the last in it that is no trusted proxy. Default: none, and the caller is
	// whoever opened the connection.
	TrustedProxies []string `yaml:"trusted_proxies"`

	// Routes are matched in this order: the first whose match fits takes the call.
	Routes []Route `yaml:"routes,mapping"`

	// Timeout holds the clocks of every route that does not set its own.
	Timeout timeout.Config `yaml:"timeout,policy"`

	// Retry holds attempts, backoff and budgets of every route that does not set
	// its own.
	Retry retry.Config `yaml:"retry,policy"`

	// Breaker says for every target when its circuit opens; a route may set its own.
	Breaker breaker.Config `yaml:"breaker,policy"`

	// Queue is the waiting room of every route that does not set its own.
	Queue admission.Config `yaml:"queue,policy"`

	// Concurrency says how many attempts a target carries at once; a number
	// stands for max. A provider may set its own.
	Concurrency concurrency.Config `yaml:"concurrency,policy"`

	// Health says how long refused keys and missing models rest.
	Health target.Config `yaml:"health,policy"`

	// Cache answers calls with what was said before, or is being said to the same
	// call, on every route that does not set its own. Off unless set.
	Cache cache.Config `yaml:"cache,policy"`

	// Upstream says how the gateway speaks to providers.
	Upstream Upstream `yaml:"upstream"`

	// MaxBody is the largest request body that is buffered, and so can be sent
	// again; default 32MiB. A larger one is refused with 413 where bodies are
	// read, and streamed with one attempt elsewhere.
	MaxBody Size `yaml:"max_body"`

	// MaxAnswer is the largest answer, not streamed, that is held until it is
	// whole; default 8MiB. A larger one is passed on as it comes.
	MaxAnswer Size `yaml:"max_answer"`

	// WriteStall is how long a caller may take no byte of its answer before it is
	// cut, and the call to the provider with it; default 60s.
	WriteStall time.Duration `yaml:"write_stall"`

	path   string
	text   []byte
	places places
	source *source

	secretFiles []string
}

// TLS is the certificate that callers are shown. Both files are read again when
// they change.
type TLS struct {
	// Cert is a PEM file with the certificate and those that lead to its root.
	Cert string `yaml:"cert"`

	// Key is a PEM file with the certificate's private key.
	Key string `yaml:"key"`
}

// Upstream says how the gateway speaks to providers.
type Upstream struct {
	// HTTP is the client: lean (default), one of Holdfast's own for version 1.1 of
	// the protocol, which costs the least; or net, that of Go's standard library,
	// which speaks version 2 where the provider offers it. A proxy from the
	// environment (HTTPS_PROXY) is always reached with net. A change takes effect
	// for calls that begin after it.
	HTTP string `yaml:"http" oneof:"lean net"`
}

// Admin is the listener for operators: /metrics, /livez, /readyz and /api/v1.
type Admin struct {
	// Listen is its address; default 127.0.0.1:8081. The address of listen
	// itself puts everything on one listener. An address that other machines can
	// reach needs a token.
	Listen string `yaml:"listen"`

	// Token is what operators must send as Authorization: Bearer to /api/v1 and
	// the profiler. /metrics, /livez and /readyz never ask for it. Without one
	// everybody on this machine is an operator.
	Token call.Secret `yaml:"token"`

	// Hosts are further names that operators may use for this address in a URL.
	// Loopback names and addresses and the address itself are always good;
	// requests under other names are refused (421), as DNS rebinding makes them.
	Hosts []string `yaml:"hosts"`

	// Pprof serves Go's profiler at /debug/pprof/; default false.
	Pprof bool `yaml:"pprof"`
}

// Logs says what is logged, to standard output.
type Logs struct {
	// Level is debug (one line per attempt too), info (default: one line per
	// call), warn (breakers, keys) or error.
	Level string `yaml:"level" oneof:"debug info warn error"`

	// Format is json, text, or auto (default): text where standard output is a
	// terminal, else json.
	Format string `yaml:"format" oneof:"auto json text"`

	// Limit is how many lines of one kind (the same message, route and outcome)
	// are written in a second; default 100. More are counted, and one line says
	// how many there were. off writes all.
	Limit LineLimit `yaml:"limit"`
}

// Telemetry says what programs that watch the gateway are told.
type Telemetry struct {
	// Metrics is false to have no /metrics at the operators' address; default
	// true.
	Metrics string `yaml:"metrics" oneof:"true false"`

	// OTLP is the base address of an OpenTelemetry collector that listens for
	// HTTP, as http://127.0.0.1:4318: spans go to /v1/traces below it. Default:
	// none are made.
	OTLP string `yaml:"otlp"`

	// GenAISemconv chooses the names of the spans' attributes gen_ai.*, which are
	// still moving: v1.41 (default) of OpenTelemetry's conventions, latest, or off
	// for none.
	GenAISemconv string `yaml:"genai_semconv" oneof:"v1.41 latest off"`

	// Traces says which calls have spans.
	Traces Traces `yaml:"traces,policy"`
}

// Traces says which calls have spans.
type Traces struct {
	// Ratio is the share of calls that are kept when their caller sent no
	// traceparent; default 1, off keeps none. A caller's traceparent decides for
	// its own calls.
	Ratio float64

	// Propagate sends providers a traceparent, so that their spans join the
	// trace; default false. tracestate and baggage are never sent on.
	Propagate bool
}

// Share is Ratio with its default.
func (t Traces) Share() float64 {
	switch {
	case t.Ratio < 0:
		return 0
	case t.Ratio == 0:
		return 1
	}
	return t.Ratio
}

// Validate reports what is wrong with t.
func (t Traces) Validate() error {
	if t.Ratio > 1 {
		return fmt.Errorf("ratio: %g is more than 1", t.Ratio)
	}
	return nil
}

// Provider is one service that answers calls.
type Provider struct {
	// Name is what targets, logs and metrics call it.
	Name string `yaml:",key"`

	// Kind says whose API it speaks: openai, anthropic, azure; compatible for any
	// other server of OpenAI's dialect, or one of those that are known by name
	// (deepseek, fireworks, groq, llamacpp, lmstudio, mistral, ollama, openrouter,
	// perplexity, together, vllm, xai); http for a tool that is no model. Default:
	// the provider's name, if it is one of these.
	Kind string `yaml:"kind"`

	// BaseURL is where it answers; default: the vendor's public address. A path
	// here is put before the request's path.
	BaseURL string `yaml:"base_url"`

	// APIVersion is the api-version of kind azure. Without it the newest paths are
	// asked, which need none.
	APIVersion string `yaml:"api_version"`

	// AllowAddresses are addresses and ranges that base_url may lead to although
	// they are refused otherwise: loopback behind a name that does not say so (a
	// name in /etc/hosts), and link-local. It allows more and forbids nothing:
	// private and public addresses need no word, and metadata services are never
	// called.
	AllowAddresses []string `yaml:"allow_addresses"`

	// Auth is configured (default): api_key or keys are sent, and what callers sent
	// never is; or passthrough: the caller's own credential is sent to this
	// provider's address and to no other. A caller who also needs a key of this
	// gateway sends that one as x-holdfast-key.
	Auth string `yaml:"auth" oneof:"configured passthrough"`

	// APIKey is its one credential. Without api_key and keys no credential is sent,
	// unless auth is passthrough.
	APIKey call.Secret `yaml:"api_key"`

	// Keys are its credentials, when there are several.
	Keys []Key `yaml:"keys"`

	// LenientEnd accepts a stream that ends after its finish reason without the
	// dialect's terminator, as some OpenAI-compatible servers do.
	LenientEnd bool `yaml:"lenient_end"`

	// Idempotent says that a request repeated here cannot act twice, whatever its
	// method: a tool that promises so. Without it a POST or PATCH to a tool is
	// repeated only where it cannot have acted.
	Idempotent bool `yaml:"idempotent"`

	// Concurrency says how many attempts each target here carries at once; a
	// number stands for max.
	Concurrency concurrency.Config `yaml:"concurrency,policy"`

	// Quota is what this provider allows each of its keys to spend on each model.
	// Calls wait for it in the queue instead of meeting a 429. A target may have its
	// own.
	Quota quota.Config `yaml:"quota,policy"`
}

// Key is one of several credentials of a provider.
type Key struct {
	// Name is its alias in logs and metrics; default key1, key2, ...
	Name string `yaml:"name"`

	// Key is the credential.
	Key call.Secret `yaml:"key"`

	// Weight is its share among the keys; default 1.
	Weight int `yaml:"weight" min:"1" max:"1000000"`
}

// Route says which calls it takes and who may answer them.
type Route struct {
	// Name is in logs, metrics and the header x-holdfast-route; a route without
	// match takes the calls that ask for a model of this name.
	Name string `yaml:",key"`

	// Match says which calls it takes.
	Match Match `yaml:"match"`

	// Targets may answer, in the order of failover: provider/model, or provider/*
	// for the model that the caller named.
	Targets []Target `yaml:"targets"`

	// Timeout holds this route's clocks.
	Timeout timeout.Config `yaml:"timeout,policy"`

	// Retry holds this route's attempts, backoff and budgets.
	Retry retry.Config `yaml:"retry,policy"`

	// Breaker says when the circuits of this route's targets open.
	Breaker breaker.Config `yaml:"breaker,policy"`

	// Priority is that of calls whose key has none: from 50 they are critical, from
	// 1 high, below 0 batch; default 0, normal.
	Priority int `yaml:"priority" min:"-100" max:"100"`

	// Queue is this route's waiting room.
	Queue admission.Config `yaml:"queue,policy"`

	// Cache answers calls of this route with what was said before, or is being said
	// to the same call.
	Cache cache.Config `yaml:"cache,policy"`

	// Limits are what all callers together may use up of this route.
	Limits Limits `yaml:"limits"`

	// Budget is what all callers together may spend on this route.
	Budget Budget `yaml:"budget"`

	// Recovery says what happens when a stream breaks after its first word:
	// error (default) ends it with the dialect's own error event.
	Recovery string `yaml:"recovery" oneof:"error"`

	// ClientRetries tells SDKs what to do after a final error: stop (default), or
	// pace: try again when the circuit is probed next.
	ClientRetries string `yaml:"client_retries" oneof:"stop pace"`

	// TerminalStatus is the status of every final error of this route, when its
	// attempts are spent or its circuits are open; for clients that look at the
	// status only. Default: the provider's. What is wrong with a request, a
	// credential or an account keeps its own.
	TerminalStatus int `yaml:"terminal_status" oneof:"429 500 502 503 504 529"`

	// Shift moves a share of this route's calls to another of its targets, to try a
	// model or to leave a provider step by step.
	Shift Shift `yaml:"shift,policy"`

	// OnPolicyViolation is stop (default) or fallback: ask the next target.
	OnPolicyViolation string `yaml:"on_policy_violation" oneof:"stop fallback"`

	// ErrorCodes is seed for the codes queue_overflow, too_many_requests and
	// provider_unavailable; default: those of the reference. The profile
	// interactive has seed.
	ErrorCodes string `yaml:"error_codes" oneof:"seed"`
}

// Shift moves a share of a route's calls to another of its targets. A conversation
// is moved as a whole.
type Shift struct {
	// To is the name of the target that is asked first.
	To string

	// Share is how many of the calls, as 0.1 or 10%; off moves none. Calls that have
	// to stay at one account stay there.
	Share float64
}

// Validate reports what is wrong with s.
func (s Shift) Validate() error { return holdfast.Shift(s).Validate() }

// Match says which calls a route takes.
type Match struct {
	// Model are names as callers write them; * stands for any text. Default: the
	// route's name.
	Model []string `yaml:"model"`

	// Path is where a tool (kind http) stands, as /tools/weather: what a request's
	// path has behind it is put behind the provider's base_url. A route with a path
	// and no model takes no model.
	Path []string `yaml:"path"`
}

// Target is one place that can answer a route's calls. A word provider/model
// stands for a mapping with target only.
type Target struct {
	// Target is provider/model, or provider/* for the model that the caller named.
	Target string `yaml:"target"`

	// Name is in logs and metrics; default provider/model. Two routes that use
	// one target with different settings need two names.
	Name string `yaml:"name"`

	// Weight above 0 shares this place with neighbours that have a weight too;
	// without one the target has a place of its own.
	Weight int `yaml:"weight" min:"1" max:"1000000"`

	// Context is the model's context window, in tokens. A prompt that was too
	// long for one target is sent on only to a larger one.
	Context int `yaml:"context" min:"1" max:"1000000000"`

	// Quota is what the provider allows each key to spend on this model, instead of
	// the provider's quota.
	Quota quota.Config `yaml:"quota,policy"`
}

// set reads the short form of a target.
func (t *Target) set(text string) error {
	t.Target = text
	return nil
}

// Path is the name of the file that was loaded.
func (f *File) Path() string { return f.path }

// MainListen is the address for callers, with its default.
func (f *File) MainListen() string { return orText(f.Listen, "127.0.0.1:8080") }

// AdminListen is the address for operators, with its default.
func (f *File) AdminListen() string { return orText(f.Admin.Listen, "127.0.0.1:8081") }

// LogLevel is the least important level that is logged.
func (f *File) LogLevel() slog.Level {
	var level slog.Level // info
	if f.Logs.Level != "" {
		_ = level.UnmarshalText([]byte(f.Logs.Level)) // one of slog's own words
	}
	return level
}

// Models lists the names that callers may ask for: those of match.model without
// a star, or the name of a route without match. In file order, once each.
func (f *File) Models() []string {
	var names []string
	seen := map[string]bool{}
	for _, r := range f.Routes {
		for _, m := range r.models() {
			if !seen[m] && !hasStar(m) {
				seen[m] = true
				names = append(names, m)
			}
		}
	}
	return names
}

func (r Route) models() []string {
	if len(r.Match.Model) == 0 && len(r.Match.Path) > 0 {
		return nil
	}
	if len(r.Match.Model) == 0 {
		return []string{r.Name}
	}
	return r.Match.Model
}

func orText(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}
