package attack

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-gateway/holdfast/gateway/cli"
	"github.com/holdfast-gateway/holdfast/internal/process"
)

const (
	// asGateway, in the environment, makes this test's own program be holdfast,
	// built with the race detector.
	asGateway = "HOLDFAST_ATTACK_GATEWAY"
	// binary, in the environment, is the holdfast to attack instead.
	binary = "HOLDFAST_BINARY"
	// everything, in the environment, runs the attacks that take long too.
	everything = "HOLDFAST_ATTACK"
	// seedName, in the environment, repeats the secrets of another run.
	seedName = "HOLDFAST_ATTACK_SEED"
)

var seed uint64

func TestMain(m *testing.M) {
	if os.Getenv(asGateway) != "" {
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.Stdout, os.Stderr, "attack"))
	}
	seed = uint64(time.Now().UnixNano())
	if text := os.Getenv(seedName); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, seedName+" is no number")
			os.Exit(2)
		}
		seed = n
	}
	fmt.Printf("secrets from %s=%d\n", seedName, seed)
	os.Exit(m.Run())
}

// long skips an attack that takes more than some seconds, unless asked for.
func long(t *testing.T) {
	t.Helper()
	if os.Getenv(everything) == "" {
		t.Skip("takes long; make attack runs it")
	}
}

// secret makes a secret of this run.
func secret(prefix, name string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, name))
	r := rand.New(rand.NewPCG(seed, uint64(sum[0])<<8|uint64(sum[1])))
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := []byte(prefix)
	for range 32 {
		b = append(b, letters[r.IntN(len(letters))])
	}
	return string(b)
}

func digestOf(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// The secrets of a gateway under attack.
var (
	providerKey = func() string { return secret("sk-prov-", "provider") }
	otherKey    = func() string { return secret("sk-other-", "other") }
	adminToken  = func() string { return secret("adm-", "admin") }
	aliceKey    = func() string { return secret("hf_alice_", "alice") }
	bobKey      = func() string { return secret("hf_bob_", "bob") }
	prompt      = func() string { return secret("prompt-", "prompt") }
)

// villain is a provider that tests can tell to be malicious.
type villain struct {
	*httptest.Server
	mu     sync.Mutex
	answer http.HandlerFunc // nil: a good answer
	seen   []sighting
}

// sighting is one request as the provider saw it.
type sighting struct {
	method, target, host string
	header               http.Header
	body                 []byte
}

func startVillain(t *testing.T) *villain {
	v := &villain{}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<20))
		v.mu.Lock()
		if len(v.seen) < 200_000 {
			v.seen = append(v.seen, sighting{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body[:min(len(body), 1<<20)]})
		}
		answer := v.answer
		v.mu.Unlock()
		if answer == nil {
			answer = good
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		answer(w, r)
	}))
	t.Cleanup(v.Close)
	return v
}

// be makes the provider answer in another way; nil is well.
func (v *villain) be(answer http.HandlerFunc) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer, v.seen = answer, nil
}

// saw returns the requests since the last be.
func (v *villain) saw() []sighting {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]sighting(nil), v.seen...)
}

const (
	goodAnswer = `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`
	goodEvents = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hello\"},\"finish_reason\":null}]}\n\n" +
		"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
)

func good(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	if bytes.Contains(body, []byte(`"stream":true`)) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, goodEvents)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, goodAnswer)
}

// gateway is a running `holdfast serve`.
type gateway struct {
	*process.Gateway
	t       *testing.T
	URL     string // of callers
	admin   string // of operators
	address string // of callers, host and port
	dir     string
	file    string
	out     process.Text
	ended   sync.Once
	told    process.Text // everything that callers were told
	shown   process.Text // everything that operators were told
}

// settings is a file with two client keys, an admin token and two providers, all
// debug. KEYS and ADMIN can be taken out by tests about gateways without them.
func settings(provider string) string {
	return fmt.Sprintf(`version: 1
listen: 127.0.0.1:0
admin: {listen: 127.0.0.1:0, token: %s}
logs: {level: debug, format: json}
keys:
  alice: {sha256: %s, tenant: a}
  bob: {sha256: %s, tenant: b, models: [only-bobs]}
providers:
  openai: {base_url: %q, api_key: %s}
  anthropic: {base_url: %[4]q, api_key: %[6]s}
retry: {max_attempts: 1}
breaker: {consecutive: off, failure_ratio: off}
routes:
  chat: {targets: [openai/gpt-4o]}
  only-bobs: {targets: [openai/gpt-4o-mini]}
  claude: {targets: [anthropic/claude-x]}
`, adminToken(), digestOf(aliceKey()), digestOf(bobKey()), provider, providerKey(), otherKey())
}

