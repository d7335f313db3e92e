package holdfast_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/provider"
	"github.com/holdfast-gateway/holdfast/provider/all"
	"github.com/holdfast-gateway/holdfast/sim"
)

// models are the kinds that answer model calls.
func models() (found []*provider.Vendor) {
	for _, v := range all.Vendors() {
		if v.Dialect != nil {
			found = append(found, v)
		}
	}
	return found
}

// of is a target of the simulated vendor of that name, with a key of its own, at
// the path where the real one has its API.
func of(v *provider.Vendor, model string) holdfast.Target {
	base, _ := url.Parse(v.BaseURL)
	return holdfast.Target{Name: v.Name, Provider: v.Name, Vendor: v.Name, BaseURL: "http://" + v.Name + base.Path,
		Model: model, Keys: []holdfast.Key{{Secret: "key-of-" + v.Name}}}
}

// town is a world in which each host is the vendor that it is named for, and lets
// nobody in without its own key.
func town(t *testing.T, c holdfast.Config, vendors ...*provider.Vendor) *world {
	t.Helper()
	var names []string
	for _, v := range vendors {
		names = append(names, v.Name)
	}
	w := build(t, c, names...)
	for _, name := range names {
		w.sims[name] = sim.New(sim.Config{Vendor: name, Dials: sim.Dials{RequiredKey: "key-of-" + name}})
	}
	return w
}

// astray returns the hosts that saw a credential that was not meant for them.
func (w *world) astray() (hosts []string) {
	for name, s := range w.sims {
		if s.Counts().Stray > 0 {
			hosts = append(hosts, name)
		}
	}
	return hosts
}

func dialectFor(v *provider.Vendor) string { return v.Dialect.Name() }

func TestEachProviderKindAnswers(t *testing.T) {
	for _, v := range models() {
		t.Run(v.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := town(t, route(of(v, "some-model")), v)
				for _, streamed := range []bool{false, true} {
					g := w.do(t.Context(), dialectFor(v), ask(dialectFor(v), "m", streamed))
					whole := strings.Contains(g.body, `"finish_reason":"stop"`) || strings.Contains(g.body, `"finish_reason":"length"`) || strings.Contains(g.body, `"stop_reason":"`)
					if g.err != nil || g.read != nil || g.status != 200 || !whole || strings.Contains(g.body, `"error"`) {
						t.Errorf("streamed %v: %s", streamed, g)
					}
				}
				log := w.sims[v.Name].Log()
				if len(log) != 2 || log[0].Model != "some-model" && v.Name != "azure" {
					t.Errorf("it saw %+v", log)
				}
				if hosts := w.astray(); len(hosts) > 0 {
					t.Errorf("credentials went astray to %q", hosts)
				}
				for _, e := range w.events(call.AttemptEnded) {
					if e.Outcome.Class != call.OK || !e.Outcome.Usage.Known && v.Name == "groq" {
						t.Errorf("it ended as %+v", e.Outcome)
					}
				}
			})
		})
	}
}

// troubles are faults of the simulator and what each kind must make of them.
// Some say so little that a coarser class is the truth.
var troubles = []struct {
	fault string
	want  call.Class
	other map[string]call.Class
}{
	{"auth", call.Auth, nil},
	{"not-found", call.NotFound, nil},
	{"503", call.Overloaded, map[string]call.Class{"lmstudio": call.ProviderFault, "vllm": call.ProviderFault, "llamacpp": call.Overloaded, "mistral": call.Overloaded, "perplexity": call.Overloaded, "xai": call.ProviderFault}},
	{"500", call.ProviderFault, nil},
	{"429-forever", call.Throttled, nil},
	{"429-quota", call.QuotaExhausted, map[string]call.Class{"lmstudio": call.Throttled, "ollama": call.Throttled, "vllm": call.Throttled, "mistral": call.QuotaExhausted}},
	{"context-length", call.ContextLength, nil},
	{"prompt-blocked", call.PolicyViolation, map[string]call.Class{
		"lmstudio": call.ClientError, "ollama": call.ClientError, "vllm": call.ClientError, "mistral": call.ClientError,
		"perplexity": call.ClientError, "llamacpp": call.ClientError}},
	{"content-filter", call.PolicyViolation, nil},
	{"html-200", call.BadResponse, nil},
}

