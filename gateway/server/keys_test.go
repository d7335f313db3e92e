package server_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/keys"
	"github.com/holdfast-gateway/holdfast/gateway/server"
)

func (g *gateway) edit(change func(string) string) {
	g.t.Helper()
	text, err := os.ReadFile(g.file)
	if err != nil {
		g.t.Fatal(err)
	}
	next := filepath.Join(filepath.Dir(g.file), "next")
	write(g.t, next, change(string(text)))
	if err := os.Rename(next, g.file); err != nil { // as careful tools do: nobody reads half of it
		g.t.Fatal(err)
	}
}

// status makes a call with headers and returns its status.
func (g *gateway) statusWith(header ...string) int { return g.statusFor("chat", header...) }

func (g *gateway) statusFor(model string, header ...string) int {
	g.t.Helper()
	req, err := http.NewRequest("POST", "http://"+g.Addr()+"/v1/chat/completions", strings.NewReader(fmt.Sprintf(`{"model":%q,"messages":[{"role":"user","content":"hi"}]}`, model)))
	if err != nil {
		g.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		g.t.Fatal(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func TestARemovedKeyOpensNothingWithinASecond(t *testing.T) {
	secret, digest := keys.New()
	entry := fmt.Sprintf("keys:\n  web: {sha256: %q}\n", digest)
	g := start(t, oneRoute+entry, server.Options{Watch: 500 * time.Millisecond}) // the default outside of tests
	best := time.Hour
	for range 3 { // a machine may be busy once
		if got := g.statusWith("X-Api-Key", secret); got != 200 {
			t.Fatalf("with the key: %d", got)
		}
		began := time.Now()
		g.edit(func(s string) string { return strings.Replace(s, entry, "keys: {}\n", 1) })
		waitFor(t, "the key to be out", func() bool { return g.statusWith("X-Api-Key", secret) == 401 })
		best = min(best, time.Since(began))
		if best <= time.Second {
			break
		}
		g.edit(func(s string) string { return strings.Replace(s, "keys: {}\n", entry, 1) })
		waitFor(t, "the key to be back", func() bool { return g.statusWith("X-Api-Key", secret) == 200 })
	}
	if best > time.Second {
		t.Errorf("a removed key opened for another %s", best)
	}
}

// TestAFileThatWaitsForItsSecretIsTakenWhenTheSecretComes: the file itself does
// not change then.
func TestAFileThatWaitsForItsSecretIsTakenWhenTheSecretComes(t *testing.T) {
	g := start(t, oneRoute, server.Options{Watch: 10 * time.Millisecond})
	secret := filepath.Join(t.TempDir(), "late")
	g.edit(func(text string) string { return strings.Replace(text, "sk-sim", "${file:"+secret+"}", 1) })
	waitFor(t, "the file to be refused", func() bool { return strings.Contains(g.log.String(), "configuration not changed") })
	write(t, secret, "sk-late-0123")
	waitFor(t, "the file to be taken", func() bool { return strings.Contains(g.log.String(), "configuration changed") })
	if n := strings.Count(g.log.String(), "configuration not changed"); n != 1 {
		t.Errorf("the refusal was told %d times, want once", n)
	}
}

func TestANewSecretInAFileIsUsed(t *testing.T) {
	folder := t.TempDir()
	secretFile := filepath.Join(folder, "secret")
	write(t, secretFile, "sk-first-0123\n")
	var seen atomic.Value
	seen.Store("")
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}`)
	}))
	defer upstream.Close()
	text := strings.NewReplacer("base_url: SIM", "base_url: "+upstream.URL, "sk-sim", "${file:"+secretFile+"}").Replace(oneRoute)
	g := start(t, text, server.Options{Watch: 5 * time.Millisecond})
	if g.statusWith(); seen.Load() != "Bearer sk-first-0123" {
		t.Fatalf("the provider got %v", seen.Load())
	}
	write(t, secretFile, "sk-second-0123\n")
	waitFor(t, "the new secret", func() bool { g.statusWith(); return seen.Load() == "Bearer sk-second-0123" })
}

func TestACallersOwnKeyGoesToItsProviderOnly(t *testing.T) {
	var mu sync.Mutex
	got := map[string][]string{}
	provider := func(name string, status int) *httptest.Server {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			got[name] = append(got[name], fmt.Sprint(r.Header))
			mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			fmt.Fprint(w, `{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"a"},"finish_reason":"stop"}]}`)
		}))
		t.Cleanup(s.Close)
		return s
	}
	secret, digest := keys.New()
	g := start(t, head+fmt.Sprintf(`
providers:
  theirs: {kind: openai, auth: passthrough, base_url: %q}
  other: {kind: openai, auth: passthrough, base_url: %q}
  ours: {kind: openai, base_url: %q, api_key: sk-ours-0123}
