package holdfast_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-gateway/holdfast"
	"github.com/holdfast-gateway/holdfast/admission"
	"github.com/holdfast-gateway/holdfast/call"
	"github.com/holdfast-gateway/holdfast/concurrency"
	"github.com/holdfast-gateway/holdfast/sim"
)

// bubble runs a test in virtual time.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// keyed gives a target keys.
func keyed(t holdfast.Target, keys ...string) holdfast.Target {
	for i, k := range keys {
		t.Keys = append(t.Keys, holdfast.Key{Name: fmt.Sprintf("k%d", i+1), Secret: k})
	}
	return t
}

func TestABadKeyIsLeftForAGoodOneAndRests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(keyed(to("primary", "gpt"), "sk-bad", "sk-good")), "primary")
		if err := w.sims["primary"].SetDials(sim.Dials{RequiredKey: "sk-good"}); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if g := w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":"gpt","messages":[{"role":"user","content":"%d"}]}`, i)); !g.complete("chat") {
				t.Fatal(g)
			}
		}
		ejected := w.events(call.KeyEjected)
		if len(ejected) != 1 || ejected[0].Key != "k1" {
			t.Errorf("ejections %+v, want k1 once", ejected)
		}
		if n := w.attempts("primary"); n > 21 {
			t.Errorf("%d attempts for 20 calls: the bad key was asked again", n)
		}
		if s := w.hf.Status().Targets[0]; s.Breaker != "closed" || s.Keys[0].EjectedUntil.IsZero() || !s.Keys[1].EjectedUntil.IsZero() {
			t.Errorf("status %+v", s)
		}
		time.Sleep(6 * time.Minute)
		if s := w.hf.Status().Targets[0]; !s.Keys[0].EjectedUntil.IsZero() {
			t.Error("the key rests after 6 minutes")
		}
	})
}

func TestAThrottledKeyPausesAndOthersServe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(keyed(to("primary", "gpt"), "sk-1", "sk-2")), "primary")
		_ = w.sims["primary"].SetDials(sim.Dials{Fault: "429-retry-after-30"})
		began := time.Now()
		g := w.do(t.Context(), "chat", ask("chat", "gpt", false))
		if took := time.Since(began); !g.complete("chat") || took < 30*time.Second || took > 32*time.Second {
			t.Errorf("took %s: both keys wait 30 s: %s", took, g)
		}
		if n := len(w.events(call.KeyPaused)); n != 2 {
			t.Errorf("%d pauses, want one for each key", n)
		}
	})
}

func TestAPinnedCallGoesToTheTargetAndKeyThatMadeItsState(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b := keyed(to("primary", "gpt"), "sk-a1", "sk-a2"), keyed(to("backup", "gpt"), "sk-b1")
		a.Weight, b.Weight = 1, 1
		w := build(t, route(a, b), "primary", "backup")
		for i := range 30 {
			first := w.do(t.Context(), "responses", fmt.Appendf(nil, `{"model":"gpt","input":"call %d","stream":%t}`, i, i%2 == 0))
			id := responseID(first.body)
			if id == "" {
				t.Fatal(first)
			}
			second := w.do(t.Context(), "responses", fmt.Appendf(nil, `{"model":"gpt","input":"go on","previous_response_id":%q}`, id))
			if second.status != 200 || second.header.Get("X-Holdfast-Provider") != first.header.Get("X-Holdfast-Provider") {
				t.Fatalf("made by %s, asked at %s: %s", first.header.Get("X-Holdfast-Provider"), second.header.Get("X-Holdfast-Provider"), second)
			}
		}
		seen := map[string]string{} // the answers alternate: made, continued
		for name, p := range w.sims {
			log := p.Log()
			for i := 0; i+1 < len(log); i += 2 {
				if log[i].KeyDigest != log[i+1].KeyDigest {
					t.Errorf("%s: attempt %d used another key than the one that made its state", name, i+1)
				}
				seen[name] += log[i].KeyDigest
			}
		}
		if len(seen) != 2 {
			t.Error("the weights sent everything to one target")
		}
	})
}

