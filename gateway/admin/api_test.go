package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.uber.org/goleak"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/gateway/admin"
	"github.com/holdfast-gateway/holdfast/gateway/explain"
	"github.com/holdfast-gateway/holdfast/internal/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "a-token-of-operators"

// desk is an API in front of a transport with two targets.
type desk struct {
	*admin.API
	t         *testing.T
	transport *holdfast.Transport
	book      *explain.Book
	feed      *explain.Feed
	server    *httptest.Server
	reloadErr error
	drained   int
	log       *process.Text
}

func open(t *testing.T, change func(*admin.Config)) *desk {
	t.Helper()
	d := &desk{t: t, book: explain.NewBook(explain.Limits{}), feed: explain.NewFeed(128), log: &process.Text{}}
	target := func(name string) holdfast.Target {
		return holdfast.Target{Name: name, Provider: "openai", Vendor: "openai", BaseURL: "http://127.0.0.1:1", Model: "gpt-4o", Keys: []holdfast.Key{{Name: "key1", Secret: "sk-canary"}}}
	}
	var err error
	d.transport, err = holdfast.NewTransport(holdfast.Config{
		Routes:   []holdfast.Route{{Name: "chat", Targets: []holdfast.Target{target("openai/gpt-4o"), target("backup")}}},
		Recorder: call.RecorderFunc(func(e *call.Event) { d.book.Record(e); d.feed.Record(e) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := admin.Config{
		Status: func() admin.Status {
			return admin.Status{Version: "v1", Started: time.Now(), Ready: true, Config: admin.File{File: "holdfast.yaml", Loaded: time.Now()}, Status: d.transport.Status()}
		},
		Breaker: d.transport.Breaker, Queue: d.transport.Queue, Reload: func() error { return d.reloadErr }, Drain: func() { d.drained++ },
		Effective: func() (any, error) { return map[string]any{"version": 1}, nil },
		Book:      d.book, Feed: d.feed, Token: func() call.Secret { return token }, Exposed: func() bool { return false },
		Listen: "127.0.0.1:8081", Version: "v1", Heartbeat: 20 * time.Millisecond,
		Log: slog.New(slog.NewJSONHandler(d.log, nil)),
	}
	if change != nil {
		change(&c)
	}
	d.API = admin.New(c)
	d.server = httptest.NewServer(d.API)
	t.Cleanup(func() {
		d.Close()
		d.server.Close()
		_ = d.transport.Close()
	})
	return d
}

// ask sends one request; headers are "Name: value", and replace the token.
func (d *desk) ask(method, path, body string, headers ...string) (*http.Response, string) {
	d.t.Helper()
	req, err := http.NewRequestWithContext(d.t.Context(), method, d.server.URL+path, strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := d.server.Client().Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		return resp, d.oneEvent(resp.Body)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp, string(text)
}

// oneEvent returns the data of the first event.
func (d *desk) oneEvent(from io.Reader) string {
	d.t.Helper()
	var text []byte
	for b := make([]byte, 1); ; {
		if _, err := from.Read(b); err != nil {
			d.t.Fatalf("%v after %q", err, text)
		}
		text = append(text, b[0])
		if _, after, ok := strings.Cut(string(text), "\ndata: "); ok && strings.HasSuffix(after, "\n\n") {
			return after
		}
	}
}

// remember puts one call into the book and the feed.
func (d *desk) remember(id string) {
	c := &call.Call{ID: id, Route: "chat", Tenant: "acme", Op: call.OpChat, Method: "POST", Path: "/v1/chat/completions", Arrived: time.Now(), CommitBy: time.Now().Add(time.Second)}
	for _, e := range []call.Event{
		{Kind: call.CallStarted},
		{Kind: call.Queued, Wait: time.Millisecond},
		{Kind: call.AttemptEnded, Attempt: 1, Target: "openai/gpt-4o", Provider: "openai", Model: "gpt-4o", Key: "key1", Outcome: call.Outcome{
			Verdict: call.Verdict{Class: call.Throttled, HasWait: true, Wait: time.Second, Code: "rate_limit_exceeded"}, Status: 429, Usage: call.Usage{Known: true, Input: 3}}},
		{Kind: call.PassedOver, Target: "backup", Reason: "circuit_open", Wait: time.Second},
		{Kind: call.Stopped, Attempt: 1, Reason: "no_time"},
		{Kind: call.CallEnded, Attempt: 1, Status: 429, Source: "provider", Reason: "upstream_exhausted", Outcome: call.Outcome{Verdict: call.Verdict{Class: call.Throttled}}},
	} {
		e.Call, e.At = c, time.Now()
		d.book.Record(&e)
		d.feed.Record(&e)
	}
}

// document is the served OpenAPI document, with its schemas compiled.
type document struct {
	t        *testing.T
	compiler *jsonschema.Compiler
	Paths    map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Parameters  []struct{ Name, In string }
		Responses   map[string]struct {
			Content map[string]struct{ Schema any }
		}
	}
	seen map[string]bool // "get /api/v1/status 200"
}

func (d *desk) document() *document {
	d.t.Helper()
	_, text := d.ask("GET", "/api/v1/openapi.json", "")
	doc := &document{t: d.t, compiler: jsonschema.NewCompiler(), seen: map[string]bool{}}
	if err := json.Unmarshal([]byte(text), doc); err != nil {
		d.t.Fatal(err)
	}
	whole, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		d.t.Fatal(err)
	}
	doc.compiler.DefaultDraft(jsonschema.Draft2020)
	doc.compiler.AssertFormat()
	if err := doc.compiler.AddResource("http://holdfast.test/openapi.json", whole); err != nil {
		d.t.Fatal(err)
	}
	return doc
}

func (doc *document) all() map[string]bool {
	all := map[string]bool{}
	for path, operations := range doc.Paths {
		for method, o := range operations {
			for status := range o.Responses {
				all[method+" "+path+" "+status] = true
			}
		}
	}
	return all
}

// check holds an answer against the document.
func (doc *document) check(method, path string, resp *http.Response, body string) {
	doc.t.Helper()
	method = strings.ToLower(method)
	status := fmt.Sprint(resp.StatusCode)
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	content, ok := doc.Paths[path][method].Responses[status].Content[kind]
	if !ok {
		doc.t.Errorf("%s %s: %s %s is not in the document: %s", method, path, status, kind, body)
		return
	}
	doc.seen[method+" "+path+" "+status] = true
	at := fmt.Sprintf("http://holdfast.test/openapi.json#/paths/%s/%s/responses/%s/content/%s/schema",
		strings.NewReplacer("/", "~1", "{", "%7B", "}", "%7D").Replace(path), method, status, strings.ReplaceAll(kind, "/", "~1"))
	schema, err := doc.compiler.Compile(at)
	if err != nil {
		doc.t.Fatalf("%T %v (%v)", err, err, content)
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(body))
	if err != nil {
		doc.t.Fatalf("%s %s: %v in %q", method, path, err, body)
	}
	if err := schema.Validate(value); err != nil {
		doc.t.Errorf("%s %s: %v\n%s", method, path, err, body)
	}
}

// filled is a documented path with something in its places.
func filled(path string) string {
	return strings.NewReplacer("{target}", "openai/gpt-4o", "{id}", "hf_1", "{route}", "chat").Replace(path)
}

func TestEveryAnswerIsInTheDocumentAndTheReverse(t *testing.T) {
	d := open(t, nil)
	doc := d.document()
	d.remember("hf_1")
	const queue = "/api/v1/queues/{route}/"
	const breaker, reason = "/api/v1/breakers/{target}/", `{"reason":"maintenance","for":"30m"}`
	for _, c := range []struct {
		method, path, as, body string // as: how it is asked, when not filled(path)
		status                 int
		headers                []string
	}{
		{"GET", "/api/v1/status", "", "", 200, nil},
		{"GET", "/api/v1/targets", "", "", 200, nil},
		{"GET", "/api/v1/breakers", "", "", 200, nil},
		{"GET", "/api/v1/queues", "", "", 200, nil},
		{"POST", queue + "drain", "", "", 200, nil},
		{"POST", queue + "pause", "", "", 200, nil},
		{"POST", queue + "resume", "", "", 200, nil},
		{"POST", queue + "drain", "/api/v1/queues/nobody/drain", "", 404, nil},
		{"POST", queue + "pause", "/api/v1/queues/nobody/pause", "", 404, nil},
		{"POST", queue + "resume", "/api/v1/queues/nobody/resume", "", 404, nil},
		{"GET", "/api/v1/version", "", "", 200, nil},
		{"GET", "/api/v1/config", "", "", 200, nil},
		{"GET", "/api/v1/openapi.json", "", "", 200, nil},
		{"GET", "/api/v1/requests", "", "", 200, nil},
		{"GET", "/api/v1/requests", "/api/v1/requests?limit=0", "", 400, nil},
		{"GET", "/api/v1/requests/{id}", "", "", 200, nil},
		{"GET", "/api/v1/requests/{id}", "/api/v1/requests/hf_2", "", 404, nil},
		{"GET", "/api/v1/events", "", "", 200, []string{"Last-Event-ID: " + d.feed.ID(0)}},
		{"GET", "/api/v1/events", "/api/v1/events?follow=maybe", "", 400, nil},
		{"POST", "/api/v1/config/reload", "", "", 200, nil},
		{"POST", "/api/v1/drain", "", "", 202, nil},
		{"POST", breaker + "open", "", reason, 200, nil},
		{"POST", breaker + "close", "", reason, 200, nil},
		{"GET", "/api/v1/breakers", "", "", 200, nil}, // with a hand on one
		{"POST", breaker + "reset", "", "", 200, nil},
		{"POST", breaker + "reset", "", `{"for":"1m"}`, 400, nil},
		{"POST", breaker + "open", "", `{"reason":"x","for":"-1m"}`, 400, nil},
		{"POST", breaker + "close", "", `{}`, 400, nil},
		{"POST", breaker + "open", "", `reason=x`, 415, []string{"Content-Type: text/plain"}},
		{"POST", breaker + "close", "", `reason=x`, 415, []string{"Content-Type: text/plain"}},
		{"POST", breaker + "reset", "", `reason=x`, 415, []string{"Content-Type: text/plain"}},
		{"POST", breaker + "open", "/api/v1/breakers/nobody/open", reason, 404, nil},
		{"POST", breaker + "close", "/api/v1/breakers/nobody/close", reason, 404, nil},
		{"POST", breaker + "reset", "/api/v1/breakers/nobody/reset", "", 404, nil},
	} {
		resp, body := d.ask(c.method, cmpOr(c.as, filled(c.path)), c.body, c.headers...)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d: %s", c.method, c.path, resp.StatusCode, c.status, body)
		}
		doc.check(c.method, c.path, resp, body)
	}
	d.reloadErr = errors.New("holdfast.yaml:3:1: unknown key")
	resp, body := d.ask("POST", "/api/v1/config/reload", "")
	doc.check("POST", "/api/v1/config/reload", resp, body)

	bare := open(t, func(c *admin.Config) { c.Effective = nil })
	resp, body = bare.ask("GET", "/api/v1/config", "")
	doc.check("GET", "/api/v1/config", resp, body)

	d.crowd(doc)
	d.strangers(doc)
	for want := range doc.all() {
		if !doc.seen[want] {
			t.Errorf("%s is in the document and was not seen", want)
		}
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// crowd follows the events until there is no place left.
func (d *desk) crowd(doc *document) {
	d.t.Helper()
	ctx, leave := context.WithCancel(d.t.Context())
	defer leave()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for range 64 {
		req, _ := http.NewRequestWithContext(ctx, "GET", d.server.URL+"/api/v1/events", nil)
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := client.Do(req)
		if err != nil {
			d.t.Fatal(err)
		}
		defer resp.Body.Close()
	}
	resp, body := d.ask("GET", "/api/v1/events", "")
	doc.check("GET", "/api/v1/events", resp, body)
}

// strangers asks for everything in the document in the ways that are refused
// whatever is asked for.
func (d *desk) strangers(doc *document) {
	d.t.Helper()
	for path, operations := range doc.Paths {
		for method, o := range operations {
			for header, want := range map[string]int{"Authorization: Bearer wrong": 401, "Host: evil.example": 421, "Sec-Fetch-Site: cross-site": 403} {
				if want == 403 && method == "get" {
					continue // reading is kept from web pages by the browser
				}
				resp, body := d.ask(strings.ToUpper(method), filled(path), "", header)
				if resp.StatusCode != want {
					d.t.Errorf("%s with %s: %d, want %d", o.OperationID, header, resp.StatusCode, want)
				}
				doc.check(method, path, resp, body)
			}
		}
	}
	if d.drained != 1 {
		d.t.Errorf("strangers could drain: %d", d.drained)
	}
}

func TestACircuitIsMovedByHandAndSaysWhoseHand(t *testing.T) {
	d := open(t, nil)
	var b admin.Breaker
	act := func(target, action, body string) {
		t.Helper()
		resp, text := d.ask("POST", "/api/v1/breakers/"+target+"/"+action, body)
		b = admin.Breaker{}
		if err := json.Unmarshal([]byte(text), &b); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, text)
		}
	}
	act("openai/gpt-4o", "open", `{"reason":"maintenance","for":"30m"}`)
	if left := time.Until(b.OpenUntil); b.State != "open" || left < 29*time.Minute || left > 30*time.Minute || b.Hand == nil || b.Hand.Reason != "maintenance" {
		t.Errorf("open: %+v %+v", b, b.Hand)
	}
	act("openai%2Fgpt-4o", "open", `{"reason":"for good"}`)
	if b.State != "forced_open" || !b.Hand.Until.IsZero() {
		t.Errorf("open without a time: %+v %+v", b, b.Hand)
	}
	act("openai/gpt-4o", "open", `{"reason":"shorter","for":"1m"}`)
	if b.State != "open" || time.Until(b.OpenUntil) > time.Minute {
		t.Errorf("open for a time after good: %+v", b)
	}
	act("openai/gpt-4o", "reset", "")
	if b.State != "closed" || b.Hand != nil {
		t.Errorf("reset: %+v", b)
	}
	act("openai/gpt-4o", "close", `{"reason":"we need it","for":"50ms"}`)
	if b.State != "forced_closed" || b.Hand == nil || b.Hand.Until.IsZero() {
		t.Errorf("close: %+v", b)
	}
	deadline := time.Now().Add(10 * time.Second)
	for d.transport.Status().Targets[1].Breaker != "closed" {
		if time.Now().After(deadline) {
			t.Fatalf("a time of close does not end: %+v", d.transport.Status().Targets)
		}
		time.Sleep(5 * time.Millisecond)
	}
	if log := d.log.String(); !strings.Contains(log, `"action":"open","target":"openai/gpt-4o","reason":"maintenance","for":"30m0s"`) {
		t.Errorf("the log does not say who did what: %s", log)
	}
}

func TestAWaitingRoomIsHeldByHand(t *testing.T) {
	d := open(t, nil)
	for _, step := range []struct {
		action           string
		paused, draining bool
	}{{"pause", true, false}, {"drain", true, true}, {"resume", false, false}} {
		resp, text := d.ask("POST", "/api/v1/queues/chat/"+step.action, "")
		var r holdfast.RouteStatus
		if err := json.Unmarshal([]byte(text), &r); err != nil || resp.StatusCode != 200 || r.Name != "chat" || r.Paused != step.paused || r.Draining != step.draining {
			t.Errorf("%s: %d %s", step.action, resp.StatusCode, text)
		}
	}
	if log := d.log.String(); !strings.Contains(log, `"action":"pause queue","route":"chat"`) {
		t.Errorf("the log does not say what was done: %s", log)
	}
}

func TestStrangeWordsAreRefused(t *testing.T) {
	d := open(t, nil)
	for _, body := range []string{
		`{"reason":"two\nlines"}`, `{"reason":"\u001b[31m"}`, `{"reason":"` + strings.Repeat("x", 201) + `"}`, `{"reason":"x","for":"1000h"}`, `{"reason":"x","for":"soon"}`,
		`{"reason":"x","until":"tomorrow"}`, `{"reason":7}`, `{"reason":"x"}{}`, `[]`, `{`, strings.Repeat(" ", 17<<10) + `{"reason":"x"}`, `{"reason":" "}`,
	} {
		if resp, text := d.ask("POST", "/api/v1/breakers/backup/open", body); resp.StatusCode != 400 {
			t.Errorf("%.40q: %d %s", body, resp.StatusCode, text)
		}
	}
	for _, query := range []string{"limit=1001", "limit=x", "status=5x", "status=700", "class=nonsense", "failed=maybe", "nobody=1", "route=", "route=a&route=b", "%zz", strings.Repeat("a=b&", 30)} {
		if resp, text := d.ask("GET", "/api/v1/requests?"+query, ""); resp.StatusCode != 400 {
			t.Errorf("%.40q: %d %s", query, resp.StatusCode, text)
		}
	}
	if d.transport.Status().Targets[0].Breaker != "closed" {
		t.Error("one of them was obeyed")
	}
}

func TestCallsAreListedAndExplained(t *testing.T) {
	d := open(t, nil)
	d.remember("hf_1")
	for query, want := range map[string]int{"": 1, "?route=chat&tenant=acme&class=throttled&status=4xx&target=openai/gpt-4o&failed=true&limit=5": 1, "?tenant=other": 0} {
		var list admin.Requests
		_, text := d.ask("GET", "/api/v1/requests"+query, "")
		if err := json.Unmarshal([]byte(text), &list); err != nil || len(list.Requests) != want || list.Remembered.Calls != 1 {
			t.Errorf("%s: %v %s", query, err, text)
		}
	}
	var s explain.Story
	_, text := d.ask("GET", "/api/v1/requests/hf_1", "")
	if err := json.Unmarshal([]byte(text), &s); err != nil || len(s.Attempts) != 1 || s.Attempts[0].Next.Reason != "no_time" || len(s.PassedOver) != 1 {
		t.Errorf("%v %s", err, text)
	}
	if _, text := d.ask("GET", "/api/v1/status", ""); !strings.Contains(text, `"id": "hf_1"`) {
		t.Errorf("the status does not name the failure: %s", text)
	}
}

func TestNoAnswerHoldsASecret(t *testing.T) {
	d := open(t, nil)
	d.remember("hf_1")
	for path, operations := range d.document().Paths {
		if operations["get"].OperationID == "" || strings.HasSuffix(path, "/events") {
			continue
		}
		if _, text := d.ask("GET", filled(path), ""); strings.Contains(text, "sk-canary") || strings.Contains(text, token) {
			t.Errorf("%s: %s", path, text)
		}
	}
}

func TestNamesThatAreNoneOfOursAreNotFound(t *testing.T) {
	d := open(t, nil)
	d.remember("hf_1")
	for _, id := range []string{"..%2Fhf_1", "%2e%2e", "../hf_1", "..%2f..%2fetc%2fpasswd", "%2Fetc%2Fpasswd", "hf_1%00", "hf_1%0a", "hf_1%5c", "%ff", "hf_1/", "/hf_1", "", ".", "hf_1/x", strings.Repeat("x", 600)} {
		resp, text := d.raw("GET /api/v1/requests/" + id)
		if resp != 404 {
			t.Errorf("%.40q: %d %s", id, resp, text)
		}
		if resp, text = d.raw("POST /api/v1/breakers/" + id + "/open"); resp != 404 {
			t.Errorf("breaker %.40q: %d %s", id, resp, text)
		}
	}
}

// raw asks for a path as it stands, which clients would clean.
func (d *desk) raw(line string) (status int, body string) {
	d.t.Helper()
	method, path, _ := strings.Cut(line, " ")
	r := httptest.NewRequest(method, "http://127.0.0.1/", strings.NewReader(`{"reason":"x"}`))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	u, err := r.URL.Parse("http://127.0.0.1")
	if err != nil {
		d.t.Fatal(err)
	}
	if parsed, err := u.Parse(path); err == nil && parsed.EscapedPath() == path {
		r.URL = parsed
	} else {
		r.URL.Path, r.URL.RawPath = path, path
	}
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestOnlyTheMethodsOfThePathAreServed(t *testing.T) {
	d := open(t, nil)
	for line, allowed := range map[string]string{"DELETE /api/v1/status": "GET", "GET /api/v1/drain": "POST", "HEAD /api/v1/events": "GET", "PUT /api/v1/breakers/backup/open": "POST"} {
		method, path, _ := strings.Cut(line, " ")
		if resp, _ := d.ask(method, path, ""); resp.StatusCode != 405 || resp.Header.Get("Allow") != allowed {
			t.Errorf("%s: %d, Allow %q", line, resp.StatusCode, resp.Header.Get("Allow"))
		}
	}
	if resp, body := d.ask("HEAD", "/api/v1/status", ""); resp.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %d %q", resp.StatusCode, body)
	}
}

func TestWhoMayAsk(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*admin.Config)
		headers []string
		want    int
	}{
		{"the token", nil, nil, 200},
		{"another token", nil, []string{"Authorization: Bearer " + token + "x"}, 401},
		{"a part of the token", nil, []string{"Authorization: Bearer a-token"}, 401},
		{"no token", nil, []string{"Authorization: "}, 401},
		{"the token under another scheme", nil, []string{"Authorization: Basic " + token}, 401},
		{"the scheme in capitals", nil, []string{"Authorization: BEARER " + token}, 200},
		{"no token is set and the listener is this machine's", func(c *admin.Config) { c.Token = noToken }, []string{"Authorization: "}, 200},
		{"no token is set and other machines can ask", func(c *admin.Config) { c.Token = noToken; c.Exposed = func() bool { return true } }, []string{"Authorization: Bearer "}, 401},
		{"localhost", nil, []string{"Host: localhost:8081"}, 200},
		{"localhost with a dot", nil, []string{"Host: LOCALHOST.:1"}, 200},
		{"another loopback address", nil, []string{"Host: 127.9.9.9"}, 200},
		{"loopback of version 6", nil, []string{"Host: [::1]:8081"}, 200},
		{"a name of a stranger", nil, []string{"Host: rebound.example:8081"}, 421},
		{"a name that ends like ours", nil, []string{"Host: localhost.rebound.example"}, 421},
		{"an address of a stranger", nil, []string{"Host: 192.0.2.1"}, 421},
		{"every address", nil, []string{"Host: 0.0.0.0:8081"}, 421},
		{"a name that was named", func(c *admin.Config) { c.Hosts = func() []string { return []string{"Ops.example"} } }, []string{"Host: ops.example:8081"}, 200},
		{"the name listened on", func(c *admin.Config) { c.Listen = "gateway.internal:8081" }, []string{"Host: gateway.internal:9"}, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := open(t, c.change)
			if resp, body := d.ask("GET", "/api/v1/status", "", c.headers...); resp.StatusCode != c.want {
				t.Errorf("got %d, want %d: %s", resp.StatusCode, c.want, body)
			}
		})
	}
}