func TestEachProviderKindNamesItsTroubles(t *testing.T) {
	for _, v := range models() {
		t.Run(v.Name, func(t *testing.T) {
			for _, trouble := range troubles {
				want := trouble.want
				if other, ok := trouble.other[v.Name]; ok {
					want = other
				}
				bubble(t, func(t *testing.T) {
					w := town(t, route(of(v, "sim/"+trouble.fault)), v)
					w.do(t.Context(), dialectFor(v), ask(dialectFor(v), "m", false), func(r *http.Request) { r.Header.Set("X-Holdfast-No-Retry", "1") })
					ended := w.events(call.AttemptEnded)
					if len(ended) != 1 || ended[0].Outcome.Class != want {
						t.Errorf("%s: %d attempts, want one that is %v: %+v", trouble.fault, len(ended), want, ended)
					}
				})
			}
		})
	}
}

// The caller brings credentials in every header there is, targets fail one after
// another, and each host sees its own key and nothing else.
func TestAKeyNeverReachesAHostItWasNotMeantFor(t *testing.T) {
	var speakers []*provider.Vendor
	for _, v := range models() {
		if dialectFor(v) == "chat" {
			speakers = append(speakers, v)
		}
	}
	for i := range speakers {
		first, second, third := speakers[i], speakers[(i+1)%len(speakers)], speakers[(i+2)%len(speakers)]
		t.Run(first.Name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				w := town(t, route(of(first, "sim/auth"), of(second, "sim/502"), of(third, "some-model")), first, second, third)
				g := w.do(t.Context(), "chat", ask("chat", "m", true), func(r *http.Request) {
					for _, name := range provider.CredentialHeaders {
						r.Header.Set(name, "Bearer sk-caller")
					}
				})
				if g.status != 200 || g.read != nil || w.attempts(third.Name) != 1 {
					t.Errorf("%s", g)
				}
				if hosts := w.astray(); len(hosts) > 0 {
					t.Errorf("credentials went astray to %q", hosts)
				}
			})
		})
	}
}

func TestAzureFindsItsAddresses(t *testing.T) {
	const token = "eyJhbGciOiJub25lIn0.e30.x"
	azure := all.ByName("azure")
	cases := []struct {
		name, base, version, asked, key string
		want                            string
	}{
		{"the v1 paths", "", "", "/v1/chat/completions", "key-of-azure", "/openai/v1/chat/completions"},
		{"the v1 paths with a base that has them", "/openai/v1", "", "/v1/chat/completions", "key-of-azure", "/openai/v1/chat/completions"},
		{"a version asks for the deployment", "", "2024-10-21", "/v1/chat/completions", "key-of-azure", "/openai/deployments/some-model/chat/completions"},
		{"Foundry", "/models", "", "/v1/chat/completions", "key-of-azure", "/models/chat/completions"},
		{"a caller of Azure's own paths", "", "", "/openai/deployments/theirs/chat/completions?api-version=2024-10-21", "key-of-azure", "/openai/deployments/some-model/chat/completions"},
		{"a token", "", "", "/v1/chat/completions", token, "/openai/v1/chat/completions"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				target := of(azure, "some-model")
				target.BaseURL, target.APIVersion, target.Keys = "http://azure"+c.base, c.version, []holdfast.Key{{Secret: c.key}}
				w := town(t, route(target), azure)
				w.sims["azure"] = sim.New(sim.Config{Vendor: "azure", Dials: sim.Dials{RequiredKey: c.key}})
				g := w.do(t.Context(), "chat", ask("chat", "m", true), func(r *http.Request) {
					r.URL, _ = r.URL.Parse(c.asked)
				})
				log := w.sims["azure"].Log()
				if g.status != 200 || len(log) != 1 || log[0].Path != c.want || len(w.astray()) > 0 {
					t.Errorf("astray %q, log %+v, got %s", w.astray(), log, g)
				}
			})
		})
	}
}

