package holdfast_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/sim"
)

// accounts is a provider whose accounts (a host and a key each) know only what
// they made themselves, as true ones do.
type accounts struct {
	mu   sync.Mutex
	made map[string]string // state: account
	n    int
	lost int // requests for state of another account
}

// make notes new state of an account.
func (a *accounts) make(account, kind string) string {
	a.n++
	id := fmt.Sprintf("%s_%032d", kind, a.n)
	a.made[id] = account
	return id
}

func (a *accounts) RoundTrip(req *http.Request) (*http.Response, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	account := req.URL.Host + "/" + req.Header.Get("Authorization") + req.Header.Get("X-Api-Key")
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	for id, owner := range a.made {
		if (strings.Contains(req.URL.Path, id) || bytes.Contains(body, []byte(id))) && owner != account {
			a.lost++
			resp, err := canned{"application/json", `{"error":{"message":"not found here","type":"invalid_request_error","code":"not_found"}}`}.RoundTrip(req)
			resp.StatusCode = 404
			return resp, err
		}
	}
	return canned{a.kind(req, body), a.answer(account, req, body)}.RoundTrip(req)
}

func (a *accounts) kind(_ *http.Request, body []byte) string {
	if call.Value(body).Get("stream").True() {
		return "text/event-stream"
	}
	return "application/json"
}

// answer makes state wherever the real APIs do.
func (a *accounts) answer(account string, req *http.Request, body []byte) string {
	stream := call.Value(body).Get("stream").True()
	switch req.URL.Path {
	case "/v1/responses":
		response := fmt.Sprintf(`{"id":%q,"object":"response","status":"completed","conversation":{"id":%q},"output":[`+
			`{"type":"code_interpreter_call","id":"ci_1","container_id":%q},{"type":"reasoning","id":"rs_1","encrypted_content":%q},`+
			`{"type":"message","role":"assistant","content":[{"type":"output_text","text":"hi"}]}]}`,
			a.make(account, "resp"), a.make(account, "conv"), a.make(account, "cntr"), a.make(account, "sealed"))
		if stream {
			return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"hi\"}\n\nevent: response.completed\ndata: {\"type\":\"response.completed\",\"response\":" + response + "}\n\n"
		}
		return response
	case "/v1/messages":
		signature, container := a.make(account, "signature"), a.make(account, "container")
		if stream {
			return "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\"}}\n\n" +
				"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"thinking_delta\",\"thinking\":\"hm\"}}\n\n" +
				"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"signature_delta\",\"signature\":\"" + signature + "\"}}\n\n" +
				"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"container\":{\"id\":\"" + container + "\"}}}\n\n" +
				"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"
		}
		return fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","container":{"id":%q},"stop_reason":"end_turn","content":[{"type":"thinking","thinking":"hm","signature":%q},{"type":"text","text":"hi"}]}`, container, signature)
	case "/v1/chat/completions":
		return `{"object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`
	}
	if req.Method == http.MethodPost {
		kind := strings.TrimSuffix(strings.TrimPrefix(req.URL.Path, "/v1/"), "es")
		return fmt.Sprintf(`{"id":%q,"object":"thing"}`, a.make(account, kind))
	}
	return `{"object":"thing"}`
}

// newest returns the newest state of a kind.
func (a *accounts) newest(kind string) (id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for made := range a.made {
		if strings.HasPrefix(made, kind+"_") && made > id {
			id = made
		}
	}
	return id
}

