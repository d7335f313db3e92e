package attack

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/holdfast-gateway/holdfast/gateway/internal/otlpsink"
	"github.com/holdfast-gateway/holdfast/internal/process"
)

// operations are what operators can change.
var operations = []struct{ path, body string }{
	{"/api/v1/breakers/openai/gpt-4o/open", `{"reason":"attack"}`},
	{"/api/v1/breakers/openai/gpt-4o/close", `{"reason":"attack"}`},
	{"/api/v1/breakers/openai/gpt-4o/reset", `{"reason":"attack"}`},
	{"/api/v1/config/reload", ""},
	{"/api/v1/drain", ""},
}

// TestS14NoWebPageCommandsTheGateway: not as a form, not from another origin, and
// not under a name that was pointed here.
func TestS14NoWebPageCommandsTheGateway(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for name, test := range map[string]struct {
		header http.Header
		want   []int
	}{
		"a form of another origin":  {http.Header{"Origin": {"https://attacker.test"}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"text/plain"}}, []int{403}},
		"another origin":            {http.Header{"Origin": {"https://attacker.test"}, "Content-Type": {"application/json"}}, []int{403}},
		"a page without an origin":  {http.Header{"Origin": {"null"}, "Sec-Fetch-Site": {"cross-site"}}, []int{403}},
		"another port of this host": {http.Header{"Origin": {"http://127.0.0.1:9"}, "Sec-Fetch-Site": {"same-site"}}, []int{403}},
		"a name pointed here":       {http.Header{"Host": {"attacker.test"}}, []int{421}},
		"a name that begins alike":  {http.Header{"Host": {"localhost.attacker.test:8081"}}, []int{421}},
		"a name with a port":        {http.Header{"Host": {"127.0.0.1.nip.io:8081"}}, []int{421}},
	} {
		for _, token := range []bool{true, false} {
			for _, op := range operations {
				h := test.header.Clone()
				if token {
					h.Set("Authorization", "Bearer "+adminToken())
				}
				a, err := g.ask("POST", g.admin+op.path, op.body, h)
				if err != nil || a.status != test.want[0] {
					t.Errorf("%s, token %t: POST %s is answered with %d, %v", name, token, op.path, a.status, err)
				}
			}
		}
	}
	// The callers' listener is no easier.
	for _, origin := range []http.Header{{"Origin": {"https://attacker.test"}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"text/plain"}}} {
		h := origin.Clone()
		h.Set("Authorization", "Bearer "+aliceKey())
		if a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), h); err != nil || a.status != 403 {
			t.Errorf("a web page's call is answered with %d, %v", a.status, err)
		}
	}
	if len(v.saw()) > 0 {
		t.Error("a web page reached the provider")
	}
	g.works(t)
}

// TestS12TheOperatorsAPITellsNoSecret to anybody, and nothing to those without
// the token.
func TestS12TheOperatorsAPITellsNoSecret(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	g.works(t)
	for _, path := range []string{"/api/v1/status", "/api/v1/config", "/api/v1/targets", "/api/v1/breakers", "/api/v1/requests", "/api/v1/version", "/api/v1/openapi.json"} {
		status, text, err := g.operator("GET", path, "")
		if err != nil || status != 200 {
			t.Errorf("%s: %d, %v", path, status, err)
		}
		for what, canary := range map[string]string{"provider's key": providerKey(), "admin token": adminToken(), "client key": aliceKey(), "digest of a client key": digestOf(aliceKey()), "prompt": prompt()} {
			if found(text, canary) {
				t.Errorf("%s tells the %s", path, what)
			}
		}
		for _, wrong := range []http.Header{{}, {"Authorization": {"Bearer " + aliceKey()}}, {"Authorization": {"Bearer " + adminToken() + "x"}}, {"Authorization": {"Bearer " + adminToken()[1:]}}, {"Authorization": {"Bearer "}}, {"Authorization": {adminToken()}}, {"X-Api-Key": {adminToken()}}, {"Cookie": {"token=" + adminToken()}}} {
			if a, err := g.ask("GET", g.admin+path, "", wrong); err != nil || a.status != 401 {
				t.Errorf("%s without the token: %d, %v", path, a.status, err)
			}
		}
	}
	for _, op := range operations {
		if a, err := g.ask("POST", g.admin+op.path, op.body, http.Header{"Content-Type": {"application/json"}}); err != nil || a.status != 401 {
			t.Errorf("POST %s without the token: %d, %v", op.path, a.status, err)
		}
	}
	g.works(t)
}