func TestAModelsNameCannotWalkAboutInAPath(t *testing.T) {
	base, _ := url.Parse("https://x.openai.azure.com")
	asked, _ := url.Parse("http://gateway/v1/chat/completions")
	for model, want := range map[string]string{
		"gpt-4.1":        "/openai/deployments/gpt-4.1/chat/completions",
		"..":             "/openai/deployments/%2E%2E/chat/completions",
		"../../files?x#": "/openai/deployments/..%2F..%2Ffiles%3Fx%23/chat/completions",
	} {
		got := all.ByName("azure").URL(provider.Place{Base: base, Asked: asked, Model: model, Version: "2024-10-21"})
		if got.EscapedPath() != want || got.Host != base.Host || got.RawQuery != "api-version=2024-10-21" {
			t.Errorf("%q: %s, want the path %s", model, got, want)
		}
	}
}

func TestAToolIsRepeatedOnlyWhereItCannotHaveActed(t *testing.T) {
	plain := func(*http.Request) {}
	keyed := func(r *http.Request) { r.Header.Set("Idempotency-Key", "abc") }
	cases := []struct {
		name, method, fault string
		idempotent          bool
		set                 func(*http.Request)
		attempts            int // at least 2 is written as 2
	}{
		{"a GET after a fault", "GET", "500", false, plain, 2},
		{"a POST after a fault", "POST", "500", false, plain, 1},
		{"a PATCH after a fault", "PATCH", "502", false, plain, 1},
		{"a POST after a broken connection", "POST", "reset", false, plain, 1},
		{"a POST after a limit", "POST", "429-forever", false, plain, 2},
		{"a POST after a 503 that says no wait", "POST", "503", false, plain, 1},
		{"a POST with an Idempotency-Key", "POST", "500", false, keyed, 2},
		{"a POST to a tool that promises", "POST", "500", true, plain, 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				v := all.ByName("http")
				target := of(v, "")
				target.Idempotent, target.BaseURL = c.idempotent, "http://http"
				w := town(t, route(target), v)
				w.sims["http"] = sim.New(sim.Config{Vendor: "http", Dials: sim.Dials{RequiredKey: "key-of-http", Fault: c.fault, FaultProbability: 1}})
				req, _ := http.NewRequestWithContext(holdfast.WithRoute(t.Context(), "chat"), c.method, "http://app.invalid/weather/berlin?unit=c", bytes.NewReader([]byte(`{"a":1}`)))
				req.Header.Set("Authorization", "Bearer sk-caller")
				c.set(req)
				resp, err := w.hf.RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				log := w.sims["http"].Log()
				if got := len(log); min(got, 2) != c.attempts {
					t.Errorf("%d attempts, want %d (2 is more than one)", got, c.attempts)
				}
				if len(log) > 0 && log[0].Path != "/weather/berlin" || len(w.astray()) > 0 {
					t.Errorf("astray %q, log %+v", w.astray(), log)
				}
			})
		})
	}
}

// TestTheSameBodyAtAnotherPathIsNoRetry: a path may name the tool or the model.
func TestTheSameBodyAtAnotherPathIsNoRetry(t *testing.T) {
	bubble(t, func(t *testing.T) {
		tool := all.ByName("http")
		c := holdfast.Config{Routes: []holdfast.Route{{Name: "tools", Paths: []string{"/tools"}, Targets: []holdfast.Target{of(tool, "")}}}}
		w := town(t, c, tool)
		_ = w.sims["http"].SetDials(sim.Dials{Fault: "429-quota"})
		for _, asked := range []struct {
			path  string
			retry bool
		}{{"/tools/weather", false}, {"/tools/maps", false}, {"/tools/weather", true}} {
			before := w.attempts("http")
			req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://app.invalid"+asked.path, strings.NewReader(`{"q":1}`))
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			if n := w.attempts("http") - before; (n == 1) != asked.retry {
				t.Errorf("%s: %d attempts, taken for a retry: %t, want %t", asked.path, n, n == 1, asked.retry)
			}
		}
	})
}