keys:
  web: {sha256: %q}
routes:
  chat: {targets: [theirs/*, other/*]}
  chat-ours: {targets: [theirs/*, ours/gpt-4o]}
`, provider("theirs", 503).URL, provider("other", 503).URL, provider("ours", 200).URL, digest), server.Options{})
	for _, model := range []string{"chat", "chat-ours"} {
		if status := g.statusFor(model, "Authorization", "Bearer sk-their-own-0123", "X-Holdfast-Key", secret); (status == 200) != (model == "chat-ours") {
			t.Errorf("%s ended with %d", model, status)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(got["theirs"]) == 0 || !strings.Contains(got["theirs"][0], "sk-their-own-0123") {
		t.Errorf("their provider got %v", got["theirs"])
	}
	for _, name := range []string{"other", "ours"} {
		if strings.Contains(fmt.Sprint(got[name]), "sk-their-own") {
			t.Errorf("%s got the caller's credential: %v", name, got[name])
		}
	}
	if !strings.Contains(fmt.Sprint(got["ours"]), "sk-ours-0123") {
		t.Errorf("ours got %v", got["ours"])
	}
	if strings.Contains(fmt.Sprint(got), secret) {
		t.Error("a provider got a key of the gateway")
	}
}

// TestAHundredReloadsUnderLoadFailNoCall is R27: one in ten is a mistake, which
// keeps the last good file and is told with its line.
func TestAHundredReloadsUnderLoadFailNoCall(t *testing.T) {
	g := start(t, oneRoute, server.Options{})
	good, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	var calls, failed atomic.Int64
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, body, err := g.ask("/v1/chat/completions", `{"model":"chat","stream":true,"messages":[{"role":"user","content":"hi"}]}`)
				calls.Add(1)
				if err != nil || resp.StatusCode != 200 || !strings.HasSuffix(body, "data: [DONE]\n\n") {
					failed.Add(1)
				}
			}
		})
	}
	refused := 0
	for i := range 100 {
		if i%10 == 9 {
			write(t, g.file, string(good)+"  chat2:\n    targts: [openai/gpt-4o]\n")
			err := g.Reload()
			if err == nil || !strings.Contains(err.Error(), `holdfast.yaml:14:5: unknown key "targts"; did you mean "targets"?`) {
				t.Errorf("reload %d: %v", i, err)
			}
			refused++
		} else {
			write(t, g.file, string(good)+fmt.Sprintf("  extra-%d:\n    targets: [openai/gpt-4o]\n", i))
			if err := g.Reload(); err != nil {
				t.Errorf("reload %d: %v", i, err)
			}
		}
		if before := calls.Load(); i%5 == 0 {
			waitFor(t, "calls in between", func() bool { return calls.Load() > before })
		}
	}
	close(stop)
	load.Wait()
	if failed.Load() > 0 || refused != 10 || calls.Load() < 20 {
		t.Errorf("%d of %d calls failed during 100 reloads, %d refused", failed.Load(), calls.Load(), refused)
	}
	if _, body := g.get("http://" + g.Addr() + "/v1/models"); !strings.Contains(body, `"extra-98"`) || strings.Contains(body, "chat2") {
		t.Errorf("not the last good file: %s", body)
	}
}

func TestAReloadKeepsWhatIsKnownOfTargetsThatStay(t *testing.T) {
	broken := strings.Replace(oneRoute, "openai/gpt-4o", "openai/sim/503", 1)
	g := start(t, broken+"breaker: {consecutive: 2, open_for: 10m}\n", server.Options{})
	waitFor(t, "the circuit to open", func() bool {
		g.statusWith()
		_, body := g.get("http://" + g.AdminAddr() + "/api/v1/status")
		return strings.Contains(body, `"breaker": "open"`)
	})
	g.edit(func(s string) string { return s + "max_body: 1MiB\n" })
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	if _, body := g.get("http://" + g.AdminAddr() + "/api/v1/status"); !strings.Contains(body, `"breaker": "open"`) {
		t.Errorf("the reload closed the circuit: %s", body)
	}
}

func TestEachVersionInForceIsKept(t *testing.T) {
	var kept []string
	g := start(t, oneRoute, server.Options{History: func(text []byte, _ time.Time) error {
		kept = append(kept, string(text))
		return nil
	}})
	g.edit(func(s string) string { return s + "max_body: 1MiB\n" })
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
	g.edit(func(s string) string { return s + "max_boddy: 1MiB\n" })
	if err := g.Reload(); err == nil {
		t.Fatal("a mistake was accepted")
	}
	if len(kept) != 2 || !strings.HasSuffix(kept[1], "max_body: 1MiB\n") {
		t.Errorf("kept %q", kept)
	}
}
