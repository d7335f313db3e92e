package holdfast_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/fault"
	"github.com/holdfast-gateway/holdfast/retry"
	"github.com/holdfast-gateway/holdfast/sim"
	"github.com/holdfast-gateway/holdfast/timeout"
)

// shortClocks make an outage a matter of tenths of seconds.
var shortClocks = timeout.Config{
	FirstToken: 400 * time.Millisecond, FirstTokenReasoning: 400 * time.Millisecond, Idle: 400 * time.Millisecond,
	Attempt: 800 * time.Millisecond, AttemptFixed: true, Total: 10 * time.Second,
}

// onTheWire says what is special about a row of faultTable on a true network:
// which fault stands for it there, and how many milliseconds our clocks and the
// provider's own waits take in its four columns. Every other row is instant.
var onTheWire = map[string]struct {
	fault  string
	clocks timeout.Config
	takes  [4]int
	slack  time.Duration // instead of wireSlack
	left   bool          // its attempts are left by us
}{
	"429-retry-after-2":    {fault: "429-retry-after-1", takes: [4]int{1000, 1000, 0, 0}},
	"429-forever":          {takes: [4]int{2000, 2000, 0, 0}},
	"silent":               {clocks: shortClocks, takes: [4]int{1600, 800, 800, 400}, left: true},
	"slow-first-token-20s": {fault: "slow-first-token-1s", takes: [4]int{1000, 1000, 1000, 1000}},
	"slow-first-token-40s": {fault: "slow-first-token-2s", clocks: shortClocks, takes: [4]int{800, 800, 400, 400}, left: true},
	"stall-after-20":       {clocks: shortClocks, takes: [4]int{800, 400, 400, 400}, left: true},
	"only-pings":           {clocks: shortClocks, takes: [4]int{800, 800, 400, 400}, left: true},
	"never-closes":         {slack: 1500 * time.Millisecond}, // R14
	"big-frame":            {slack: 10 * time.Second},
	"no-newline":           {slack: 10 * time.Second, left: true},
}

// moreFaults are rows for faults that differ from one of faultTable only in the
// provider's words.
var moreFaults = map[string]string{"credit-balance": "429-quota", "prompt-blocked": "400"}

// wireSlack is what a call may take besides clocks and waits.
const wireSlack = time.Second

// TestEveryFaultEndsOnTheWireAsInTheTable does over loopback, with true time and
// true connections, what TestEveryFaultEndsAsTheTableSays does in a bubble: the
// same answers from the same number of attempts, and nothing left open.
func TestEveryFaultEndsOnTheWireAsInTheTable(t *testing.T) {
	heart := startHeart(t)
	for _, row := range faultTable {
		wants := [4]string{row.whole, row.stream, row.wholeBackup, row.streamBackup}
		for i := range wants {
			if wants[i] == "=" {
				wants[i] = wants[i-1]
			}
		}
		t.Run(row.fault, func(t *testing.T) { meetOnTheWire(t, heart, row.fault, row.fault, wants) })
		for name, as := range moreFaults {
			if as == row.fault {
				t.Run(name, func(t *testing.T) { meetOnTheWire(t, heart, row.fault, name, wants) })
			}
		}
	}
}

func TestEveryFaultStandsInTheTable(t *testing.T) {
	known := map[string]bool{}
	for _, row := range faultTable {
		known[row.fault] = true
	}
	for _, info := range fault.List() {
		if !known[info.Name] && !known[moreFaults[info.Name]] {
			t.Errorf("no row says how %q ends", info.Name)
		}
	}
}

// meetOnTheWire runs a row's twelve cases at once: they mostly wait.
func meetOnTheWire(t *testing.T, heart *heart, row, name string, wants [4]string) {
	var cases sync.WaitGroup
	defer cases.Wait()
	for _, dialect := range wireDialects {
		for i, want := range wants {
			streamed, backup := i%2 == 1, i >= 2
			if backup && row == "big-frame" {
				continue // nobody asks the backup, and megabytes take their time
			}
			c := wireCase{row: row, fault: name, dialect: dialect, streamed: streamed, backup: backup}
			c.takes = time.Duration(onTheWire[row].takes[i]) * time.Millisecond
			if stand := onTheWire[row].fault; stand != "" {
				c.fault = stand
			}
			cases.Go(func() {
				t.Run(fmt.Sprintf("%s stream=%v backup=%v", dialect, streamed, backup), func(t *testing.T) { c.meet(t, heart, want) })
			})
		}
	}
}

// wireCase is one call against one fault.
type wireCase struct {
	row, fault, dialect string
	streamed, backup    bool
	takes               time.Duration
}