func responseID(body string) string {
	at := strings.Index(body, `"id":"resp_`)
	if at < 0 {
		return ""
	}
	id, _, _ := strings.Cut(body[at+6:], `"`)
	return id
}

func TestAPinnedCallIsNeverMovedEvenIfItsTargetIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", ""), to("backup", "sim/ok")), "primary", "backup")
		g := w.do(t.Context(), "responses", []byte(`{"model":"sim/503","input":"x","previous_response_id":"resp_unknown"}`))
		if g.status != 503 || w.attempts("backup") != 0 || w.attempts("primary") != 2 {
			t.Errorf("%d attempts at the primary, %d at the backup: %s", w.attempts("primary"), w.attempts("backup"), g)
		}
	})
}

func TestACredentialTravelsOnlyToTheHostItWasMeantFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		set := func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer sk-caller-secret")
			r.Header.Set("X-Api-Key", "sk-caller-secret")
			r.Header.Set("Cookie", "session=sk-caller-secret")
			r.Header.Set("X-Holdfast-Timeout-Ms", "5000")
			r.Header.Set("X_Holdfast_Fault", "x")
		}
		w := build(t, route(keyed(to("primary", "sim/503"), "sk-primary"), to("backup", "sim/echo-headers")), "primary", "backup")
		g := w.do(t.Context(), "chat", ask("chat", "m", false), set)
		if !g.complete("chat") || strings.Contains(g.body, "caller-secret") || strings.Contains(g.body, "sk-primary") || strings.Contains(strings.ToLower(g.body), "holdfast") {
			t.Errorf("the other host saw what was not meant for it: %s", g)
		}
		w = build(t, holdfast.Config{}, "primary")
		req, _ := http.NewRequest("POST", "http://primary/v1/chat/completions", bytes.NewReader(ask("chat", "sim/echo-headers", false)))
		set(req)
		resp, err := w.hf.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if !strings.Contains(string(text), "sk-caller-secret") {
			t.Error("the host that was named did not get the caller's credential")
		}
	})
}

func TestTheZeroConfigGuardsTheHostARequestNames(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, holdfast.Config{}, "primary", "backup")
		for _, name := range []string{"primary", "backup"} {
			req, _ := http.NewRequest("POST", "http://"+name+"/v1/chat/completions", bytes.NewReader(ask("chat", "sim/500-once", true)))
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			text, _ := io.ReadAll(resp.Body)
			_ = resp.Body.Close()
			if resp.StatusCode != 200 || !strings.HasSuffix(string(text), "[DONE]\n\n") || w.attempts(name) != 2 || resp.Header.Get("X-Holdfast-Attempts") != "2" {
				t.Errorf("%s: status %d after %d attempts", name, resp.StatusCode, w.attempts(name))
			}
		}
	})
}

func TestABusyTargetMakesCallsWaitInTurn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("primary", "gpt"))
		c.Concurrency = concurrency.Config{Max: 2}
		c.Queue = admission.Config{MaxWait: 10 * time.Second, MaxDepth: 3}
		w := build(t, c, "primary")
		_ = w.sims["primary"].SetDials(sim.Dials{HeaderDelay: time.Second})
		var all sync.WaitGroup
		var mu sync.Mutex
		var waits []time.Duration
		full := 0
		for i := range 7 {
			all.Go(func() {
				g := w.do(context.Background(), "chat", fmt.Appendf(nil, `{"model":"gpt","messages":[{"role":"user","content":"x"}],"max_tokens":%d}`, i+1))
				mu.Lock()
				defer mu.Unlock()
				if g.header.Get("X-Holdfast-Reason") == "queue_full" {
					full++
					if g.status != 503 || g.header.Get("Retry-After") == "" || g.header.Get("X-Should-Retry") != "true" || g.took > 5*time.Millisecond {
						t.Error(g)
					}
				} else if g.complete("chat") {
					waits = append(waits, g.took)
				}
			})
			time.Sleep(time.Millisecond)
		}
		all.Wait()
		if full != 2 || len(waits) != 5 {
			t.Errorf("%d were refused, %d answered; want 2 and 5", full, len(waits))
		}
		if m := w.sims["primary"].Counts().MaxInFlight; m != 2 {
			t.Errorf("the provider had %d at once, want 2", m)
		}
	})
}

