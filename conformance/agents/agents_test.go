package agents

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/internal/wanted"
	"github.com/holdfast-gateway/holdfast/sim"
)

// The settings of the route.
const (
	byDefault = ""
	terminal  = "    terminal_status: 429\n"
	pace      = "    client_retries: pace\n"
)

// scene is one thing that happens while an agent works.
type scene struct {
	provider string  // in words
	fault    string  // of the first provider
	chance   float64 // of the fault; 0 is 1
	refused  bool    // nobody listens at the first provider's address
	second   string  // "ok" or a fault; "": there is no second provider
	settings string
	direct   bool // without Holdfast
	open     bool // the circuit has been opened by hand
	during   func(r *running)
	check    func(r result) string // what is wrong; "" nothing
}

// running is a scene while it runs.
type running struct {
	t     *testing.T
	first *sim.Provider
}

// result is what was measured.
type result struct {
	agent
	scene
	end
	requests int
	upstream int // attempts at all targets
	busiest  int // attempts at one target in 30 s, at most
	retried  int // requests that the gateway took for the client's own retries
	statuses []string
	besides  []request
	hosts    []string
	answered []string // what the agent printed
}

// limit is how long an agent may try.
const limit = 240 * time.Second

var scenes = []scene{
	{provider: "well", fault: "ok", check: answered},
	{provider: "well", fault: "ok", settings: terminal + pace, check: answered},

	{provider: "dead (503)", fault: "503", direct: true},
	{provider: "dead (503)", fault: "503", check: few},
	{provider: "dead (503)", fault: "503", settings: terminal, check: once},
	{provider: "dead (529)", fault: "529", check: few},
	{provider: "dead (529)", fault: "529", settings: terminal, check: once},
	{provider: "dead (500)", fault: "500", check: few},
	{provider: "dead (500)", fault: "500", settings: terminal, check: once},
	{provider: "refuses connections", refused: true, check: few},
	{provider: "refuses connections", refused: true, settings: terminal, check: once},
	{provider: "two, both dead (503)", fault: "503", second: "503", check: few},
	{provider: "two, both dead (503)", fault: "503", second: "503", settings: terminal, check: once},
	{provider: "two, the first dead (503)", fault: "503", second: "ok", check: unnoticed},
	{provider: "two, the first cuts", fault: "cut-after-10", second: "ok"},

	{provider: "circuit open", fault: "ok", open: true, check: quiet},
	{provider: "circuit open", fault: "ok", open: true, settings: terminal, check: quiet},

	{provider: "flaky (half of all calls 503)", fault: "503", chance: 0.5, settings: pace, check: answered},
	{provider: "comes back after 20 s (503)", fault: "503", during: comeBack, direct: true},
	{provider: "comes back after 20 s (503)", fault: "503", during: comeBack, settings: pace, check: answered},
	{provider: "comes back after 20 s (529)", fault: "529", during: comeBack, settings: pace, check: answered},
	{provider: "comes back after 20 s (503)", fault: "503", during: comeBack},

	{provider: "cuts the first stream", fault: "cut-after-10", during: cutOnce, check: answered},
	{provider: "cuts every stream", fault: "cut-after-10", check: few},
}

// comeBack makes the provider well after 20 s.
func comeBack(r *running) {
	select {
	case <-time.After(20 * time.Second):
		_ = r.first.SetDials(sim.Dials{OutputTokens: 60, Seed: 1})
	case <-r.t.Context().Done():
	}
}