// TestStateStaysWithTheAccountThatMadeIt: what refers to state of one account is
// sent to the target and key that made it, whatever kind of state it is.
func TestStateStaysWithTheAccountThatMadeIt(t *testing.T) {
	type request struct{ method, path, body string }
	for name, c := range map[string]struct {
		anthropic bool
		maker     request
		kind      string
		user      func(id string) request
	}{
		"a stored response": {false, request{"POST", "/v1/responses", `{"model":"m","input":"x"}`}, "resp",
			func(id string) request {
				return request{"POST", "/v1/responses", `{"model":"m","input":"y","previous_response_id":"` + id + `"}`}
			}},
		"a stored response, streamed": {false, request{"POST", "/v1/responses", `{"model":"m","input":"x","stream":true}`}, "resp",
			func(id string) request { return request{"GET", "/v1/responses/" + id, ""} }},
		"a response to delete": {false, request{"POST", "/v1/responses", `{"model":"m","input":"x"}`}, "resp",
			func(id string) request { return request{"DELETE", "/v1/responses/" + id, ""} }},
		"a conversation": {false, request{"POST", "/v1/responses", `{"model":"m","input":"x"}`}, "conv",
			func(id string) request {
				return request{"POST", "/v1/responses", `{"model":"m","input":"y","conversation":"` + id + `"}`}
			}},
		"a container": {false, request{"POST", "/v1/responses", `{"model":"m","input":"x","stream":true}`}, "cntr",
			func(id string) request {
				return request{"POST", "/v1/responses", `{"model":"m","input":"y","tools":[{"type":"code_interpreter","container":"` + id + `"}]}`}
			}},
		"encrypted reasoning": {false, request{"POST", "/v1/responses", `{"model":"m","input":"x"}`}, "sealed",
			func(id string) request {
				return request{"POST", "/v1/responses", `{"model":"m","input":[{"type":"reasoning","id":"rs_1","encrypted_content":"` + id + `"},{"role":"user","content":"y"}]}`}
			}},
		"a file": {false, request{"POST", "/v1/files", `{}`}, "fil",
			func(id string) request {
				return request{"POST", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"` + id + `"}}]}]}`}
			}},
		"a batch": {false, request{"POST", "/v1/batches", `{}`}, "batch",
			func(id string) request { return request{"POST", "/v1/batches/" + id + "/cancel", ""} }},
		"a vector store": {false, request{"POST", "/v1/vector_stores", `{}`}, "vector_stor",
			func(id string) request {
				return request{"POST", "/v1/responses", `{"model":"m","input":"y","tools":[{"type":"file_search","vector_store_ids":["` + id + `"]}]}`}
			}},
		"signed thinking": {true, request{"POST", "/v1/messages", `{"model":"m","messages":[]}`}, "signature",
			func(id string) request {
				return request{"POST", "/v1/messages", `{"model":"m","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"` + id + `"}]}]}`}
			}},
		"signed thinking, streamed": {true, request{"POST", "/v1/messages", `{"model":"m","messages":[],"stream":true}`}, "signature",
			func(id string) request {
				return request{"POST", "/v1/messages", `{"model":"m","messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"` + id + `"}]}]}`}
			}},
		"a container of messages": {true, request{"POST", "/v1/messages", `{"model":"m","messages":[],"stream":true}`}, "container",
			func(id string) request {
				return request{"POST", "/v1/messages", `{"model":"m","messages":[],"container":"` + id + `"}`}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				provider := &accounts{made: map[string]string{}}
				target := to
				if c.anthropic {
					target = claude
				}
				one, two := keyed(target("one", ""), "sk-1", "sk-2", "sk-3"), keyed(target("two", ""), "sk-4", "sk-5")
				one.Weight, two.Weight = 1, 1
				if !strings.Contains(c.maker.path, "responses") && !c.anthropic { // an unread path has one provider
					two.BaseURL = one.BaseURL
				}
				cfg := route(one, two)
				cfg.Transport = provider
				w := build(t, cfg)
				send := func(r request) {
					req, _ := http.NewRequestWithContext(context.Background(), r.method, "http://app"+r.path, strings.NewReader(r.body))
					req.Header.Set("Content-Type", "application/json")
					resp, err := w.hf.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					text, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					if resp.StatusCode != 200 {
						t.Fatalf("%s %s: status %d: %s", r.method, r.path, resp.StatusCode, text)
					}
				}
				for range 40 {
					send(c.maker)
					id := provider.newest(c.kind)
					if id == "" {
						t.Fatal("nothing was made")
					}
					send(c.user(id))
				}
				if provider.lost > 0 {
					t.Errorf("%d requests went to an account that does not have the state", provider.lost)
				}
			})
		})
	}
}

