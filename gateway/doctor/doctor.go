// Package doctor asks each target of a configuration whether it would answer:
// its name, its connection and certificate, its keys, one call of one token, and
// how far its clock is from ours.
//
// It sends what the gateway would send, through the same Transport with a single
// attempt, so that what it finds is what calls would find. It spends a token for
// each key of each target and changes nothing.
package doctor

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/internal/reach"
	"github.com/holdfast-gateway/holdfast/http1"
	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/provider/anthropic"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// Verdict is how a check ended.
type Verdict string

// The verdicts. Unreachable is a failure before the provider answered.
const (
	Good        Verdict = "ok"
	Warning     Verdict = "warning"
	Failed      Verdict = "failed"
	Unreachable Verdict = "unreachable"
	Skipped     Verdict = "skipped"
)

// Check is one thing that was looked at.
type Check struct {
	Target  string        `json:"target"`
	Name    string        `json:"check"` // dns, connect, tls, call KEY, clock
	Verdict Verdict       `json:"verdict"`
	Detail  string        `json:"detail"`
	Took    time.Duration `json:"took_ns"`
}

// Options say how to look. A zero field means the default beside it.
type Options struct {
	Timeout time.Duration // for each check; 15s
	Slow    time.Duration // a call that takes longer is a warning; 5s
	TLS     *tls.Config   // to the providers; nil: the system's authorities
	Now     func() time.Time

	// Dial opens connections to the targets; nil: a net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Slow <= 0 {
		o.Slow = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{}).DialContext
	}
	return o
}

// The bounds of what is worth a warning.
const (
	soonExpired = 14 * 24 * time.Hour // of a certificate
	maxSkew     = 30 * time.Second    // beyond it, waits told as a date are wrong
)

// Examine checks every target of c once, several at a time, and returns the
// checks in the order of the configuration.
func Examine(ctx context.Context, c holdfast.Config, o Options) []Check {
	o = o.withDefaults()
	var patients []*patient
	seen := map[string]bool{}
	for _, r := range c.Routes {
		for _, t := range r.Targets {
			if !seen[t.Name] {
				seen[t.Name] = true
				patients = append(patients, &patient{Options: o, http: c.HTTP, target: t})
			}
		}
	}
	var examining sync.WaitGroup
	places := make(chan struct{}, 8)
	for _, p := range patients {
		examining.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			p.examine(ctx)
		})
	}
	examining.Wait()
	var checks []Check
	for _, p := range patients {
		checks = append(checks, p.checks...)
	}
	return checks
}

// patient is one target under examination, by one goroutine.
type patient struct {
	Options
	http   string // as holdfast.Config has it
	target holdfast.Target
	checks []Check
	skew   time.Duration
	dated  bool
}

func (p *patient) note(name string, began time.Time, v Verdict, format string, args ...any) {
	p.checks = append(p.checks, Check{p.target.Name, name, v, fmt.Sprintf(format, args...), time.Since(began)})
}

func (p *patient) examine(ctx context.Context) {
	u, err := url.Parse(p.target.BaseURL)
	if err != nil || u.Host == "" {
		p.note("dns", time.Now(), Failed, "no address")
		return
	}
	if !p.resolve(ctx, u.Hostname()) || !p.connect(ctx, u) {
		return
	}
	p.calls(ctx)
	p.clock()
}

func (p *patient) resolve(ctx context.Context, host string) bool {
	began := time.Now()
	if net.ParseIP(host) != nil {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	addresses, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		p.note("dns", began, Unreachable, "%s has no address", host)
		return false
	}
	p.note("dns", began, Good, "%s is %s", host, strings.Join(addresses[:min(len(addresses), 2)], ", "))
	return true
}

func (p *patient) connect(ctx context.Context, u *url.URL) bool {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if proxy, err := http.ProxyFromEnvironment(&http.Request{URL: u}); err == nil && proxy != nil {
		p.note("connect", began, Skipped, "goes through the proxy %s", proxy.Host)
		return true
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	conn, err := p.Dial(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if refused := (*reach.RefusedError)(nil); errors.As(err, &refused) {
		p.note("connect", began, Failed, "not called: %s", refused)
		return false
	}
	if err != nil {
		p.note("connect", began, Unreachable, "nobody answers at %s", u.Host)
		return false
	}
	defer conn.Close()
	p.note("connect", began, Good, "%s", u.Host)
	return u.Scheme != "https" || p.handshake(ctx, conn, u.Hostname())
}

func (p *patient) handshake(ctx context.Context, conn net.Conn, host string) bool {
	began := time.Now()
	config := &tls.Config{}
	if p.TLS != nil {
		config = p.TLS.Clone()
	}
	config.ServerName = host
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		p.note("tls", began, Unreachable, "%s", err)
		return false
	}
	state := secured.ConnectionState()
	end := state.PeerCertificates[0].NotAfter
	left := end.Sub(p.Now())
	verdict := Good
	if left < soonExpired {
		verdict = Warning
	}
	p.note("tls", began, verdict, "%s, the certificate is good until %s (%d days)", tls.VersionName(state.Version), end.Format(time.DateOnly), int(left.Hours()/24))
	return true
}

// calls makes one small call with each key.
func (p *patient) calls(ctx context.Context) {
	v := all.ByName(p.target.Vendor)
	switch {
	case v == nil || v.Dialect == nil:
		p.note("call", time.Now(), Skipped, "a tool: only you know what it may be asked")
		return
	case p.target.PassCredential:
		p.note("call", time.Now(), Skipped, "callers bring their own credential")
		return
	}
	keys := p.target.Keys
	if len(keys) == 0 {
		keys = []holdfast.Key{{}}
	}
	for i, k := range keys {
		name := "call"
		if len(keys) > 1 {
			name = "call with " + k.Name
			if k.Name == "" {
				name = fmt.Sprintf("call with key%d", i+1)
			}
		}
		p.call(ctx, name, k, v.Dialect.Name())
	}
}

// probe returns the smallest request that a dialect has: one token, or the list
// of models where the target names none.
func (p *patient) probe(ctx context.Context, dialect string) (*http.Request, error) {
	if p.target.Model == "" {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://holdfast.invalid/v1/models", nil)
		if err == nil && dialect == "messages" {
			req.Header.Set("Anthropic-Version", anthropic.Version)
		}
		return req, err
	}
	path, limit := "/v1/chat/completions", "max_tokens"
	if dialect == "messages" {
		path = "/v1/messages"
	}
	v := all.ByName(p.target.Vendor)
	if v.Reasoning(p.target.Model) && dialect != "messages" {
		limit = "max_completion_tokens"
	}
	body := fmt.Sprintf(`{"model":%q,%q:1,"messages":[{"role":"user","content":"hi"}]}`, p.target.Model, limit)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://holdfast.invalid"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if dialect == "messages" {
		req.Header.Set("Anthropic-Version", anthropic.Version)
	}
	return req, nil
}

