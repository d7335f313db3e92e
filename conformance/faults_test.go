package conformance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/fault"
	"github.com/holdfast-gateway/holdfast/sim"
)

// surface is one way to ask for words with one client, by the client's own
// retries and waits.
type surface struct {
	client string // of nodeClients, of pythonStacks, or a Go module
	flow   string
	kind   string // of the provider
	modes  string // as a flow's
}

var surfaces = []surface{
	{"agents", "response", "openai", "both"},
	{"ai", "chat", "openai", "both"},
	{"ai", "message", "anthropic", "both"},
	{"ai", "response", "openai", "both"},
	{"anthropic", "helper", "anthropic", "stream"},
	{"anthropic", "message", "anthropic", "both"},
	{"anthropic-sdk-go", "message", "anthropic", "both"},
	{"genai", "content", "http", "both"},
	{"langchain", "chat", "openai", "both"},
	{"langchain", "message", "anthropic", "both"},
	{"openai", "chat", "openai", "both"},
	{"openai", "response", "openai", "both"},
	{"openai-go", "chat", "openai", "both"},
	{"openai-go", "response", "openai", "both"},
	{"python-httpx", "chat", "openai", "both"},
	{"python-stdlib", "chat", "openai", "both"},
}

// shownFaults are all that the simulated provider can do, but for one: whether
// flap-60s is met in a good minute or in a bad one is chance.
func shownFaults() (names []string) {
	for _, info := range fault.List() {
		if info.Name != "flap-60s" {
			names = append(names, info.Name)
		}
	}
	return names
}

// someFaults are those of every run: one of each sort.
var someFaults = []string{"ok", "429-quota", "500-once", "503", "400", "reset", "cut-after-40", "error-first-event", "error-after-10", "html-200"}

// trial is one call under one fault. It has a provider and a route of its own in
// the gateway, so that neither circuits nor budgets know of another one.
type trial struct {
	surface
	fault  string
	stream bool
	name   string // "c17"

	attempts atomic.Int64 // that the provider saw
	seen     reply
	took     time.Duration
}

// theater runs trials.
type theater struct {
	home     string // of the clients from npm
	python   string
	deadline time.Duration
	trials   []*trial
	others   map[string]*child // clients that are not in this process
	gateway  *gateway
}

// heavyFaults are megabytes. Several at once are slow enough for the clocks.
var heavyFaults = []string{"big-frame", "no-newline"}

// newTrials are all trials of some faults.
func newTrials(faults []string) (all []*trial) {
	for _, s := range surfaces {
		for _, f := range faults {
			if f == "no-newline" && s.kind == "http" {
				continue // how long this client takes to read 64 MiB is the machine's
			}
			for _, streamed := range (flow{modes: s.modes}).streams() {
				all = append(all, &trial{surface: s, fault: f, stream: streamed, name: fmt.Sprintf("c%d", len(all))})
			}
		}
	}
	return all
}

// patience are the gateway's clocks: short, so that a silent provider costs
// seconds, and long for a busy machine.
var patience = clocks{firstToken: 3 * time.Second, idle: 4 * time.Second, attempt: 6 * time.Second}

// perSecond is how many trials begin in a second. Most of their time is waiting.
const perSecond = 20

func (h *theater) run(t *testing.T) {
	t.Helper()
	provider := sim.New(sim.Config{Dials: sim.Dials{OutputTokens: 60}})
	byName := map[string]*trial{}
	for _, one := range h.trials {
		byName[one.name] = one
	}
	front := httptest.NewServer(entrance{byName, provider, gemini{provider}})
	t.Cleanup(front.Close)
	h.gateway = serve(t, stageFor(h.trials, front.URL))
	h.others = map[string]*child{}
	for _, client := range nodeClients {
		h.others[client] = startNode(t, h.home, client)
	}
	for client, stack := range pythonStacks {
		h.others[client] = startPython(t, h.python, stack)
	}
	next := time.NewTicker(time.Second / perSecond)
	defer next.Stop()
	var all sync.WaitGroup
	for _, one := range h.trials {
		<-next.C
		if slices.Contains(heavyFaults, one.fault) {
			for range perSecond / 2 {
				<-next.C
			}
		}
		all.Go(func() { h.try(t, one) })
	}
	all.Wait()
	h.audit(t)
}