// TestAPinnedCallNeverReachesAnotherKey: not when its own is ejected, and it asks
// that one as the last resort; when its own is gone, the route's primary is as
// good as any.
func TestAPinnedCallNeverReachesAnotherKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		provider := &revoked{accounts: accounts{made: map[string]string{}}}
		c := route(keyed(to("one", ""), "sk-1", "sk-2", "sk-3"))
		c.Transport = provider
		w := build(t, c)
		made := w.do(t.Context(), "responses", []byte(`{"model":"m","input":"x"}`))
		id := provider.newest("resp")
		if made.status != 200 || id == "" {
			t.Fatal(made)
		}
		provider.key = provider.made[id]
		ask := func() got {
			return w.do(t.Context(), "responses", fmt.Appendf(nil, `{"model":"m","input":"y","previous_response_id":%q}`, id))
		}
		for i := range 4 {
			if g := ask(); g.status != 401 || provider.lost > 0 {
				t.Fatalf("question %d: %d requests reached another key: %s", i, provider.lost, g)
			}
		}
		for _, k := range c.Routes[0].Targets[0].Keys {
			if !strings.HasSuffix(provider.key, k.Secret) {
				c.Routes[0].Targets[0].Keys = []holdfast.Key{k}
			}
		}
		if err := w.hf.Update(c); err != nil {
			t.Fatal(err)
		}
		if g := ask(); g.status != 404 || provider.lost != 1 {
			t.Errorf("without the key: %d requests: %s", provider.lost, g)
		}
	})
}

// revoked are accounts of which one's key is not valid any more.
type revoked struct {
	accounts
	key string
}

func (r *revoked) RoundTrip(req *http.Request) (*http.Response, error) {
	if r.key == "" || req.URL.Host+"/"+req.Header.Get("Authorization") != r.key {
		return r.accounts.RoundTrip(req)
	}
	resp, err := canned{"application/json", `{"error":{"message":"revoked","type":"invalid_request_error","code":"invalid_api_key"}}`}.RoundTrip(req)
	resp.StatusCode = 401
	return resp, err
}

// TestACallersOwnKeyFollowsThePrimaryOnly: with passed-on credentials the key
// goes to the primary's host and nowhere else.
func TestACallersOwnKeyFollowsThePrimaryOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		one, same, other := to("primary", "sim/503"), to("primary", "sim/502"), to("backup", "sim/echo-headers")
		same.Name = "primary again"
		for _, target := range []*holdfast.Target{&one, &same, &other} {
			target.PassCredential = true
		}
		w := build(t, route(one, same, other), "primary", "backup")
		g := w.do(t.Context(), "chat", ask("chat", "m", false))
		if !g.complete("chat") || strings.Contains(g.body, "sk-caller") {
			t.Errorf("another host saw the caller's key: %s", g)
		}
		for _, a := range w.sims["primary"].Log() {
			if a.KeyDigest == "" {
				t.Error("the primary did not get the caller's key")
			}
		}
		both := keyed(to("primary", ""), "sk-1")
		both.PassCredential = true
		if _, err := holdfast.NewTransport(route(both)); err == nil || !strings.Contains(err.Error(), "exclude each other") {
			t.Errorf("keys and pass_credential together: %v", err)
		}
	})
}

func TestAToolThatPromisesItMayBeAskedTwice(t *testing.T) {
	for promised, want := range map[bool]int{false: 1, true: 2} {
		bubble(t, func(t *testing.T) {
			target := to("primary", "")
			target.Idempotent = promised
			w := build(t, route(target), "primary")
			if err := w.sims["primary"].SetDials(sim.Dials{Fault: "502"}); err != nil {
				t.Fatal(err)
			}
			req, _ := http.NewRequest("POST", "http://app/v1/tool", strings.NewReader(`{}`))
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if n := w.attempts("primary"); n != want {
				t.Errorf("idempotent=%v: %d attempts, want %d", promised, n, want)
			}
		})
	}
}
