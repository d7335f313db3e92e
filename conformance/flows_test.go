package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/sim"
)

// flow is something that users of a client do, as it stands in node/.
type flow struct {
	name  string
	modes string // "both", or the only one that there is: "whole", "stream"
}

// nodeFlows are the flows of each client against the simulated provider.
var nodeFlows = map[string][]flow{
	"openai": {
		{"chat", "both"}, {"chatTool", "both"}, {"chatForm", "both"}, {"response", "both"}, {"responseTool", "both"},
		{"responseForm", "both"}, {"embedding", "whole"}, {"file", "whole"},
	},
	"anthropic": {{"message", "both"}, {"helper", "stream"}, {"tool", "both"}, {"structured", "both"}, {"count", "whole"}, {"file", "whole"}},
	"ai": {
		{"chat", "both"}, {"chatTool", "both"}, {"chatForm", "both"}, {"response", "both"}, {"responseTool", "both"},
		{"responseForm", "both"}, {"message", "both"}, {"messageTool", "both"}, {"messageForm", "both"}, {"embedding", "whole"},
	},
	"langchain": { // whose structured responses cannot be streamed, directly neither
		{"chat", "both"}, {"chatTool", "both"}, {"chatForm", "both"}, {"response", "both"}, {"responseTool", "both"},
		{"responseForm", "whole"}, {"message", "both"}, {"messageTool", "both"}, {"messageForm", "both"}, {"embedding", "whole"},
	},
	"agents": {
		{"chat", "both"}, {"chatTool", "both"}, {"chatForm", "both"}, {"response", "both"}, {"responseTool", "both"}, {"responseForm", "both"},
	},
	"genai": {{"content", "both"}, {"contentTool", "both"}, {"contentForm", "both"}},
}

func (f flow) streams() []bool {
	return map[string][]bool{"both": {false, true}, "whole": {false}, "stream": {true}}[f.modes]
}

// flowDeadline is how long a flow without faults may take on a busy machine.
const flowDeadline = 60 * time.Second

// modelFor is the sound model that a flow asks for.
func modelFor(client, flow string) string {
	switch {
	case client == "genai":
		return "gemini-sim"
	case client == "anthropic" || strings.HasPrefix(flow, "message"):
		return messageModel
	}
	return chatModel
}

// TestEveryNodeClientSeesTheSameThroughTheGateway: the results of a client are
// the same to the last bit, and it makes as many requests.
func TestEveryNodeClientSeesTheSameThroughTheGateway(t *testing.T) {
	home := nodeHome(t)
	provider := startTape(t)
	google := httptest.NewServer(&tape{provider: gemini{sim.New(sim.Config{})}, answers: map[string]*taped{}})
	t.Cleanup(google.Close)
	g := serve(t, withGemini(configuration(provider, clocks{}), google.URL))
	var all sync.WaitGroup
	defer all.Wait()
	for client, flows := range nodeFlows {
		direct := provider
		if client == "genai" {
			direct = google.URL
		}
		all.Go(func() {
			t.Run(client, func(t *testing.T) {
				n := startNode(t, home, client)
				for _, f := range flows {
					for _, streamed := range f.streams() {
						o := order{Flow: f.name, Key: callersKey, Model: modelFor(client, f.name), Stream: streamed, Prompt: question}
						t.Run(fmt.Sprintf("%s,stream=%t", f.name, streamed), func(t *testing.T) { n.compare(t, o, direct, g.URL) })
					}
				}
			})
		})
	}
}