// ended is a line of the metric that counts calls.
var ended = regexp.MustCompile(`(?m)^holdfast_requests_total\{.*\} (\d+)$`)

// audit compares what the clients say that they sent with what the gateway says
// that it had. A call that nobody waited for may still be running, and the
// gateway counts a call when its client has the answer already.
func (h *theater) audit(t *testing.T) {
	t.Helper()
	sent, late := 0, 0
	for _, one := range h.trials {
		sent += one.seen.Requests
		if one.seen.Late {
			late++
		}
	}
	had := 0
	for until := time.Now().Add(10 * time.Second); had < sent-late && time.Now().Before(until); {
		had = h.gateway.requests(t)
	}
	if had > sent || had < sent-late || sent < len(h.trials) {
		t.Errorf("the clients sent %d requests, and the gateway had %d", sent, had)
	}
}

// requests is how many calls the gateway has counted.
func (g *gateway) requests(t *testing.T) (n int) {
	t.Helper()
	resp, err := http.Get(g.Operators + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range ended.FindAllSubmatch(text, -1) {
		calls, _ := strconv.Atoi(string(line[1])) // of digits
		n += calls
	}
	return n
}

// entrance is where the provider's attempts are told apart and counted.
type entrance struct {
	trials           map[string]*trial
	provider, google http.Handler
}

func (e entrance) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	one := e.trials[name]
	if one == nil {
		http.NotFound(w, r)
		return
	}
	one.attempts.Add(1)
	r.URL.Path, r.URL.RawPath = "/"+rest, ""
	r.Header.Set("X-Sim-Tag", name)
	if one.kind == "http" {
		e.google.ServeHTTP(w, r)
		return
	}
	e.provider.ServeHTTP(w, r)
}

// stageFor is a gateway's file in which each trial meets its fault.
func stageFor(trials []*trial, front string) string {
	var providers, routes strings.Builder
	for _, one := range trials {
		key, match, target := ownKey, "model: "+one.name, one.name+"/sim/"+one.fault
		if one.kind == "http" {
			key, match, target = "X-Goog-Api-Key: "+ownKey, "path: /"+one.name, one.name+"/*"
		}
		fmt.Fprintf(&providers, "  %s: {kind: %s, base_url: \"%s/%s\", api_key: %q}\n", one.name, one.kind, front, one.name, key)
		fmt.Fprintf(&routes, "  %s: {match: {%s}, targets: %q}\n", one.name, match, target)
	}
	head, _, _ := strings.Cut(settings("", patience), "providers:")
	return head + "providers:\n" + providers.String() + "routes:\n" + routes.String()
}

// try makes one call and remembers what came of it.
func (h *theater) try(t *testing.T, one *trial) {
	o := order{Flow: one.flow, Base: h.gateway.URL, Key: callersKey, Model: one.name, Stream: one.stream, Prompt: question}
	if one.kind == "http" {
		o.Base, o.Model = h.gateway.URL+"/"+one.name, one.fault
	}
	began := time.Now()
	n, isOther := h.others[one.client]
	if !isOther {
		one.seen = h.inGo(t, one, o)
	} else if r, err := n.ask(o, h.deadline); err != nil {
		t.Errorf("%s: %v", one.client, err)
	} else {
		one.seen = r
	}
	one.took = time.Since(began)
}

// inGo makes a call with an SDK in this process.
func (h *theater) inGo(t *testing.T, one *trial, o order) reply {
	ctx, cancel := context.WithTimeout(t.Context(), h.deadline)
	defer cancel()
	w, requests := way{base: h.gateway.URL, client: plainClient(t)}.counted()
	text, finish, err := goFlows[one.client+" "+one.flow](ctx, w, o)
	r := reply{Requests: requests.take()}
	switch {
	case ctx.Err() != nil:
		r.Late = true
	case err != nil:
		r.Error, r.Heard = raisedBy(err), text
	default:
		r.Result = map[string]any{"text": text, "finish": finish}
	}
	return r
}