func noToken() call.Secret { return "" }

func TestAWebPageOfAnotherOriginChangesNothing(t *testing.T) {
	d := open(t, func(c *admin.Config) { c.Token = noToken })
	for _, header := range []string{"Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site", "Origin: https://evil.example"} {
		for _, kind := range []string{"text/plain", "application/json", "application/x-www-form-urlencoded"} {
			resp, body := d.ask("POST", "/api/v1/drain", "{}", header, "Content-Type: "+kind)
			if resp.StatusCode != 403 || !strings.Contains(body, `"cross_origin"`) {
				t.Errorf("%s, %s: %d %s", header, kind, resp.StatusCode, body)
			}
		}
	}
	if d.drained != 0 {
		t.Error("it could drain")
	}
}

func TestTheProfilerIsOffUntilItIsAskedFor(t *testing.T) {
	off := open(t, nil)
	if resp, _ := off.ask("GET", "/debug/pprof/", ""); resp.StatusCode != 404 {
		t.Errorf("off: %d", resp.StatusCode)
	}
	on := open(t, func(c *admin.Config) { c.Pprof = func() bool { return true } })
	if resp, body := on.ask("GET", "/debug/pprof/goroutine?debug=1", ""); resp.StatusCode != 200 || !strings.Contains(body, "goroutine profile") {
		t.Errorf("on: %d %.80s", resp.StatusCode, body)
	}
	if resp, _ := on.ask("GET", "/debug/pprof/", "", "Authorization: "); resp.StatusCode != 401 {
		t.Errorf("on, without the token: %d", resp.StatusCode)
	}
	for _, path := range []string{"/debug/pprof/cmdline", "/debug/pprof/nothing"} {
		if resp, _ := on.ask("GET", path, ""); resp.StatusCode != 404 {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestTheDocumentNamesEveryParameterOnce(t *testing.T) {
	doc := open(t, nil).document()
	ids := map[string]bool{}
	for path, operations := range doc.Paths {
		for _, o := range operations {
			if o.OperationID == "" || ids[o.OperationID] {
				t.Errorf("%s: the id %q is empty or stands twice", path, o.OperationID)
			}
			ids[o.OperationID] = true
			for _, want := range []string{"target", "id"} {
				named := slices.ContainsFunc(o.Parameters, func(p struct{ Name, In string }) bool { return p.In == "path" && p.Name == want })
				if named != strings.Contains(path, "{"+want+"}") {
					t.Errorf("%s: parameter %s", path, want)
				}
			}
		}
	}
}
