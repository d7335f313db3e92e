package config

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/gateway/internal/hosts"
	"github.com/holdfast-gateway/holdfast/gateway/internal/reach"
	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/quota"
)

// maxFile is the largest file that is read, in bytes.
const maxFile = 4 << 20

// Load reads and checks a file. Its error is an Errors with every mistake found.
func Load(path string) (*File, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	return parse(path, text, systemEnvironment())
}

// Draft reads a file whose settings may not go together yet, as those of an open
// address without a key. Who adds to it has Replace check what comes of it. Its
// error is an Errors with what cannot be read.
func Draft(path string) (*File, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, Errors{{File: path, Message: err.Error()}}
	}
	f, errs := draft(path, text, systemEnvironment())
	if len(errs) > 0 {
		return nil, errs
	}
	return f, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		var pathErr *os.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("is larger than %d bytes", maxFile)
	}
	return text, nil
}

func parse(path string, text []byte, env environment) (*File, error) {
	f, errs := draft(path, text, env)
	if len(errs) == 0 {
		errs = f.check()
	}
	if len(errs) == 0 {
		errs = f.checkWhole(env)
	}
	if len(errs) > 0 {
		return nil, errs
	}
	return f, nil
}

// draft reads what every key says, and not whether they go together.
func draft(path string, text []byte, env environment) (f *File, errs Errors) {
	f = &File{path: path, text: text, source: newSource(path, text)}
	f.places, errs = decode(f.source, text, f.noting(env), f)
	return f, errs
}

// noting returns an environment that remembers which secret files were read.
func (f *File) noting(env environment) environment {
	read := env.read
	env.read = func(path string) (string, error) {
		if !slices.Contains(f.secretFiles, path) {
			f.secretFiles = append(f.secretFiles, path)
		}
		return read(path)
	}
	return env
}

// SecretFiles are the files whose content stands in values (${file:PATH}).
func (f *File) SecretFiles() []string { return f.secretFiles }

// check finds what is wrong between the parts of a file.
func (f *File) check() Errors {
	c := checker{File: f}
	if f.Version != 1 {
		c.fail([]string{"version"}, "the version of the file must be 1: begin it with version: 1")
	}
	c.address("listen", f.MainListen())
	c.address("admin", f.AdminListen())
	c.names([]string{"hosts"}, f.Hosts)
	c.names([]string{"admin", "hosts"}, f.Admin.Hosts)
	if (f.TLS.Cert == "") != (f.TLS.Key == "") {
		c.fail([]string{"tls"}, "cert and key go together: name both files or none")
	}
	if f.Telemetry.OTLP != "" {
		c.baseURL([]string{"telemetry", "otlp"}, f.Telemetry.OTLP, nil)
	}
	for _, p := range f.Providers {
		c.provider(p)
	}
	for _, r := range f.Routes {
		c.route(r)
	}
	c.clientKeys()
	c.limits()
	if len(f.Routes) == 0 {
		c.fail([]string{"routes"}, "no routes: nothing says who answers; add one with targets")
	}
	slices.SortStableFunc(c.errs, func(a, b *Error) int { return a.Line - b.Line })
	return c.errs
}

type checker struct {
	*File
	errs Errors
}

func (c *checker) fail(path []string, format string, args ...any) {
	c.errs = append(c.errs, c.source.at(c.places.find(path...), format, args...))
}

func (c *checker) address(key, address string) {
	path := []string{key}
	if key == "admin" {
		path = append(path, "listen")
	}
	host, port, err := net.SplitHostPort(address)
	n, portErr := strconv.Atoi(port)
	switch {
	case err != nil || portErr != nil || n < 0 || n > 65535:
		c.fail(path, "want an address: 127.0.0.1:8080")
	case key == "listen" && !IsLoopback(host) && !c.InsecureNoAuth && !c.KeysRequired():
		c.fail(path, "other machines can reach this address, and nobody needs a key: "+
			"anybody could spend your credentials. Listen on 127.0.0.1, add keys (holdfast key new), or set "+
			"insecure_no_auth: true where something in front of the gateway authenticates")
	case key == "admin" && !IsLoopback(host) && c.Admin.Token == "":
		c.fail(path, "other machines can reach this address, and there is no token for operators: "+
			"anybody could open circuits and read the names of routes, targets and keys. "+
			"Listen on 127.0.0.1, or set admin.token")
	}
}