// compare runs an order directly and through the gateway.
func (n *child) compare(t *testing.T, o order, direct, gateway string) {
	t.Helper()
	o.Base = direct
	want, err := n.ask(o, flowDeadline)
	if err != nil || want.Late || want.Error != nil && !strings.HasPrefix(o.Flow, "replay") || want.Error == nil && want.Result == nil {
		t.Fatalf("directly: %v, %+v, late: %t", err, want.Error, want.Late)
	}
	o.Base = gateway
	got, err := n.ask(o, flowDeadline)
	switch {
	case err != nil || got.Late:
		t.Errorf("through the gateway: %v, late: %t", err, got.Late)
	case !reflect.DeepEqual(got.Error, want.Error):
		t.Errorf("the error is %+v, directly %+v", got.Error, want.Error)
	case !reflect.DeepEqual(got.Result, want.Result):
		t.Errorf("the result parts %s", parting(got.Result, want.Result))
	case got.Requests != want.Requests || got.Requests == 0:
		t.Errorf("%d requests, directly %d", got.Requests, want.Requests)
	}
}

// withGemini adds to a gateway's file a service that it passes on unread.
func withGemini(file, address string) string {
	file = strings.Replace(file, "providers:\n", fmt.Sprintf("providers:\n  google: {kind: http, base_url: %q, api_key: \"X-Goog-Api-Key: %s\"}\n", address+"/v1beta", ownKey), 1)
	return file + "  google:\n    match: {path: /v1beta}\n    targets: google/*\n"
}

// TestEveryNodeClientReadsRecordedAnswersAsDirectly replays what true providers
// said. A client that cannot read one fails in the same way on both sides.
func TestEveryNodeClientReadsRecordedAnswersAsDirectly(t *testing.T) {
	all := recordings(t)
	home := nodeHome(t)
	stage := newShelf(all)
	server := httptest.NewServer(stage)
	t.Cleanup(server.Close)
	file := strings.ReplaceAll(configuration(server.URL, clocks{}), `{base_url:`, `{lenient_end: true, base_url:`)
	g := serve(t, withGemini(file, server.URL))
	var running sync.WaitGroup
	defer running.Wait()
	for _, client := range nodeClients {
		running.Go(func() {
			t.Run(client, func(t *testing.T) {
				n := startNode(t, home, client)
				asked := 0
				for _, x := range all {
					flow := replayFlow(client, x)
					if flow == "" {
						continue
					}
					asked++
					t.Run(x.name, func(t *testing.T) {
						o := order{Flow: flow, Key: callersKey, Model: x.asModel(), Stream: x.streamed(), Prompt: question, Body: x.bodyFor(x.asModel())}
						n.compare(t, o, server.URL, g.URL)
					})
				}
				if asked < 4 {
					t.Errorf("only %d recordings are for this client", asked)
				}
			})
		})
	}
}

// TestEveryNodeClientRaisesRecordedErrorsAsDirectly: what is wrong with a
// request or a key is said in the provider's words, whatever their shape. Better
// than directly is an error that came under status 200: it is an error to all,
// where directly no two clients agree.
func TestEveryNodeClientRaisesRecordedErrorsAsDirectly(t *testing.T) {
	all := mishaps(t)
	home := nodeHome(t)
	server := httptest.NewServer(newShelf(all))
	t.Cleanup(server.Close)
	g := serve(t, apart(all, server.URL))
	var running sync.WaitGroup
	defer running.Wait()
	for _, client := range nodeClients {
		if client == "genai" {
			continue
		}
		running.Go(func() {
			t.Run(client, func(t *testing.T) {
				n := startNode(t, home, client)
				for _, x := range all {
					if flow := replayFlow(client, x); flow != "" {
						t.Run(x.name, func(t *testing.T) {
							o := order{Flow: flow, Key: callersKey, Model: x.asModel(), Prompt: question, Body: x.bodyFor(x.asModel())}
							if x.pretends() {
								n.expect(t, o, g.URL, http.StatusBadRequest)
								return
							}
							n.compare(t, o, server.URL, g.URL)
						})
					}
				}
			})
		})
	}
}

// pretends reports whether an error came as a success.
func (x exchange) pretends() bool {
	var body struct{ Error *struct{ Message string } }
	return x.status == http.StatusOK && json.Unmarshal(x.body, &body) == nil && body.Error != nil
}