func (p *patient) call(ctx context.Context, name string, k holdfast.Key, dialect string) {
	began := time.Now()
	var outcome call.Outcome
	var mu sync.Mutex
	t, err := p.transport(k, func(e *call.Event) {
		if e.Kind == call.AttemptEnded {
			mu.Lock()
			defer mu.Unlock()
			outcome = e.Outcome
		}
	})
	if err != nil {
		p.note(name, began, Failed, "%s", err)
		return
	}
	req, err := p.probe(ctx, dialect)
	if err == nil {
		var resp *http.Response
		if resp, err = t.RoundTrip(req); err == nil {
			_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // how it ended is in the outcome
			_ = resp.Body.Close()
		}
	}
	_ = t.Close()
	mu.Lock()
	defer mu.Unlock()
	took := time.Since(began)
	if err != nil && outcome.Class == call.OK {
		p.note(name, began, Unreachable, "%s", err)
		return
	}
	verdict, detail := p.judge(outcome, took)
	p.note(name, began, verdict, "%s", detail)
}

// transport guards the target as a gateway does, with one key and one attempt.
func (p *patient) transport(k holdfast.Key, record func(*call.Event)) (*holdfast.Transport, error) {
	target := p.target
	target.Keys = nil
	if k.Secret != "" {
		target.Keys = []holdfast.Key{k}
	}
	return holdfast.NewTransport(holdfast.Config{
		Routes:    []holdfast.Route{{Name: "doctor", Models: []string{"*"}, Targets: []holdfast.Target{target}}},
		Retry:     retry.Config{MaxAttempts: 1},
		Timeout:   timeout.Config{Total: p.Timeout, Attempt: p.Timeout, AttemptFixed: true},
		Transport: &clockReader{RoundTripper: p.way(), patient: p},
		Recorder:  call.RecorderFunc(record),
	})
}

// way is the client that the gateway would use (upstream.http), for one call.
func (p *patient) way() http.RoundTripper {
	whole := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: p.Dial, TLSClientConfig: p.TLS, ForceAttemptHTTP2: true,
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}
	if p.http == "net" {
		return whole
	}
	return &http1.Transport{
		Proxy: http.ProxyFromEnvironment, Fallback: whole, DialContext: p.Dial, TLS: p.TLS,
		HandshakeTimeout: p.Timeout, IdleTimeout: time.Second, MaxHeaderBytes: maxHeader,
	}
}

// maxHeader is how much of an answer's headers the gateway takes, in bytes.
const maxHeader = 256 << 10

// clockReader reads the provider's clock from its answers.
type clockReader struct {
	http.RoundTripper
	patient *patient
}

func (c *clockReader) RoundTrip(r *http.Request) (*http.Response, error) {
	began := time.Now()
	resp, err := c.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		middle := c.patient.Now().Add(-time.Since(began) / 2)
		c.patient.skew, c.patient.dated = date.Sub(middle), true
	}
	return resp, nil
}

// judge words how the one attempt ended.
func (p *patient) judge(o call.Outcome, took time.Duration) (Verdict, string) {
	status := ""
	if o.Status > 0 {
		status = fmt.Sprintf(" (status %d", o.Status)
		if o.Code != "" {
			status += ", " + o.Code
		}
		status += ")"
	}
	switch o.Class {
	case call.OK:
		if took > p.Slow {
			return Warning, "answered, but slowly: " + took.Round(100*time.Millisecond).String()
		}
		return Good, "answered in " + took.Round(time.Millisecond).String()
	case call.Auth:
		return Failed, "the key is refused" + status
	case call.NotFound:
		return Failed, "no such model or path" + status
	case call.QuotaExhausted:
		return Failed, "the account is out of credit" + status
	case call.Throttled:
		return Warning, "rate limited now" + status
	case call.Timeout:
		return Unreachable, "no answer in " + p.Timeout.String()
	case call.Transport:
		return Unreachable, "the connection broke"
	}
	return Failed, o.Class.String() + status
}

// clock tells how far the provider's clock is from ours.
func (p *patient) clock() {
	if !p.dated {
		return
	}
	away := p.skew.Abs()
	if away > maxSkew {
		p.note("clock", time.Now(), Warning, "%s away from the provider's: set this machine's clock", away.Round(time.Second))
		return
	}
	p.note("clock", time.Now(), Good, "less than %s away from the provider's", maxSkew)
}