// serve runs the gateway with this configuration until the test ends. Then it
// must end well, and nothing it ever said may hold a secret.
func serve(t *testing.T, configuration string) *gateway {
	t.Helper()
	g := &gateway{t: t, dir: t.TempDir()}
	g.file = filepath.Join(g.dir, "holdfast.yaml")
	if err := os.WriteFile(g.file, []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	command := gatewayProcess("serve", "-c", g.file, "--drain-delay", "0s", "--drain", "1s")
	command.Dir = g.dir
	command.Env = append(command.Env, "HOME="+g.dir, "HOLDFAST_STATE="+g.state())
	var err error
	g.Gateway, err = process.Serve(command, func(line []byte) { _, _ = g.out.Write(append(bytes.Clone(line), '\n')) })
	if err != nil {
		t.Fatalf("the gateway: %v\n%s", err, g.out.String())
	}
	t.Cleanup(g.stop)
	g.URL, g.admin = g.Callers, g.Operators
	g.address = strings.TrimPrefix(g.URL, "http://")
	return g
}

func (g *gateway) state() string { return filepath.Join(g.dir, "state") }

// stop ends the gateway and looks at everything it left behind.
func (g *gateway) stop() {
	g.ended.Do(func() {
		for _, path := range []string{"/metrics", "/api/v1/status", "/api/v1/config", "/api/v1/requests?limit=1000", "/api/v1/targets"} {
			if status, _, err := g.operator("GET", path, ""); err != nil || status != http.StatusOK {
				g.t.Errorf("in the end %s is answered with %d, %v", path, status, err)
			}
		}
		err := g.Stop()
		cut := exitCode(err) == 1 && strings.Contains(g.out.String(), "answers under way were cut")
		if err != nil && !cut || strings.Contains(g.Errors.String(), "DATA RACE") {
			g.t.Errorf("the gateway ended with %v", err)
		}
		if strings.Contains(g.out.String(), `"panic while answering`) {
			g.t.Errorf("the gateway panicked: %s", g.out.String())
		}
		g.noLeaks()
	})
}

// canaries are the secrets of a run, and what nobody needs to know of them.
func canaries() map[string]string {
	return map[string]string{
		"provider's key": providerKey(), "other provider's key": otherKey(), "admin token": adminToken(), "prompt": prompt(),
		"client key": aliceKey(), "other client key": bobKey(), "digest of a client key": digestOf(aliceKey()), "digest of the other client key": digestOf(bobKey()),
	}
}

// noLeaks looks for the secrets in everything that left the process. Callers may be
// told what they sent themselves: a prompt and a key of theirs.
func (g *gateway) noLeaks() {
	left := map[string]string{"the log": g.out.String(), "standard error": g.Errors.String(), "answers to operators": g.shown.String()}
	err := filepath.WalkDir(g.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || path == g.file {
			return err
		}
		if strings.HasPrefix(path, filepath.Join(g.state(), "history")+string(filepath.Separator)) {
			return g.kept(path, d) // versions of the file itself
		}
		content, err := os.ReadFile(path)
		left["the file "+filepath.Base(path)] = string(content)
		return err
	})
	if err != nil {
		g.t.Errorf("what the gateway wrote: %v", err)
	}
	for where, text := range left {
		withoutSecrets(g.t, where, text)
	}
	told := g.told.String()
	for _, what := range []string{"provider's key", "other provider's key", "admin token"} {
		if found(told, canaries()[what]) {
			g.t.Errorf("answers to callers hold the %s", what)
		}
	}
}

// kept fails when others than its owner can read a file with the secrets of the
// configuration.
func (g *gateway) kept(path string, d os.DirEntry) error {
	info, err := d.Info()
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		g.t.Errorf("%s can be read by others: %s", path, info.Mode())
	}
	return err
}

// withoutSecrets fails the test when a text holds a secret in any form.
func withoutSecrets(t *testing.T, where, text string) {
	t.Helper()
	for what, canary := range canaries() {
		if found(text, canary) {
			t.Errorf("%s: here is the %s", where, what)
		}
	}
}