func (c wireCase) meet(t *testing.T, heart *heart, want string) {
	var w *wire
	var g got
	for range 5 { // what a machine that stood still did to our clocks says nothing
		began := time.Now()
		w = newWire(t, c)
		g = w.do(t.Context(), c.dialect, ask(c.dialect, "m", c.streamed))
		if heart.rest(began) < 100*time.Millisecond {
			break
		}
	}
	end, seen, _ := strings.Cut(want, " ")
	seen, _, _ = strings.Cut(seen, " ")
	if got := fmt.Sprintf("%d/%d", len(w.sims["primary"].Log()), len(w.sims["backup"].Log())); got != seen {
		t.Errorf("the providers saw %s attempts, want %s", got, seen)
	}
	slack := cmp.Or(onTheWire[c.row].slack, wireSlack)
	if g.took < c.takes || g.took > c.takes+slack {
		t.Errorf("took %s, want %s and at most %s more", g.took, c.takes, slack)
	}
	if c.dialect == "messages" && c.fault == "credit-balance" && end == "429" {
		end = "400" // Anthropic's status for it
	}
	checkEnd(t, g, c.dialect, c.streamed, end)
	w.checkProviders(t, c)
	if c.fault == "echo-headers" && (strings.Contains(g.body, "sk-caller") || strings.Contains(strings.ToLower(g.body), "holdfast")) {
		t.Error("the provider saw the caller's credential, or words that were for us")
	}
	if t.Failed() {
		t.Log(g)
	}
}

// checkProviders holds that no attempt stays open at a provider, and that those
// we leave are told so at once.
func (w *wire) checkProviders(t *testing.T, c wireCase) {
	t.Helper()
	for name, provider := range w.sims {
		for deadline := time.Now().Add(2 * time.Second); provider.InFlight() > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s still works on %d attempts", name, provider.InFlight())
			}
		}
	}
	if !onTheWire[c.row].left {
		return
	}
	for _, a := range w.sims["primary"].Log() {
		if !a.Cancelled {
			t.Errorf("attempt %d was not cancelled: %+v", a.Seq, a)
		}
		if a.Bytes > 16<<20 {
			t.Errorf("attempt %d went on for %d bytes", a.Seq, a.Bytes)
		}
	}
}

// ---- the end of streams ----

// TestAStreamEndsThoughItsProviderDoesNotClose holds R14: after the final event
// the caller waits for nobody, and the connection serves no other call.
func TestAStreamEndsThoughItsProviderDoesNotClose(t *testing.T) {
	var cases sync.WaitGroup
	defer cases.Wait()
	for _, dialect := range wireDialects {
		cases.Go(func() {
			t.Run(dialect, func(t *testing.T) {
				w := newWire(t, wireCase{row: "never-closes", fault: "never-closes", dialect: dialect, streamed: true})
				resp, err := w.open(t.Context(), dialect, ask(dialect, "m", true))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				final := readTo(t, resp.Body, map[string]string{"chat": "[DONE]", "responses": "event: response.completed", "messages": "event: message_stop"}[dialect])
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					t.Fatalf("a complete answer ended with %v", err)
				}
				if late := time.Since(final); late > 1500*time.Millisecond {
					t.Errorf("the stream ended %s after its final event", late)
				}
				w.checkProviders(t, wireCase{})
				if g := w.do(t.Context(), dialect, ask(dialect, "m", true)); !g.complete(dialect) {
					t.Errorf("the next call: %s", g)
				}
				if n := w.connections.Load(); n != 2 {
					t.Errorf("%d connections for two calls, want 2: the first one was not to be used again", n)
				}
			})
		})
	}
}

// readTo reads up to a text and returns when it came.
func readTo(t *testing.T, body io.Reader, text string) time.Time {
	t.Helper()
	var seen bytes.Buffer
	piece := make([]byte, 4<<10)
	for !bytes.Contains(seen.Bytes(), []byte(text)) {
		n, err := body.Read(piece)
		seen.Write(piece[:n])
		if err != nil {
			t.Fatalf("%v before %q: %q", err, text, seen.String())
		}
	}
	return time.Now()
}