// CheckListen judges the addresses again, for a program that replaced them.
func (f *File) CheckListen() error {
	c := checker{File: &File{source: f.source, InsecureNoAuth: f.InsecureNoAuth, Admin: f.Admin, places: f.places}}
	c.address("listen", f.MainListen())
	c.address("admin", f.AdminListen())
	if len(c.errs) == 0 {
		return nil
	}
	return fmt.Errorf("listen on %s, operators on %s: %s", f.MainListen(), f.AdminListen(), c.errs[0].Message)
}

// Named reports whether callers may use a host, without its port and in lower
// case, for the address they call.
func (f *File) Named(host string) bool {
	return f.KeysRequired() || f.InsecureNoAuth || hosts.Private(host) || host == hosts.Of(f.MainListen()) ||
		slices.ContainsFunc(f.Hosts, func(one string) bool { return hosts.Of(one) == host })
}

// names judges the names that a listener has in URLs.
func (c *checker) names(at []string, names []string) {
	for i, name := range names {
		if u, err := url.Parse("http://" + name); err != nil || u.Hostname() == "" || u.Host != name {
			c.fail(append(at, strconv.Itoa(i)), "want a host, as in ai.example.com")
		}
	}
}

// IsLoopback reports whether a host to listen on is reached from this machine
// only.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *checker) provider(p Provider) {
	at := func(more ...string) []string { return append([]string{"providers", p.Name}, more...) }
	if p.Name == "" || strings.ContainsAny(p.Name, "/ \t\n") {
		c.fail(at(), "a provider's name is a word without slash or space")
	}
	if kind := p.kind(); all.Described(kind) {
		c.fail(at("kind"), "kind %q %s", kind, all.NotYet)
	} else if v := all.ByName(kind); v != nil {
		if v.BaseURL == "" && p.BaseURL == "" {
			c.fail(at(), "base_url is missing: %s has no address of its own", kind)
		}
	} else {
		if p.Kind == "" {
			c.fail(at(), "kind is missing: %s", alternatives(kinds()))
		} else {
			c.fail(at("kind"), "unknown kind %q%s", kind, suggest(kind, kinds()))
		}
	}
	c.reach(p)
	if p.Auth == "passthrough" && (p.APIKey != "" || len(p.Keys) > 0) {
		c.fail(at("auth"), "passthrough sends the caller's own credential: take api_key and keys away, or auth")
	}
	if p.APIKey != "" && len(p.Keys) > 0 {
		c.fail(at("keys"), "api_key and keys exclude each other; put the one into the other")
	}
	names := map[string]bool{}
	for i, k := range p.Keys {
		if k.Key == "" {
			c.fail(at("keys", strconv.Itoa(i)), "key is missing")
		}
		if k.Name != "" && names[k.Name] {
			c.fail(at("keys", strconv.Itoa(i), "name"), "another key of this provider has the name %q", k.Name)
		}
		names[k.Name] = true
	}
}

// baseURL judges where calls are to go; listed are the addresses that are allowed
// there.
func (c *checker) baseURL(at []string, text string, listed []netip.Prefix) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		c.fail(at, "want an address with http:// or https:// and a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		c.fail(at, "the address may not hold a user, a query or a fragment")
	case c.isOwn(u):
		c.fail(at, "this is the gateway's own address: calls would go round in circles")
	default:
		if err := reach.Judge(u.Hostname(), listed); err != nil {
			c.fail(at, "%s", err)
		}
	}
}

// reach judges where a provider answers, and what is allowed there.
func (c *checker) reach(p Provider) {
	var listed []netip.Prefix
	for i, text := range p.AllowAddresses {
		prefix, err := reach.ParsePrefix(text)
		if err != nil {
			c.fail([]string{"providers", p.Name, "allow_addresses", strconv.Itoa(i)}, "%s", err)
		}
		listed = append(listed, prefix)
	}
	if p.BaseURL != "" {
		c.baseURL([]string{"providers", p.Name, "base_url"}, p.BaseURL, listed)
	}
}