// found reports whether a text holds a secret, as it is, escaped or encoded.
func found(text, canary string) bool {
	if strings.Contains(text, canary) || strings.Contains(text, base64.StdEncoding.EncodeToString([]byte(canary))) {
		return true
	}
	var json, url strings.Builder
	for _, c := range []byte(canary) {
		fmt.Fprintf(&json, `\u%04x`, c)
		fmt.Fprintf(&url, `%%%02x`, c)
	}
	lower := strings.ToLower(text)
	return strings.Contains(lower, json.String()) || strings.Contains(lower, url.String()) || strings.Contains(lower, hex.EncodeToString([]byte(canary)))
}

var client = &http.Client{
	Timeout:       60 * time.Second,
	Transport:     &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// answer is what somebody was told.
type answer struct {
	status int
	header http.Header
	body   string
}

// ask makes a request, also when the test is over. Everything that is told is kept.
func (g *gateway) ask(method, url, body string, header http.Header) (answer, error) {
	req, err := http.NewRequestWithContext(context.WithoutCancel(g.t.Context()), method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for name, values := range header {
		req.Header[name] = values
		if name == "Host" {
			req.Host = values[0]
			delete(req.Header, name)
		}
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	heard, most := &g.told, 1<<20 // the same without end
	if strings.HasPrefix(url, g.admin) {
		heard, most = &g.shown, len(text)
	}
	_ = resp.Header.Write(heard)
	_ = resp.Trailer.Write(heard)
	_, _ = heard.Write(text[:min(len(text), most)])
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// alice is the header of a caller who may call.
func alice() http.Header {
	return http.Header{"Authorization": {"Bearer " + aliceKey()}, "Content-Type": {"application/json"}}
}

// chat is a call that a good client makes.
func chat(model string, stream bool) string {
	return fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":%q}]}`, model, stream, prompt())
}

// works fails the test unless a good call still succeeds.
func (g *gateway) works(t *testing.T) {
	t.Helper()
	a, err := g.ask("POST", g.URL+"/v1/chat/completions", chat("chat", false), alice())
	if err != nil || a.status != 200 || a.body != goodAnswer {
		t.Errorf("a good call gets %d %.300q, %v", a.status, a.body, err)
	}
}

// operator asks the operators' listener, with the token.
func (g *gateway) operator(method, path, body string) (int, string, error) {
	a, err := g.ask(method, g.admin+path, body, http.Header{"Authorization": {"Bearer " + adminToken()}, "Content-Type": {"application/json"}})
	return a.status, a.body, err
}

// raw sends bytes on a connection of their own and returns what came back until
// the gateway closed it, or until nothing came for a while.
func (g *gateway) raw(text string) string {
	conn, err := net.Dial("tcp", g.address)
	if err != nil {
		g.t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, text)
	var all []byte
	buf := make([]byte, 4096)
	for {
		_ = conn.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
		n, err := conn.Read(buf)
		all = append(all, buf[:n]...)
		if err != nil {
			_, _ = g.told.Write(all)
			return string(all)
		}
	}
}

// measured fails when the gateway's memory grew by more than a bound during do.
func (g *gateway) measured(t *testing.T, bound int64, do func()) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Log("how much memory it takes is looked at below /proc, which is Linux's")
		do()
		return
	}
	if withRace && os.Getenv(binary) == "" {
		bound *= shadow
	}
	before, err := process.Memory(g.Pid)
	if err != nil {
		t.Fatalf("the gateway's memory: %v\n%s", err, g.Errors.String())
	}
	most := before
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			now, failed := process.Memory(g.Pid)
			if most = max(most, now); failed != nil {
				err = failed
				return
			}
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	do()
	close(stop)
	<-stopped
	if err != nil {
		t.Fatalf("the gateway's memory: %v\n%s", err, g.Errors.String())
	}
	if grown := most - before; grown > bound {
		t.Errorf("memory grew by %d MiB, want at most %d", grown>>20, bound>>20)
	}
}

// cpu is the processor time that the gateway has used.
func (g *gateway) cpu(t *testing.T) time.Duration {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("processes are looked at below /proc, which is Linux's")
	}
	d, err := process.Time(g.Pid)
	if err != nil {
		t.Fatalf("the gateway's processor time: %v\n%s", err, g.Errors.String())
	}
	return d
}

// shadow is how many times as much memory the race detector takes, at most.
const shadow = 5