// TestS32IdentifiersAreNoPaths: whatever is put in their place is not found.
func TestS32IdentifiersAreNoPaths(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	for _, id := range []string{"..%2f..%2fetc%2fpasswd", "%2fetc%2fpasswd", "..%5c..%5cetc", "a%00b", "%2e%2e", "%2e", "file:%2f%2f%2fetc%2fpasswd", "%252e%252e%252f", "hf_..%2fx", strings.Repeat("a", 4000), "%ff%fe", "*", "%25", "_"} {
		for _, path := range []string{"/api/v1/requests/", "/api/v1/breakers/"} {
			method, url := "GET", g.admin+path+id
			if strings.Contains(path, "breakers") {
				method, url = "POST", url+"/open"
			}
			a, err := g.ask(method, url, `{"reason":"x"}`, http.Header{"Authorization": {"Bearer " + adminToken()}, "Content-Type": {"application/json"}})
			if err != nil || a.status != 404 && a.status != 400 && a.status != 405 || strings.Contains(a.body, "root:") {
				t.Errorf("%s %s%s: %d %.200s, %v", method, path, id, a.status, a.body, err)
			}
		}
		if a, err := g.ask("GET", g.URL+"/v1/models/"+id, "", alice()); err != nil || a.status != 404 && a.status != 400 {
			t.Errorf("the model %s: %d, %v", id, a.status, err)
		}
	}
	if len(v.saw()) > 0 {
		t.Error("an identifier reached the provider")
	}
}

// TestS33ATenantSeesOnlyItsOwn models.
func TestS33ATenantSeesOnlyItsOwn(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	bob := http.Header{"Authorization": {"Bearer " + bobKey()}}
	a, err := g.ask("GET", g.URL+"/v1/models", "", bob)
	if err != nil || a.status != 200 || strings.Contains(a.body, `"chat"`) || !strings.Contains(a.body, `"only-bobs"`) {
		t.Errorf("bob sees the models %d %s, %v", a.status, a.body, err)
	}
	if a, err := g.ask("GET", g.URL+"/v1/models/chat", "", bob); err != nil || a.status != 404 {
		t.Errorf("bob sees the model chat: %d, %v", a.status, err)
	}
	for _, path := range []string{"/v1/files/file-0123456789", "/v1/responses/resp_0123456789", "/v1/batches/batch_0123456789"} {
		if a, err := g.ask("GET", g.URL+path, "", bob); err != nil || a.status != 404 {
			t.Errorf("bob, who may use one model, sees %s: %d, %v", path, a.status, err)
		}
	}
	if len(v.saw()) > 0 {
		t.Error("the provider was asked")
	}
}

// TestS38NothingShowsTheProcessFromOutside: no profiler, no variables, no secret
// in the arguments of the process, none in the metrics.
func TestS38NothingShowsTheProcessFromOutside(t *testing.T) {
	v := startVillain(t)
	g := serve(t, settings(v.URL))
	g.works(t)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/env", "/config", "/actuator/env", "/.env", "/api/v1/env", "/server-status", "/debug/requests"} {
		if status, _, err := g.operator("GET", path, ""); err != nil || status != 404 {
			t.Errorf("operators get %s: %d, %v", path, status, err)
		}
		if a, err := g.ask("GET", g.URL+path, "", nil); err != nil || a.status != 401 {
			t.Errorf("callers get %s: %d, %v", path, a.status, err)
		}
	}
	arguments, err := process.Arguments(g.Pid)
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	}
	if all := strings.Join(arguments, " "); found(all, providerKey()) || found(all, adminToken()) {
		t.Error("the arguments of the process hold a secret")
	}
	a, err := g.ask("GET", g.admin+"/metrics", "", nil)
	if err != nil || a.status != 200 || !strings.Contains(a.body, "holdfast_") {
		t.Errorf("metrics: %d, %v", a.status, err)
	}
	for _, canary := range []string{providerKey(), adminToken(), aliceKey(), digestOf(aliceKey()), prompt()} {
		if found(a.body, canary) {
			t.Error("the metrics hold a secret")
		}
	}
}