// AllowedAddresses are the addresses that providers' hosts may lead to although
// they are refused otherwise, by host, for who opens connections.
func (f *File) AllowedAddresses() map[string][]netip.Prefix {
	listed := map[string][]netip.Prefix{}
	for _, p := range f.Providers {
		base := p.BaseURL
		if v := all.ByName(p.kind()); v != nil {
			base = orText(base, v.BaseURL)
		}
		u, err := url.Parse(base)
		for _, text := range p.AllowAddresses {
			if prefix, bad := reach.ParsePrefix(text); err == nil && bad == nil {
				host := strings.ToLower(u.Hostname())
				listed[host] = append(listed[host], prefix)
			}
		}
	}
	return listed
}

// isOwn reports whether an address is one that this gateway listens on.
func (c *checker) isOwn(u *url.URL) bool {
	for _, address := range []string{c.MainListen(), c.AdminListen()} {
		host, port, err := net.SplitHostPort(address)
		if err != nil || port == "0" || port != u.Port() {
			continue
		}
		everywhere := host == "" || host == "0.0.0.0" || host == "::"
		if u.Hostname() == host || IsLoopback(u.Hostname()) && (everywhere || IsLoopback(host)) {
			return true
		}
	}
	return false
}

// kind is the vendor whose API a provider speaks.
func (p Provider) kind() string { return orText(p.Kind, p.Name) }

func kinds() []string {
	var names []string
	for _, v := range all.Vendors() {
		names = append(names, v.Name)
	}
	return names
}

func (c *checker) route(r Route) {
	at := func(more ...string) []string { return append([]string{"routes", r.Name}, more...) }
	if strings.TrimSpace(r.Name) == "" {
		c.fail(at(), "a route needs a name")
	}
	for i, m := range r.Match.Model {
		if m == "" {
			c.fail(at("match", "model", strconv.Itoa(i)), "an empty name matches nothing; * matches every model")
		}
	}
	if len(r.Targets) == 0 {
		c.fail(at("targets"), "no targets: a route needs at least one, as provider/model")
	}
	for i, t := range r.Targets {
		c.target(at("targets", strconv.Itoa(i)), t)
	}
}

func (c *checker) target(at []string, t Target) {
	where := at
	if full := append(slices.Clone(at), "target"); c.places.keys[placeOf(full...)] != nil {
		where = full
	}
	provider, model, ok := strings.Cut(t.Target, "/")
	_, known := c.providerNamed(provider)
	if !known && slices.Contains(c.routeNames(), provider) {
		c.fail(where, "%q is a route, and routes do not lead to routes: want provider/model", provider)
		return
	}
	if !ok || provider == "" || model == "" {
		c.fail(where, "want provider/model, or provider/* for the model that the caller named")
		return
	}
	if !known {
		c.fail(where, "unknown provider %q%s", provider, suggest(provider, c.providerNames()))
	}
}

func (f *File) providerNamed(name string) (Provider, bool) {
	i := slices.IndexFunc(f.Providers, func(p Provider) bool { return p.Name == name })
	if i < 0 {
		return Provider{}, false
	}
	return f.Providers[i], true
}

func (f *File) providerNames() []string {
	names := make([]string, len(f.Providers))
	for i, p := range f.Providers {
		names[i] = p.Name
	}
	return names
}

// checkWhole lets the front door judge what the file becomes. What it finds
// beyond the checks above points at the route or target it names.
func (f *File) checkWhole(env environment) Errors {
	c := checker{File: f}
	config, err := f.holdfast(env)
	if err != nil {
		return Errors{f.source.at(nil, "%s", err)}
	}
	for _, problem := range flatten(config.Validate()) {
		path, rest := f.locate(problem)
		c.fail(path, "%s", rest)
	}
	return c.errs
}

// locate turns the beginning of one of the front door's complaints ("route chat:
// target openai/gpt-4o: ...") into a path in the file.
func (f *File) locate(problem string) (path []string, rest string) {
	if path, rest, ok := f.locateLimit(problem); ok {
		return path, rest
	}
	for _, r := range f.Routes {
		after, ok := strings.CutPrefix(problem, "route "+r.Name+": ")
		if !ok {
			continue
		}
		path = []string{"routes", r.Name}
		for i, t := range r.Targets {
			if inner, ok := strings.CutPrefix(after, "target "+t.name()+": "); ok {
				return append(path, "targets", strconv.Itoa(i)), inner
			}
		}
		return path, after
	}
	return nil, problem
}