// cutOnce makes the provider well after its first call.
func cutOnce(r *running) {
	for r.t.Context().Err() == nil {
		if len(r.first.Log()) > 0 {
			_ = r.first.SetDials(sim.Dials{OutputTokens: 60, Seed: 1})
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// answered: the user has the answer.
func answered(r result) string {
	if r.exit != 0 || r.late || len(r.answered) == 0 {
		return "the user did not get the answer"
	}
	return bounded(r)
}

// unnoticed: the user has the answer, and the agent asked once.
func unnoticed(r result) string {
	if r.requests != 1 {
		return "the agent noticed"
	}
	return answered(r)
}

// few: the provider is not hammered, and the user is told.
func few(r result) string {
	if r.exit == 0 || r.shown(r.end) == "(nothing)" {
		return "the user was not told"
	}
	return bounded(r)
}

// bounded: no target gets more than eight calls in 30 s for one prompt.
func bounded(r result) string {
	if r.busiest > 8 {
		return "a target was asked more than eight times in 30 s"
	}
	return ""
}

// once: one request, three attempts at most. Claude Code knows x-should-retry and
// is held to it.
func once(r result) string {
	if r.requests != 1 || r.upstream > 3 {
		return "want one request and at most three attempts"
	}
	return few(r)
}

// quiet: nothing reaches the provider.
func quiet(r result) string {
	if r.upstream != 0 {
		return "the provider was asked although its circuit is open"
	}
	return few(r)
}

// TestAgentsMeetTheirProvidersThroughHoldfast runs every agent through every
// scene, several at a time: they mostly wait. The table goes into the docs when
// all have been run.
func TestAgentsMeetTheirProvidersThroughHoldfast(t *testing.T) {
	if os.Getenv(asked) == "" {
		wanted.Missing(t, wanted.Clients, "agents are fetched and run for some minutes; make clients does it")
	}
	folder := installed(t)
	results := make([][]*result, len(all))
	places := make(chan struct{}, 6) // two cores
	t.Run("scenes", func(t *testing.T) {
		for i, a := range all {
			results[i] = make([]*result, len(scenes))
			for j, s := range scenes {
				t.Run(slug(fmt.Sprint(a.name, " ", j, " ", s.provider, " ", s.route())), func(t *testing.T) {
					t.Parallel()
					places <- struct{}{}
					defer func() { <-places }()
					results[i][j] = play(t, folder, a, s)
				})
			}
		}
	})
	report(t, results)
}

// play runs one agent through one scene.
func play(t *testing.T, folder string, a agent, s scene) *result {
	t.Helper()
	first, addresses := s.providers(t)
	to, world := addresses[0], newOutside(t)
	var g *gateway
	if !s.direct {
		g = serve(t, configuration(a, s.settings, addresses))
		to = g.callers
	}
	if s.open {
		out, err := holdfastCommand(t.Context(), "breaker", "open", "first", "--for", "1h", "--reason", "a test", "--admin", g.operators).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	seen := newWatch(t, to)
	if s.during != nil {
		go s.during(&running{t: t, first: first})
	}
	r := &result{agent: a, scene: s, end: a.run(t, folder, seen.url, world.url, limit), hosts: world.asked()}
	posts, besides := seen.requests(a.path)
	r.requests, r.besides = len(posts), besides
	for _, p := range posts {
		r.statuses = append(r.statuses, fmt.Sprintf("%s %d again=%s after=%s count=%s", p.at.Format("05.000"), p.status, p.again, p.after, p.retry))
	}
	r.count(t, g, first)
	r.answered = strings.Fields(r.stdout)
	t.Logf("%d requests, %d attempts (%d in 30 s), %d recognised as retries, exit %d after %s, shown %q\n%s\nbesides %v, outside %v\n%s\n%s",
		r.requests, r.upstream, r.busiest, r.retried, r.exit, r.took.Round(100*time.Millisecond), a.shown(r.end), strings.Join(r.statuses, "\n"), r.besides, r.hosts, r.stdout, r.stderr)
	if s.check != nil {
		if wrong := s.check(*r); wrong != "" {
			t.Error(wrong)
		}
	}
	return r
}

// providers starts the scene's providers.
func (s scene) providers(t *testing.T) (first *sim.Provider, addresses []string) {
	t.Helper()
	if s.refused {
		return nil, []string{nobody(t)}
	}
	first, address := startSim(t, s.fault, s.chance)
	addresses = []string{address}
	if s.second != "" {
		_, address = startSim(t, s.second, 0)
		addresses = append(addresses, address)
	}
	return first, addresses
}

// count counts attempts: at the provider where there is no gateway, else in the
// gateway's log, which must agree with what the provider saw.
func (r *result) count(t *testing.T, g *gateway, first *sim.Provider) {
	t.Helper()
	var saw []time.Time
	if first != nil {
		for _, a := range first.Log() {
			saw = append(saw, a.Received)
		}
	}
	if g == nil {
		r.upstream, r.busiest = len(saw), window(saw, 30*time.Second)
		return
	}
	for target, moments := range g.attempts() {
		r.upstream += len(moments)
		r.busiest = max(r.busiest, window(moments, 30*time.Second))
		if n := len(moments); strings.HasPrefix(target, "first") && first != nil && n != len(saw) {
			t.Errorf("the gateway speaks of %d attempts at %s, which saw %d", n, target, len(saw))
		}
	}
	r.retried = g.retried(t)
}

// route is the scene's route in words.
func (s scene) route() string {
	switch {
	case s.direct:
		return "without Holdfast"
	case s.settings == "":
		return "default"
	}
	return strings.Join(strings.Split(strings.TrimSpace(s.settings), "\n    "), ", ")
}

func slug(s string) string { return strings.Join(strings.Fields(s), "-") }