// TestS11NoSecretIsLoggedWhateverGoesWrong, at debug level: every gateway of
// these tests is looked at when it ends, and this one is treated badly.
func TestS11NoSecretIsLoggedWhateverGoesWrong(t *testing.T) {
	v, c := startVillain(t), startCollector(t)
	configuration := strings.Replace(settings(v.URL), "max_attempts: 1", "max_attempts: 3", 1) +
		"telemetry: {otlp: \"" + c.URL + "\", traces: {ratio: 1}}\n"
	g := serve(t, configuration)
	for _, answer := range []http.HandlerFunc{
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, r *http.Request) { stream(w, "data: "+providerKey()+"\n\n", 5) },
		func(w http.ResponseWriter, r *http.Request) { stream(w, goodEvents[:len(goodEvents)/2], 5) },
		func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-A", providerKey()); w.WriteHeader(204) },
		func(w http.ResponseWriter, _ *http.Request) { failure(w, 400, providerKey()) },
		func(w http.ResponseWriter, _ *http.Request) { failure(w, 503, providerKey()) },
		func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"object":"chat.completion","model":"`+providerKey()+`","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}`)
		},
		func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, r.Header.Get("Authorization"), http.StatusUnauthorized)
		}, // last: it pauses the key
	} {
		v.be(answer)
		for _, streamed := range []bool{false, true} {
			_, _ = g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", streamed), alice())
			_, _ = g.ask("POST", g.URL+"/v1/chat/completions?key="+aliceKey(), chat(aliceKey(), streamed)[:20], alice())
			_, _ = g.ask("POST", g.URL+"/v1/messages", chat("chat", streamed), http.Header{"X-Api-Key": {aliceKey() + "x"}})
		}
		if len(v.saw()) == 0 {
			t.Error("the provider was not asked: this proves nothing")
		}
	}
	write(t, g.file, strings.Replace(configuration, "routes:", "rouets:", 1))
	status, text, err := g.operator("POST", "/api/v1/config/reload", "")
	if err != nil || status != 422 || found(text, providerKey()) || found(text, adminToken()) {
		t.Errorf("a broken file is told as %d %s, %v", status, text, err)
	}
	write(t, g.file, configuration)
	v.be(nil)
	g.works(t)
	g.explainsWithoutSecrets(t)
	g.stop() // sends the spans that wait
	if len(c.Spans()) == 0 {
		t.Error("no span arrived: this proves nothing")
	}
	for _, body := range c.bodies() {
		withoutSecrets(t, "a span", body)
	}
}

// failure is an error with a secret wherever it has a place for one.
func failure(w http.ResponseWriter, status int, secret string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, `{"error":{"message":"`+secret+`","type":"`+secret+`","param":"`+secret+`","code":"`+secret+`"}}`)
}

// explainsWithoutSecrets looks at the story of every call and at every event.
func (g *gateway) explainsWithoutSecrets(t *testing.T) {
	t.Helper()
	status, text, err := g.operator("GET", "/api/v1/requests?limit=1000", "")
	var list struct {
		Requests []struct {
			ID string `json:"id"`
		} `json:"requests"`
	}
	if err != nil || status != 200 || json.Unmarshal([]byte(text), &list) != nil {
		t.Fatalf("the calls: %d %.300s, %v", status, text, err)
	}
	withoutSecrets(t, "the list of calls", text)
	attempts := 0
	for _, r := range list.Requests {
		status, text, err := g.operator("GET", "/api/v1/requests/"+r.ID, "")
		if err != nil || status != 200 {
			t.Errorf("the story of %s: %d, %v", r.ID, status, err)
		}
		withoutSecrets(t, "a story", text)
		attempts += strings.Count(text, `"answer_bytes"`)
	}
	if attempts == 0 {
		t.Errorf("%d stories tell of no attempt: this proves nothing", len(list.Requests))
	}
	a, err := g.ask("GET", g.admin+"/api/v1/events?follow=false", "", http.Header{"Authorization": {"Bearer " + adminToken()}, "Last-Event-Id": {"oldest"}})
	if err != nil || a.status != 200 || !strings.Contains(a.body, "\ndata: ") {
		t.Errorf("the events: %d %.300s, %v: this proves nothing", a.status, a.body, err)
	}
	withoutSecrets(t, "an event", a.body)
}

// collector receives spans, and keeps the bytes they came as.
type collector struct {
	*httptest.Server
	otlpsink.Sink
	mu   sync.Mutex
	came []string
}

func startCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "cut", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		c.came = append(c.came, string(body))
		c.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		c.ServeHTTP(w, r)
	}))
	t.Cleanup(c.Close)
	return c
}

// bodies returns what has arrived.
func (c *collector) bodies() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.came...)
}