// TestACallerWhoLeavesIsHeardByTheProvider: nobody pays for words that nobody
// reads.
func TestACallerWhoLeavesIsHeardByTheProvider(t *testing.T) {
	const soon = 500 * time.Millisecond
	for _, c := range []struct {
		name, fault string
		early       bool // before the first byte of an answer
		leave       func(cancel context.CancelFunc, body io.Closer)
	}{
		{"by closing the body of a stream", "stall-after-20", false, func(_ context.CancelFunc, body io.Closer) { _ = body.Close() }},
		{"by ending the context of a stream", "stall-after-20", false, func(cancel context.CancelFunc, _ io.Closer) { cancel() }},
		{"before the provider answered", "silent", true, func(cancel context.CancelFunc, _ io.Closer) { cancel() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWire(t, wireCase{fault: c.fault, dialect: "chat"})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.early {
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			resp, err := w.open(ctx, "chat", ask("chat", "m", true))
			if c.early {
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("error %v, want the context's own", err)
				}
			} else {
				readTo(t, resp.Body, "content")
				c.leave(cancel, resp.Body)
			}
			left := time.Now()
			w.checkProviders(t, wireCase{row: "silent"})
			log := w.sims["primary"].Log()
			if len(log) != 1 || log[0].CancelledAt.Sub(left) > soon {
				t.Errorf("the provider heard of it %s later, in %d attempts", log[0].CancelledAt.Sub(left), len(log))
			}
			if resp != nil {
				_ = resp.Body.Close()
			}
			checkNeutral(t, w)
		})
	}
}

// checkNeutral holds that a caller who left has harmed nobody.
func checkNeutral(t *testing.T, w *wire) {
	t.Helper()
	s := w.hf.Status()
	if n := s.Targets[0].Classes[call.Canceled.String()]; n != 1 || s.Targets[0].InFlight != 0 || s.Routes[0].Running != 0 {
		t.Errorf("after the caller left: %+v", s)
	}
}

// ---- the stage ----

// wire is a Transport between a client and two simulated providers, all joined
// by loopback.
type wire struct {
	sims        map[string]*sim.Provider
	hf          *holdfast.Transport
	connections atomic.Int64 // made to the primary
}

func newWire(t *testing.T, c wireCase) *wire {
	t.Helper()
	w := &wire{sims: map[string]*sim.Provider{}}
	var targets []holdfast.Target
	for _, name := range []string{"primary", "backup"} {
		target := to(name, "sim/"+c.fault)
		if c.dialect == "messages" {
			target = claude(name, "sim/"+c.fault)
		}
		target.BaseURL = w.provider(t, name)
		if name == "backup" {
			target.Model = "sim/ok"
		}
		if name == "primary" || c.backup {
			targets = append(targets, target)
		}
	}
	config := route(targets...)
	config.Timeout = onTheWire[c.row].clocks
	config.Retry = retry.Config{Base: 10 * time.Millisecond, ThrottleBase: 10 * time.Millisecond}
	hf, err := holdfast.NewTransport(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = hf.Close() })
	w.hf = hf
	return w
}

// provider starts a simulated provider and returns its address.
func (w *wire) provider(t *testing.T, name string) string {
	t.Helper()
	w.sims[name] = sim.New(sim.Config{})
	server := httptest.NewUnstartedServer(w.sims[name])
	if name == "primary" {
		server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
			if s == http.StateNew {
				w.connections.Add(1)
			}
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL
}

// open sends a request as an application does, through an http.Client.
func (w *wire) open(ctx context.Context, dialect string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, "POST", "http://app.invalid"+paths[dialect], bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer sk-caller")
	req.Header.Set("X-Holdfast-Timeout-Ms", "60000")
	return (&http.Client{Transport: w.hf}).Do(req)
}

func (w *wire) do(ctx context.Context, dialect string, body []byte) got {
	began := time.Now()
	resp, err := w.open(ctx, dialect, body)
	if err != nil {
		return got{err: err, took: time.Since(began)}
	}
	text, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	return got{status: resp.StatusCode, header: resp.Header, body: string(text), read: err, took: time.Since(began)}
}

// heart beats, and knows when the machine kept it from beating.
type heart struct {
	mu    sync.Mutex
	beats []time.Time // the ends of pauses longer than they should be
	rests []time.Duration
}

func startHeart(t *testing.T) *heart {
	h := &heart{}
	tick := time.NewTicker(5 * time.Millisecond)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for last := time.Now(); ; {
			select {
			case <-stop:
				return
			case <-tick.C:
				now := time.Now()
				if d := now.Sub(last); d > 20*time.Millisecond {
					h.mu.Lock()
					h.beats, h.rests = append(h.beats, now), append(h.rests, d)
					h.mu.Unlock()
				}
				last = now
			}
		}
	}()
	t.Cleanup(func() { tick.Stop(); close(stop); <-stopped })
	return h
}

// rest is the longest pause since then.
func (h *heart) rest(since time.Time) (longest time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.beats) - 1; i >= 0 && h.beats[i].After(since); i-- {
		longest = max(longest, h.rests[i])
	}
	return longest
}