// Holdfast returns what the file means to the front door. HOLDFAST_MAX_CONCURRENCY
// (or OPENAI_MAX_CONCURRENCY) replaces the attempts that a target carries at once
// in the profile interactive.
func (f *File) Holdfast() (holdfast.Config, error) { return f.holdfast(systemEnvironment()) }

func (f *File) holdfast(env environment) (holdfast.Config, error) {
	c := holdfast.Config{
		Profile: f.Profile, HTTP: f.Upstream.HTTP,
		Timeout: f.Timeout, Retry: f.Retry, Queue: f.Queue, Breaker: f.Breaker,
		Concurrency: f.Concurrency, Health: f.Health, Cache: f.Cache,
		MaxBody: int64(f.MaxBody), MaxAnswer: int(f.MaxAnswer),
	}
	if f.Profile == "interactive" {
		limit, err := env.maxConcurrency()
		if err != nil {
			return c, err
		}
		if limit > 0 {
			c.Concurrency.Max = limit
		}
	}
	for _, r := range f.Routes {
		c.Routes = append(c.Routes, f.routeOf(r))
	}
	f.limited(&c)
	return c, nil
}

func (f *File) routeOf(r Route) holdfast.Route {
	route := holdfast.Route{
		Name: r.Name, Models: r.models(), Paths: r.Match.Path,
		Timeout: r.Timeout, Retry: r.Retry, Priority: r.Priority, Queue: r.Queue, Cache: r.Cache,
		Recovery: r.Recovery, ClientRetries: r.ClientRetries, TerminalStatus: r.TerminalStatus, OnPolicyViolation: r.OnPolicyViolation,
		ErrorCodes: r.ErrorCodes, Shift: holdfast.Shift(r.Shift),
	}
	for _, t := range r.Targets {
		route.Targets = append(route.Targets, f.targetOf(r, t))
	}
	return route
}

func (f *File) targetOf(r Route, t Target) holdfast.Target {
	providerName, model, _ := strings.Cut(t.Target, "/")
	p, _ := f.providerNamed(providerName)
	target := holdfast.Target{
		Name: t.name(), Provider: p.Name, Vendor: p.kind(), BaseURL: p.BaseURL, APIVersion: p.APIVersion, Model: model,
		Weight: t.Weight, Context: t.Context,
		Breaker: r.Breaker, Concurrency: p.Concurrency, LenientEnd: p.LenientEnd, Idempotent: p.Idempotent,
		Quota: p.Quota,
	}
	if t.Quota != (quota.Config{}) {
		target.Quota = t.Quota
	}
	target.PassCredential = p.Auth == "passthrough"
	if model == "*" {
		target.Model = ""
	}
	if p.APIKey != "" {
		target.Keys = []holdfast.Key{{Secret: string(p.APIKey)}}
	}
	for _, k := range p.Keys {
		target.Keys = append(target.Keys, holdfast.Key{Name: k.Name, Secret: string(k.Key), Weight: k.Weight})
	}
	return target
}

func (t Target) name() string {
	if t.Name != "" {
		return t.Name
	}
	return strings.TrimSuffix(t.Target, "/*")
}

// maxConcurrency reads the variables that chat applications already set.
func (env environment) maxConcurrency() (int, error) {
	_, n, err := env.concurrencyVariable()
	return n, err
}

// concurrencyVariables are read without being named in the file.
var concurrencyVariables = []string{"HOLDFAST_MAX_CONCURRENCY", "OPENAI_MAX_CONCURRENCY"}

// concurrencyVariable returns which of them is set, "" if none is.
func (env environment) concurrencyVariable() (name string, n int, err error) {
	for _, name := range concurrencyVariables {
		text, ok := env.lookup(name)
		if !ok || text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return name, 0, fmt.Errorf("the environment variable %s must be a whole number above 0", name)
		}
		return name, n, nil
	}
	return "", 0, nil
}

func hasStar(s string) bool { return strings.Contains(s, "*") }