func TestAToolStandsAtThePathOfItsRoute(t *testing.T) {
	bubble(t, func(t *testing.T) {
		weather, maps := all.ByName("http"), of(all.ByName("http"), "")
		maps.Name, maps.BaseURL = "maps", "http://http/maps-api"
		c := route(of(all.ByName("openai"), ""))
		c.Routes[0].Models = []string{"gpt*"}
		c.Routes = append(c.Routes,
			holdfast.Route{Name: "weather", Paths: []string{"/tools/weather"}, Targets: []holdfast.Target{of(weather, "")}},
			holdfast.Route{Name: "maps", Paths: []string{"/tools/weather/maps"}, Targets: []holdfast.Target{maps}})
		w := town(t, c, all.ByName("openai"), weather)
		for asked, want := range map[string]string{
			"/tools/weather/berlin?unit=c":       "/berlin",
			"/tools/weather":                     "/",
			"/tools/weather/v1/chat/completions": "/v1/chat/completions",
			"/tools/weather/maps/a%2Fb":          "/maps-api/a%2Fb",
			"/tools/weatherman":                  "",
			"/tools/weather/../secret":           "",
			"/v1/files/file-1":                   "",
		} {
			before := w.attempts("http")
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://app.invalid"+asked, nil)
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
			log := w.sims["http"].Log()[before:]
			if want == "" && len(log) > 0 || want != "" && (len(log) != 1 || log[0].Path != want || resp.StatusCode != 200) {
				t.Errorf("%s: %d, the tool saw %+v, want %q", asked, resp.StatusCode, log, want)
			}
		}
		// A route that is named, as a gateway does for a key with few rights, does not
		// take a tool's path: what is there is not read, so no limit would see it.
		before := len(w.sims["openai"].Log()) + len(w.sims["http"].Log())
		named := func(r *http.Request) { r.URL.Path = "/tools/weather/v1/chat/completions" }
		if g := w.do(holdfast.WithRoute(t.Context(), "chat"), "chat", ask("chat", "gpt", false), named); g.status != 404 {
			t.Errorf("a tool's path with the name of another route: %s", g)
		}
		if after := len(w.sims["openai"].Log()) + len(w.sims["http"].Log()); after != before {
			t.Errorf("it reached a provider")
		}
		if g := w.do(t.Context(), "chat", ask("chat", "other", false)); g.status != 404 {
			t.Errorf("a model that no route takes went to a tool: %s", g)
		}
	})
}

func TestAPathThatCannotBeATools(t *testing.T) {
	tool := of(all.ByName("http"), "")
	for name, r := range map[string]holdfast.Route{
		"a model at a path":     {Name: "a", Paths: []string{"/x"}, Targets: []holdfast.Target{of(all.ByName("openai"), "m")}},
		"a slash at its end":    {Name: "a", Paths: []string{"/x/"}, Targets: []holdfast.Target{tool}},
		"everything":            {Name: "a", Paths: []string{"/"}, Targets: []holdfast.Target{tool}},
		"a step up":             {Name: "a", Paths: []string{"/x/../y"}, Targets: []holdfast.Target{tool}},
		"no slash at its front": {Name: "a", Paths: []string{"x"}, Targets: []holdfast.Target{tool}},
		"twice":                 {Name: "a", Paths: []string{"/x", "/x"}, Targets: []holdfast.Target{tool}},
	} {
		if err := (holdfast.Config{Routes: []holdfast.Route{r}}).Validate(); err == nil || !strings.Contains(err.Error(), "paths: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAVendorThatIsOnlyDescribedIsRefused(t *testing.T) {
	err := route(holdfast.Target{Vendor: "gemini", BaseURL: "https://x.test"}).Validate()
	if err == nil || !strings.Contains(err.Error(), "requests come with failover between providers") {
		t.Errorf("got %v", err)
	}
	if err = route(holdfast.Target{Vendor: "azure"}).Validate(); err == nil || !strings.Contains(err.Error(), "azure has no address of its own") {
		t.Errorf("got %v", err)
	}
}

func TestAToolAnswersOnAnyPathOfItsRouteAndOnNoOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		v := all.ByName("http")
		w := town(t, route(of(v, "")), v)
		ask := func(req *http.Request) (int, string) {
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			return resp.StatusCode, string(text)
		}
		req, _ := http.NewRequestWithContext(holdfast.WithRoute(t.Context(), "chat"), "DELETE", "http://app.invalid/a/b", nil)
		if status, text := ask(req); status != 200 || !strings.Contains(text, `"path":"/a/b"`) {
			t.Errorf("by its route: %d %s", status, text)
		}
		req, _ = http.NewRequestWithContext(t.Context(), "DELETE", "http://app.invalid/v1/files/file-1", nil)
		if status, text := ask(req); status != 404 || w.attempts("http") != 1 {
			t.Errorf("a path nobody named it for: %d %s", status, text)
		}
	})
}