// raisedBy is an error of a Go SDK as a program would look at it.
func raisedBy(err error) *raised {
	status, code, _ := openaiError(err)
	if status == 0 {
		status, code, _ = anthropicError(err)
	}
	class := fmt.Sprintf("%T", err)
	for inner := err; inner != nil; inner = errors.Unwrap(inner) {
		if name := fmt.Sprintf("%T", inner); !strings.HasPrefix(name, "*fmt.") && !strings.HasPrefix(name, "*errors.") {
			class = name
			break
		}
	}
	return &raised{Class: class, Status: status, Code: code, Message: err.Error()}
}

// goFlows are the flows of the Go SDKs: the text that came, and why it ended.
var goFlows = map[string]func(ctx context.Context, w way, o order) (text, finish string, err error){
	"openai-go chat":           goChat,
	"openai-go response":       goResponse,
	"anthropic-sdk-go message": goMessage,
}

func goChat(ctx context.Context, w way, o order) (text, finish string, err error) {
	client := openaiClient(w)
	if !o.Stream {
		answer, err := client.Chat.Completions.New(ctx, chatParams(o.Model, o.Prompt))
		if err != nil || len(answer.Choices) == 0 {
			return "", "", err
		}
		return answer.Choices[0].Message.Content, answer.Choices[0].FinishReason, nil
	}
	chunks, err := gather(client.Chat.Completions.NewStreaming(ctx, chatParams(o.Model, o.Prompt)))
	for _, c := range chunks {
		for _, choice := range c.Choices {
			text += choice.Delta.Content
			finish += choice.FinishReason
		}
	}
	return text, finish, err
}

func goResponse(ctx context.Context, w way, o order) (text, finish string, err error) {
	client := openaiClient(w)
	if !o.Stream {
		answer, err := client.Responses.New(ctx, responseParams(o.Model, o.Prompt))
		if err != nil {
			return "", "", err
		}
		return answer.OutputText(), string(answer.Status), nil
	}
	events, err := gather(client.Responses.NewStreaming(ctx, responseParams(o.Model, o.Prompt)))
	for _, e := range events {
		if e.Type == "response.output_text.delta" {
			text += e.Delta
		}
		if e.Response.Status != "" {
			finish = string(e.Response.Status)
		}
	}
	return text, finish, err
}

func goMessage(ctx context.Context, w way, o order) (text, finish string, err error) {
	client := anthropicClient(w)
	if !o.Stream {
		answer, err := client.Messages.New(ctx, messageParams(o.Model, o.Prompt))
		if err != nil {
			return "", "", err
		}
		for _, block := range answer.Content {
			text += block.Text
		}
		return text, string(answer.StopReason), nil
	}
	events, err := gatherMessages(client.Messages.NewStreaming(ctx, messageParams(o.Model, o.Prompt)))
	for _, e := range events {
		text += e.Delta.Text
		finish += string(e.Delta.StopReason)
	}
	return text, finish, err
}

// ---- in words ----

// said is what the program got, in one cell of the page.
func (one *trial) said() string {
	counts := fmt.Sprintf("%s, %s", count(one.seen.Requests, "request"), count(int(one.attempts.Load()), "attempt"))
	switch {
	case one.seen.Late:
		return "no answer in time; " + counts
	case one.seen.Error != nil:
		return one.failure() + "; " + counts
	}
	return one.answer() + "; " + counts
}

// count says how many, and above four only about how many: the waits that
// clients choose decide it.
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case n > 9:
		return "10 or more " + thing + "s"
	case n > 4:
		return "5-9 " + thing + "s"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// wholeAnswer is the number of words of a sound answer.
const wholeAnswer = 60