func TestUpdateKeepsWhatWasLearntAndABadOneChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("primary", "sim/503"), to("backup", "sim/ok"))
		w := build(t, c, "primary", "backup")
		for i := range 6 {
			w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":%d}`, i+1))
		}
		if s := w.hf.Status(); s.Targets[1].Breaker != "open" {
			t.Fatalf("status %+v", s)
		}
		bad := c
		bad.Routes = []holdfast.Route{{Name: "chat"}, {Name: "chat", Recovery: "magic"}}
		err := w.hf.Update(bad)
		for _, want := range []string{"route chat: targets: none", "another route has this name", `recovery: "magic"`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Update: %v; want it to say %q", err, want)
			}
		}
		c.Transport, c.Recorder = http.RoundTripper(w), call.RecorderFunc(w.record)
		c.Routes = []holdfast.Route{{Name: "chat", Targets: []holdfast.Target{to("primary", "sim/503"), to("third", "sim/ok")}}}
		if err := w.hf.Update(c); err != nil {
			t.Fatal(err)
		}
		names := map[string]string{}
		for _, s := range w.hf.Status().Targets {
			names[s.Name] = s.Breaker
		}
		if len(names) != 2 || names["primary"] != "open" || names["third"] != "closed" {
			t.Errorf("after the update: %v", names)
		}
	})
}

func TestTheCallersDeadlineIsKept(t *testing.T) {
	const heard = 2750 * time.Millisecond // before the SDK's own clock ends
	for _, set := range []struct {
		name, value string
		took        time.Duration
	}{{"X-Holdfast-Timeout-Ms", "3000", 3 * time.Second}, {"X-Stainless-Timeout", "3", heard}, {"X-Stainless-Read-Timeout", "3", heard}} {
		bubble(t, func(t *testing.T) {
			w := build(t, route(to("primary", "sim/silent"), to("backup", "sim/silent")), "primary", "backup")
			g := w.do(t.Context(), "chat", ask("chat", "m", true), func(r *http.Request) { r.Header.Set(set.name, set.value) })
			if g.took != set.took || g.status != 504 || g.header.Get("X-Holdfast-Reason") != "deadline_exceeded" {
				t.Errorf("%s: %s", set.name, g)
			}
		})
	}
}

func TestADeadlineEndsAtTheCommitPointOfAStream(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", "gpt")), "primary")
		_ = w.sims["primary"].SetDials(sim.Dials{TokenInterval: time.Second})
		body := []byte(`{"model":"gpt","stream":true,"max_tokens":20,"messages":[{"role":"user","content":"x"}]}`)
		g := w.do(t.Context(), "chat", body, func(r *http.Request) { r.Header.Set("X-Holdfast-Timeout-Ms", "3000") })
		if !g.complete("chat") || g.took < 15*time.Second {
			t.Error(g)
		}
	})
}

func TestWhatMayActTwiceIsNotRepeated(t *testing.T) {
	for _, c := range []struct {
		method, path, key string
		want              int
	}{
		{"POST", "/v1/batches", "", 1}, {"POST", "/v1/batches", "key-1", 2}, {"GET", "/v1/models", "", 2}, {"DELETE", "/v1/files/file-12345", "", 2}, {"PATCH", "/v1/things", "", 1},
	} {
		bubble(t, func(t *testing.T) {
			w := build(t, route(to("primary", "")), "primary")
			_ = w.sims["primary"].SetDials(sim.Dials{Fault: "502"})
			req, _ := http.NewRequest(c.method, "http://app"+c.path, strings.NewReader(`{}`))
			req.Header.Set("Content-Type", "application/json")
			if c.key != "" {
				req.Header.Set("Idempotency-Key", c.key)
			}
			resp, err := w.hf.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if n := w.attempts("primary"); n != c.want || resp.StatusCode != 502 {
				t.Errorf("%s %s (key %q): %d attempts, status %d; want %d, 502", c.method, c.path, c.key, n, resp.StatusCode, c.want)
			}
		})
	}
}

func TestABodyThatStreamsPastGetsOneAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		w := build(t, route(to("primary", "")), "primary")
		boundary := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a\"\r\n\r\nhello\r\n--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n--b--\r\n"
		req, _ := http.NewRequest("POST", "http://app/v1/files", io.NopCloser(strings.NewReader(boundary)))
		req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		resp, err := w.hf.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(text), `"object":"file"`) || resp.Header.Get("X-Holdfast-Attempts") != "1" {
			t.Errorf("status %d: %s", resp.StatusCode, text)
		}
	})
}

func TestRequestsThatCannotBeReadAreRefusedInTheCallersDialect(t *testing.T) {
	for _, c := range []struct {
		dialect, body string
		status        int
		want          string
	}{
		{"chat", `{"model":`, 400, `"invalid_request_error"`},
		{"chat", `[]`, 400, `"error"`},
		{"messages", `nonsense`, 400, `"type":"error"`},
		{"responses", strings.Repeat("[", 100_000), 400, `"error"`},
		{"chat", `{"model":"unknown-model","messages":[{"role":"user","content":"x"}]}`, 404, `model_not_found`},
		{"messages", `{"model":"unknown-model","messages":[{"role":"user","content":"x"}]}`, 404, `not_found_error`},
		{"chat", `{"model":"known","pad":"` + strings.Repeat("x", 3<<20) + `"}`, 413, `request_too_large`},
	} {
		bubble(t, func(t *testing.T) {
			cfg := holdfast.Config{MaxBody: 2 << 20, Routes: []holdfast.Route{{Name: "r", Models: []string{"known"}, Targets: []holdfast.Target{to("primary", "")}}}}
			w := build(t, cfg, "primary")
			g := w.do(t.Context(), c.dialect, []byte(c.body))
			if g.status != c.status || !strings.Contains(g.body, c.want) || w.attempts("primary") != 0 || g.header.Get("X-Should-Retry") != "false" {
				t.Errorf("%s %.40q: %s", c.dialect, c.body, g)
			}
			if ends := w.events(call.CallEnded); len(ends) != 1 || ends[0].Outcome.Class != call.ClientError {
				t.Errorf("%.40q: ended as %+v", c.body, ends)
			}
		})
	}
}

func TestRoutesMatchByPatternNameAndDialect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := holdfast.Config{Routes: []holdfast.Route{
			{Name: "small", Models: []string{"gpt-*-mini", "tiny"}, Targets: []holdfast.Target{to("a", "")}},
			{Name: "claude", Models: []string{"claude*"}, Targets: []holdfast.Target{claude("b", "")}},
			{Name: "rest", Models: []string{"*"}, Targets: []holdfast.Target{to("c", "")}},
		}}
		w := build(t, c, "a", "b", "c")
		for model, want := range map[string]string{"gpt-4o-mini": "small", "tiny": "small", "gpt-4o": "rest", "gpt--mini": "small", "": "rest"} {
			if g := w.do(t.Context(), "chat", ask("chat", model, false)); g.header.Get("X-Holdfast-Route") != want {
				t.Errorf("%q went to %q, want %q", model, g.header.Get("X-Holdfast-Route"), want)
			}
		}
		if g := w.do(t.Context(), "messages", ask("messages", "claude-x", false)); g.header.Get("X-Holdfast-Route") != "claude" || g.status != 200 {
			t.Error(g)
		}
		if g := w.do(t.Context(), "messages", ask("messages", "gpt-4o", false)); g.header.Get("X-Holdfast-Reason") != "no_target" {
			t.Errorf("a target that does not speak the dialect: %s", g)
		}
		req, _ := http.NewRequestWithContext(holdfast.WithRoute(t.Context(), "rest"), "POST", "http://app/v1/chat/completions", bytes.NewReader(ask("chat", "tiny", false)))
		resp, err := w.hf.RoundTrip(req)
		if err != nil || resp.Header.Get("X-Holdfast-Route") != "rest" {
			t.Errorf("WithRoute: %v, %v", resp, err)
		}
		_ = resp.Body.Close()
	})
}