// expect runs an order that is to fail through the gateway.
func (n *child) expect(t *testing.T, o order, gateway string, status int) {
	t.Helper()
	o.Base = gateway
	got, err := n.ask(o, flowDeadline)
	if err != nil || got.Error == nil || got.Error.Status != status {
		t.Errorf("%v, %+v, want status %d", err, got.Error, status)
	}
}

// mishaps are the recorded refusals that no client repeats, at the paths of the
// three dialects.
func mishaps(t *testing.T) (all []exchange) {
	t.Helper()
	for _, x := range recordingsOf(t, "error", "policy") {
		path, _, _ := strings.Cut(x.path, "?")
		for _, known := range []string{"/chat/completions", "/responses", "/messages"} {
			if strings.HasSuffix(path, known) && x.status != http.StatusTooManyRequests {
				x.path = "/v1" + known
				all = append(all, x)
			}
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d refusals", len(all))
	}
	return all
}

// apart is a gateway's file in which each exchange has a provider of its own: a
// key that one refuses would rest for the next.
func apart(all []exchange, address string) string {
	var providers, routes strings.Builder
	for _, x := range all {
		name, kind := strings.ToLower(x.asModel()), "openai"
		if x.path == "/v1/messages" {
			kind = "anthropic"
		}
		fmt.Fprintf(&providers, "  %q: {kind: %s, base_url: %q, api_key: %s}\n", name, kind, address, ownKey)
		fmt.Fprintf(&routes, "  %q: {match: {model: %q}, targets: %q}\n", name, x.asModel(), name+"/"+x.asModel())
	}
	head, _, _ := strings.Cut(settings("", clocks{}), "providers:")
	return head + "providers:\n" + providers.String() + "routes:\n" + routes.String()
}

// replayFlow is the flow in which a client meets an answer; "" if it does not.
func replayFlow(client string, x exchange) string {
	flow := ""
	switch {
	case strings.HasPrefix(x.name, "gemini/") && client == "genai":
		return "replayContent"
	case client == "genai":
	case x.path == "/v1/chat/completions" && client != "anthropic":
		flow = "replayChat"
	case x.path == "/v1/responses" && client != "anthropic":
		flow = "replayResponse"
	case x.path == "/v1/messages" && client != "openai" && client != "agents":
		flow = "replayMessage"
	}
	return flow
}

// asModel is the name under which the shelf finds an exchange.
func (x exchange) asModel() string { return strings.NewReplacer("/", "_", ".", "_").Replace(x.name) }

// shelf answers with the exchange that is named by the model, in small pieces.
type shelf map[string]exchange

func newShelf(all []exchange) shelf {
	s := shelf{}
	for _, x := range all {
		s[x.asModel()] = x
	}
	return s
}

func (s shelf) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := modelOf(r)
	x, ok := s[name]
	if !ok {
		http.Error(w, "no recording "+name, http.StatusTeapot)
		return
	}
	one := &replay{x: x, body: x.body, here: func(_ []byte, i int) bool { return i%1009 == 0 }}
	one.ServeHTTP(w, r)
}

// modelOf is the model of a request, which is in its body or, at Google, in its
// path.
func modelOf(r *http.Request) string {
	if _, operation, ok := strings.Cut(r.URL.Path, "/models/"); ok {
		name, _, _ := strings.Cut(operation, ":")
		return name
	}
	var body struct{ Model string }
	_ = json.NewDecoder(r.Body).Decode(&body) // no model is none that we know
	return body.Model
}

// bodyFor is the recorded request with another model; nothing where it was not
// kept.
func (x exchange) bodyFor(model string) json.RawMessage {
	var body map[string]json.RawMessage
	if json.Unmarshal(x.request, &body) != nil {
		return nil
	}
	body["model"] = encoded(model)
	return encoded(body)
}