func (one *trial) answer() string {
	said, _ := one.seen.Result.(map[string]any)
	text, _ := said["text"].(string)
	finish, _ := said["finish"].(string)
	if finish != "" {
		finish = " (`" + finish + "`)"
	}
	switch n := len(strings.Fields(text)); {
	case n == wholeAnswer:
		return "whole answer" + finish
	case n > wholeAnswer || one.fault == "echo-headers":
		return "another answer" + finish
	case n == 0:
		return "no text" + finish
	default:
		return fmt.Sprintf("%d of %d words%s", n, wholeAnswer, finish)
	}
}

func (one *trial) failure() string {
	e := one.seen.Error
	var b strings.Builder
	if n := len(strings.Fields(one.seen.Heard)); n > 0 {
		fmt.Fprintf(&b, "%d words, then ", n)
	}
	fmt.Fprintf(&b, "**`%s`**", e.Class)
	if e.Status != 0 {
		fmt.Fprintf(&b, " %d", e.Status)
	}
	if e.Code != "" {
		fmt.Fprintf(&b, " `%s`", e.Code)
	}
	return b.String() + " “" + tidy(e.Message) + "”"
}

// chance is what differs from run to run in a message.
var chance = []struct {
	find    *regexp.Regexp
	replace string
}{
	{regexp.MustCompile(`https?://(127\.0\.0\.1|localhost):\d+[^\s"]*`), "URL"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST"},
	{regexp.MustCompile(`\b(hf|req|resp|msg|chatcmpl)[_-][0-9A-Za-z]+`), "ID"},
	{regexp.MustCompile(`\bc\d+\b`), "MODEL"},
	{regexp.MustCompile(`position \d+( \(line \d+ column \d+\))?`), "position N"}, // V8 words it so since Node 22
	{regexp.MustCompile(`\s+`), " "},
}

const longestMessage = 140

// tidy is a message as it stands in a table.
func tidy(message string) string {
	for _, c := range chance {
		message = c.find.ReplaceAllString(message, c.replace)
	}
	if runes := []rune(message); len(runes) > longestMessage {
		message = string(runes[:longestMessage]) + "…"
	}
	return strings.NewReplacer("|", "\\|", "<", "&lt;", "*", "\\*", "_", "\\_", "`", "'").Replace(strings.TrimSpace(message))
}

// waited says how long it was, where the client's own waits made it long.
func (one *trial) waited() string {
	switch {
	case one.seen.Late || one.seen.Requests < 2:
		return ""
	case one.took > time.Minute:
		return afterLong + "a minute"
	case one.took > 10*time.Second:
		return afterLong + "10 s"
	}
	return ""
}

const afterLong = "; after more than "

// ---- the page ----

const clientsPage = "../docs/reference/clients.md"

// everything, in the environment, runs all faults (`make conformance`).
const everything = "HOLDFAST_CONFORMANCE"

// TestEveryClientSeesEachFaultAsThePageSays: all faults where everything is
// asked for, and otherwise some of them, without those calls that last long.
func TestEveryClientSeesEachFaultAsThePageSays(t *testing.T) {
	t.Parallel() // it mostly waits
	h := &theater{home: nodeHome(t), python: pythonWithHTTPX(t), deadline: 150 * time.Second, trials: newTrials(shownFaults())}
	shown := readPage(t)
	if os.Getenv(everything) == "" {
		h.deadline = 60 * time.Second
		h.trials = shown.short(newTrials(someFaults))
	}
	h.run(t)
	seen := page{}
	for _, one := range h.trials {
		seen.put(one)
	}
	if os.Getenv("HOLDFAST_WRITE_DOCS") != "" && os.Getenv(everything) != "" {
		seen.write(t)
		return
	}
	for _, one := range h.trials {
		want, got := shown.cell(one), seen.cell(one)
		if withoutWaiting(want) != withoutWaiting(got) {
			t.Errorf("%s, %s, stream=%t:\n got %s\nwant %s", one.title(), one.fault, one.stream, got, want)
		}
	}
}