func TestAfterCloseTheTransportSaysSo(t *testing.T) {
	hf, err := holdfast.NewTransport(holdfast.Config{})
	if err != nil {
		t.Fatal(err)
	}
	_ = hf.Close()
	_ = hf.Close()
	req, _ := http.NewRequest("GET", "http://127.0.0.1:1/", nil)
	if _, err := hf.RoundTrip(req); !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if err := hf.Update(holdfast.Config{}); !errors.Is(err, holdfast.ErrClosed) {
		t.Errorf("Update: %v", err)
	}
}

func TestClientRetriesArePacedIfTheRouteSaysSo(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("primary", "sim/503"))
		c.Routes[0].ClientRetries = "pace"
		w := build(t, c, "primary")
		var g got
		for i := range 10 {
			g = w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":%d}`, i+1))
		}
		after := g.header.Get("Retry-After")
		if g.header.Get("X-Holdfast-Reason") != "circuit_open" || g.header.Get("X-Should-Retry") != "true" || after == "" {
			t.Errorf("reason %q, x-should-retry %q, retry-after %q", g.header.Get("X-Holdfast-Reason"), g.header.Get("X-Should-Retry"), after)
		}
	})
}

func TestTheInteractiveProfileKeepsItsFigures(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := route(to("primary", "sim/silent"), to("backup", "sim/ok"))
		c.Profile = "interactive"
		w := build(t, c, "primary", "backup")
		g := w.do(t.Context(), "chat", ask("chat", "m", false))
		if !g.complete("chat") || g.took != 8*time.Second {
			t.Error(g)
		}
		for i := range 12 {
			g = w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":%d}`, i+1))
		}
		if s := w.hf.Status().Targets; s[1].Permits != 5 {
			t.Errorf("permits %d, want 5", s[1].Permits)
		}
		c.Routes[0].Targets = c.Routes[0].Targets[:1]
		w = build(t, c, "primary")
		for i := range 6 {
			g = w.do(t.Context(), "chat", fmt.Appendf(nil, `{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":%d}`, i+1))
		}
		if !strings.Contains(g.body, "provider_unavailable") {
			t.Errorf("the seed's code is missing: %s", g)
		}
	})
}

// TestALargeBodyIsSentInPartsWithTheTargetsModel: the same bytes but for the
// model, whatever its size and wherever the model stands, also when it is sent
// again.
func TestALargeBodyIsSentInPartsWithTheTargetsModel(t *testing.T) {
	for _, size := range []int{10, 100 << 10, 3 << 20} {
		for _, shape := range []string{`{"model":"asked","pad":"%s","messages":[]}`, `{"pad":"%s","messages":[],"model": "asked"}`} {
			bubble(t, func(t *testing.T) {
				text := fmt.Sprintf(shape, strings.Repeat("x", size))
				var seen []string
				cfg := route(to("primary", "theirs"))
				cfg.Transport = roundTripper(func(req *http.Request) (*http.Response, error) {
					body, err := io.ReadAll(req.Body)
					if err != nil || int64(len(body)) != req.ContentLength {
						t.Errorf("%d bytes, %v; the length says %d", len(body), err, req.ContentLength)
					}
					seen = append(seen, string(body))
					return (&throttleOnce{always: true}).RoundTrip(req)
				})
				build(t, cfg).do(t.Context(), "chat", []byte(text))
				if want := strings.Replace(text, "asked", "theirs", 1); len(seen) < 2 || seen[0] != want || seen[1] != want {
					t.Errorf("size %d: %d attempts, not all with the caller's bytes and the target's model", size, len(seen))
				}
			})
		}
	}
}
